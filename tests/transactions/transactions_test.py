"""Transactions over the wire, by clients of both protocols (KIP-98, KIP-890), through fencing, timeouts, hard kills; with kcat as a foreign client."""

import random
import subprocess
import time
import unittest

from support.broker import BrokerTest
from support.kafka import batch, records_of
from support.protocol import ERRORS, Asker
from support.transactional import PROPERTIES, Producer, batches_of, committed, fetch, visible


class Transactions(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES).start()
        self.asker = self.open()
        self.asker.create_topic("t", 2)

    def open(self):
        asker = Asker(self.node.address)
        self.addCleanup(asker.socket.close)
        return asker

    def producer(self, name="tx", **options):
        producer = Producer(self.node.address, name, **options)
        self.addCleanup(producer.asker.socket.close)
        return producer

    def fetch(self):
        return fetch(self.asker, "t")

    def committed(self, topic="t", partition=0, seconds=10):
        return committed(self.asker, topic, partition, seconds)

    def both(self):
        for modern in (True, False):
            with self.subTest(modern=modern):
                yield self.producer(f"tx-{modern}", modern=modern)

    def test_what_is_committed_is_seen_and_what_is_aborted_is_not(self):
        for producer in self.both():
            self.assertEqual("NONE", producer.init())
            topic = producer.name
            self.asker.create_topic(topic, 1)
            for i, commit in enumerate((True, False, True, False)):
                self.assertEqual("NONE", producer.write(topic, f"{i}a", f"{i}b"))
                self.assertEqual("NONE", producer.produce(topic, f"{i}c"))
                self.assertEqual("NONE", producer.end(commit))
            self.assertEqual(["0a", "0b", "0c", "2a", "2b", "2c"], self.committed(topic))

    def test_an_open_transaction_holds_readers_of_committed_records_back(self):
        producer = self.producer()
        producer.init()
        plain = self.asker.produce("t", batch([b"before"]))
        self.assertEqual(0, plain[0])
        self.assertEqual("NONE", producer.write("t", "inside"))
        self.asker.produce("t", batch([b"behind"]))
        self.assertEqual(["before"], visible(self.fetch()))
        self.assertEqual(1, self.fetch()["LastStableOffset"])
        self.assertEqual("NONE", producer.end(True))
        self.assertEqual(["before", "inside", "behind"], self.committed())

    def test_what_is_aborted_is_never_seen_wherever_it_lies(self):
        """From the first offset of the log on, half of all transactions are aborted, two of them open at a time. What a reader is given ends where the
        first open one begins."""
        chance = random.Random(4)
        producers = self.producer("modern"), self.producer("old", modern=False)
        for producer in producers:
            self.assertEqual("NONE", producer.init())
        committed, pending = [], {}    # values; those of open transactions by producer
        for round in range(60):
            producer = producers[chance.randrange(2)]
            if producer.name in pending and chance.random() < 0.5:
                commit = chance.random() < 0.5
                self.assertEqual("NONE", producer.end(commit))
                values = pending.pop(producer.name)
                committed += values if commit else []
            else:
                self.assertEqual("NONE", producer.write("t", f"{round}"))
                pending.setdefault(producer.name, []).append(f"{round}")
            self.assert_seen(committed, [value for values in pending.values() for value in values])

    def assert_seen(self, committed, pending):
        everything = fetch(self.asker, "t", committed=False)
        lies_at = {value.decode(): base for base, *_, batch_data in batches_of(everything["Records"] or b"") for _, value in records_of(batch_data)}
        first_open = min((lies_at[value] for value in pending), default=None)
        deadline = time.monotonic() + 10
        while True:    # a transaction is open until its marker is there
            data = self.fetch()
            if data["LastStableOffset"] == (data["HighWatermark"] if first_open is None else first_open):
                break
            self.assertLess(time.monotonic(), deadline, f"{data['LastStableOffset']} is the last stable offset, not {first_open}")
        self.assertEqual([], [base for base, *_ in batches_of(data["Records"] or b"") if base >= data["LastStableOffset"]])
        self.assertEqual(sorted((each for each in committed if lies_at[each] < data["LastStableOffset"]), key=lies_at.get), visible(data))

    def test_a_producer_goes_on_when_none_of_its_records_is_left(self):
        producer = self.producer(modern=False)
        self.assertEqual("NONE", producer.init())
        self.assertEqual("NONE", producer.write("t", "one", "two"))
        self.assertEqual("NONE", producer.end(True))
        self.assertEqual(["one", "two"], self.committed())
        for restarts in (False, True):
            gone = self.asker.ask("DeleteRecords", 2, TimeoutMs=10000, Topics=[{"Name": "t", "Partitions": [{"PartitionIndex": 0, "Offset": -1}]}])
            self.assertEqual("NONE", ERRORS[gone["Topics"][0]["Partitions"][0]["ErrorCode"]])
            if restarts:
                self.node.kill()
                self.node.start()
                self.asker, producer.asker = self.open(), self.open()
            self.assertEqual("NONE", producer.write("t", "later"))
            self.assertEqual("NONE", producer.end(True))

    def test_offsets_count_from_the_commit_on(self):
        for producer in self.both():
            producer.init()
            group = producer.name
            self.assertEqual("NONE", producer.commit_offset(group, "t", 7))
            self.assertEqual((0, -1), self.asker.committed_offset(group, "t", 0))
            self.assertEqual("NONE", producer.end(True))
            self.wait_for_offset(group, 7)
            self.assertEqual("NONE", producer.commit_offset(group, "t", 9))
            self.assertEqual("NONE", producer.end(False))
            self.wait_for_offset(group, 7)

    def wait_for_offset(self, group, offset):
        deadline = time.monotonic() + 10
        while self.asker.committed_offset(group, "t", 0) != (0, offset):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_a_second_producer_aborts_and_fences_the_first(self):
        for first in self.both():
            first.init()
            self.assertEqual("NONE", first.write("t", "lost"))
            second = self.producer(first.name, modern=first.modern)
            self.assertEqual("NONE", second.init())
            self.assertIn(first.write("t", "zombie", partition=1), ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"))
            self.assertIn(first.produce("t", "zombie"), ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "OUT_OF_ORDER_SEQUENCE_NUMBER"))
            self.assertIn(first.end(True), ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"))
            self.assertEqual([], self.committed())
            self.assertEqual([], self.committed(partition=1))

    def test_a_transaction_that_nobody_ends_is_aborted_when_its_time_is_over(self):
        producer = self.producer(timeout_ms=300)
        producer.init()
        self.assertEqual("NONE", producer.write("t", "late"))
        self.assertEqual([], self.committed())
        self.assertEqual("INVALID_TXN_STATE", producer.end(True))
        self.assertEqual("NONE", producer.end(False))
        self.assertEqual("NONE", producer.write("t", "in time"))
        self.assertEqual("NONE", producer.end(True))
        self.assertEqual(["in time"], self.committed())
        old = self.producer("old", modern=False, timeout_ms=300)
        old.init()
        self.assertEqual("NONE", old.write("t", "late"))
        self.assertEqual(["in time"], self.committed())
        self.assertEqual("PRODUCER_FENCED", old.end(False))

    def test_a_batch_without_a_transaction_is_refused(self):
        producer = self.producer(modern=False)
        producer.init()
        self.assertEqual("TRANSACTION_ABORTABLE", producer.produce("t", "never added"))
        self.assertEqual([], self.committed())
        stranger = self.producer("unknown")
        stranger.id, stranger.epoch = 4711, 0
        self.assertEqual("INVALID_PRODUCER_ID_MAPPING", stranger.write("t", "unknown"))

    def test_a_plain_batch_inside_of_a_transaction_is_refused(self):
        producer = self.producer()
        producer.init()
        self.assertEqual("NONE", producer.write("t", "one"))
        self.assertEqual("INVALID_TXN_STATE", producer.produce("t", "plain", transactional=0))

    def test_a_sequence_of_an_aborted_transaction_that_is_used_again_is_refused(self):
        """librdkafka does that with what it purged and the broker had written: to call it a duplicate would lose what comes now."""
        producer = self.producer(modern=False)
        producer.init()
        self.assertEqual("NONE", producer.write("t", "purged"))
        self.assertEqual("NONE", producer.end(False))
        producer.sequences.clear()
        self.assertEqual("OUT_OF_ORDER_SEQUENCE_NUMBER", producer.write("t", "next"))
        self.assertEqual("NONE", producer.end(False))
        producer.init()
        self.assertEqual("NONE", producer.write("t", "next"))
        self.assertEqual("NONE", producer.end(True))
        self.assertEqual(["next"], self.committed())

    def test_a_late_commit_decides_no_later_transaction(self):
        producer = self.producer()
        producer.init()
        first = (producer.id, producer.epoch)
        self.assertEqual("NONE", producer.write("t", "one"))
        self.assertEqual("NONE", producer.end(True))
        self.assertEqual("NONE", producer.write("t", "two"))
        late = self.open().ask("EndTxn", 5, TransactionalId="tx", ProducerId=first[0], ProducerEpoch=first[1], Committed=True)
        self.assertEqual("PRODUCER_FENCED", ERRORS[late["ErrorCode"]])
        self.assertEqual("NONE", producer.end(False))
        self.assertEqual(["one"], self.committed())

    def test_what_was_decided_survives_a_hard_kill_and_what_was_not_is_aborted(self):
        done, decided, open_ = self.producer("done"), self.producer("decided"), self.producer("open", timeout_ms=2000)
        for producer in (done, decided, open_):
            self.assertEqual("NONE", producer.init())
            self.assertEqual("NONE", producer.write("t", producer.name))
        self.assertEqual("NONE", done.end(True))
        self.assertEqual("NONE", decided.end(True))
        self.node.kill()
        self.node.start()
        self.asker = self.open()
        self.assertEqual(["done", "decided"], self.committed(seconds=20))
        again = self.producer("decided")
        self.assertEqual("NONE", again.init())
        self.assertEqual("NONE", again.write("t", "again"))
        self.assertEqual("NONE", again.end(True))
        self.assertEqual(["done", "decided", "again"], self.committed())

    def test_transactions_are_listed_and_described(self):
        producer = self.producer("a-1")
        producer.init()
        self.producer("b-2").init()
        self.assertEqual("NONE", producer.write("t", "one", partition=1))
        listed = self.asker.ask("ListTransactions", 2, StateFilters=["Ongoing", "Nonsense"], ProducerIdFilters=[], DurationFilter=-1,
                                TransactionalIdPattern="a-.*")
        self.assertEqual(["Nonsense"], listed["UnknownStateFilters"])
        self.assertEqual([{"TransactionalId": "a-1", "ProducerId": producer.id, "TransactionState": "Ongoing"}], listed["TransactionStates"])
        wrong = self.asker.ask("ListTransactions", 2, StateFilters=[], ProducerIdFilters=[], DurationFilter=-1, TransactionalIdPattern="([")
        self.assertEqual("INVALID_REGULAR_EXPRESSION", ERRORS[wrong["ErrorCode"]])
        described, unknown = self.asker.ask("DescribeTransactions", 0, TransactionalIds=["a-1", "none"])["TransactionStates"]
        self.assertEqual(("Ongoing", producer.id, [{"Topic": "t", "Partitions": [1]}]),
                         (described["TransactionState"], described["ProducerId"], described["Topics"]))
        self.assertEqual("TRANSACTIONAL_ID_NOT_FOUND", ERRORS[unknown["ErrorCode"]])

    def test_a_transaction_that_no_coordinator_knows_is_ended_by_hand(self):
        producer = self.producer()
        producer.init()
        self.assertEqual("NONE", producer.write("t", "hanging"))
        answer = self.asker.ask("WriteTxnMarkers", 1, Markers=[
            {"ProducerId": producer.id, "ProducerEpoch": producer.epoch, "TransactionResult": False, "CoordinatorEpoch": 0,
             "Topics": [{"Name": "t", "PartitionIndexes": [0, 9]}]}])
        codes = [ERRORS[each["ErrorCode"]] for each in answer["Markers"][0]["Topics"][0]["Partitions"]]
        self.assertEqual(["NONE", "UNKNOWN_TOPIC_OR_PARTITION"], codes)
        self.assertEqual([], self.committed())

    def test_kcat_commits_what_it_reads_to_the_end(self):
        command = ["kcat", "-b", self.node.address, "-P", "-t", "t", "-p", "0", "-X", "transactional.id=kcat"]
        done = subprocess.run(command, input=b"one\ntwo\nthree\n", capture_output=True, timeout=60, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(["one", "two", "three"], self.committed())


if __name__ == "__main__":
    unittest.main()
