"""kafka-topics, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")


class Topics(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, *more in (("first", "--partitions", 3), ("second_one",), ("configured", "--config", "retention.ms=1000",
                                                                           "--config", "cleanup.policy=compact,delete")):
            cls.ours("topics", *B, "--create", "--topic", name, *more)

    def test_list(self):
        self.compare("topics", *B, "--list", status=0)
        self.compare("topics", *B, "--list", "--exclude-internal")
        self.compare("topics", *B, "--list", "--topic", "(first|second.*)")
        self.compare("topics", *B, "--list", "--topic", "first,configured")
        self.compare("topics", *B, "--list", "--topic", "absent")

    def test_describe(self):
        self.assertIn("PartitionCount: 3", self.compare("topics", *B, "--describe", "--topic", "first", status=0))
        self.compare("topics", *B, "--describe", "--topic", "configured")
        self.compare("topics", *B, "--describe", any_order=True)
        self.compare("topics", *B, "--describe", "--topics-with-overrides", any_order=True)
        for report in ("under-replicated", "unavailable", "under-min-isr", "at-min-isr"):
            self.compare("topics", *B, "--describe", "--topic", "first", f"--{report}-partitions")
        self.compare("topics", *B, "--describe", "--topic", "absent", status=1)
        self.compare("topics", *B, "--describe", "--topic", "absent", "--if-exists", status=0)
        self.compare("topics", *B, "--describe", "--topic-id", "AAAAAAAAAAAAAAAAAAAABQ", status=1)
        self.compare("topics", *B, "--describe", "--topic", "first", "--partition-size-limit-per-response", 1)

    def test_create_and_delete(self):
        self.compare("topics", *B, "--create", "--topic", "{own}", "--partitions", 2, "--replication-factor", 1,
                     "--config", "retention.ms=5", "--config", "segment.bytes=1048576", status=0)
        self.compare("topics", *B, "--describe", "--topic", "{own}")
        self.compare("topics", *B, "--create", "--topic", "{own}", status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}", "--if-not-exists", status=0)
        self.compare("topics", *B, "--delete", "--topic", "{own}", status=0)
        self.compare("topics", *B, "--delete", "--topic", "{own}", status=1)
        self.compare("topics", *B, "--delete", "--topic", "{own}", "--if-exists", status=0)

    def test_names_that_collide_and_assignments(self):
        self.compare("topics", *B, "--create", "--topic", "with.{own}_x", "--replica-assignment", "1,1,1", status=0)
        self.compare("topics", *B, "--describe", "--topic", "with.{own}_x")
        self.compare("topics", *B, "--create", "--topic", "{own}-2", "--replica-assignment", "1:1", status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-2", "--replica-assignment", "1,1:2", status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-2", "--replica-assignment", "one", status=1)

    def test_alter(self):
        self.compare("topics", *B, "--create", "--topic", "{own}-alter", status=0)
        self.compare("topics", *B, "--alter", "--topic", "{own}-alter", "--partitions", 4, status=0)
        self.compare("topics", *B, "--describe", "--topic", "{own}-alter")
        self.compare("topics", *B, "--alter", "--topic", "{own}-alter", "--partitions", 4, status=1)
        self.compare("topics", *B, "--alter", "--topic", "{own}-alter", "--partitions", 2, status=1)
        self.compare("topics", *B, "--alter", "--topic", "absent", "--partitions", 2, status=1)
        self.compare("topics", *B, "--alter", "--topic", "absent", "--partitions", 2, "--if-exists", status=0)

    def test_what_the_cluster_refuses(self):
        self.compare("topics", *B, "--create", "--topic", "a b", status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-r", "--replication-factor", 3, status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-r", "--replication-factor", 0, status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-r", "--partitions", 0, status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-r", "--config", "no.such=1", status=1)
        self.compare("topics", *B, "--create", "--topic", "{own}-r", "--config", "retention.ms", status=1)

    def test_words_that_are_refused(self):
        for words in (("--list",), (*B, "--list", "--create"), (*B,), (*B, "--create"), (*B, "--alter", "--topic", "first"),
                      (*B, "--lists"), (*B, "--list", "-x"), (*B, "--list", "--partitions", 3), (*B, "--describe", "--if-not-exists"),
                      (*B, "--create", "--topic", "x", "--replica-assignment", "1", "--partitions", 1), (*B, "--list", "--topic"),
                      (*B, "--delete", "--topic", "x", "--replication-factor", 1), (*B, "--describe", "--if-exists"),
                      (*B, "--describe", "--under-replicated-partitions", "--topics-with-overrides"),
                      (*B, "--create", "--topic", "x", "--partitions", "many"), (*B, "--create", "--topic", "x", "--topic", "y"),
                      ("--help",), ()):
            with self.subTest(words):
                self.compare("topics", *words, status=1)
        self.assertEqual("4.3.1\n", self.compare("topics", "--version", status=0))
        self.compare("topics", f"--bootstrap-server={self.node.address}", "-list", status=0)

    def test_nobody_there(self):
        self.compare("topics", "--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--list", status=1)
        self.compare("topics", "--bootstrap-server", "no.such.host.invalid:9092", "--list", status=1)
        self.compare("topics", "--bootstrap-server", "localhost", "--list", status=1)
        self.compare("topics", *B, "--command-config", "absent.properties", "--list", status=1)
