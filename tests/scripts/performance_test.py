"""kafka-producer-perf-test, kafka-consumer-perf-test and kafka-e2e-latency, beside Apache Kafka's: the same lines with other numbers."""

import re
import time

from scripts.comparing import ScriptsTest, plain, plain_errors

B = ("--bootstrap-server", "{broker}")
FAST = ("--throughput", -1)
HUNDRED = ("--num-records", 100, "--record-size", 100)


def form(text):
    """Numbers as how many digits they have behind the point."""
    text = re.sub(r"(?m)^\d+\t[\d.E-]+$", "<progress>", text)    # as many digits as the double has
    text = re.sub(r"\b\d+\.(\d+)\b", lambda m: f"<.{len(m[1])}>", plain(text))
    text = text.replace("Infinity records/sec (Infinity MB/sec)", "<.6> records/sec (<.2> MB/sec)")     # in less than a millisecond
    return re.sub(r"\bNaN\b|(?<![\w<.])\d+(?![\w>])", "<>", text).splitlines()


class Performance(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("ownjava", "ownmill", "read"):
            cls.ours("topics", *B, "--create", "--topic", name, "--partitions", 1)
        cls.ours("producer-perf-test", *B, "--topic", "read", "--num-records", 3000, "--record-size", 100, *FAST)
        (cls.folder / "lines.txt").write_text("one;;two;;three")
        (cls.folder / "empty.txt").write_text("")
        (cls.folder / "producer.properties").write_text("batch.size=1000\ncompression.type=lz4\n")
        (cls.folder / "consumer.properties").write_text("client.id=mine\nfetch.min.bytes=1\n")

    def same_form(self, script, *words, status=0):
        """Gives what each side printed."""
        theirs, ours = (self.run_side(side, script, words) for side in ("apache", "ours"))
        said = f"\n{script} {' '.join(map(str, words))}\n--- Apache Kafka\n{theirs.stdout}{theirs.stderr}\n--- ours\n{ours.stdout}{ours.stderr}"
        self.assertEqual(form(theirs.stdout), form(ours.stdout), said)
        self.assertEqual(plain_errors(theirs.stderr), plain_errors(ours.stderr), said)
        self.assertEqual((status, status), (theirs.returncode, ours.returncode), said)
        return theirs.stdout, ours.stdout

    def values(self, topic):
        return self.ours("console-consumer", *B, "--topic", topic, "--from-beginning", "--timeout-ms", 2000).split()

    def test_records_of_a_size(self):
        printed = self.same_form("producer-perf-test", *B, "--topic", "{own}", *HUNDRED, *FAST)
        self.same_form("producer-perf-test", *B, "--topic", "{own}", *HUNDRED, *FAST, "--warmup-records", 40)
        self.same_form("producer-perf-test", "--topic", "{own}", *HUNDRED, *FAST, "--command-property", "bootstrap.servers={broker}", "acks=1")
        for out in printed:
            self.assertRegex(out, r"^100 records sent, ")
        for own in ("ownjava", "ownmill"):
            values = self.values(own)
            self.assertEqual((300, {100}), (len(values), set(map(len, values))))
            self.assertRegex(values[0], "^[A-Z]+$")

    def test_records_of_a_file_and_numbers(self):
        for name in ("ownjava-file", "ownmill-file", "ownjava-count", "ownmill-count"):
            self.ours("topics", *B, "--create", "--topic", name)
        self.same_form("producer-perf-test", *B, "--topic", "{own}-file", "--num-records", 50, *FAST, "--payload-file", "{folder}/lines.txt",
                       "--payload-delimiter", ";;", "--command-config", "{folder}/producer.properties")
        self.same_form("producer-perf-test", "--topic", "{own}-count", "--num-records", 5, *FAST, "--payload-monotonic", "--producer-props",
                       "bootstrap.servers={broker}", "client.id=p", "--producer.config", "{folder}/producer.properties")
        for own in ("ownjava", "ownmill"):
            self.assertEqual({"one", "two", "three"}, set(self.values(f"{own}-file")))
            self.assertEqual(["0", "1", "2", "3", "4"], self.values(f"{own}-count"))

    def test_no_faster_than_asked_for(self):
        begun = time.monotonic()
        out = self.ours("producer-perf-test", *B, "--topic", "read-slow", *HUNDRED, "--throughput", 100, "--reporting-interval", 200)
        self.assertGreater(time.monotonic() - begun, 0.8)
        windows, total = out.splitlines()[:-1], out.splitlines()[-1]
        self.assertGreaterEqual(len(windows), 1)
        for line in windows:
            self.assertRegex(line, r"^\d+ records sent, \d+\.\d records/sec \(\d+\.\d\d MB/sec\), \d+\.\d ms avg latency, \d+\.\d ms max latency\.$")
        self.assertLess(float(re.search(r", ([\d.]+) records/sec", total)[1]), 130)

    def test_what_producers_count(self):
        out = self.ours("producer-perf-test", *B, "--topic", "ownmill", *HUNDRED, *FAST, "--print-metrics")
        self.assertRegex(out, r"(?m)^Metric Name +Value$")
        self.assertRegex(out, r"(?m)^producer-metrics:record-send-total *:\{client-id=perf-producer-client\} : 100\.000$")

    def test_producer_words(self):
        topic = ("--topic", "{own}")
        for words in ((*B, *topic), (*B, *HUNDRED, *FAST), (*B, *topic, *HUNDRED), (*topic, *HUNDRED, *FAST), (*B, *topic, "--num-records", 5, *FAST),
                      (*B, *topic, *HUNDRED, *FAST, "--payload-monotonic"), (*B, *topic, *HUNDRED, *FAST, "--no-such"),
                      (*B, *topic, "--num-records", 0, "--record-size", 1, *FAST), (*B, *topic, "--num-records", 5, "--record-size", 0, *FAST),
                      (*B, *topic, *HUNDRED, *FAST, "--warmup-records", 100), (*B, *topic, *HUNDRED, *FAST, "--reporting-interval", 0),
                      (*B, *topic, *HUNDRED, "--throughput", "fast"), (*B, *topic, *HUNDRED, *FAST, "--command-property"),
                      (*B, *topic, *HUNDRED, *FAST, "--command-property", "a=b=c"), (*topic, *HUNDRED, *FAST, "--command-property", "acks=1"),
                      (*B, *topic, *HUNDRED, *FAST, "--command-property", "acks=7"), (*B, *topic, *HUNDRED, *FAST, "--command-property", "linger.ms=-1"),
                      (*B, *topic, *HUNDRED, *FAST, "--command-property", "batch.size=x"), (*B, *topic, *HUNDRED, *FAST, "--command-config", "/no/such"),
                      (*B, *topic, "--num-records", 5, *FAST, "--payload-file", "{folder}/empty.txt"),
                      (*B, *topic, *HUNDRED, *FAST, "--transaction-duration-ms", 0)):
            with self.subTest(words):
                self.compare("producer-perf-test", *words, status=1)

    def test_what_fails_is_told(self):
        self.same_form("producer-perf-test", *B, "--topic", "{own}", "--num-records", 2, "--record-size", 1048576, *FAST)
        self.same_form("producer-perf-test", "--bootstrap-server", "127.0.0.1:1", "--topic", "{own}", "--num-records", 2, "--record-size", 1, *FAST,
                       "--command-property", "max.block.ms=500", "request.timeout.ms=500")

    def test_transactions(self):
        own = ("--topic", "{own}-tx", *HUNDRED)
        for name in ("ownjava-tx", "ownmill-tx"):
            self.ours("topics", *B, "--create", "--topic", name)
        printed = self.same_form("producer-perf-test", *B, *own, *FAST, "--transactional-id", "{own}")
        for out in printed:
            self.assertRegex(out, r"^100 records sent, ")
        self.same_form("producer-perf-test", *B, *own, "--throughput", 500, "--transaction-duration-ms", 20)
        self.same_form("producer-perf-test", *B, *own, *FAST, "--command-property", "transactional.id={own}", "--warmup-records", 10)
        for side in ("ownjava", "ownmill"):
            read = self.ours("console-consumer", *B, "--topic", f"{side}-tx", "--from-beginning", "--timeout-ms", 2000, "--isolation-level", "read_committed")
            self.assertEqual(300, len(read.split()))
        # One marker each, and for those of 20 ms several.
        ends = [int(self.ours("get-offsets", *B, "--topic", f"{side}-tx").split(":")[-1]) for side in ("ownjava", "ownmill")]
        for end in ends:
            self.assertGreater(end, 305)
            self.assertLess(end, 320)
        listed = self.ours("transactions", *B, "list")
        self.assertEqual(2, len(re.findall(r"(?m)^performance-producer-[A-Za-z0-9_-]{22}\b", listed)), listed)

    def test_transactions_that_cannot_be(self):
        for words in (("--transactional-id", "x", "--command-property", "acks=1"), ("--command-property", "transactional.id=x", "enable.idempotence=false"),
                      ("--transactional-id", "x", "--command-property", "acks=1", "enable.idempotence=true"),
                      ("--transactional-id", "x", "--command-property", "transaction.timeout.ms=2000000000"), ("--transactional-id", ""),
                      ("--transactional-id", "x", "--command-property", "retries=0")):
            with self.subTest(words):
                self.compare("producer-perf-test", *B, "--topic", "read", *HUNDRED, *FAST, *words, status=1)
        self.compare("producer-perf-test", "--bootstrap-server", "127.0.0.1:1", "--topic", "read", *HUNDRED, *FAST, "--transactional-id", "x",
                     "--command-property", "max.block.ms=500", status=1)

    def test_scripts_that_know_of_no_transactions(self):
        (self.folder / "tx.properties").write_text("transactional.id=x\n")
        self.compare("verifiable-producer", *B, "--topic", "read", "--max-messages", 2, "--command-config", "{folder}/tx.properties", status=1)
        # Apache Kafka's say the same, and then never end.
        told = "java.lang.IllegalStateException: Cannot add partition read-0 to transaction before completing a call to initTransactions"
        done = self.run_side("ours", "console-producer", (*B, "--topic", "read", "--command-property", "transactional.id=x"), "a\n")
        self.assertEqual((1, True), (done.returncode, told in done.stderr), done.stderr)
        done = self.run_side("ours", "e2e-latency", (*B, "--topic", "read", "--num-records", 1, "--producer-acks", "all", "--record-size", 1,
                                                     "--command-config", "{folder}/tx.properties"))
        self.assertEqual(1, done.returncode)
        self.assertIn("before completing a call to initTransactions", done.stdout + done.stderr)

    def test_records_read(self):
        read = (*B, "--topic", "read", "--num-records", 3000)
        for out in self.same_form("consumer-perf-test", *read):
            columns = out.splitlines()[1].split(", ")
            self.assertEqual(("0.2861", "3000"), (columns[2], columns[4]))
        self.same_form("consumer-perf-test", *read, "--hide-header", "--group", "{own}", "--command-config", "{folder}/consumer.properties", "--date-format",
                       "dd.MM.yy HH'h' EEE")
        self.same_form("consumer-perf-test", *read, "--show-detailed-stats", "--reporting-interval", 60000)
        self.same_form("consumer-perf-test", *B, "--include", "rea.", "--messages", 3000, "--consumer.config", "{folder}/consumer.properties")
        self.same_form("consumer-perf-test", *B, "--topic", "read", "--num-records", 10, "--from-latest", "--timeout", 2000)
        # A group goes on where it was.
        self.ours("consumer-perf-test", *read, "--group", "goes-on")
        self.assertIn("WARNING: Exiting before", self.ours("consumer-perf-test", *read, "--group", "goes-on", "--timeout", 500))

    def test_lines_of_intervals(self):
        out = self.ours("consumer-perf-test", *B, "--topic", "read", "--num-records", 3000, "--show-detailed-stats", "--reporting-interval", 1)
        self.assertEqual(["time", "threadId"], out.splitlines()[0].split(", ")[:2])
        for line in out.splitlines()[1:]:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}, 0, (\d+\.\d{4}, ){2}\d+, \d+\.\d{4}, \d+, -?\d+, \d+\.\d{4}, \d+\.\d{4}$")

    def test_consumer_words(self):
        topic = ("--topic", "read")
        for words in ((), topic, B, (*B, *topic), (*B, *topic, "--include", "x", "--num-records", 1), (*B, *topic, "--num-records", 1, "--messages", 1),
                      (*B, *topic, "--num-records", 1, "--no-such"), (*B, *topic, "--num-records", "x"),
                      (*B, *topic, "--num-records", 1, "--reporting-interval", 0), (*B, *topic, "--num-records", 1, "--command-config", "/no/such"),
                      (*B, *topic, "--num-records", 1, "--command-config", "x", "--consumer.config", "y"),
                      (*B, *topic, "--num-records", 1, "--command-property", "isolation.level=odd")):
            with self.subTest(words):
                self.compare("consumer-perf-test", *words, status=1)

    def test_latencies(self):
        words = (*B, "--num-records", 20, "--record-size", 50)
        self.same_form("e2e-latency", *words, "--topic", "{own}-e2e", "--producer-acks", "all")
        self.same_form("e2e-latency", *words, "--topic", "{own}-e2e", "--producer-acks", 1, "--record-key-size", 5, "--num-headers", 2,
                       "--record-header-key-size", 3, "--record-header-size=-1", "--command-config", "{folder}/producer.properties")
        self.same_form("e2e-latency", "{broker}", "{own}-e2e", 5, "all", 10)
        for own in ("ownjava", "ownmill"):
            self.assertEqual(45, len(self.values(f"{own}-e2e")))

    def test_latency_words(self):
        needed = (*B, "--topic", "t", "--num-records", 1, "--producer-acks", "all", "--record-size", 1)
        for words in ((), ("a", "b"), B, needed[:-2], (*needed, "--no-such"), (*needed[:-4], "--producer-acks", 0, "--record-size", 1),
                      (*needed[:4], "--num-records", 0, *needed[6:]), (*needed, "--record-key-size=-1"), (*needed, "--record-header-size=-2"),
                      (*needed, "--command-config", "/no/such")):
            with self.subTest(words):
                self.compare("e2e-latency", *words, status=1)
