"""What members and administrators of streams groups (KIP-1071) ask, rightly and wrongly, of Apache Kafka and of Millrace: the answers must be the
same, and so must be what each writes to __consumer_offsets, byte for byte; and a group with its members in it that goes from one to the other and back."""

import struct
import subprocess
import time
import unittest

from interop.apache import ApacheBroker
from interop.differential_test import GROUP, BothSides, Side
from interop.transactions_differential_test import errors_in
from support.broker import BINARY, BrokerTest
from support.kafka import keyed_records_of
from support.protocol import ERRORS, Asker
from support.waiting import eventually

PASSES = {"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"}
PROPERTIES = {"offsets.topic.num.partitions": "1", "group.streams.assignment.interval.ms": "0", "group.streams.initial.rebalance.delay.ms": "0",
              "group.streams.min.session.timeout.ms": "1000", "group.streams.session.timeout.ms": "60000",
              "group.streams.min.heartbeat.interval.ms": "100", "group.streams.heartbeat.interval.ms": "900"}
KINDS = ("ActiveTasks", "StandbyTasks", "WarmupTasks")
OFFSET, METADATA, TARGET = 1, 17, 20     # types of records with ids and times in them
OF_OTHERS = range(3, 17)


def topic(name, partitions=0, **configs):
    return {"Name": name, "Partitions": partitions, "TopicConfigs": [{"Key": key.replace("_", "."), "Value": value} for key, value in configs.items()]}


def subtopology(sources=("in",), id="0", changelogs=(), sinks=(), repartitions=(), copartitions=(), **more):
    return {"SubtopologyId": id, "SourceTopics": list(sources), "StateChangelogTopics": list(changelogs), "RepartitionSinkTopics": list(sinks),
            "RepartitionSourceTopics": list(repartitions), "CopartitionGroups": list(copartitions), **more}


def topology(*subtopologies, epoch=1):
    return {"Epoch": epoch, "Subtopologies": list(subtopologies)}


COUNTING = topology(subtopology(changelogs=[topic("store", cleanup_policy="compact")]))
# Reads `in`, writes by another key, counts what it wrote.
REGROUPING = topology(
    subtopology(sinks=["by-word"]),
    subtopology([], "1", [topic("store", cleanup_policy="compact")], repartitions=[topic("by-word", cleanup_policy="delete")]))


class Member:
    """Of a streams group at one broker: `ask` is what asks that one."""

    def __init__(self, id, group="g", process=None, told=COUNTING, **more):
        self.id, self.group, self.told, self.more = id, group, told, more
        self.process = process or f"process-of-{id}"
        self.epoch = self.endpoints = 0
        self.owned = {kind: [] for kind in KINDS}

    def joining(self):
        self.epoch = self.endpoints = 0
        self.owned = {kind: [] for kind in KINDS}
        return self.owning(RebalanceTimeoutMs=60_000, Topology=self.told, ProcessId=self.process, **self.more)

    def owning(self, **more):
        return self.silent(**self.owned, **more)

    def silent(self, **more):
        return {"GroupId": self.group, "MemberId": self.id, "MemberEpoch": self.epoch, "EndpointInformationEpoch": self.endpoints, **more}

    def take(self, answer):
        if answer["ErrorCode"] not in (0, "NONE") or answer["MemberEpoch"] < 0:
            return
        self.epoch, self.endpoints = answer["MemberEpoch"], answer["EndpointInformationEpoch"]
        for kind in KINDS:
            if answer[kind] is not None:
                self.owned[kind] = answer[kind]

    def count(self, kind="ActiveTasks"):
        return sum(len(each["Partitions"]) for each in self.owned[kind])


MISSING = "Internal topics are missing: "


def by_member(value):
    """Groups and members have no order, nor have topics that are missing."""
    if isinstance(value, list):
        value = [by_member(each) for each in value]
        key = next((key for key in ("MemberId", "GroupId") if value and isinstance(value[0], dict) and key in value[0]), None)
        return sorted(value, key=lambda each: each[key]) if key else value
    if isinstance(value, str) and value.startswith(MISSING):
        return MISSING + ", ".join(sorted(value.removeprefix(MISSING).split(", ")))
    return {key: by_member(each) for key, each in value.items()} if isinstance(value, dict) else value


def without_counts(value):
    """Nor order. What a heartbeat finds of the topics Apache Kafka tells only when a record was written later; until then it tells what the member said."""
    if isinstance(value, list):
        return [without_counts(each) for each in by_member(value)]
    if not isinstance(value, dict):
        return value
    return {key: 0 if key == "Partitions" and "TopicConfigs" in value else without_counts(each) for key, each in value.items()}


def log_of(asker):
    """(type, key, value) of the records of __consumer_offsets-0."""
    at, found = 0, []
    while True:
        error, end, data = asker.fetch("__consumer_offsets", at)
        if error:
            raise AssertionError(f"__consumer_offsets: {ERRORS[error]}")
        for offset, key, value in keyed_records_of(data):
            if offset >= at:
                found.append((struct.unpack_from(">h", key)[0], key, value))
                at = offset + 1
        if at >= end:
            return found


def without_times(kind, value):
    """Nor what is made of the ids of topics."""
    if kind == METADATA:
        return value[:6] + (b"\xee" * 8 if any(value[6:14]) else bytes(8)) + value[14:]
    if kind == TARGET and len(value) > 8:
        return value[:-8] + b"\xee" * 8
    if kind == OFFSET:
        words = value[14]
        return value[:14 + words] + b"\xee" * 8 + value[22 + words:]
    return value


class StreamsGroups(BothSides):
    maxDiff = 6000
    PROPERTIES = BothSides.PROPERTIES | PROPERTIES

    def setUp(self):
        super().setUp()
        self.members = [{}, {}]     # of each side, by id
        self.on_both(lambda side: (side.create("in", 4), side.create("more", 2), side.create("in2", 4)))
        self.ask("FindCoordinator", 6, {"KeyType": 0, "CoordinatorKeys": ["g"]})

    def ask(self, api, version, values, until=lambda answer: True, tell=by_member):
        """Of both, and compares; what passes by itself is asked again, as is what is not yet as `until` wants it. `values` may be made of a side."""
        def of_side(side):
            deadline = time.monotonic() + 30
            while True:
                answer = side.ask(api, version, **(values(side) if callable(values) else values))
                if not PASSES & set(errors_in(answer)) and until(answer) or time.monotonic() > deadline:
                    return answer
                time.sleep(0.05)
        theirs, ours = self.on_both(of_side)
        with self.subTest(api=api, version=version, values="made" if callable(values) else values):
            self.assertEqual(tell(theirs), tell(ours))
        return theirs, ours

    def set(self, group, **configs):
        for name, value in configs.items():
            self.ask("IncrementalAlterConfigs", 1, {"Resources": [{"ResourceType": GROUP, "ResourceName": group, "Configs": [
                {"Name": name.replace("_", "."), "ConfigOperation": 0, "Value": value}]}]})
        self.on_both(Side.catch_up)

    def member(self, id, **more):
        for members in self.members:
            members[id] = Member(id, **more)
        return id

    def of(self, side, id):
        return self.members[self.sides.index(side)][id]

    def beat(self, id, says=Member.owning, until=lambda answer: True, **more):
        """What each side's member says, with `more` of it; they take what they are told."""
        answers = self.ask("StreamsGroupHeartbeat", 0, lambda side: says(self.of(side, id)) | more, until)
        for members, answer in zip(self.members, answers):
            members[id].take(answer)
        return answers[1]

    def join(self, id, **more):
        return self.beat(id, Member.joining, **more)

    def settle(self, *ids, rounds=4):
        """All have what they shall have, and say so. In step, so that both sides write the same."""
        for _ in range(rounds):
            for id in ids:
                self.beat(id)

    def leave(self, id):
        return self.beat(id, Member.silent, MemberEpoch=-1)

    def describe(self, *groups, **more):
        for operations in (False, True):
            self.ask("StreamsGroupDescribe", 0, {"GroupIds": list(groups or ["g"]), "IncludeAuthorizedOperations": operations}, **more)

    def list(self):
        for types in ([], ["streams"], ["Streams"], ["classic"], ["consumer", "STREAMS"], ["nope"]):
            self.ask("ListGroups", 5, {"TypesFilter": types})
        for state in ("Empty", "NotReady", "not_ready", "NOTREADY", "Assigning", "reconciling", "Stable", "Dead", "nope"):
            self.ask("ListGroups", 5, {"StatesFilter": [state]})
        self.ask("DescribeGroups", 6, {"Groups": ["g"]})
        self.ask("ConsumerGroupDescribe", 1, {"GroupIds": ["g"]})

    def wait_for_topics(self, *names):
        for side in self.sides:
            def are_there(side=side):
                topics = side.asker.ask("Metadata", 12, Topics=[{"Name": name} for name in names], AllowAutoTopicCreation=False)["Topics"]
                side.ids.update((each["TopicId"], each["Name"]) for each in topics)
                return not any(each["ErrorCode"] for each in topics)
            self.assertTrue(eventually(are_there, 30))
        self.on_both(Side.catch_up)

    def same_records(self):
        logs = [[(kind, key.hex(), value if value is None else without_times(kind, self.without_ids(side, value)).hex())
                 for kind, key, value in log_of(side.asker) if kind not in OF_OTHERS] for side in self.sides]
        self.assertEqual(*logs)
        return {kind for kind, _, _ in logs[0]}

    @staticmethod
    def without_ids(side, value):
        for id, name in side.ids.items():
            value = value.replace(id.bytes, name[:16].ljust(16).encode())
        return value

    def commit(self, epoch=None, member="a", partition=0, offset=7, version=10, name="in"):
        def values(side):
            known = self.members[self.sides.index(side)].get(member)
            told = known.epoch if epoch is None else epoch
            named = {"TopicId": side.id(name)} if version >= 10 else {"Name": name}
            return {"GroupId": "g", "GenerationIdOrMemberEpoch": told, "MemberId": member, "Topics": [
                {**named, "Partitions": [{"PartitionIndex": partition, "CommittedOffset": offset}]}]}
        self.ask("OffsetCommit", version, values)

    def fetch(self, epoch=None, member=None, version=9, names=(("in", [0, 1, 2]), ("nope", [0]))):
        def values(side):
            told = -1 if member is None else self.of(side, member).epoch if epoch is None else epoch
            return {"Groups": [{"GroupId": "g", "MemberId": member, "MemberEpoch": told, "Topics": names and [
                {"Name": name, "PartitionIndexes": indexes} for name, indexes in names]}]}
        self.ask("OffsetFetch", version, values)

    def delete_offsets(self, name):
        self.ask("OffsetDelete", 0, {"GroupId": "g", "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": each} for each in (0, 1)]}]})

    def test_a_life(self):
        self.set("g", streams_initial_rebalance_delay_ms="4000")
        self.member("a", UserEndpoint={"Host": "a.example", "Port": 8080}, ClientTags=[{"Key": "zone", "Value": "1"}, {"Key": "cluster", "Value": "x"}])
        self.member("b", RackId="r", UserEndpoint={"Host": "b.example", "Port": 65535})
        self.join("a")      # its store's changelog is missing, and made
        self.describe()
        self.list()
        self.wait_for_topics("store")
        self.beat("a")
        self.describe()
        self.beat("a", until=lambda answer: answer["ActiveTasks"])      # when the first one's delay is over
        self.describe()
        self.list()
        self.beat("a")
        self.beat("a", Member.silent)
        self.join("b")
        self.describe()
        self.beat("b")
        self.beat("a")      # is to give up two tasks
        self.describe()
        self.list()
        self.beat("b")      # cannot have them yet
        self.beat("a", Member.silent)
        self.beat("a")
        self.beat("b")
        self.settle("a", "b", rounds=2)
        self.describe()
        self.list()
        self.assertEqual([2] * 4, [member.count() for members in self.members for member in members.values()])
        self.set("g", streams_num_standby_replicas="1")
        self.settle("a", "b")
        self.assertEqual([2] * 4, [member.count("StandbyTasks") for members in self.members for member in members.values()])
        self.describe()
        self.beat("a", EndpointInformationEpoch=-1)
        self.commit()
        self.join("b")      # again
        self.settle("a", "b")
        self.leave("b")
        self.describe()
        self.settle("a")
        self.describe()
        self.leave("a")
        self.describe()
        self.list()
        self.delete_offsets("in")
        self.commit(-1, "a")
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g", "g", "nobody"]})
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g"]})
        self.describe()
        self.assertLessEqual({17, 19, 20, 21, 22, 23}, self.same_records())

    def test_epochs_and_offsets(self):
        self.on_both(lambda side: side.create("store", 4))
        self.member("a")
        self.member("b")
        self.join("a")
        self.settle("a")
        self.join("b")
        self.settle("a", "b")
        for epoch in (-4, -3, -2, 1, 2, 100):
            for version in (8, 9, 10):
                self.commit(epoch, version=version)
            self.commit(epoch, "nobody")
            self.fetch(epoch, "a")
        for partition in range(4):
            for epoch in (1, 2, 3, None):
                self.commit(epoch, "a", partition)
                self.commit(epoch, "b", partition)
        self.commit(-1, "")
        self.commit(-1, "", version=9)
        self.commit(name="more")
        self.commit(partition=9)
        for version in (7, 8, 9):
            self.fetch(version=version)
            self.fetch(version=version, names=None)
        self.fetch(member="a")
        self.fetch(member="nobody", epoch=1)
        self.fetch(member="", epoch=1)
        for name in ("in", "store", "more", "nope"):
            self.delete_offsets(name)
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g"]})
        for epoch in (-3, -2, 1, 2, 100):
            self.beat("a", Member.silent, MemberEpoch=epoch)
            self.beat("a", Member.owning, MemberEpoch=epoch)
            self.beat("a", Member.owning, MemberEpoch=epoch, MemberId="nobody")
        self.beat("a", ActiveTasks=[{"SubtopologyId": "0", "Partitions": [9]}])
        self.beat("a", StandbyTasks=[{"SubtopologyId": "0", "Partitions": [-1]}])
        self.beat("a", ActiveTasks=[{"SubtopologyId": "7", "Partitions": [0]}])
        self.beat("a", MemberEpoch=-1, MemberId="nobody")
        self.describe()
        self.leave("a")
        self.leave("a")
        self.beat("a")
        self.settle("b")
        self.leave("b")
        self.commit(-1, "")
        self.fetch(names=None)
        self.delete_offsets("in")
        self.ask("DeleteGroups", 2, {"GroupsNames": ["g"]})
        self.same_records()

    def test_who_is_wrong_is_told_so_alike(self):
        self.member("a", told=topology(subtopology()))
        for more in ({"InstanceId": "i"}, {"InstanceId": ""}, {"TaskOffsets": []}, {"TaskEndOffsets": []}, {"WarmupTasks": [{"SubtopologyId": "0", "Partitions": [0]}]},
                     {"MemberId": ""}, {"MemberId": " "}, {"GroupId": ""}, {"GroupId": " "}, {"RackId": ""}, {"RebalanceTimeoutMs": -1}, {"ProcessId": None},
                     {"ProcessId": ""}, {"ActiveTasks": None}, {"StandbyTasks": None}, {"WarmupTasks": None}, {"Topology": None},
                     {"ActiveTasks": [{"SubtopologyId": "0", "Partitions": [0]}]}, {"MemberEpoch": -1}, {"MemberEpoch": -2}, {"MemberEpoch": -3},
                     {"MemberEpoch": 1}, {"MemberEpoch": 1, "Topology": None}, {"MemberEpoch": 1, "Topology": None, "ActiveTasks": None},
                     {"MemberEpoch": -1, "Topology": None}):
            # A group that one of these makes is another's
            self.ask("StreamsGroupHeartbeat", 0, lambda side, more=more: self.of(side, "a").joining() | {"GroupId": f"wrong-{more}"[:40]} | more)
        self.describe("nobody", "", "wrong")
        self.same_records()

    def test_topologies(self):
        both = {"SourceTopics": [0, 1]}
        for number, told in enumerate((
                topology(), topology(epoch=-1), topology(subtopology([])), topology(subtopology(["nope"])), topology(subtopology(["in", "nope", "nope2"])),
                topology(subtopology(["b d"])), topology(subtopology(["__consumer_offsets"])), topology(subtopology(SourceTopicRegex=["i.*"])),
                topology(subtopology(changelogs=[topic("store", 3)])), topology(subtopology(["in", "more"], copartitions=[both])),
                topology(subtopology(["in", "in2"], copartitions=[both])), topology(subtopology(["in"], copartitions=[both])),
                topology(subtopology(["in"], copartitions=[{"SourceTopics": [-1]}])),
                topology(subtopology([], repartitions=[topic("r1")])), topology(subtopology([], repartitions=[topic("r2", 3)])),
                topology(subtopology([], repartitions=[topic("r3", -1)])), topology(subtopology([], sinks=["r4"], repartitions=[topic("r4")])),
                topology(subtopology(sinks=["r5"]), subtopology([], "1", repartitions=[topic("r5")])),
                topology(subtopology(["in"], repartitions=[topic("r6", 7)], copartitions=[{"SourceTopics": [0], "RepartitionSourceTopics": [0]}])),
                topology(subtopology(["in"], repartitions=[topic("r7")], copartitions=[{"SourceTopics": [0], "RepartitionSourceTopics": [0]}])),
                topology(subtopology(), subtopology(["more"], "1", [topic("of-more", cleanup_policy="compact")]), subtopology(["in2", "more"], "2")),
                topology(subtopology(), subtopology(id="1")))):
            group = f"t{number}"
            member = self.member(group, group=group, told=told)
            self.join(member)
            self.describe(group)
        self.member("x", told=REGROUPING)
        self.join("x")
        self.wait_for_topics("by-word", "store")
        self.beat("x", until=lambda answer: answer["ActiveTasks"])
        self.describe()
        for told in (topology(subtopology(), epoch=0), topology(subtopology(), epoch=1), topology(subtopology(), epoch=2), REGROUPING,
                     REGROUPING | {"Epoch": 0}, REGROUPING | {"Epoch": 2}):
            self.join(self.member("y", told=told))
        self.describe()
        self.settle("x", "y")
        self.describe()
        self.ask("CreatePartitions", 3, {"TimeoutMs": 5000, "Topics": [{"Name": "in", "Count": 6, "Assignments": None}]})
        self.on_both(Side.catch_up)
        self.settle("x", "y")
        self.describe()

    def test_a_member_stops_the_application(self):
        self.on_both(lambda side: side.create("store", 4))
        for id in "abc":
            self.member(id)
        self.join("a")
        self.join("b")
        self.settle("a", "b")
        self.beat("b", ShutdownApplication=True)
        self.beat("a", ShutdownApplication=True)
        self.join("c")
        self.settle("a", "b", "c", rounds=2)
        self.beat("b", MemberEpoch=-1, ShutdownApplication=True)
        self.leave("a")
        self.leave("c")
        self.join("a")
        self.describe()
        self.same_records()

    def test_groups_of_other_kinds(self):
        self.on_both(lambda side: side.create("store", 4))
        self.member("a")
        self.join("a")
        self.ask("ConsumerGroupHeartbeat", 1, {"GroupId": "g", "MemberId": "c", "MemberEpoch": 0, "RebalanceTimeoutMs": 5000,
                                               "SubscribedTopicNames": ["in"], "TopicPartitions": []})
        self.ask("ShareGroupHeartbeat", 1, {"GroupId": "g", "MemberId": "c", "MemberEpoch": 0, "SubscribedTopicNames": ["in"]})
        self.ask("JoinGroup", 9, {"GroupId": "g", "SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 10000, "ProtocolType": "consumer",
                                  "Protocols": [{"Name": "range", "Metadata": b""}]})
        self.ask("SyncGroup", 5, {"GroupId": "g", "MemberId": "a", "GenerationId": 1, "ProtocolType": "consumer", "ProtocolName": "range"})
        self.ask("Heartbeat", 4, {"GroupId": "g", "MemberId": "a", "GenerationId": 1})
        self.ask("LeaveGroup", 5, {"GroupId": "g", "Members": [{"MemberId": "a"}]})
        self.ask("ShareGroupDescribe", 1, {"GroupIds": ["g"]})
        self.ask("ConsumerGroupHeartbeat", 1, {"GroupId": "h", "MemberId": "c", "MemberEpoch": 0, "RebalanceTimeoutMs": 5000,
                                               "SubscribedTopicNames": ["in"], "TopicPartitions": []})
        self.member("h", group="h")
        self.join("h")
        self.describe("g", "h", tell=without_counts)
        self.commit(-1, "", name="in")
        self.leave("a")
        self.ask("OffsetCommit", 9, {"GroupId": "classic", "GenerationIdOrMemberEpoch": -1, "Topics": [
            {"Name": "in", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 3}]}]})
        self.member("k", group="classic")
        self.join("k")
        self.describe("classic", tell=without_counts)
        self.same_records()


class HandedOver(BrokerTest):
    """A group with two members, with standbys, a commit and a task that is being given up, goes to the other's broker and back."""

    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES | {"group.streams.num.standby.replicas": "1"})
        self.apache = ApacheBroker(self.node)
        self.addCleanup(self.apache.kill)
        self.asker = None

    def run_as(self, is_apache):
        if self.asker:
            self.asker.socket.close()
            self.running.stop()
        self.running = self.apache if is_apache else self.node
        self.running.start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)

    def described(self):
        return self.asker.ask("StreamsGroupDescribe", 0, GroupIds=["g"], IncludeAuthorizedOperations=True)["Groups"][0]

    def beat(self, member, says=Member.owning):
        answer = self.asker.ask("StreamsGroupHeartbeat", 0, **says(member))
        self.assertEqual("NONE", ERRORS[answer["ErrorCode"]], answer)
        member.take(answer)
        return answer

    def settle(self, *members):
        def is_settled():
            for member in members:
                self.beat(member)
            return self.described()["GroupState"] == "Stable"
        self.assertTrue(eventually(is_settled, 30), self.described())

    def begin(self):
        self.assertTrue(eventually(lambda: self.asker.find_coordinator("g") == 0, 30))
        for name in ("in", "store"):
            self.asker.create_topic(name, 4)
        a, b = Member("a", UserEndpoint={"Host": "a.example", "Port": 80}), Member("b")
        self.assertTrue(eventually(lambda: not self.asker.ask("StreamsGroupHeartbeat", 0, **a.joining())["ErrorCode"], 30))
        self.beat(a, Member.joining)
        self.settle(a)
        self.beat(b, Member.joining)
        self.beat(a)        # is told to give up two tasks, and has not
        return a, b

    def go(self, first_is_apache):
        self.run_as(first_is_apache)
        a, b = self.begin()
        self.assertEqual(2, a.count())
        for is_apache in (not first_is_apache, first_is_apache):
            before = self.described()
            self.assertIn(before["GroupState"], ("Reconciling", "Stable"))
            self.run_as(is_apache)
            self.assertTrue(eventually(lambda: self.described()["ErrorCode"] == 0, 30))
            self.assertEqual(without_counts(before), without_counts(self.described()))
            self.settle(a, b)
            self.assertEqual([(2, 2), (2, 2)], [(each.count(), each.count("StandbyTasks")) for each in (a, b)])
            commit = self.asker.ask("OffsetCommit", 9, GroupId="g", GenerationIdOrMemberEpoch=a.epoch, MemberId="a", Topics=[
                {"Name": "in", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 5}]}])
            self.assertEqual(0, commit["Topics"][0]["Partitions"][0]["ErrorCode"])
        self.beat(b, lambda member: member.silent(MemberEpoch=-1))
        self.settle(a)
        self.assertEqual(4, a.count())

    def test_from_millrace_to_apache_kafka_and_back(self):
        self.go(first_is_apache=False)

    def test_from_apache_kafka_to_millrace_and_back(self):
        file = self.node.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in self.node.properties.items()))
        subprocess.run([BINARY, "format", "-t", "JBnGmM1nQnKjv6nDT2mAzQ", "-c", file], check=True, capture_output=True)
        self.go(first_is_apache=True)


if __name__ == "__main__":
    unittest.main()
