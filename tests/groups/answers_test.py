"""The group and offset APIs over the wire (kafka.md 1.4, 2.6, 2.7); what is expected is what Apache Kafka 4.3.1 answered to the same."""

import unittest
import uuid

from support.broker import BrokerTest
from support.protocol import ERRORS, Asker

GROUP_OPERATIONS, NO_OPERATIONS = 3400, -2147483648
MALFORMED = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."


def error_of(answer):
    return ERRORS[answer["ErrorCode"]]


def by_partition(answer):
    """[(topic, [(partition, error)])], in the answer's order."""
    return [(topic.get("Name") or topic.get("TopicId"),
             [(each["PartitionIndex"], ERRORS[each["ErrorCode"]]) for each in topic["Partitions"]]) for topic in answer["Topics"]]


class Answers(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker({"group.initial.rebalance.delay.ms": "0", "group.max.session.timeout.ms": "60000",
                                 "offsets.topic.num.partitions": "4"}).start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.asker.create_topic("t", 3)
        self.asker.create_topic("u", 1)
        while self.asker.find_coordinator("g") != 0:
            pass
        topics = self.asker.ask("Metadata", 12, Topics=[{"Name": "t"}, {"Name": "u"}])["Topics"]
        self.ids = {each["Name"]: each["TopicId"] for each in topics}

    # What requests are made of

    def join(self, group, member="", version=9, session=10000, **more):
        values = dict(GroupId=group, SessionTimeoutMs=session, MemberId=member, ProtocolType="consumer",
                      Protocols=[{"Name": "range", "Metadata": b"m"}]) | more
        if version >= 1:
            values.setdefault("RebalanceTimeoutMs", 5000)
        return self.asker.ask("JoinGroup", version, **values)

    def sync(self, group, generation, member, version=5, **more):
        named = {"ProtocolType": "consumer", "ProtocolName": "range"} if version >= 5 else {}
        return self.asker.ask("SyncGroup", version, **dict(GroupId=group, GenerationId=generation, MemberId=member) | named | more)

    def stable(self, group, **more):
        """The id and generation of a group's only member."""
        member = "" if "GroupInstanceId" in more else self.join(group)["MemberId"]
        joined = self.join(group, member, **more)
        member, generation = joined["MemberId"], joined["GenerationId"]
        synced = self.sync(group, generation, member, Assignments=[{"MemberId": member, "Assignment": b"all"}])
        self.assertEqual(("NONE", b"all"), (error_of(synced), synced["Assignment"]))
        return member, generation

    def commit(self, group, *topics, version=9, generation=-1, member="", **more):
        values = [{"TopicId" if version >= 10 else "Name": name,
                   "Partitions": [{"PartitionIndex": p, "CommittedOffset": 5, "CommittedMetadata": note} for p, note in partitions]}
                  for name, partitions in topics]
        return self.asker.ask("OffsetCommit", version, GroupId=group, GenerationIdOrMemberEpoch=generation, MemberId=member,
                              Topics=values, **more)

    def delete_offsets(self, group, *topics):
        return self.asker.ask("OffsetDelete", 0, GroupId=group, Topics=[
            {"Name": name, "Partitions": [{"PartitionIndex": p} for p in partitions]} for name, partitions in topics])

    def state_of(self, group):
        return self.asker.ask("DescribeGroups", 6, Groups=[group])["Groups"][0]["GroupState"]

    # JoinGroup, SyncGroup, Heartbeat, LeaveGroup

    def test_a_refused_join_names_no_protocol(self):
        """From version 7 on that is null, before an empty string."""
        for version in range(10):
            for group, member, session, error in (("", "m", 10000, "INVALID_GROUP_ID"), ("g", "m", 10000, "UNKNOWN_MEMBER_ID"),
                                                  ("g", "", 5999, "INVALID_SESSION_TIMEOUT"), ("g", "", -1, "INVALID_SESSION_TIMEOUT"),
                                                  ("g", "", 60001, "INVALID_SESSION_TIMEOUT")):
                with self.subTest(version=version, error=error):
                    answer = self.join(group, member, version, session)
                    self.assertEqual((error, -1, "", member, None if version >= 7 else "", []),
                                     (error_of(answer), answer["GenerationId"], answer["Leader"], answer["MemberId"],
                                      answer["ProtocolName"], answer["Members"]))

    def test_an_id_comes_first_from_version_4_on(self):
        for version in range(10):
            answer = self.join(f"fresh-{version}", version=version)
            self.assertRegex(answer["MemberId"], r"^tests-[0-9a-f]{8}-")
            self.assertEqual("MEMBER_ID_REQUIRED" if version >= 4 else "NONE", error_of(answer))
            if version >= 5:
                answer = self.join(f"static-{version}", version=version, GroupInstanceId="one")
                self.assertRegex(answer["MemberId"], r"^one-[0-9a-f]{8}-")
                self.assertEqual("NONE", error_of(answer))

    def test_an_id_that_was_given_out_is_no_static_members(self):
        member = self.join("g")["MemberId"]
        answer = self.join("g", member, GroupInstanceId="late")
        self.assertEqual(("UNKNOWN_SERVER_ERROR", ""), (error_of(answer), answer["MemberId"]))

    def test_who_does_not_fit_is_refused(self):
        for odd in ({"ProtocolType": ""}, {"Protocols": []}):
            self.assertEqual("INCONSISTENT_GROUP_PROTOCOL", error_of(self.join("new", **odd)))
        self.stable("g")
        for odd in ({"ProtocolType": "connect"}, {"Protocols": [{"Name": "other", "Metadata": b""}]}):
            self.assertEqual("INCONSISTENT_GROUP_PROTOCOL", error_of(self.join("g", **odd)))
            self.assertEqual("INCONSISTENT_GROUP_PROTOCOL", error_of(self.join("g", "nobody", **odd)))
        self.assertEqual("Stable", self.state_of("g"))

    def test_a_sync_names_its_protocol_from_version_5_on(self):
        """Before anything else is looked at, the group's id included."""
        member, generation = self.stable("g")
        for missing in ({"ProtocolType": None}, {"ProtocolName": None}):
            self.assertEqual("INCONSISTENT_GROUP_PROTOCOL", error_of(self.sync("g", generation, member, **missing)))
            self.assertEqual("INCONSISTENT_GROUP_PROTOCOL", error_of(self.sync("", generation, member, **missing)))
        for other in ({"ProtocolType": "connect"}, {"ProtocolName": "other"}):
            self.assertEqual("INCONSISTENT_GROUP_PROTOCOL", error_of(self.sync("g", generation, member, **other)))
        for version in range(6):
            answer = self.sync("g", generation, member, version)
            self.assertEqual(("NONE", b"all"), (error_of(answer), answer["Assignment"]))
            self.assertEqual("ILLEGAL_GENERATION", error_of(self.sync("g", generation + 1, member, version)))
            self.assertEqual("UNKNOWN_MEMBER_ID", error_of(self.sync("g", generation, "nobody", version)))
            self.assertEqual("UNKNOWN_MEMBER_ID", error_of(self.sync("nowhere", generation, member, version)))
            self.assertEqual("INVALID_GROUP_ID", error_of(self.sync("", generation, member, version)))

    def test_a_heartbeat_of_nobody(self):
        member, generation = self.stable("g")
        for version in range(5):
            for group, said, sender, error in (("", generation, member, "INVALID_GROUP_ID"), ("nowhere", 1, member, "UNKNOWN_MEMBER_ID"),
                                               ("g", generation, "nobody", "UNKNOWN_MEMBER_ID"), ("g", generation, member, "NONE"),
                                               ("g", generation + 1, member, "ILLEGAL_GENERATION"),
                                               ("g", generation - 1, member, "ILLEGAL_GENERATION")):
                answer = self.asker.ask("Heartbeat", version, GroupId=group, GenerationId=said, MemberId=sender)
                self.assertEqual(error, error_of(answer), (version, group, said, sender))

    def test_a_replaced_static_member_is_fenced_everywhere(self):
        old, generation = self.stable("g", GroupInstanceId="one")
        joined = self.join("g", version=8, GroupInstanceId="one")
        new = joined["MemberId"]
        self.assertEqual((generation, old, []), (joined["GenerationId"], joined["Leader"], joined["Members"]))
        joined = self.join("g", version=9, GroupInstanceId="one")
        old, new = new, joined["MemberId"]
        self.assertEqual((new, True, [new]), (joined["Leader"], joined["SkipAssignment"], [m["MemberId"] for m in joined["Members"]]))
        as_instance = {"GroupInstanceId": "one"}
        beat = {"GroupId": "g", "GenerationId": generation, **as_instance}
        self.assertEqual("FENCED_INSTANCE_ID", error_of(self.asker.ask("Heartbeat", 4, MemberId=old, **beat)))
        self.assertEqual("NONE", error_of(self.asker.ask("Heartbeat", 4, MemberId=new, **beat)))
        self.assertEqual("FENCED_INSTANCE_ID", error_of(self.sync("g", generation, old, **as_instance)))
        self.assertEqual("FENCED_INSTANCE_ID", error_of(self.join("g", old, **as_instance)))
        committed = self.commit("g", ("t", [(0, "")]), generation=generation, member=old, **as_instance)
        self.assertEqual([("t", [(0, "FENCED_INSTANCE_ID")])], by_partition(committed))
        left = self.asker.ask("LeaveGroup", 5, GroupId="g", Members=[{"MemberId": old, **as_instance}, {"MemberId": old},
                                                                     {"MemberId": "", "GroupInstanceId": "two"},
                                                                     {"MemberId": "", **as_instance}, {"MemberId": new}])
        self.assertEqual(["FENCED_INSTANCE_ID", "UNKNOWN_MEMBER_ID", "UNKNOWN_MEMBER_ID", "NONE", "UNKNOWN_MEMBER_ID"],
                         [error_of(each) for each in left["Members"]])
        self.assertEqual("Empty", self.state_of("g"))

    def test_leaving_in_every_version(self):
        for version in range(6):
            member, _ = self.stable("g")
            for leaver, group, error in (("nobody", "g", "UNKNOWN_MEMBER_ID"), ("m", "nowhere", "UNKNOWN_MEMBER_ID"), (member, "g", "NONE")):
                if version < 3:
                    self.assertEqual(error, error_of(self.asker.ask("LeaveGroup", version, GroupId=group, MemberId=leaver)))
                else:
                    answer = self.asker.ask("LeaveGroup", version, GroupId=group, Members=[{"MemberId": leaver}])
                    self.assertEqual(("NONE", [(leaver, error)]),
                                     (error_of(answer), [(each["MemberId"], error_of(each)) for each in answer["Members"]]))
            self.assertEqual("Empty", self.state_of("g"))

    # Offsets

    def test_a_commit_answers_first_what_the_metadata_refuses(self):
        for version in range(2, 10):
            answer = self.commit("simple", ("t", [(0, "")]), ("nope", [(0, ""), (1, "")]), ("u", [(0, ""), (1, "")]), ("t", []), version=version)
            self.assertEqual([("nope", [(0, "UNKNOWN_TOPIC_OR_PARTITION"), (1, "UNKNOWN_TOPIC_OR_PARTITION")]),
                              ("u", [(1, "UNKNOWN_TOPIC_OR_PARTITION"), (0, "NONE")]), ("t", [(0, "NONE")])], by_partition(answer))
            self.assertEqual([], self.commit("simple", ("t", []), version=version)["Topics"])
            self.assertEqual([("nope", [])], by_partition(self.commit("simple", ("nope", []), version=version)))
        other = uuid.UUID(int=7)
        answer = self.commit("simple", (self.ids["t"], [(0, ""), (9, "")]), (other, [(0, "")]), version=10)
        self.assertEqual([(self.ids["t"], [(9, "UNKNOWN_TOPIC_OR_PARTITION"), (0, "NONE")]), (other, [(0, "UNKNOWN_TOPIC_ID")])],
                         by_partition(answer))

    def test_notes_are_measured_as_java_does(self):
        """In UTF-16 units: a letter of the basic plane is one, others are two. Only that partition is refused."""
        for fits, too_long in (("x" * 4096, "x" * 4097), ("ü" * 4096, "ü" * 4097), ("😀" * 2048, "😀" * 2049)):
            answer = self.commit("notes", ("t", [(0, fits), (1, too_long), (2, None)]))
            self.assertEqual([("t", [(0, "NONE"), (1, "OFFSET_METADATA_TOO_LARGE"), (2, "NONE")])], by_partition(answer))

    def test_who_may_commit(self):
        member, generation = self.stable("g")
        for group, said, sender, version, error in (
                ("g", generation, member, 9, "NONE"), ("g", generation + 1, member, 9, "ILLEGAL_GENERATION"),
                ("g", generation, "nobody", 9, "UNKNOWN_MEMBER_ID"), ("g", -1, "", 9, "UNKNOWN_MEMBER_ID"),
                ("g", -1, member, 9, "ILLEGAL_GENERATION"), ("nowhere", 0, member, 9, "GROUP_ID_NOT_FOUND"),
                ("nowhere", 0, member, 8, "ILLEGAL_GENERATION"), ("", -1, "", 9, "NONE"), ("simple", -1, "anyone", 9, "NONE")):
            answer = self.commit(group, ("t", [(0, "")]), generation=said, member=sender, version=version)
            self.assertEqual([("t", [(0, error)])], by_partition(answer), (group, said, sender, version))

    def test_fetching_what_is_there_and_what_is_not(self):
        self.commit("g", ("t", [(0, "note")]), ("u", [(0, "")]))
        none, note = (-1, "", "NONE"), (5, "note", "NONE")

        def shown(topics):
            return {topic.get("Name") or topic.get("TopicId"): [(p["CommittedOffset"], p["Metadata"], ERRORS[p["ErrorCode"]])
                                                                for p in topic["Partitions"]] for topic in topics}

        for version in range(1, 8):
            wanted = [{"Name": "t", "PartitionIndexes": [0, 1, 9]}, {"Name": "nope", "PartitionIndexes": [0]}]
            self.assertEqual({"t": [note, none, none], "nope": [none]},
                             shown(self.asker.ask("OffsetFetch", version, GroupId="g", Topics=wanted)["Topics"]))
            self.assertEqual([], self.asker.ask("OffsetFetch", version, GroupId="g", Topics=[])["Topics"])
            if version >= 2:
                answer = self.asker.ask("OffsetFetch", version, GroupId="g", Topics=None)
                self.assertEqual(("NONE", {"t": [note], "u": [(5, "", "NONE")]}), (error_of(answer), shown(answer["Topics"])))
        for version in (8, 9):
            answer = self.asker.ask("OffsetFetch", version, Groups=[{"GroupId": "g", "Topics": None}, {"GroupId": "nowhere", "Topics": None},
                                                                    {"GroupId": "nowhere", "Topics": [{"Name": "t", "PartitionIndexes": [0]}]}])
            self.assertEqual([{"t": [note], "u": [(5, "", "NONE")]}, {}, {"t": [none]}], [shown(each["Topics"]) for each in answer["Groups"]])
        other = uuid.UUID(int=7)
        wanted = [{"TopicId": other, "PartitionIndexes": [0]}, {"TopicId": self.ids["t"], "PartitionIndexes": [0]}]
        answer = self.asker.ask("OffsetFetch", 10, Groups=[{"GroupId": "g", "Topics": wanted}])["Groups"][0]["Topics"]
        self.assertEqual([(self.ids["t"], [note]), (other, [(-1, "", "UNKNOWN_TOPIC_ID")])], list(shown(answer).items()))

    def test_deleting_offsets_of_topics_that_are_there(self):
        self.commit("g", ("t", [(0, ""), (1, "")]), ("u", [(0, "")]))
        answer = self.delete_offsets("g", ("nope", [0]), ("t", [0, 5]), ("u", [0]), ("t", [1]))
        self.assertEqual(("NONE", [("nope", [(0, "UNKNOWN_TOPIC_OR_PARTITION")]),
                                   ("t", [(5, "UNKNOWN_TOPIC_OR_PARTITION"), (0, "NONE"), (1, "NONE")]), ("u", [(0, "NONE")])]),
                         (error_of(answer), by_partition(answer)))
        self.assertEqual((0, -1), self.asker.committed_offset("g", "t", 0))
        for group, error in (("nowhere", "GROUP_ID_NOT_FOUND"), ("", "INVALID_GROUP_ID")):
            answer = self.delete_offsets(group, ("nope", [0]))
            self.assertEqual((error, []), (error_of(answer), answer["Topics"]))

    # Groups

    def test_each_group_is_deleted_once_in_the_order_of_the_request(self):
        member, _ = self.stable("busy")
        for version in range(3):
            self.commit("one", ("t", [(0, "")]))
            answer = self.asker.ask("DeleteGroups", version, GroupsNames=["nowhere", "one", "busy", "one", "", "nowhere"])
            self.assertEqual([("nowhere", "GROUP_ID_NOT_FOUND"), ("one", "NONE"), ("busy", "NON_EMPTY_GROUP"), ("", "GROUP_ID_NOT_FOUND")],
                             [(each["GroupId"], error_of(each)) for each in answer["Results"]])
            self.assertEqual([], self.asker.ask("DeleteGroups", version, GroupsNames=[])["Results"])

    def test_describing_groups_dead_and_alive(self):
        member, _ = self.stable("g", GroupInstanceId="one")
        for version in range(7):
            alive, dead = self.asker.ask("DescribeGroups", version, Groups=["g", "nowhere"])["Groups"]
            self.assertEqual(("NONE", "Stable", "consumer", "range"),
                             (error_of(alive), alive["GroupState"], alive["ProtocolType"], alive["ProtocolData"]))
            shown, = alive["Members"]
            self.assertEqual((member, "tests", "/127.0.0.1", b"m", b"all"), (shown["MemberId"], shown["ClientId"], shown["ClientHost"],
                                                                            shown["MemberMetadata"], shown["MemberAssignment"]))
            self.assertEqual("one" if version >= 4 else None, shown.get("GroupInstanceId"))
            self.assertEqual(("GROUP_ID_NOT_FOUND" if version >= 6 else "NONE", "Dead", []),
                             (error_of(dead), dead["GroupState"], dead["Members"]))

    def test_operations_are_told_when_asked_for(self):
        self.stable("g")
        for version in range(3, 7):
            asked = self.asker.ask("DescribeGroups", version, Groups=["g", "nowhere"], IncludeAuthorizedOperations=True)["Groups"]
            self.assertEqual([GROUP_OPERATIONS, NO_OPERATIONS if version >= 6 else GROUP_OPERATIONS], [each["AuthorizedOperations"] for each in asked])
            self.assertEqual(NO_OPERATIONS, self.asker.ask("DescribeGroups", version, Groups=["g"])["Groups"][0]["AuthorizedOperations"])

    def test_listing_by_state_and_type(self):
        self.stable("working")
        self.commit("resting", ("t", [(0, "")]))

        def listed(version, **filters):
            return {each["GroupId"] for each in self.asker.ask("ListGroups", version, **filters)["Groups"]}

        both = {"working", "resting"}
        for version in range(6):
            self.assertEqual(both, listed(version))
        for version in (4, 5):
            for states, expected in ((["Stable"], {"working"}), ([" sTABLE "], {"working"}), (["Empty", "bogus"], {"resting"}),
                                     (["PreparingRebalance"], set()), ([""], set())):
                self.assertEqual(expected, listed(version, StatesFilter=states), states)
        for types, expected in ((["classic"], both), (["Classic"], both), ([" classic "], set()), (["consumer"], set()), (["bogus"], set())):
            self.assertEqual(expected, listed(5, TypesFilter=types), types)
        self.assertEqual({"working"}, listed(5, TypesFilter=["consumer", "classic"], StatesFilter=["Stable"]))

    # FindCoordinator

    def test_coordinators_by_one_key_and_by_many(self):
        for version in range(4):
            answer = self.asker.ask("FindCoordinator", version, Key="g")
            self.assertEqual(("NONE", 1, self.node.port), (error_of(answer), answer["NodeId"], answer["Port"]))
            self.assertEqual("NONE" if version >= 1 else None, answer.get("ErrorMessage"))
        for version in range(4, 7):
            answer = self.asker.ask("FindCoordinator", version, CoordinatorKeys=["g", "", "g"])["Coordinators"]
            self.assertEqual([(key, "NONE", "", self.node.port) for key in ("g", "", "g")],
                             [(each["Key"], error_of(each), each["ErrorMessage"], each["Port"]) for each in answer])

    def test_coordinators_of_no_type_that_there_is(self):
        for version, kind, message in ((1, 2, MALFORMED), (3, 3, MALFORMED), (3, -1, MALFORMED), (4, 2, ""), (5, 2, ""), (4, 3, MALFORMED), (6, 9, MALFORMED)):
            values = {"Key": "g"} if version < 4 else {"CoordinatorKeys": ["g"]}
            answer = self.asker.ask("FindCoordinator", version, KeyType=kind, **values)
            answer = answer if version < 4 else answer["Coordinators"][0]
            self.assertEqual(("INVALID_REQUEST", message, -1), (error_of(answer), answer["ErrorMessage"], answer["NodeId"]))


if __name__ == "__main__":
    unittest.main()
