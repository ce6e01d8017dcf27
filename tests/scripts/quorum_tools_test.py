"""kafka-cluster and kafka-metadata-quorum, beside Apache Kafka's."""

import re

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")


class QuorumTools(ScriptsTest):
    def test_cluster(self):
        self.compare("cluster", "cluster-id", *B, status=0)
        self.compare("cluster", "cluster-id", "-b", "{broker}", "-c", "{quick}", status=0)
        self.compare("cluster", "list-endpoints", *B, status=0)
        self.compare("cluster", "list-endpoints", *B, "--include-fenced-brokers", status=0)
        self.compare("cluster", "list-endpoints", "--bootstrap-controller", f"127.0.0.1:{self.node.controller_port}", status=0)
        self.compare("cluster", "cluster-id", "-C", f"127.0.0.1:{self.node.controller_port}", status=0)
        self.compare("cluster", "unregister", *B, "--id", 77, status=1)
        for words in (("cluster-id",), ("unregister", *B), ("unregister", *B, "--id", "x"), (), ("no-such",), ("cluster-id", *B, "--no-such"),
                      ("cluster-id", *B, "--bootstrap-controller", "x:1"), ("cluster-id", "--bootstrap-server")):
            with self.subTest(words):
                self.compare("cluster", *words, status=1)
        self.compare("cluster", "cluster-id", "--bootstrap-server", "127.0.0.1:1", "--config", "{quick}", status=1)

    def test_metadata_quorum(self):
        moving = re.compile(r"(HighWatermark: +)\d+|(?<=\t)\d+ +\t|\d{13}")

        def steady(text):
            return re.sub(r"\s+", " ", moving.sub(r"\1N", text))

        for words in (("describe", "--status"), ("describe", "--replication")):
            with self.subTest(words):
                theirs, ours = (self.run_side(side, "metadata-quorum", (*B, *words)) for side in ("apache", "ours"))
                self.assertEqual((0, steady(theirs.stdout)), (ours.returncode, steady(ours.stdout)), ours.stderr)
        for words in ((), B, (*B, "describe"), (*B, "describe", "--status", "--replication"), (*B, "describe", "--status", "--human-readable"),
                      ("describe", "--status"), (*B, "add-controller"), (*B, "remove-controller"), (*B, "no-such"),
                      (*B, "remove-controller", "--controller-id", 1, "--controller-directory-id", "short"), (*B, "--command-config", "absent.file", "describe", "--status"),
                      (*B, "remove-controller", "-i", -1, "-d", "AAAAAAAAAAAAAAAAAAAABQ")):
            with self.subTest(words):
                self.compare("metadata-quorum", *words, status=1)
        self.compare("metadata-quorum", *B, "remove-controller", "-i", 7, "-d", "AAAAAAAAAAAAAAAAAAAABQ", "--dry-run", status=0)
