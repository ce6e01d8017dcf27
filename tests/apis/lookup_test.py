"""Metadata, DescribeCluster, DescribeTopicPartitions, ListOffsets and OffsetForLeaderEpoch over the wire (kafka.md 1.4, 2.2, 2.5); what is
expected is what Apache Kafka 4.3.1 answered."""

import unittest
import uuid

from support.broker import BrokerTest
from support.kafka import batch
from support.protocol import ERRORS, Asker

NO_OPERATIONS, TOPIC_OPERATIONS, CLUSTER_OPERATIONS = -2147483648, 3576, 8096
BASE = 1_700_000_000_000
LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -1, -2, -3, -4, -5, -6


class Lookup(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker().start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.asker.create_topic("many", partitions=3)
        self.asker.create_topic("t")

    def metadata(self, version, topics, **options):
        if version >= 4:
            options.setdefault("AllowAutoTopicCreation", False)
        return self.asker.ask("Metadata", version, Topics=topics, **options)

    def test_no_topics_are_all_or_none(self):
        """Version 0 has no null: an empty list is all; later an empty list is none and null is all."""
        self.assertEqual(["many", "t"], [each["Name"] for each in self.metadata(0, [])["Topics"]])
        for version in (1, 4, 9, 12, 13):
            self.assertEqual([], self.metadata(version, [])["Topics"])
            self.assertEqual(["many", "t"], [each["Name"] for each in self.metadata(version, None)["Topics"]])

    def test_missing_and_impossible_names(self):
        answer = self.metadata(12, [{"Name": "nope"}, {"Name": "b d"}, {"Name": "t"}, {"Name": "t"}])
        self.assertEqual([("nope", "UNKNOWN_TOPIC_OR_PARTITION"), ("b d", "INVALID_TOPIC_EXCEPTION"), ("t", "NONE")],
                         [(each["Name"], ERRORS[each["ErrorCode"]]) for each in answer["Topics"]])

    def test_topics_by_id_from_version_12_on(self):
        topic = self.metadata(12, [{"Name": "t"}])["Topics"][0]["TopicId"]
        by_id = [{"Name": None, "TopicId": topic}]
        for version in (10, 11):
            refused, = self.metadata(version, by_id)["Topics"]
            self.assertEqual(("INVALID_REQUEST", "", topic), (ERRORS[refused["ErrorCode"]], refused["Name"], refused["TopicId"]))
        for version in (12, 13):
            self.assertEqual("t", self.metadata(version, by_id)["Topics"][0]["Name"])
            unknown, = self.metadata(version, [{"Name": None, "TopicId": uuid.uuid4()}])["Topics"]
            self.assertEqual(("UNKNOWN_TOPIC_ID", None), (ERRORS[unknown["ErrorCode"]], unknown["Name"]))

    def test_operations_are_told_when_asked_for(self):
        for version in (8, 9, 10):
            answer = self.metadata(version, [{"Name": "t"}], IncludeClusterAuthorizedOperations=True,
                                   IncludeTopicAuthorizedOperations=True)
            self.assertEqual((CLUSTER_OPERATIONS, TOPIC_OPERATIONS),
                             (answer["ClusterAuthorizedOperations"], answer["Topics"][0]["TopicAuthorizedOperations"]))
            self.assertEqual(NO_OPERATIONS, self.metadata(version, [{"Name": "t"}])["ClusterAuthorizedOperations"])

    def test_operations_are_told_of_whatever_has_a_name(self):
        answer = self.metadata(9, [{"Name": "nope"}, {"Name": "b d"}], IncludeTopicAuthorizedOperations=True)
        self.assertEqual([TOPIC_OPERATIONS] * 2, [each["TopicAuthorizedOperations"] for each in answer["Topics"]])
        answer = self.metadata(12, [{"Name": None, "TopicId": uuid.uuid4()}], IncludeTopicAuthorizedOperations=True)
        self.assertEqual(NO_OPERATIONS, answer["Topics"][0]["TopicAuthorizedOperations"])

    def test_beside_ids_names_do_not_count(self):
        topic = self.metadata(12, [{"Name": "t"}])["Topics"][0]["TopicId"]
        for other in ({"Name": "many"}, {"Name": "many", "TopicId": topic}, {"Name": "t"}):
            answer = self.metadata(12, [other, {"Name": None, "TopicId": topic}])
            self.assertEqual(["t"], [each["Name"] for each in answer["Topics"]])

    def test_kafkas_own_topics_are_made_with_their_own_configs(self):
        node = self.broker({"transaction.state.log.num.partitions": "3", "transaction.state.log.min.isr": "2",
                            "share.coordinator.state.topic.num.partitions": "2", "share.coordinator.state.topic.min.isr": "2"}).start()
        expected = {
            "__transaction_state": (3, {"cleanup.policy": "compact", "compression.type": "uncompressed", "min.insync.replicas": "2",
                                        "segment.bytes": "104857600", "unclean.leader.election.enable": "false"}),
            "__share_group_state": (2, {"cleanup.policy": "delete", "compression.type": "producer", "min.insync.replicas": "2",
                                        "segment.bytes": "104857600", "retention.ms": "-1"})}
        with Asker(node.address) as asker:
            asker.ask("Metadata", 9, Topics=[{"Name": name} for name in expected], AllowAutoTopicCreation=True)
            for name, (partitions, configs) in expected.items():
                topic, = asker.ask("Metadata", 9, Topics=[{"Name": name}], AllowAutoTopicCreation=False)["Topics"]
                self.assertEqual((True, partitions), (topic["IsInternal"], len(topic["Partitions"])))
                self.assertEqual(configs, {n: e["Value"] for n, e in asker.describe(2, name).items() if e["ConfigSource"] == 1})

    def test_auto_creation_is_the_clients_and_the_brokers_choice(self):
        self.assertEqual(3, self.metadata(9, [{"Name": "made"}], AllowAutoTopicCreation=True)["Topics"][0]["ErrorCode"])
        self.assertEqual(0, self.metadata(9, [{"Name": "made"}])["Topics"][0]["ErrorCode"])
        self.assertEqual(3, self.metadata(9, [{"Name": "other"}])["Topics"][0]["ErrorCode"])
        self.assertEqual(3, self.metadata(9, [{"Name": "other"}])["Topics"][0]["ErrorCode"])

    def test_describe_cluster_is_of_brokers(self):
        for version in (0, 1, 2):
            answer = self.asker.ask("DescribeCluster", version, IncludeClusterAuthorizedOperations=True)
            self.assertEqual((0, None, 1, CLUSTER_OPERATIONS), tuple(answer[k] for k in (
                "ErrorCode", "ErrorMessage", "ControllerId", "ClusterAuthorizedOperations")))
            self.assertEqual([(1, "127.0.0.1", self.node.port)], [(b["BrokerId"], b["Host"], b["Port"]) for b in answer["Brokers"]])
        for kind, code, message in ((2, "MISMATCHED_ENDPOINT_TYPE", "The request was sent to an endpoint of type BROKER, but we wanted an "
                                     "endpoint of type CONTROLLER"), (3, "UNSUPPORTED_ENDPOINT_TYPE", "Unsupported endpoint type 3")):
            answer = self.asker.ask("DescribeCluster", 1, EndpointType=kind)
            self.assertEqual((code, message), (ERRORS[answer["ErrorCode"]], answer["ErrorMessage"]))

    def partitions(self, names, limit=2000, cursor=None):
        answer = self.asker.ask("DescribeTopicPartitions", 0, Topics=[{"Name": each} for each in names], ResponsePartitionLimit=limit,
                                Cursor=cursor and {"TopicName": cursor[0], "PartitionIndex": cursor[1]})
        found = [(ERRORS[t["ErrorCode"]], t["Name"], [p["PartitionIndex"] for p in t["Partitions"]]) for t in answer["Topics"]]
        after = answer["NextCursor"]
        return found, after and (after["TopicName"], after["PartitionIndex"])

    def test_describe_topic_partitions_comes_in_pages(self):
        names = ["t", "many"]
        self.assertEqual(([("NONE", "many", [0, 1, 2]), ("NONE", "t", [0])], None), self.partitions(names))
        self.assertEqual(self.partitions(names), self.partitions([]), "none named: all")
        self.assertEqual(([("NONE", "many", [0, 1])], ("many", 2)), self.partitions(names, 2))
        self.assertEqual(([("NONE", "many", [2]), ("NONE", "t", [0])], None), self.partitions(names, 2, ("many", 2)))
        self.assertEqual(([("NONE", "many", [0, 1, 2])], ("t", 0)), self.partitions(names, 3))
        for limit in (0, -1):
            self.assertEqual(([("NONE", "many", [0])], ("many", 1)), self.partitions(names, limit), "at least one")
        for cursor in (("zzz", 0), ("a", 0), ("many", -1)):
            self.assertEqual({"INVALID_REQUEST"}, {each[0] for each in self.partitions(names, 2, cursor)[0]})
        self.assertEqual(["INVALID_TOPIC_EXCEPTION", "UNKNOWN_TOPIC_OR_PARTITION", "NONE"],
                         [each[0] for each in self.partitions(["nope", "t", "b d"])[0]])

    def list_offset(self, version, timestamp, partition=0, **options):
        answer = self.asker.ask("ListOffsets", version, ReplicaId=-1, Topics=[
            {"Name": "t", "Partitions": [{"PartitionIndex": partition, "Timestamp": timestamp, **options}]}])
        each, = answer["Topics"][0]["Partitions"]
        return ERRORS[each["ErrorCode"]], each["Timestamp"] - BASE if each["Timestamp"] > 0 else each["Timestamp"], each["Offset"]

    def test_offsets_by_name_and_by_timestamp_at_every_version(self):
        for ahead in (1000, 3000, 2000):
            self.asker.produce("t", batch([b"a", b"b"], timestamp=BASE + ahead))
        unsupported = ("UNSUPPORTED_VERSION", -1, -1)
        for version in range(1, 12):
            expected = {
                LATEST: ("NONE", -1, 6), EARLIEST: ("NONE", -1, 0),
                MAX_TIMESTAMP: ("NONE", 3000, 2) if version >= 7 else unsupported,
                EARLIEST_LOCAL: ("NONE", -1, 0) if version >= 8 else unsupported,
                LATEST_TIERED: ("NONE", -1, -1) if version >= 9 else unsupported,
                EARLIEST_PENDING: ("NONE", -1, -1) if version >= 11 else unsupported,
                -7: unsupported,
                0: ("NONE", 1000, 0), BASE + 2000: ("NONE", 3000, 2), BASE + 3001: ("NONE", -1, -1)}
            for timestamp, answer in expected.items():
                with self.subTest(version=version, timestamp=timestamp):
                    self.assertEqual(answer, self.list_offset(version, timestamp))

    def test_list_offsets_refuses_what_is_not_here(self):
        self.assertEqual("UNKNOWN_TOPIC_OR_PARTITION", self.list_offset(6, LATEST, partition=9)[0])
        self.assertEqual("UNKNOWN_LEADER_EPOCH", self.list_offset(6, LATEST, CurrentLeaderEpoch=5)[0])
        self.assertEqual("NONE", self.list_offset(6, LATEST, CurrentLeaderEpoch=0)[0])
        twice = [{"PartitionIndex": 0, "Timestamp": LATEST}, {"PartitionIndex": 0, "Timestamp": EARLIEST}]
        answer = self.asker.ask("ListOffsets", 6, ReplicaId=-1, Topics=[{"Name": "t", "Partitions": twice}])
        self.assertEqual(["INVALID_REQUEST"], [ERRORS[each["ErrorCode"]] for each in answer["Topics"][0]["Partitions"]])

    def test_list_offsets_tells_the_epoch_of_a_log_without_records(self):
        for version in range(4, 12):
            for timestamp in (LATEST, EARLIEST):
                answer = self.asker.ask("ListOffsets", version, ReplicaId=-1, Topics=[
                    {"Name": "t", "Partitions": [{"PartitionIndex": 0, "Timestamp": timestamp}]}])
                self.assertEqual(0, answer["Topics"][0]["Partitions"][0]["LeaderEpoch"])

    def test_list_offsets_refuses_what_cannot_be(self):
        self.assertEqual("FENCED_LEADER_EPOCH", self.list_offset(6, LATEST, CurrentLeaderEpoch=-2)[0])
        one = {"Name": "t", "Partitions": [{"PartitionIndex": 0, "Timestamp": LATEST}]}
        twice = self.asker.ask("ListOffsets", 6, ReplicaId=-1, Topics=[one, one])
        self.assertEqual({"INVALID_REQUEST"}, {ERRORS[t["Partitions"][0]["ErrorCode"]] for t in twice["Topics"]})
        for level in (2, -1):
            answer = self.asker.ask("ListOffsets", 6, ReplicaId=-1, IsolationLevel=level, Topics=[one])
            self.assertEqual("UNKNOWN_SERVER_ERROR", ERRORS[answer["Topics"][0]["Partitions"][0]["ErrorCode"]])

    def test_the_end_of_an_epoch_without_records(self):
        for version in (2, 3, 4):
            for epoch, current, expected in ((0, -1, ("NONE", 0, 0)), (0, 0, ("NONE", 0, 0)), (1, -1, ("NONE", -1, -1)),
                                             (0, -2, ("FENCED_LEADER_EPOCH", -1, -1))):
                answer = self.asker.ask("OffsetForLeaderEpoch", version, Topics=[
                    {"Topic": "t", "Partitions": [{"Partition": 0, "LeaderEpoch": epoch, "CurrentLeaderEpoch": current}]}])
                each, = answer["Topics"][0]["Partitions"]
                self.assertEqual(expected, (ERRORS[each["ErrorCode"]], each["LeaderEpoch"], each["EndOffset"]))

    def test_the_end_of_an_epoch(self):
        self.asker.produce("t", batch([b"a", b"b"]))
        for version in (2, 3, 4):
            for epoch, current, expected in ((0, -1, ("NONE", 0, 2)), (0, 0, ("NONE", 0, 2)), (5, -1, ("NONE", -1, -1)),
                                             (-1, -1, ("NONE", -1, -1)), (0, 4, ("UNKNOWN_LEADER_EPOCH", -1, -1))):
                answer = self.asker.ask("OffsetForLeaderEpoch", version, Topics=[
                    {"Topic": "t", "Partitions": [{"Partition": 0, "LeaderEpoch": epoch, "CurrentLeaderEpoch": current}]}])
                each, = answer["Topics"][0]["Partitions"]
                self.assertEqual(expected, (ERRORS[each["ErrorCode"]], each["LeaderEpoch"], each["EndOffset"]))


if __name__ == "__main__":
    unittest.main()
