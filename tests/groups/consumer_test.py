"""Consumer groups of the new protocol (KIP-848) over the wire: what a client says in ConsumerGroupHeartbeat, what becomes of it in a
running broker, and after it was killed."""

import signal
import uuid

from support.broker import BrokerTest
from support.protocol import ERRORS, Asker
from support.waiting import eventually

PROPERTIES = {"group.consumer.assignment.interval.ms": "0", "group.consumer.session.timeout.ms": "4000",
              "group.consumer.min.session.timeout.ms": "1000", "group.initial.rebalance.delay.ms": "0",
              "group.consumer.heartbeat.interval.ms": "500", "group.consumer.min.heartbeat.interval.ms": "100",
              "offsets.topic.num.partitions": "4"}


class Member:
    def __init__(self, test, group="g", topics=("t",), **more):
        self.test, self.group, self.more, self.owned, self.epoch = test, group, more, {}, 0
        self.topics, self.id = list(topics), str(uuid.uuid4())

    def beat(self, **values):
        answer = self.test.asker.ask("ConsumerGroupHeartbeat", 1, GroupId=self.group, MemberId=self.id, MemberEpoch=self.epoch,
                                **{name: self.more[name] for name in self.more if name == "InstanceId"} | values)
        if answer["ErrorCode"] == 0:
            self.epoch = answer["MemberEpoch"]
            if answer["Assignment"] is not None:
                self.owned = {each["TopicId"]: sorted(each["Partitions"]) for each in answer["Assignment"]["TopicPartitions"]}
        return answer

    def join(self):
        self.epoch, self.owned = 0, {}
        return self.beat(RebalanceTimeoutMs=5000, SubscribedTopicNames=self.topics, TopicPartitions=[], **self.more)

    def own(self):
        return self.beat(TopicPartitions=[{"TopicId": topic, "Partitions": indexes} for topic, indexes in self.owned.items()])

    def count(self):
        return sum(map(len, self.owned.values()))


class OneBroker(BrokerTest):
    def start(self, **properties):
        self.node = self.broker(PROPERTIES | properties).start()
        self.connect()
        self.asker.create_topic("t", 4)
        self.asker.create_topic("tt", 2)

    def connect(self):
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.assertTrue(eventually(lambda: self.asker.find_coordinator("g") == 0))

    def described(self, group="g"):
        return self.asker.ask("ConsumerGroupDescribe", 1, GroupIds=[group], IncludeAuthorizedOperations=True)["Groups"][0]

    def settle(self, *members):
        def settled():
            for member in members:
                self.assertEqual(0, member.own()["ErrorCode"])
            return self.described()["GroupState"] == "Stable"
        self.assertTrue(eventually(settled))


class ConsumerGroups(OneBroker):
    def test_members_share_what_they_subscribe_to(self):
        self.start()
        a, b = Member(self), Member(self)
        self.assertEqual(0, a.join()["ErrorCode"])
        self.assertEqual(4, a.count())
        b.join()
        self.settle(a, b)
        self.assertEqual((2, 2), (a.count(), b.count()))
        group = self.described()
        self.assertEqual(("uniform", 3, 3, 3400), (group["AssignorName"], group["GroupEpoch"], group["AssignmentEpoch"], group["AuthorizedOperations"]))
        self.assertEqual({1}, {member["MemberType"] for member in group["Members"]})
        listed = self.asker.ask("ListGroups", 5, StatesFilter=["stable"], TypesFilter=["Consumer"])["Groups"]
        self.assertEqual([("g", "consumer", "Stable", "consumer")],
                         [(each["GroupId"], each["ProtocolType"], each["GroupState"], each["GroupType"]) for each in listed])
        self.assertEqual([], self.asker.ask("ListGroups", 5, StatesFilter=[], TypesFilter=["classic"])["Groups"])
        self.assertEqual("Dead", self.asker.ask("DescribeGroups", 5, Groups=["g"])["Groups"][0]["GroupState"])

    def test_a_silent_member_is_removed_and_its_share_goes_to_the_rest(self):
        self.start()
        a, b = Member(self), Member(self)
        a.join()
        b.join()
        self.settle(a, b)
        self.assertTrue(eventually(lambda: b.own()["ErrorCode"] == 0 and b.count() == 4))
        self.assertEqual("UNKNOWN_MEMBER_ID", ERRORS[a.beat()["ErrorCode"]])

    def test_a_group_is_what_it_was_after_the_broker_was_killed(self):
        self.start()
        a, b = Member(self), Member(self, InstanceId="one")
        a.join()
        b.join()
        self.settle(a, b)
        before = self.described()
        self.node.process.send_signal(signal.SIGKILL)
        self.node.process.wait()
        self.node.start()
        self.connect()
        self.assertTrue(eventually(lambda: self.described()["ErrorCode"] == 0))
        self.assertEqual(before, self.described())
        self.settle(a, b)

    def test_a_regular_expression_follows_the_topics(self):
        self.start()
        a = Member(self)
        a.join()
        self.assertEqual(0, a.beat(SubscribedTopicNames=[], SubscribedTopicRegex="t+")["ErrorCode"])
        self.assertTrue(eventually(lambda: a.own()["ErrorCode"] == 0 and a.count() == 6))
        refused = Member(self, SubscribedTopicRegex="(")
        self.assertEqual("INVALID_REGULAR_EXPRESSION", ERRORS[refused.join()["ErrorCode"]])

    def test_partitions_that_are_added_are_assigned(self):
        self.start()
        a = Member(self)
        a.join()
        self.asker.ask("CreatePartitions", 3, Topics=[{"Name": "t", "Count": 7, "Assignments": None}], TimeoutMs=5000, ValidateOnly=False)
        self.assertTrue(eventually(lambda: a.own()["ErrorCode"] == 0 and a.count() == 7))

    def test_configs_of_the_group_hold_at_once(self):
        self.start()
        a = Member(self)
        self.assertEqual(500, a.join()["HeartbeatIntervalMs"])
        answer = self.asker.ask("IncrementalAlterConfigs", 1, ValidateOnly=False, Resources=[{
            "ResourceType": 32, "ResourceName": "g", "Configs": [{"Name": "consumer.heartbeat.interval.ms", "ConfigOperation": 0, "Value": "900"}]}])
        self.assertEqual(0, answer["Responses"][0]["ErrorCode"])
        self.assertTrue(eventually(lambda: a.beat()["HeartbeatIntervalMs"] == 900))

    def test_without_the_protocol_it_is_an_unsupported_version(self):
        self.start(**{"group.coordinator.rebalance.protocols": "classic"})
        self.assertEqual("UNSUPPORTED_VERSION", ERRORS[Member(self).join()["ErrorCode"]])
        self.assertEqual("UNSUPPORTED_VERSION", ERRORS[self.described()["ErrorCode"]])
