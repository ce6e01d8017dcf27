"""kafka-get-offsets, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")


class GetOffsets(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, partitions in (("one", 1), ("three", 3), ("empty", 2)):
            cls.ours("topics", *B, "--create", "--topic", name, "--partitions", partitions)
        cls.millrace("produce", "one", "-f", "%T %v", "-q", send="".join(f"{1000 + i} {i}\n" for i in range(5)))
        cls.millrace("produce", "three", "-p", 1, "-q", send="a\nb\n")

    def test_times(self):
        for time in ("latest", "earliest", "max-timestamp", "earliest-local", "latest-tiered", "-1", "-2", "-3", "-4", "-5", "1002", "99999999999999"):
            with self.subTest(time):
                self.compare("get-offsets", *B, "--topic", "(one|three|empty)", "--time", time, status=0)
        self.compare("get-offsets", *B, "--time", "soon", status=1)

    def test_filters(self):
        for words in ((), ("--topic", "three"), ("--topic", "three", "--partitions", "0,2"), ("--topic-partitions", "three:1,one"),
                      ("--topic-partitions", "three:1-"), ("--topic-partitions", "three:-2"), ("--topic-partitions", ":0-1"),
                      ("--topic-partitions", "t.*:0-2,one:0"), ("--exclude-internal-topics",)):
            with self.subTest(words):
                self.compare("get-offsets", *B, *words, status=0)

    def test_what_is_refused(self):
        for words in (("--topic", "absent"), ("--topic", "one", "--partitions", "7"), ("--partitions", "x"), ("--topic-partitions", "one:x"),
                      ("--topic-partitions", "one", "--topic", "one"), ("--no-such",), ("--topic",)):
            with self.subTest(words):
                self.compare("get-offsets", *B, *words, status=1)
        for words in ((), ("--topic", "one"), ("--bootstrap-server", "nowhere"), ("--help",)):
            with self.subTest(words):
                self.compare("get-offsets", *words, status=1)
        self.compare("get-offsets", "--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", status=1)
