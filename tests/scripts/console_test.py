"""kafka-console-producer and kafka-console-consumer, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")
ALL = ("--from-beginning", "--timeout-ms", 5000)   # on a busy machine Java takes seconds until it reads


class Console(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("read", "table", "empty"):
            cls.ours("topics", *B, "--create", "--topic", name)
        cls.millrace("produce", "read", "-f", "%T:%k:%h:%v", "-q", send="1000:k1:a=1,b=2:first\n2000:k2::second\n3000:k3:c=:third\n")
        cls.millrace("produce", "table", "-f", "%k:%v", "-Z", "-q", send="a:1\na:\n:2\n")

    def produced(self, topic, *words):
        """What lies in each side's topic, by our consumer."""
        return {self.ours("console-consumer", *B, "--topic", own + topic, *ALL, *words) for own in ("ownjava", "ownmill")}

    def test_lines_in_and_out(self):
        self.compare("topics", *B, "--create", "--topic", "{own}-lines")
        self.compare("console-producer", *B, "--topic", "{own}-lines", send="a\nb\n\nd", status=0)
        self.assertEqual({"a\nb\n\nd\n"}, self.produced("-lines"))
        self.compare("console-producer", *B, "--topic", "{own}-lines", "--sync", "--compression-codec", "zstd", send="e\n", status=0)
        self.compare("console-consumer", *B, "--topic", "{own}-lines", *ALL, "--formatter-property", "print.offset=true", status=0)

    def test_keys_headers_and_nulls(self):
        self.compare("topics", *B, "--create", "--topic", "{own}-keys")
        self.compare("console-producer", *B, "--topic", "{own}-keys", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:",
                     "--reader-property", "parse.headers=true", "--reader-property", "null.marker=NULL", "--request-required-acks", "all",
                     send="h:1,i:2\tkey:value\nNULL\tNULL:NULL\nh:NULL\tk:v\n", status=0)
        shown = ("--formatter-property", "print.key=true", "--formatter-property", "print.headers=true")
        self.assertEqual(1, len(self.produced("-keys", *shown)))
        self.compare("console-consumer", *B, "--topic", "{own}-keys", *ALL, *shown)

    def test_lines_that_do_not_fit(self):
        self.compare("topics", *B, "--create", "--topic", "{own}-unfit")
        self.compare("console-producer", *B, "--topic", "{own}-unfit", "--reader-property", "parse.key=true", send="no key\n", status=1)
        self.compare("console-producer", *B, "--topic", "{own}-unfit", "--reader-property", "parse.headers=true", send="no\tvalue\n", status=1)
        self.compare("console-producer", *B, "--topic", "{own}-unfit", "--reader-property", "headers.separator=:", send="", status=1)
        self.compare("console-producer", *B, "--topic", "{own}-unfit", "--reader-property", "parse.key=true", "--reader-property",
                     "ignore.error=true", send="no key\n", status=0)
        self.assertEqual({"no key\n"}, self.produced("-unfit"))

    def test_producer_words(self):
        for words in ((), ("--topic", "x"), B, ("--topic", "x", "--bootstrap-server", "nowhere"), ("--no-such",), ("--help",),
                      (*B, "--topic", "x", "--batch-size", "big"), (*B, "--topic", "x", "--compression-codec", "rar"),
                      (*B, "--topic", "x", "--request-required-acks", "7"), (*B, "--topic", "x", "--property", "a=b", "--reader-property", "c=d"),
                      (*B, "--topic", "x", "--line-reader", "no.such.Reader")):
            with self.subTest(words):
                self.compare("console-producer", *words, status=1)
        self.compare("console-producer", *B, "--topic", "read", "--property", "parse.key=false", "--producer-property", "linger.ms=0",
                     "--max-partition-memory-bytes", 1000, status=0)

    def test_nobody_takes_it(self):
        self.compare("console-producer", "--bootstrap-server", "127.0.0.1:1", "--topic", "x", "--max-block-ms", 1500, send="lost\n", status=0)
        self.compare("console-producer", "--bootstrap-server", "127.0.0.1:1", "--topic", "x", "--max-block-ms", 1500, "--sync", send="lost\n",
                     status=1)

    def test_what_is_printed(self):
        every = [word for name in ("timestamp", "key", "offset", "partition", "headers", "epoch", "delivery")
                 for word in ("--formatter-property", f"print.{name}=true")]
        self.assertIn("CreateTime:1000\tPartition:0\tOffset:0", self.compare("console-consumer", *B, "--topic", "read", *ALL, *every, status=0))
        self.compare("console-consumer", *B, "--topic", "table", *ALL, "--formatter-property", "print.key=true", "--formatter-property",
                     "null.literal=NIL", "--formatter-property", "key.separator==>")
        self.compare("console-consumer", *B, "--topic", "read", *ALL, "--formatter-property", "print.value=false", "--formatter-property", "print.key=true")
        self.compare("console-consumer", *B, "--topic", "read", *ALL, "--property", "line.separator=|", "--consumer-property", "client.id=x")
        self.compare("console-consumer", *B, "--topic", "read", *ALL, "--formatter", "org.apache.kafka.tools.consumer.NoOpMessageFormatter")
        self.compare("console-consumer", *B, "--topic", "read", *ALL, "--value-deserializer",
                     "org.apache.kafka.common.serialization.StringDeserializer")

    def test_where_it_begins_and_ends(self):
        for words in (("--partition", 0, "--offset", 1), ("--partition", 0, "--offset", "earliest"), ("--partition", 0, "--from-beginning"),
                      ("--partition", 0), ("--partition", 0, "--offset", "latest")):
            with self.subTest(words):
                self.compare("console-consumer", *B, "--topic", "read", *words, "--timeout-ms", 5000, status=0)
        self.compare("console-consumer", *B, "--topic", "read", "--from-beginning", "--max-messages", 2, status=0)
        self.compare("console-consumer", *B, "--include", "re.d|empty", *ALL)
        self.compare("console-consumer", *B, "--topic", "empty", *ALL, "--enable-systest-events", "--isolation-level", "read_committed")

    def test_in_a_group(self):
        self.compare("console-consumer", *B, "--topic", "read", "--group", "{own}-group", "--from-beginning", "--max-messages", 2, status=0)
        self.compare("console-consumer", *B, "--topic", "read", "--group", "{own}-group", "--from-beginning", "--max-messages", 1, status=0)
        self.compare("consumer-groups", *B, "--describe", "--group", "{own}-group")

    def test_in_a_group_of_the_consumer_protocol(self):
        modern = ("--topic", "read", "--group", "{own}-modern", "--command-property", "group.protocol=consumer")
        self.compare("console-consumer", *B, *modern, "--from-beginning", "--max-messages", 2, status=0)
        self.compare("console-consumer", *B, *modern, "--command-property", "group.remote.assignor=range", "--from-beginning", "--max-messages", 1, status=0)
        self.compare("consumer-groups", *B, "--describe", "--group", "{own}-modern")
        self.compare("consumer-groups", *B, "--describe", "--group", "{own}-modern", "--members")
        self.compare("console-consumer", *B, *modern, "--command-property", "group.remote.assignor=none.such", "--timeout-ms", 5000, errors=False)
        for wrong in ("session.timeout.ms=7000", "partition.assignment.strategy=x", "max.poll.interval.ms=0"):
            with self.subTest(wrong):
                self.compare("console-consumer", *B, *modern, "--command-property", wrong, "--timeout-ms", 5000)
        for words in ("group.protocol=none", "group.remote.assignor=range"):
            with self.subTest(words):
                self.compare("console-consumer", *B, "--topic", "read", "--group", "{own}-x", "--command-property", words, "--timeout-ms", 5000)

    def test_consumer_words(self):
        for words in (B, ("--topic", "x"), (*B, "--topic", "x", "--include", "y"), (*B, "--topic", "x", "--offset", 3), ("--no-such",),
                      (*B, "--topic", "x", "--partition", 0, "--offset", "soon"), (*B, "--topic", "x", "--partition", 0, "--offset", -3),
                      (*B, "--include", "x", "--partition", 0), (*B, "--topic", "x", "--partition", 0, "--group", "g"),
                      (*B, "--topic", "x", "--group", "g", "--command-property", "group.id=h"), (*B, "--topic", "x", "--formatter", "no.such.Formatter"),
                      (*B, "--topic", "x", "--from-beginning", "--command-property", "auto.offset.reset=latest"), ("--help",),
                      (*B, "--topic", "x", "--command-property", "a=b", "--consumer-property", "a=b")):
            with self.subTest(words):
                self.compare("console-consumer", *words, status=1)
