"""kafka-consumer-groups, beside Apache Kafka's."""

import subprocess
import time

from scripts.comparing import OWN, ScriptsTest
from support.broker import BINARY

B = ("--bootstrap-server", "{broker}")


class ConsumerGroups(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "shared", "--partitions", 2)
        cls.ours("topics", *B, "--create", "--topic", "other")
        for partition in (0, 1):
            cls.millrace("produce", "shared", "-f", "%T %v", "-p", partition, "-q", send="".join(f"{1000 + i} {i}\n" for i in range(5)))
        cls.millrace("produce", "other", "-q", send="x\n")
        for group in ("readers", *OWN.values()):
            cls.millrace("consume", "shared", "other", "--group", group, "-e")
        cls.millrace("produce", "shared", "-p", 1, "-q", send="late\n")

    def test_list(self):
        self.compare("consumer-groups", *B, "--list", status=0, any_order=True)
        self.compare("consumer-groups", *B, "--list", "--state", any_order=True)
        self.compare("consumer-groups", *B, "--list", "--type", any_order=True)
        self.compare("consumer-groups", *B, "--list", "--state", "empty", "--type", "classic", any_order=True)
        self.compare("consumer-groups", *B, "--list", "--state", "Stable")

    def test_describe(self):
        for words in ((), ("--offsets",), ("--offsets", "--verbose"), ("--members",), ("--members", "--verbose"), ("--state",), ("--state", "--verbose")):
            with self.subTest(words):
                self.compare("consumer-groups", *B, "--describe", "--group", "readers", *words, status=0)
        self.compare("consumer-groups", *B, "--describe", "--group", "absent")
        self.compare("consumer-groups", *B, "--describe", "--group", "absent", "--state")

    def test_describe_with_members(self):
        consumer = subprocess.Popen([BINARY, "consume", "shared", "--group", "alive", "--instance-id", "first", "-b", self.node.address],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while "Stable" not in self.millrace("group", "list") and time.monotonic() < deadline:
                time.sleep(0.1)
            for words in ((), ("--offsets", "--verbose"), ("--members",), ("--members", "--verbose"), ("--state",)):
                with self.subTest(words):
                    self.compare("consumer-groups", *B, "--describe", "--group", "alive", *words, status=0)
            self.compare("consumer-groups", *B, "--reset-offsets", "--group", "alive", "--topic", "shared", "--to-earliest", "--execute")
            self.compare("consumer-groups", *B, "--delete", "--group", "alive")
            self.compare("consumer-groups", *B, "--delete-offsets", "--group", "alive", "--topic", "shared")
        finally:
            consumer.terminate()
            consumer.wait()

    def test_reset_dry_run(self):
        reset = ("consumer-groups", *B, "--reset-offsets", "--group", "readers")
        for words in (("--topic", "shared", "--to-earliest"), ("--all-topics", "--to-latest"), ("--topic", "shared:1", "--to-offset", 3),
                      ("--topic", "shared", "--shift-by", -2), ("--topic", "shared", "--to-datetime", "1970-01-01T00:00:01.002"),
                      ("--topic", "shared", "--by-duration", "P1D"), ("--topic", "shared", "--to-current"), ("--topic", "shared", "--to-offset", 99),
                      ("--topic", "shared", "--shift-by", -99), ("--topic", "other", "--topic", "shared:0", "--to-earliest", "--export"),
                      ("--topic", "absent", "--to-earliest"), ("--topic", "shared:9", "--to-earliest"), ("--topic", "shared:x", "--to-earliest"),
                      ("--topic", "shared", "--to-datetime", "soon"), ("--to-earliest",), ("--topic", "shared", "--to-earliest", "--execute", "--dry-run")):
            with self.subTest(words):
                self.compare(*reset, *words)
        self.compare(*reset, "--topic", "shared", "--to-earliest", "--dry-run", status=0)
        self.compare("consumer-groups", *B, "--reset-offsets", "--group", "fresh", "--topic", "shared", "--to-earliest")
        self.compare("consumer-groups", *B, "--reset-offsets", "--group", "fresh", "--topic", "shared", "--shift-by", 1)

    def test_reset_execute_and_from_file(self):
        reset = ("consumer-groups", *B, "--reset-offsets", "--group", "{own}")
        self.compare(*reset, "--topic", "shared", "--to-offset", 2, "--execute", status=0)
        self.compare("consumer-groups", *B, "--describe", "--group", "{own}")
        (self.folder / "plan.csv").write_text("shared,0,1\nshared,1,4\n")
        self.compare(*reset, "--from-file", "{folder}/plan.csv", "--execute", status=0)
        self.compare("consumer-groups", *B, "--describe", "--group", "{own}")
        self.compare("consumer-groups", *B, "--delete-offsets", "--group", "{own}", "--topic", "shared:0")
        self.compare("consumer-groups", *B, "--delete-offsets", "--group", "{own}", "--topic", "absent", "--topic", "shared:1")
        self.compare("consumer-groups", *B, "--delete-offsets", "--group", "{own}", "--topic", "shared:9")
        self.compare("consumer-groups", *B, "--delete", "--group", "{own}", status=0)
        self.compare("consumer-groups", *B, "--delete", "--group", "{own}", status=0)
        self.compare("consumer-groups", *B, "--delete-offsets", "--group", "{own}", "--topic", "shared")

    def test_what_is_refused(self):
        for words in ((), ("--help",), B, ("--list",), (*B, "--list", "--describe"), (*B, "--list", "--group", "x"), (*B, "--describe", "--topic", "x", "--group", "g"),
                      (*B, "--list", "--members"), (*B, "--list", "--no-such"), (*B, "--describe", "--group", "x", "--members", "--offsets"),
                      (*B, "--describe", "--group", "x", "--state", "Stable"), (*B, "--delete", "--group", "x", "--topic", "y"),
                      (*B, "--reset-offsets", "--group", "x", "--topic", "y", "--execute", "--dry-run")):
            with self.subTest(words):
                self.compare("consumer-groups", *words, status=1)
        self.compare("consumer-groups", "--validate-regex", "a.*", status=0)
        self.compare("consumer-groups", "--version", status=0)
        self.compare("consumer-groups", "--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--timeout", 1500, "--list")
