"""Produce over the wire (kafka.md 2.3, 1.4): what is answered for a whole request, for a partition, and to idempotent producers. What is
expected is what Apache Kafka 4.3.1 answered; what makes a single batch invalid is in tests/golden (batches_bad)."""

import time
import unittest
import uuid

from support.broker import BrokerTest
from support.kafka import batch
from support.protocol import ERRORS, Asker

VERSIONS = range(3, 14)
FIRST_WITH_LOG_START, FIRST_WITH_MESSAGES, FIRST_WITH_IDS = 5, 8, 13
TRANSACTIONAL = 0x10


class Produce(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker().start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.asker.create_topic("t", partitions=2)
        self.id = self.asker.ask("Metadata", 12, Topics=[{"Name": "t"}])["Topics"][0]["TopicId"]

    def produce(self, version, *records, acks=-1, topic="t", timeout_ms=5000, **options):
        """[(error, base offset, log start)] of `records`, (partition, bytes) each."""
        by_name = {"Name": topic} if isinstance(topic, str) else {"TopicId": topic}
        name = {"TopicId": self.id} if version >= FIRST_WITH_IDS and topic == "t" else by_name
        answer = self.asker.ask("Produce", version, Acks=acks, TimeoutMs=timeout_ms, **options, TopicData=[
            {**name, "PartitionData": [{"Index": p, "Records": data} for p, data in records]}])
        self.results = answer["Responses"][0]["PartitionResponses"]
        return [(ERRORS[r["ErrorCode"]], r["BaseOffset"], r.get("LogStartOffset")) for r in self.results]

    def test_every_version_appends_and_tells_where(self):
        for at, version in enumerate(VERSIONS):
            start = 0 if version >= FIRST_WITH_LOG_START else None
            self.assertEqual([("NONE", 2 * at, start), ("NONE", at, start)],
                             self.produce(version, (0, batch([b"a", b"b"])), (1, batch([b"c"]))))

    def test_wrong_acks_are_refused_for_partitions_that_are_there(self):
        for version in (3, 9, 13):
            for acks in (2, -2, 100):
                found = self.produce(version, (0, batch([b"a"])), (9, batch([b"a"])), acks=acks)
                self.assertEqual(["INVALID_REQUIRED_ACKS", "UNKNOWN_TOPIC_OR_PARTITION"], [each[0] for each in found])

    def test_what_is_not_here(self):
        for version in (3, 9, 12):
            for topic in ("nope", "b d", ""):
                self.assertEqual([("UNKNOWN_TOPIC_OR_PARTITION", -1)], [each[:2] for each in self.produce(version, (0, batch([b"a"])), topic=topic)])
        for topic in (uuid.uuid4(), uuid.UUID(int=0)):
            self.assertEqual("UNKNOWN_TOPIC_ID", self.produce(13, (0, batch([b"a"])), topic=topic)[0][0])

    def test_internal_topics_are_not_written_to(self):
        self.asker.find_coordinator("g")
        self.assertEqual("INVALID_TOPIC_EXCEPTION", self.produce(9, (0, batch([b"a"])), topic="__consumer_offsets")[0][0])

    def test_a_transactional_batch_needs_its_id(self):
        batches = (0, batch([b"a"])), (1, batch([b"a"], codec=TRANSACTIONAL, producer=(5, 0, 0)))
        for version in VERSIONS:
            self.assertEqual([("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", -1)] * 2, [each[:2] for each in self.produce(version, *batches)])
        self.assertEqual((0, 0), self.asker.list_offset("t", -1), "nothing of it was appended")
        old = bytearray(b"\xff" * 100)   # of magic 1: what lies where the attributes of magic 2 are says nothing
        old[8:17] = (88).to_bytes(4) + bytes(4) + b"\1"
        self.assertEqual("INVALID_RECORD", self.produce(9, (0, bytes(old)))[0][0])
        self.assertEqual("NONE", self.produce(9, (0, batch([b"a"])), TransactionalId="x")[0][0], "without transactional batches: not looked at")

    def test_errors_of_the_log_tell_where_it_starts_and_others_do_not(self):
        self.asker.create_topic("compact", configs={"cleanup.policy": "compact"})
        self.asker.create_topic("small", configs={"max.message.bytes": "200"})
        wrong = bytearray(batch([b"a"]))
        wrong[-1] ^= 1
        for version in (9, 12):
            for topic, data, error, start in (
                    ("compact", batch([b"a"]), "INVALID_RECORD", 0), ("t", batch([b"a"], timestamp=2**52), "INVALID_TIMESTAMP", 0),
                    ("t", batch([b"a"], producer=(1, 0, -1)), "INVALID_RECORD", 0), ("small", batch([b"a" * 300]), "MESSAGE_TOO_LARGE", -1),
                    ("t", bytes(wrong), "CORRUPT_MESSAGE", -1), ("t", batch([b"a"]) * 2, "INVALID_RECORD", -1), ("t", b"", "INVALID_RECORD", -1)):
                with self.subTest(version=version, topic=topic, error=error):
                    self.assertEqual([(error, -1, start)], self.produce(version, (0, data), topic=topic))

    def test_each_record_that_is_refused_is_named(self):
        self.asker.create_topic("compact", configs={"cleanup.policy": "compact"})
        why = "Compacted topic cannot accept message without key in topic partition compact-0"
        for version in range(FIRST_WITH_MESSAGES, FIRST_WITH_IDS):
            self.produce(version, (0, batch([b"a"])), topic="compact")
            self.assertEqual([{"BatchIndex": 0, "BatchIndexErrorMessage": why}], self.results[0]["RecordErrors"])
            self.assertEqual("One or more records have been rejected due to 1 record errors in total, and only showing the first three "
                             f"errors at most: [RecordError(batchIndex=0, message='{why}')]", self.results[0]["ErrorMessage"])

    def test_what_is_behind_the_batch_and_too_short_for_another_is_left_out(self):
        self.assertEqual("NONE", self.produce(9, (0, batch([b"a"]) + b"abc"))[0][0])
        self.assertEqual("NONE", self.produce(9, (0, batch([b"b"])))[0][0])
        self.assertEqual([(0, b"a"), (1, b"b")], self.asker.read_all("t"))

    def test_the_last_five_batches_of_a_producer_are_known_again(self):
        stamp = int(time.time() * 1000)

        def send(epoch, sequence, count=2, producer=7):
            return self.produce(9, (1, batch([b"v"] * count, timestamp=stamp, producer=(producer, epoch, sequence))))[0][:2]
        for at in range(0, 12, 2):
            self.assertEqual(("NONE", at), send(0, at))
        for at in range(2, 12, 2):
            self.assertEqual(("NONE", at), send(0, at))
            self.assertEqual(stamp, self.results[0]["LogAppendTimeMs"], "when it was first written")
        outside = ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)
        self.assertEqual([outside] * 4, [send(0, 0), send(0, 14), send(0, 3), send(0, 10, count=4)])
        self.assertEqual(outside, send(1, 5), "a new epoch begins at 0")
        self.assertEqual(("NONE", 12), send(1, 0))
        self.assertEqual(("INVALID_PRODUCER_EPOCH", -1), send(0, 12))
        self.assertEqual(("NONE", 14), send(0, 77, producer=8), "of an unknown producer any sequence is its first")
        self.assertEqual(("NONE", 16), send(0, 2**31 - 2, producer=9))
        self.assertEqual(("NONE", 18), send(0, 0, producer=9), "sequences wrap")

    def test_producer_ids(self):
        """InitProducerId (kafka.md 2.3): with id and epoch or without both; an empty transactional id is none."""
        for version in range(6):
            first, second = (self.asker.ask("InitProducerId", version, TransactionalId=None, TransactionTimeoutMs=1000) for _ in range(2))
            self.assertEqual((0, 0, 1), (first["ErrorCode"], first["ProducerEpoch"], second["ProducerId"] - first["ProducerId"]))
            self.assertEqual("INVALID_REQUEST", ERRORS[self.asker.ask(
                "InitProducerId", version, TransactionalId="", TransactionTimeoutMs=1000)["ErrorCode"]])
        for producer, epoch, error in ((5, -1, "INVALID_REQUEST"), (-1, 5, "INVALID_REQUEST"), (5, 0, "NONE")):
            answer = self.asker.ask("InitProducerId", 4, TransactionalId=None, TransactionTimeoutMs=1000, ProducerId=producer, ProducerEpoch=epoch)
            self.assertEqual(error, ERRORS[answer["ErrorCode"]])

    def test_describe_producers(self):
        self.produce(9, (0, batch([b"v"], producer=(7, 0, 0))))
        answer = self.asker.ask("DescribeProducers", 0, Topics=[{"Name": name, "PartitionIndexes": [0]} for name in ("t", "nope", "b d")])
        found = [each["Partitions"][0] for each in answer["Topics"]]
        self.assertEqual([(7, 0, 0)], [(p["ProducerId"], p["ProducerEpoch"], p["LastSequence"]) for p in found[0]["ActiveProducers"]])
        self.assertEqual(("UNKNOWN_TOPIC_OR_PARTITION", "This server does not host this topic-partition."),
                         (ERRORS[found[1]["ErrorCode"]], found[1]["ErrorMessage"]))
        self.assertEqual("INVALID_TOPIC_EXCEPTION", ERRORS[found[2]["ErrorCode"]])


if __name__ == "__main__":
    unittest.main()
