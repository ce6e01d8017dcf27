"""Fetch over the wire: sessions (KIP-227) as clients use them, from one connection and from another."""

import time
import unittest

from support.broker import BrokerTest
from support.kafka import batch, records_of
from support.protocol import ERRORS, Asker


class FetchSessions(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker({"millrace.shards": "3"}).start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.asker.create_topic("t", partitions=3)
        self.id = self.asker.ask("Metadata", 12, Topics=[{"Name": "t"}])["Topics"][0]["TopicId"]

    def fetch(self, session, epoch, offsets=None, asker=None, version=17, forgotten=()):
        """(error, session id, {partition: values}); `offsets`: {partition: fetch offset}."""
        topic = {"TopicId": self.id} if version >= 13 else {"Topic": "t"}
        partitions = [{"Partition": p, "FetchOffset": o, "PartitionMaxBytes": 1 << 20} for p, o in (offsets or {}).items()]
        answer = (asker or self.asker).ask(
            "Fetch", version, MaxWaitMs=50, MinBytes=1, MaxBytes=1 << 20, SessionId=session, SessionEpoch=epoch,
            Topics=[{**topic, "Partitions": partitions}] if partitions else [],
            ForgottenTopicsData=[{**topic, "Partitions": list(forgotten)}] if forgotten else [])
        found = {p["PartitionIndex"]: [v for _, v in records_of(p["Records"] or b"")]
                 for t in answer["Responses"] for p in t["Partitions"]}
        return ERRORS[answer["ErrorCode"]], answer["SessionId"], found

    def test_an_incremental_fetch_brings_only_what_is_new(self):
        error, session, found = self.fetch(0, 0, {0: 0, 1: 0, 2: 0})
        self.assertEqual(("NONE", {0: [], 1: [], 2: []}), (error, found))
        self.assertGreater(session, 0)
        self.asker.produce("t", batch([b"one"]), partition=1)
        self.assertEqual(("NONE", session, {1: [b"one"]}), self.fetch(session, 1))
        self.assertEqual(("NONE", session, {}), self.fetch(session, 2, {1: 1}), "the client went on")

    def test_a_session_goes_on_from_other_connections(self):
        for version in (12, 17):
            _, session, _ = self.fetch(0, 0, {0: 0, 1: 0}, version=version)
            for epoch in range(1, 7):   # connections are dealt out to the shards in turn
                with Asker(self.node.address) as other:
                    self.assertEqual(("NONE", session, {}), self.fetch(session, epoch, asker=other, version=version))

    def test_errors_are_of_the_whole_request(self):
        _, session, _ = self.fetch(0, 0, {0: 0})
        self.assertEqual(("FETCH_SESSION_ID_NOT_FOUND", 0, {}), self.fetch(session + 1, 1))
        self.assertEqual(("INVALID_FETCH_SESSION_EPOCH", 0, {}), self.fetch(session, 5))
        self.assertEqual(("FETCH_SESSION_TOPIC_ID_ERROR", 0, {}), self.fetch(session, 1, version=12))

    def test_a_forgotten_partition_is_not_looked_at(self):
        _, session, _ = self.fetch(0, 0, {0: 0, 1: 0})
        self.asker.produce("t", batch([b"zero"]), partition=0)
        self.asker.produce("t", batch([b"one"]), partition=1)
        self.assertEqual({1: [b"one"]}, self.fetch(session, 1, forgotten=[0])[2])

    def test_the_last_fetch_ends_the_session(self):
        _, session, _ = self.fetch(0, 0, {0: 0})
        self.assertEqual(("NONE", 0, {0: []}), self.fetch(session, -1, {0: 0}))
        self.assertEqual("FETCH_SESSION_ID_NOT_FOUND", self.fetch(session, 1)[0])

    def test_without_slots_every_fetch_is_whole(self):
        plain = self.broker({"max.incremental.fetch.session.cache.slots": "0"}).start()
        with Asker(plain.address) as asker:
            asker.create_topic("t", partitions=3)
            self.assertEqual(0, self.fetch(0, 0, {0: 0}, asker=asker, version=12)[1])


class FetchAnswers(BrokerTest):
    """kafka.md 2.4 at every version; what is expected is what Apache Kafka 4.3.1 answered."""

    def setUp(self):
        super().setUp()
        self.node = self.broker().start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.asker.create_topic("t", partitions=2)
        self.id = self.asker.ask("Metadata", 12, Topics=[{"Name": "t"}])["Topics"][0]["TopicId"]
        self.batch = batch([b"a", b"b"])
        for _ in range(5):
            self.asker.produce("t", self.batch)

    def fetch(self, version, *partitions, **options):
        """The answers for `partitions`, fields of the request each."""
        topic = {"TopicId": self.id} if version >= 13 else {"Topic": "t"}
        wanted = [{"Partition": 0, "PartitionMaxBytes": 1 << 20, **each} for each in partitions]
        answer = self.asker.ask("Fetch", version, Topics=[{**topic, "Partitions": wanted}],
                                **{"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 1 << 20, **options})
        return answer["Responses"][0]["Partitions"]

    def test_limits_cut_between_batches_and_the_first_comes_whole(self):
        size = len(self.batch)
        for version in range(4, 19):
            for limit, expected in ((1 << 20, 5 * size), (1, size), (0, size), (-1, size)):
                self.assertEqual(expected, len(self.fetch(version, {}, MaxBytes=limit)[0]["Records"]))
            self.assertEqual(size, len(self.fetch(version, {"PartitionMaxBytes": 0})[0]["Records"]))
        self.assertEqual([size, 0], [len(each["Records"]) for each in self.fetch(11, {}, {}, MaxBytes=size)])

    def test_bounds(self):
        for version in range(4, 19):
            for offset, error in ((0, "NONE"), (9, "NONE"), (10, "NONE"), (11, "OFFSET_OUT_OF_RANGE"), (-1, "OFFSET_OUT_OF_RANGE")):
                found, = self.fetch(version, {"FetchOffset": offset})
                self.assertEqual(error, ERRORS[found["ErrorCode"]])
                self.assertEqual(10 if error == "NONE" else -1, found["HighWatermark"])
            self.assertEqual("UNKNOWN_TOPIC_OR_PARTITION", ERRORS[self.fetch(version, {"Partition": 9})[0]["ErrorCode"]])

    def test_aborted_transactions_are_null_for_who_reads_everything(self):
        for version in range(4, 19):
            self.assertIsNone(self.fetch(version, {})[0]["AbortedTransactions"])
            self.assertEqual([], self.fetch(version, {}, IsolationLevel=1)[0]["AbortedTransactions"])
            self.assertIsNone(self.fetch(version, {"FetchOffset": 99}, IsolationLevel=1)[0]["AbortedTransactions"])
            self.assertEqual("UNKNOWN_SERVER_ERROR", ERRORS[self.fetch(version, {}, IsolationLevel=2)[0]["ErrorCode"]])

    def test_epochs(self):
        for version in range(9, 19):
            for epoch, error in ((0, "NONE"), (-1, "NONE"), (-2, "NONE"), (3, "UNKNOWN_LEADER_EPOCH")):
                self.assertEqual(error, ERRORS[self.fetch(version, {"CurrentLeaderEpoch": epoch})[0]["ErrorCode"]])
        for version in range(12, 19):
            self.assertEqual("OFFSET_OUT_OF_RANGE", ERRORS[self.fetch(version, {"FetchOffset": 10, "LastFetchedEpoch": 1})[0]["ErrorCode"]])
            ahead, = self.fetch(version, {"FetchOffset": 11, "LastFetchedEpoch": 0})
            self.assertEqual((0, {"Epoch": 0, "EndOffset": 10}), (ahead["ErrorCode"], ahead["DivergingEpoch"]))
            self.assertEqual(0, self.fetch(version, {"Partition": 1, "LastFetchedEpoch": 0})[0]["ErrorCode"])

    def test_replicas_that_a_partition_does_not_have_are_refused(self):
        for version in range(4, 19):
            for replica in (1, 5):
                who = {"ReplicaId": replica} if version < 15 else {"ReplicaState": {"ReplicaId": replica, "ReplicaEpoch": 1}}
                self.assertEqual("NOT_LEADER_OR_FOLLOWER", ERRORS[self.fetch(version, {}, **who)[0]["ErrorCode"]])
                if version >= 9:
                    found, = self.fetch(version, {"CurrentLeaderEpoch": 0}, **who)
                    self.assertEqual("UNKNOWN_LEADER_EPOCH", ERRORS[found["ErrorCode"]])

    def test_who_asks_for_what_is_missing_beside_what_is_here_waits(self):
        """A client that does not know yet that a topic is gone must not ask without a pause."""
        def seconds(most, *partitions):
            begun = time.monotonic()
            self.fetch(11, *partitions, MaxWaitMs=most * 1000)
            return time.monotonic() - begun
        self.assertGreater(seconds(1, {"FetchOffset": 10}, {"Partition": 9}), 0.9)
        self.assertLess(seconds(20, {"Partition": 9}), 10)
        self.assertEqual([], self.fetch(11, {"Partition": 9})[0]["AbortedTransactions"])
        self.assertLess(seconds(20, {"FetchOffset": 99}, {"Partition": 1}), 10)


if __name__ == "__main__":
    unittest.main()
