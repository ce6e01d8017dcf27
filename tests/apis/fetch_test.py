"""Fetch over the wire: sessions (KIP-227) as clients use them, from one connection and from another."""

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


if __name__ == "__main__":
    unittest.main()
