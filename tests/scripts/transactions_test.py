"""kafka-transactions, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest, plain_errors
from support.transactional import PROPERTIES, Producer

B = ("--bootstrap-server", "{broker}")


class Transactions(ScriptsTest):
    PROPERTIES = {**PROPERTIES, "transaction.partition.verification.enable": "false"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "t", "--partitions", 2)
        cls.producer("idle")
        done, busy = cls.producer("done"), cls.producer("busy")
        done.write("t", "a")
        done.end(True)
        busy.write("t", "b")

    @classmethod
    def producer(cls, name, modern=True):
        producer = Producer(cls.node.address, name, modern, timeout_ms=600_000)
        cls.addClassCleanup(producer.asker.socket.close)
        error = producer.init()
        if error != "NONE":
            raise AssertionError(error)
        return producer

    def test_transactional_ids(self):
        self.compare("transactions", *B, "list", status=0, any_order=True)
        for words in (("--duration-filter", 3_600_000), ("--transactional-id-pattern", "id.*"), ("--transactional-id-pattern", "")):
            with self.subTest(words):
                self.compare("transactions", *B, "list", *words, status=0, any_order=True)
        self.compare("transactions", *B, "list", "--transactional-id-pattern", "(", status=1)
        self.compare("transactions", *B, "describe", "--transactional-id", "idle", status=0)
        self.compare("transactions", *B, "describe", "--transactional-id", "absent", status=1)

    def test_the_duration_of_a_transaction_goes_on(self):
        titles, row = (line.split("\t") for line in self.ours("transactions", *B, "describe", "--transactional-id", "busy").splitlines())
        told = {title.strip(): value.strip() for title, value in zip(titles, row)}
        self.assertEqual(("Ongoing", "t-0", "1"), (told["TransactionState"], told["TopicPartitions"], told["CoordinatorId"]))
        self.assertGreater(int(told["TransactionDurationMs"]), 0)

    def test_producers(self):
        for words in (("--partition", 0), ("--partition", 1), ("--partition", 0, "--broker-id", 1)):
            with self.subTest(words):
                self.compare("transactions", *B, "describe-producers", "--topic", "t", *words, status=0, any_order=True)
        self.compare("transactions", *B, "describe-producers", "--topic", "no/topic", "--partition", 0, status=1, errors=False)

    def test_what_a_producer_has_open_is_ended(self):
        for side in ("apache", "ours"):
            producer = self.producer(f"open-{side}")
            self.assertEqual("NONE", producer.write("t", "c"))
            done = self.run_side(side, "transactions", (*B, "forceTerminateTransaction", "--transactionalId", producer.name))
            self.assertEqual((0, "", []), (done.returncode, done.stdout, plain_errors(done.stderr)))
            self.assertNotEqual("NONE", producer.end(True), "another has its id now")

    def test_a_transaction_that_hangs_is_found_and_aborted(self):
        """Its coordinator has never heard of its partition: nothing verifies that (KIP-890)."""
        self.compare("transactions", *B, "find-hanging", "--topic", "t", status=0)
        producer = self.producer("hanging", modern=False)
        self.ours("topics", *B, "--create", "--topic", "hung", "--partitions", 1)
        self.assertEqual("NONE", producer.produce("hung", "d"))
        for words in (("--broker-id", 1), ("--topic", "hung"), ("--topic", "hung", "--partition", 0)):
            with self.subTest(words):
                found = self.compare("transactions", *B, "find-hanging", "--max-transaction-timeout", -1, *words, status=0)
                self.assertRegex(found, r"(?m)^hung +\t0 +\t")
        self.ours("transactions", *B, "abort", "--topic", "hung", "--partition", 0, "--start-offset", 0)
        self.assertNotRegex(self.ours("transactions", *B, "find-hanging", "--max-transaction-timeout", -1, "--topic", "hung"), r"(?m)^hung")
        self.compare("transactions", *B, "abort", "--topic", "hung", "--partition", 0, "--start-offset", 0, status=1)

    def test_refusals(self):
        at = ("--topic", "t", "--partition", 0)
        for words in ((), B, (*B, "zzzzzzzzzzzzzz"), (*B, "describe"), ("list",), (*B, "list", "--no-such"), (*B, "describe-producers", "--topic", "t"),
                      (*B, "find-hanging"), (*B, "find-hanging", "--broker-id", 1, "--partition", 0), (*B, "abort", *at),
                      (*B, "abort", *at, "--producer-id", 1), (*B, "abort", *at, "--producer-id", 1, "--producer-epoch", 0),
                      (*B, "abort", *at, "--producer-epoch", "x"), (*B, "abort", *at, "--start-offset", 99),
                      (*B, "--command-config", "no-such-file", "list"), ("--bootstrap-server", "nowhere", "list"),
                      ("--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "list")):
            with self.subTest(words):
                self.compare("transactions", *words, status=1)
