"""What leaders of partitions and coordinators of share groups ask of share coordinators (KIP-932), rightly and wrongly, of Apache Kafka and of
Millrace: the answers must be the same."""

import base64
import time
import unittest

from interop.differential_test import UNKNOWN_ID, BothSides
from interop.transactions_differential_test import errors_in

COMES = {"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"}
AVAILABLE, ACKNOWLEDGED, ARCHIVED = 0, 2, 4


def batch(first, last, state=ACKNOWLEDGED, count=1):
    return {"FirstOffset": first, "LastOffset": last, "DeliveryState": state, "DeliveryCount": count}


class ShareStates(BothSides):
    PROPERTIES = BothSides.PROPERTIES | {"share.coordinator.state.topic.min.isr": "1", "share.coordinator.state.topic.num.partitions": "3",
                                         "share.coordinator.snapshot.update.records.per.snapshot": "2"}

    def setUp(self):
        super().setUp()
        self.on_both(lambda side: side.create("t", 2))
        self.same_when_it_comes("FindCoordinator", 6, lambda side: {"KeyType": 2, "CoordinatorKeys": [self.key(side)]}, keys=True)

    @staticmethod
    def key(side, partition=0):
        topic = base64.urlsafe_b64encode(side.id("t").bytes).decode().rstrip("=")
        return f"g:{topic}:{partition}"

    def same_when_it_comes(self, api, version, values, keys=False):
        def of_side(side):
            deadline = time.monotonic() + 20
            while True:
                answer = side.ask(api, version, **values(side))
                if not COMES & set(errors_in(answer)) or time.monotonic() > deadline:
                    return answer
                time.sleep(0.02)
        theirs, ours = self.on_both(of_side)
        if keys:    # they have the id of the topic in them
            for each in theirs["Coordinators"] + ours["Coordinators"]:
                each["Key"] = ""
        self.assertEqual(theirs, ours, (api, version))
        return ours

    def ask(self, name, partition=0, version=0, topic=None, **values):
        def request(side):
            partitions = [{"Partition": each, **values} for each in (partition if isinstance(partition, list) else [partition])]
            return {"GroupId": "g", "Topics": [{"TopicId": topic or side.id("t"), "Partitions": partitions}]}
        return self.same_when_it_comes(f"{name}ShareGroupState", version, request)

    def initialize(self, partition=0, state=0, start=-1, **more):
        return self.ask("Initialize", partition, StateEpoch=state, StartOffset=start, **more)

    def read(self, partition=0, leader=-1, **more):
        return self.ask("Read", partition, LeaderEpoch=leader, **more)

    def write(self, *batches, partition=0, state=-1, leader=-1, start=-1, version=1, **more):
        if version >= 1:
            more.setdefault("DeliveryCompleteCount", 1)
        return self.ask("Write", partition, version=version, StateEpoch=state, LeaderEpoch=leader, StartOffset=start,
                        StateBatches=list(batches), **more)

    def summary(self, partition=0, topic=None):
        for version in (0, 1):
            self.same_when_it_comes("ReadShareGroupStateSummary", version, lambda side: {
                "GroupId": "g", "Topics": [{"TopicId": topic or side.id("t"), "Partitions": [{"Partition": partition, "LeaderEpoch": 0}]}]})

    def test_a_life(self):
        self.summary()
        self.initialize(start=5)
        self.summary()
        self.read(leader=2)
        for first in range(0, 50, 10):
            self.write(batch(first, first + 4), batch(first + 3, first + 9, AVAILABLE, 2), leader=2, state=0)
            self.read()
        self.write(batch(8, 60, ARCHIVED, 2), start=12, version=0)
        self.read(leader=3)
        self.summary()
        self.initialize(state=1, start=30)
        self.read()
        self.summary()
        self.ask("Delete")
        self.ask("Delete")
        self.summary()
        self.read()

    def test_who_is_wrong_is_told_so_alike(self):
        for _ in range(2):
            for partition in (0, -1, 2, 9):
                self.read(partition)
                self.write(batch(0, 1), partition=partition)
                self.summary(partition)
            self.ask("Delete", -1)
            self.ask("Delete", 2)
            self.initialize(-1)
            self.initialize(2)
            self.initialize(state=3)
            self.initialize(state=2)
            self.read(leader=4)
            self.read(leader=3)
            self.write(leader=3, state=1)
            self.write(leader=4, state=1)
        for name in ("Initialize", "Read", "Write", "Delete"):
            self.ask(name, topic=UNKNOWN_ID)
        self.summary(topic=UNKNOWN_ID)

    def test_who_asks_for_nothing_is_answered_nothing(self):
        for name in ("InitializeShareGroupState", "ReadShareGroupState", "WriteShareGroupState", "DeleteShareGroupState", "ReadShareGroupStateSummary"):
            for group, topics in (("", 1), ("g", 0), ("g", 1)):
                self.same(name, lambda side, _, group=group, topics=topics: {
                    "GroupId": group, "Topics": [{"TopicId": side.id("t"), "Partitions": []}][:topics]})

    def test_what_is_no_key_has_no_coordinator(self):
        for key in ("", "g", "g:t:0", "g::0", ":" * 5, "g:AAAAAAAAAAAAAAAAAAAAAA:x", "g:AAAAAAAAAAAAAAAAAAAAAA:2147483648", " :AAAAAAAAAAAAAAAAAAAAAA:0",
                    "g:AAAAAAAAAAAAAAAAAAAAAA:0", "a:b:AAAAAAAAAAAAAAAAAAAAAA:0", "g:AAAAAAAAAAAAAAAAAAAAAA:+0", "g:AAAAAAAAAAAAAAAAAAAAAA:0::",
                    "g:AAAAAAAAAAAAAAAAAAAAAA==:1"):
            self.same("FindCoordinator", {"KeyType": 2, "CoordinatorKeys": [key]}, (4, 6))


if __name__ == "__main__":
    unittest.main()
