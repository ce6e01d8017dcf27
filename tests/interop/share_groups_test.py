"""What members and administrators of share groups (KIP-932) ask, rightly and wrongly, of Apache Kafka and of Millrace: the answers must be the same.
Not the words of what a leader refuses, which are each broker's own."""

import time
import unittest

from interop.differential_test import GROUP, UNKNOWN_ID, BothSides, Side
from interop.transactions_differential_test import errors_in
from support.kafka import batch

PASSES = {"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"}
GAP, ACCEPT, RELEASE, REJECT, RENEW = range(5)
RECORD_LIMIT = 1

def whole_batches(records):
    """Of hexadecimal digits: Apache Kafka may give a part of a batch behind those that are acquired."""
    at = 0
    while at + 24 <= len(records) and at + 24 + 2 * int(records[at + 16:at + 24], 16) <= len(records):
        at += 24 + 2 * int(records[at + 16:at + 24], 16)
    return records[:at]


def without_words(value):
    if isinstance(value, list):
        return [without_words(each) for each in value]
    if not isinstance(value, dict):
        return value
    known = {"Records": whole_batches, "ErrorMessage": bool, "AcknowledgeErrorMessage": bool}
    return {key: known.get(key, without_words)(each) for key, each in value.items()}


def in_one_order(value):
    """Groups and members have none, and which of a topic's partitions one gets depends on how the topic's id hashes."""
    if isinstance(value, list):
        return sorted(map(in_one_order, value), key=lambda each: (each.get("GroupId"), each.get("MemberId")) if isinstance(each, dict) else each)
    if not isinstance(value, dict):
        return value
    if set(value) <= {"TopicId", "TopicName", "Partitions"}:
        return value | {"Partitions": len(value["Partitions"])}
    return {key: in_one_order(each) for key, each in value.items()}


TOLD = {"ShareFetch": without_words, "ShareAcknowledge": without_words, "ShareGroupHeartbeat": in_one_order, "ShareGroupDescribe": in_one_order}


class ShareGroups(BothSides):
    maxDiff = 4000
    PROPERTIES = BothSides.PROPERTIES | {
        "share.coordinator.state.topic.min.isr": "1", "share.coordinator.state.topic.num.partitions": "3", "offsets.topic.num.partitions": "3",
        "group.share.assignment.interval.ms": "0", "group.share.min.record.lock.duration.ms": "1000", "group.initial.rebalance.delay.ms": "0"}

    def setUp(self):
        super().setUp()
        self.epochs = [{}, {}]      # of each side, by member
        self.on_both(lambda side: (side.create("t", 2), side.create("u")))
        self.ask("FindCoordinator", 6, {"KeyType": 0, "CoordinatorKeys": ["g", "h"]})
        self.ask("FindCoordinator", 6, {"KeyType": 2, "CoordinatorKeys": ["g:AAAAAAAAAAAAAAAAAAAAAA:0"]})
        for group in ("g", "h"):
            self.set(group, "share.auto.offset.reset", "earliest")
        self.on_both(Side.catch_up)

    def set(self, group, name, value):
        self.ask("IncrementalAlterConfigs", 1, {"Resources": [
            {"ResourceType": GROUP, "ResourceName": group, "Configs": [{"Name": name, "ConfigOperation": 0, "Value": value}]}]})

    def produce(self, *counts, topic="t", partition=0, **more):
        """Batches of so many records."""
        for count in counts:
            data = batch([b"x"] * count, timestamp=1_000_000, **more)
            self.on_both(lambda side, data=data: side.asker.produce(topic, data, partition))

    def ask(self, api, version, values, until=lambda answer: True, **named):
        """Of both, and compares; what passes by itself is asked again, as is what is not yet as `until` wants it. `values` may be made of a side."""
        def of_side(side):
            deadline = time.monotonic() + 20
            while True:
                answer = side.ask(api, version, **(values(side) if callable(values) else values))
                if not PASSES & set(errors_in(answer)) and until(answer) or time.monotonic() > deadline:
                    return answer
                time.sleep(0.02)
        theirs, ours = self.on_both(of_side)
        with self.subTest(api=api, version=version, values="made" if callable(values) else values, **named):
            tell = TOLD.get(api, lambda answer: answer)
            self.assertEqual(tell(theirs), tell(ours))
        return ours

    # Of the group coordinator

    def beat(self, member, epoch=None, topics=None, group="g", **more):
        """At `epoch`, or what the side's last answer said."""
        answers = []

        def values(side):
            known = self.epochs[self.sides.index(side)].get((group, member), 0)
            return {"GroupId": group, "MemberId": member, "MemberEpoch": known if epoch is None else epoch, "SubscribedTopicNames": topics, **more}
        self.ask("ShareGroupHeartbeat", 1, values, until=lambda answer: answers.append(answer) or True, member=member, epoch=epoch, topics=topics)
        for known, answer in zip(self.epochs, answers[-2:]):
            if answer["ErrorCode"] == "NONE" and answer["MemberEpoch"] >= 0:
                known[group, member] = answer["MemberEpoch"]

    def join(self, member, topics=("t",), group="g", partitions=2):
        """Until it has that many partitions on both sides: their coordinators initialise them at their own pace."""
        for index, side in enumerate(self.sides):
            deadline = time.monotonic() + 20
            epoch, count = 0, 0
            while count < partitions and time.monotonic() < deadline:
                answer = side.ask("ShareGroupHeartbeat", 1, GroupId=group, MemberId=member, MemberEpoch=epoch,
                                  SubscribedTopicNames=None if epoch else list(topics))
                self.assertEqual("NONE", answer["ErrorCode"], answer)
                epoch = answer["MemberEpoch"]
                count = sum(len(each["Partitions"]) for each in (answer["Assignment"] or {"TopicPartitions": []})["TopicPartitions"]) or count
                time.sleep(0.02)
            self.assertEqual(partitions, count)
            self.epochs[index][group, member] = epoch

    def describe(self, *groups):
        for operations in (False, True):
            self.ask("ShareGroupDescribe", 1, {"GroupIds": list(groups or ["g"]), "IncludeAuthorizedOperations": operations})

    def offsets(self, group="g", **topics):
        """Of all, or of those partitions of topics."""
        wanted = [{"TopicName": name, "Partitions": partitions} for name, partitions in topics.items()] or None
        for version in (0, 1):
            self.ask("DescribeShareGroupOffsets", version, {"Groups": [{"GroupId": group, "Topics": wanted}]})

    def alter(self, group="g", **topics):
        self.ask("AlterShareGroupOffsets", 0, {"GroupId": group, "Topics": [
            {"TopicName": name, "Partitions": [{"PartitionIndex": index, "StartOffset": offset} for index, offset in partitions]}
            for name, partitions in topics.items()]})

    def delete(self, *topics, group="g"):
        self.ask("DeleteShareGroupOffsets", 0, {"GroupId": group, "Topics": [{"TopicName": name} for name in topics]})

    # Of leaders

    def request(self, member, epoch, partitions, topic="t", group="g", **more):
        """`partitions`: {index: [(first, last, [types]), ...]}"""
        def values(side):
            return {"GroupId": group, "MemberId": member, "ShareSessionEpoch": epoch, **more, "Topics": [] if not partitions else [
                {"TopicId": topic if topic is UNKNOWN_ID else side.id(topic), "Partitions": [{"PartitionIndex": index, "AcknowledgementBatches": [
                    {"FirstOffset": first, "LastOffset": last, "AcknowledgeTypes": types} for first, last, types in batches]}
                    for index, batches in partitions.items()]}]}
        return values

    def fetch(self, member, epoch, partitions=(), version=2, forget=(), until=lambda answer: True, **more):
        limits = {"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 1 << 20, "MaxRecords": 500, "BatchSize": 500} | more
        made = self.request(member, epoch, dict(partitions), **limits)

        def values(side):
            return made(side) | ({"ForgottenTopicsData": [{"TopicId": side.id("t"), "Partitions": list(forget)}]} if forget else {})
        return self.ask("ShareFetch", version, values, until, member=member, epoch=epoch, partitions=partitions, more=more)

    def acknowledge(self, member, epoch, partitions, version=2, **more):
        return self.ask("ShareAcknowledge", version, self.request(member, epoch, partitions, **more), member=member, epoch=epoch, partitions=partitions)

    def begin(self, member, **more):
        """A session of a partition that has records, or none: what a first fetch finds depends on how fast the share partition is loaded."""
        self.fetch(member, 0, {0: []}, MaxWaitMs=3000, **more)

    def stay(self):
        """As a member that keeps the group's share partitions loaded: Millrace forgets them when the last session ends, Apache Kafka when the last
        connection does."""
        values = self.request("stays", 0, {1: []}, MaxWaitMs=0, MinBytes=1, MaxRecords=1, BatchSize=1)
        self.on_both(lambda side: side.ask("ShareFetch", 2, **values(side)))

    def test_heartbeats(self):
        for member in ("", "a", "m" * 36, "m" * 37, "é" * 36, "é" * 37):
            for epoch in (-3, -2, -1, 1):
                self.beat(member, epoch)
        self.join("w", group="w")      # its partitions are initialised at each one's own pace
        self.beat("w", -1, group="w")
        for topics in (None, [], ["t"], [""], ["b d"], ["nope"], ["t", "t"], ["__consumer_offsets"]):
            self.beat("w", 0, topics, group="w")
            self.beat("w", -1, group="w")
        self.beat("a", 0, ["t"], group="")
        self.beat("a", 0, ["t"], group="h", RackId="")
        self.beat("a", 0, ["t"], group="h", RackId="r")
        self.join("a")
        self.describe()
        for epoch in (None, 1, 100, -2, -3):
            self.beat("a", epoch)
            self.beat("nobody", epoch)
        self.beat("a", None, ["t"])
        self.join("b", partitions=1)
        self.describe()
        self.beat("a")
        self.beat("a", None, ["t", "nope"])
        self.beat("a", None, [])
        self.beat("a", None)
        self.describe()
        self.beat("b", -1)
        self.beat("b", -1)
        self.beat("b")
        self.describe()
        self.beat("a", 0, ["u"])
        self.join("a", ["u"], partitions=1)
        self.describe()
        self.beat("a", -1)
        self.describe("g", "h", "nobody", "")

    def test_groups_of_other_kinds(self):
        self.join("a")
        self.ask("ConsumerGroupHeartbeat", 1, {"GroupId": "g", "MemberId": "c", "MemberEpoch": 0, "RebalanceTimeoutMs": 5000,
                                               "SubscribedTopicNames": ["t"], "TopicPartitions": []})
        self.ask("JoinGroup", 9, {"GroupId": "g", "SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 10000, "ProtocolType": "consumer",
                                  "Protocols": [{"Name": "range", "Metadata": b""}]})
        self.ask("SyncGroup", 5, {"GroupId": "g", "MemberId": "a", "GenerationId": 1, "ProtocolType": "consumer", "ProtocolName": "range"})
        self.ask("Heartbeat", 4, {"GroupId": "g", "MemberId": "a", "GenerationId": 1})
        self.ask("LeaveGroup", 5, {"GroupId": "g", "Members": [{"MemberId": "a"}]})
        for generation, member in ((-1, ""), (1, "a")):
            self.ask("OffsetCommit", 9, {"GroupId": "g", "GenerationIdOrMemberEpoch": generation, "MemberId": member, "Topics": [
                {"Name": "t", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]})
        for topics in (None, [{"Name": "t", "PartitionIndexes": [0]}]):
            self.ask("OffsetFetch", 9, {"Groups": [{"GroupId": "g", "Topics": topics}]})
        self.ask("OffsetDelete", 0, {"GroupId": "g", "Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0}]}]})
        self.ask("DescribeGroups", 6, {"Groups": ["g"]})
        self.ask("ConsumerGroupDescribe", 1, {"GroupIds": ["g"]})
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g"]})
        for types in ([], ["share"], ["Share"], ["classic", "share"], ["consumer"], ["nope"]):
            for states in ([], ["Stable"], ["empty"]):
                self.ask("ListGroups", 5, {"TypesFilter": types, "StatesFilter": states})
        self.ask("ConsumerGroupHeartbeat", 1, {"GroupId": "h", "MemberId": "c", "MemberEpoch": 0, "RebalanceTimeoutMs": 5000,
                                               "SubscribedTopicNames": ["t"], "TopicPartitions": []})
        self.beat("a", 0, ["t"], group="h")
        self.describe("h")
        self.offsets("h")
        self.offsets("h", t=[0])
        self.alter("h", t=[(0, 1)])
        self.delete("t", group="h")
        self.beat("a", -1)
        self.ask("DescribeGroups", 6, {"Groups": ["g"]})
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g", "g"]})
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g"]})
        self.describe()
        self.offsets()

    def test_offsets(self):
        self.produce(10, 5)
        for group in ("nobody", ""):
            self.offsets(group)
            if group:
                self.offsets(group, t=[0], nope=[0, 9, -1])
            self.delete("t", "nope", group=group)
            self.delete(group=group)
        self.alter("")
        self.alter("new", t=[(0, 3), (1, 0), (9, 1)], nope=[(0, 1)])
        self.alter("new", t=[(0, -1), (1, 100)])
        self.alter("newer")
        self.alter("newer", nope=[(0, 0)])
        self.describe("new", "newer")
        self.offsets("new")
        self.offsets("newer")
        self.offsets("new", t=[0, 1], nope=[0], u=[0])
        self.join("a")
        self.offsets()
        self.alter(t=[(0, 3)])
        self.delete("t")
        self.beat("a", -1)
        self.alter(t=[(0, 3)], u=[(0, 0)])
        self.offsets()
        self.delete("u", "nope", "u", "")
        self.offsets()
        self.delete("t", "t")
        self.delete("t")
        self.offsets()
        self.alter(t=[(0, 7)])
        self.join("a")
        self.fetch("a", 0, {0: []}, MaxWaitMs=3000)
        self.acknowledge("a", 1, {0: [(7, 9, [ACCEPT]), (12, 12, [REJECT])]})
        self.offsets()
        self.offsets(t=[0, 1])

    def test_sessions(self):
        self.produce(3)
        self.join("a")
        for member in ("a", "nobody", "", None, "m" * 36, "m" * 37):
            for epoch in (-1, 1, -2, 5):
                self.fetch(member, epoch, {0: []})
                self.acknowledge(member, epoch, {0: [(0, 0, [ACCEPT])]})
        for group in (None, ""):
            self.fetch("a", -1, {0: []}, group=group)
            self.acknowledge("a", -1, {0: []}, group=group)
        self.stay()
        self.fetch("a", 0, {0: [(0, 0, [ACCEPT])]})
        self.acknowledge("a", 0, {0: [(0, 0, [ACCEPT])]})
        for version in (1, 2):
            self.begin("a", version=version)
            self.fetch("a", 2)
            self.fetch("a", 1)
            self.fetch("a", 1)
            self.acknowledge("a", 1, {0: [(0, 0, [ACCEPT])]})
            self.fetch("a", 2, {9: [], -1: []})
            self.fetch("a", 3)
            self.fetch("a", 4, forget=[9, -1, 5])
            self.fetch("a", 5)
            self.acknowledge("a", 6, {0: []}, topic=UNKNOWN_ID)
            self.acknowledge("a", 7, {})
            self.acknowledge("a", 8, {0: []})
            self.fetch("a", -1, {0: [(0, 2, [RELEASE])]}, version=version)
            self.fetch("a", 9)
            self.acknowledge("a", -1, {0: [(0, 0, [ACCEPT])]})
        self.begin("a")
        self.acknowledge("a", -1, {})
        self.acknowledge("a", -1, {})
        self.begin("a")
        self.begin("a")
        self.fetch("a", -1)
        self.fetch("a", 0, {0: []}, ShareAcquireMode=2)
        self.fetch("a", 0, {0: []}, IsRenewAck=True)
        self.fetch("a", 1)

    def test_acknowledgements(self):
        self.produce(10, 10, 10)
        self.join("a")
        self.begin("a")
        epoch = iter(range(1, 1000))
        for first, last, types in ((0, 0, [5]), (0, 0, [-1]), (0, 0, [RENEW]), (0, 0, []), (1, 0, [ACCEPT]), (0, 2, [ACCEPT] * 2), (0, 2, [ACCEPT] * 4),
                                   (-1, 0, [ACCEPT]), (-5, -2, [ACCEPT]), (29, 30, [ACCEPT]), (30, 31, [ACCEPT]), (100, 100, [ACCEPT]), (0, 9, [0, 1] * 5),
                                   (0, 0, [ACCEPT]), (0, 9, [RELEASE]), (10, 12, [GAP]), (13, 14, [REJECT]), (15, 17, [ACCEPT, RELEASE, REJECT])):
            self.acknowledge("a", next(epoch), {0: [(first, last, types)]})
        self.offsets()
        for batches in ([(18, 18, [ACCEPT]), (18, 18, [ACCEPT])], [(20, 20, [ACCEPT]), (19, 19, [ACCEPT])], [(18, 19, [ACCEPT]), (19, 20, [ACCEPT])],
                        [(18, 18, [ACCEPT]), (17, 17, [ACCEPT])], [(18, 18, [ACCEPT]), (40, 40, [ACCEPT])]):
            self.acknowledge("a", next(epoch), {0: batches})
        self.acknowledge("a", next(epoch), {0: [(18, 18, [ACCEPT])], 1: [(0, 0, [ACCEPT])], 9: [(0, 0, [ACCEPT])], -1: []})
        self.acknowledge("a", next(epoch), {0: [(19, 19, [ACCEPT])]}, topic="u")
        self.acknowledge("a", next(epoch), {0: [(19, 19, [ACCEPT])]}, topic=UNKNOWN_ID)
        for version, renews in ((1, None), (2, False), (2, True)):
            more = {} if renews is None else {"IsRenewAck": renews}
            self.acknowledge("a", next(epoch), {0: [(22, 23, [RENEW])]}, version=version, **more)
            self.acknowledge("a", next(epoch), {0: [(22, 23, [RENEW, ACCEPT])]}, version=version, **more)
            self.fetch("a", next(epoch), {0: [(24, 24, [RENEW])]}, version=version, **more)
        self.fetch("a", next(epoch), {0: [(24, 24, [RENEW])]}, IsRenewAck=True, MaxWaitMs=0, MinBytes=0, MaxBytes=0, MaxRecords=0)
        self.fetch("a", next(epoch), {0: [(25, 25, [ACCEPT])]})
        self.fetch("a", next(epoch), {0: [(25, 25, [ACCEPT])], 9: [(1, 1, [ACCEPT])]})
        self.fetch("b", 0, {0: []})
        self.acknowledge("b", 1, {0: [(26, 26, [ACCEPT])]})
        self.acknowledge("b", 2, {0: [(0, 0, [ACCEPT])]})
        self.fetch("a", -1, {0: [(26, 26, [ACCEPT])]})
        self.fetch("b", 3, MaxWaitMs=2000)
        self.offsets()

    def test_what_is_given(self):
        self.produce(10, 10, 10, 1, 1, 1)
        self.set("g", "share.delivery.count.limit", "10")
        self.join("a")
        self.stay()
        for version, wanted in ((1, {}), (2, {}), (2, {"ShareAcquireMode": RECORD_LIMIT})):
            for limits in ({"MaxRecords": 1}, {"MaxRecords": 5}, {"MaxRecords": 15}, {"MaxRecords": 20, "BatchSize": 5}, {"BatchSize": 1}, {"BatchSize": 0},
                           {"MaxRecords": 0}, {"MaxBytes": 0}, {"MaxBytes": 1}, {"MaxBytes": 200}, {"MaxRecords": -1}, {"MinBytes": 0}, {}):
                self.begin("a", version=version, **wanted, **limits)
                self.fetch("a", 1, version=version, **wanted, **limits)
                self.fetch("a", -1, {0: [(0, 0, [RELEASE])]} if version == 1 else {})
                time.sleep(0.4)     # what the member had is free again a moment later, in Apache Kafka on a busy machine, too

    def test_what_is_given_again(self):
        self.produce(8)
        self.produce(8)
        self.join("a")
        self.begin("a")
        epoch = 1
        for _ in range(14):
            answer = self.fetch("a", epoch, {0: [(0, 15, [RELEASE])]}, version=2)
            ranges = [(each["FirstOffset"], each["LastOffset"], [RELEASE]) for topic in answer["Responses"] for partition in topic["Partitions"]
                      for each in partition["AcquiredRecords"]]
            epoch += 1
            if not ranges:
                break
            self.acknowledge("a", epoch, {0: ranges})
            self.fetch("a", epoch + 1, MaxWaitMs=300)
            epoch += 2
        self.offsets()

    def test_a_lock_ends(self):
        self.set("g", "share.record.lock.duration.ms", "1000")
        self.on_both(Side.catch_up)
        self.produce(4)
        self.join("a")
        self.begin("a")
        self.begin("b")
        self.fetch("b", 1, MaxWaitMs=3000)
        self.acknowledge("a", 1, {0: [(0, 0, [ACCEPT])]})
        self.acknowledge("b", 2, {0: [(0, 0, [ACCEPT])]})


if __name__ == "__main__":
    unittest.main()
