"""kafka-console-share-consumer, beside Apache Kafka's: each in a share group of its own, and what the broker knows of the group then."""

from scripts.comparing import OWN, ScriptsTest
from support.protocol import Asker

B = ("--bootstrap-server", "{broker}")
GROUP = 32   # a config resource
GROUPS = ("all", "two", "shown", "again", "never", "ids")
SHOWN = [word for name in ("timestamp", "key", "offset", "partition", "headers", "epoch", "delivery")
         for word in ("--formatter-property", f"print.{name}=true")]


class ConsoleShareConsumer(ScriptsTest):
    PROPERTIES = {**ScriptsTest.PROPERTIES, "group.share.assignment.interval.ms": "0"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "shared")
        cls.millrace("produce", "shared", "-f", "%T:%k:%h:%v", "-q", send="1000:k1:a=1,b=2:first\n2000:k2::second\n3000:k3:c=:third\n")
        cls.file = cls.folder / "group.properties"
        cls.file.write_text("group.id=h\n")
        with Asker(cls.node.address) as asker:
            for own in OWN.values():
                for group in GROUPS:
                    asker.alter(GROUP, f"{own}-{group}", ("share.auto.offset.reset", 0, "earliest"))

    def read(self, group, *words, timeout=8000, status=0):
        return self.compare("console-share-consumer", *B, "--topic", "shared", "--group", "{own}-" + group, "--timeout-ms", timeout, *words, status=status)

    def offsets(self, group):
        return self.compare("share-groups", *B, "--describe", "--group", "{own}-" + group, status=0)

    def test_all_is_read_once(self):
        self.assertEqual("first\nsecond\nthird\n", self.read("all", "--max-messages", 3))
        self.offsets("all")
        self.assertEqual("", self.read("all", timeout=3000))

    def test_what_was_not_printed_is_given_to_the_next(self):
        self.assertEqual("first\nsecond\n", self.read("two", "--max-messages", 2))
        self.assertIn("Delivery:", self.read("two", "--max-messages", 1, *SHOWN))
        self.offsets("two")

    def test_what_is_printed(self):
        self.assertIn("CreateTime:1000\tPartition:0\tOffset:0\tDelivery:1", self.read("shown", "--max-messages", 3, *SHOWN))

    def test_what_was_released_comes_again(self):
        delivery = ("--formatter-property", "print.delivery=true")
        self.assertEqual(3, self.read("again", "--release", "--max-messages", 3, *delivery).count("Delivery:1"))
        self.assertEqual(3, self.read("again", "--max-messages", 3, *delivery).count("Delivery:2"))

    def test_what_was_rejected_does_not(self):
        self.read("never", "--reject", "--max-messages", 3)
        self.assertEqual("", self.read("never", timeout=3000))
        self.offsets("never")

    def test_acquire_mode(self):
        self.read("ids", "--max-messages", 1, "--command-property", "share.acquire.mode=record_limit", "--command-property", "max.poll.records=1",
                  "--enable-systest-events")
        self.offsets("ids")

    def test_words(self):
        topic = ("--topic", "x")
        for words in (B, topic, ("--no-such",), ("--help",), (*B, *topic, "--reject", "--release"), (*B, *topic, "--formatter", "no.such.Formatter"),
                      (*B, *topic, "--group", "g", "--command-config", str(self.file)), (*B, *topic, "--timeout-ms", "soon"),
                      (*B, *topic, "--property", "a=b", "--formatter-property", "a=b"),
                      (*B, *topic, "--consumer-config", str(self.file), "--command-config", str(self.file)),
                      (*B, *topic, "--consumer-property", "a=b", "--command-property", "a=b"),
                      (*B, *topic, "--command-property", "group.protocol=share", "--command-property", "auto.offset.reset=earliest"),
                      (*B, *topic, "--command-property", "share.acquire.mode=all"), (*B, *topic, "--command-property", "max.poll.records=0")):
            with self.subTest(words):
                self.compare("console-share-consumer", *words, status=1)

    def test_nothing_comes(self):
        quiet = ("--timeout-ms", 500)
        for words in ((), ("--consumer-config", str(self.file)), ("--consumer-property", "client.id=x"), ("--property", "print.key=true"),
                      ("--max-messages", 0, "--enable-systest-events"), ("--command-property", "share.acknowledgement.mode=implicit")):
            with self.subTest(words):
                self.compare("console-share-consumer", *B, "--topic", "absent", *quiet, *words, status=0)
