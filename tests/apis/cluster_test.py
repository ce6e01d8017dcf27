"""Topics, the quorum and features over the wire (kafka.md 2.10): what only the whole broker can show. The decisions themselves are
tested in src/controller."""

import unittest
import uuid

from support.broker import BrokerTest
from support.kafka import batch
from support.protocol import ERRORS, Asker

NO_ID = uuid.UUID(int=0)


class Cluster(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker().start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)

    def create(self, *topics, version=7, validate_only=False):
        answer = self.asker.ask("CreateTopics", version, Topics=list(topics), timeoutMs=5000, validateOnly=validate_only)
        return {each["Name"]: each for each in answer["Topics"]}

    def delete(self, *topics):
        answer = self.asker.ask("DeleteTopics", 6, Topics=list(topics), TimeoutMs=5000)
        return [(each["Name"], ERRORS[each["ErrorCode"]], each["ErrorMessage"]) for each in answer["Responses"]]

    def test_create_topics_answers_with_what_the_topic_has(self):
        made = self.create({"Name": "t", "NumPartitions": 3, "ReplicationFactor": 1})["t"]
        self.assertEqual((0, None, 3, 1), tuple(made[k] for k in ("ErrorCode", "ErrorMessage", "NumPartitions", "ReplicationFactor")))
        self.assertNotEqual(NO_ID, made["TopicId"])
        self.assertEqual(33, len(made["Configs"]))
        for version in range(2, 5):
            self.assertEqual(0, self.create({"Name": f"v{version}", "NumPartitions": 1, "ReplicationFactor": 1},
                                            version=version)[f"v{version}"]["ErrorCode"])

    def test_a_bad_config_is_refused_by_name_and_reason(self):
        refused = self.create({"Name": "t", "NumPartitions": 1, "ReplicationFactor": 1,
                               "Configs": [{"Name": "retention.ms", "Value": "soon"}]})["t"]
        self.assertEqual("INVALID_CONFIG", ERRORS[refused["ErrorCode"]])
        self.assertEqual("Invalid value soon for configuration retention.ms: Not a number of type LONG", refused["ErrorMessage"])
        self.assertEqual((-1, -1), (refused["NumPartitions"], refused["ReplicationFactor"]))

    def test_validate_only_tells_what_would_be(self):
        self.assertEqual(2, self.create({"Name": "t", "NumPartitions": 2, "ReplicationFactor": 1}, validate_only=True)["t"]["NumPartitions"])
        self.assertEqual([], self.asker.ask("Metadata", 12, Topics=None)["Topics"])

    def test_one_topic_twice_is_not_deleted(self):
        topic = self.create({"Name": "t", "NumPartitions": 1, "ReplicationFactor": 1})["t"]["TopicId"]
        by_id = {"Name": None, "TopicId": topic}
        self.assertEqual([("t", "INVALID_REQUEST", "Duplicate topic name.")], self.delete({"Name": "t"}, {"Name": "t"}))
        self.assertEqual([(None, "INVALID_REQUEST", "Duplicate topic id.")], self.delete(by_id, by_id))
        self.assertEqual([("t", "INVALID_REQUEST", "The provided topic name maps to an ID that was already supplied.")],
                         self.delete({"Name": "t"}, by_id))
        self.assertEqual([("t", "INVALID_REQUEST", "You may not specify both topic name and topic id.")],
                         self.delete({"Name": "t", "TopicId": topic}))
        self.assertEqual([(None, "INVALID_REQUEST", "Neither topic name nor id were specified.")], self.delete({"Name": None}))
        self.assertEqual([(None, "UNKNOWN_TOPIC_ID", "This server does not host this topic ID.")],
                         self.delete({"Name": None, "TopicId": uuid.uuid4()}))
        self.assertEqual([("t", "NONE", None)], self.delete(by_id))

    def test_describe_quorum_tells_of_the_metadata_log_and_nothing_else(self):
        for version in (0, 1, 2):
            answer = self.asker.ask("DescribeQuorum", version, Topics=[
                {"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}])
            partition = answer["Topics"][0]["Partitions"][0]
            self.assertEqual((0, 1), (partition["ErrorCode"], partition["LeaderId"]))
            voter = partition["CurrentVoters"][0]
            self.assertEqual(partition["HighWatermark"], voter["LogEndOffset"])
            if version == 2:
                self.assertNotEqual(NO_ID, voter["ReplicaDirectoryId"])
                self.assertEqual([("CONTROLLER", "127.0.0.1", self.node.controller_port)],
                                 [(each["Name"], each["Host"], each["Port"]) for each in answer["Nodes"][0]["Listeners"]])
        other = self.asker.ask("DescribeQuorum", 2, Topics=[{"TopicName": "t", "Partitions": [{"PartitionIndex": 0}]}])
        self.assertEqual("UNKNOWN_TOPIC_OR_PARTITION", ERRORS[other["Topics"][0]["Partitions"][0]["ErrorCode"]])

    def test_a_new_level_of_a_feature_is_what_api_versions_tells(self):
        def finalized():
            answer = self.asker.ask("ApiVersions", 4, ClientSoftwareName="tests", ClientSoftwareVersion="1")
            return {each["Name"]: each["MaxVersionLevel"] for each in answer["FinalizedFeatures"]}
        self.assertEqual(1, finalized()["group.version"])
        for version, results in ((1, 1), (2, None)):
            change = [{"Feature": "group.version", "MaxVersionLevel": 2 - version, "UpgradeType": version % 2 or 2}]
            answer = self.asker.ask("UpdateFeatures", version, FeatureUpdates=change)
            self.assertEqual((0, None), (answer["ErrorCode"], answer["ErrorMessage"]))
            self.assertEqual(results, len(answer["Results"]) if "Results" in answer else None)
        self.assertNotIn("group.version", finalized(), "level 0 is not told (kafka.md 2.1)")

    def test_the_kraft_version_is_the_quorums(self):
        answer = self.asker.ask("ApiVersions", 4, ClientSoftwareName="tests", ClientSoftwareVersion="1")
        self.assertIn(("kraft.version", 1), [(each["Name"], each["MaxVersionLevel"]) for each in answer["FinalizedFeatures"]])
        for level, error in ((1, "NONE"), (0, "INVALID_UPDATE_VERSION")):
            change = [{"Feature": "kraft.version", "MaxVersionLevel": level, "UpgradeType": 3}]
            self.assertEqual(error, ERRORS[self.asker.ask("UpdateFeatures", 2, FeatureUpdates=change)["ErrorCode"]])

    def test_without_time_nothing_is_begun(self):
        made = {"Name": "late", "NumPartitions": 1, "ReplicationFactor": 1}
        self.asker.create_topic("t")
        for timeout in (0, -1):
            for version in (2, 5, 7):
                answer = self.asker.ask("CreateTopics", version, Topics=[made], timeoutMs=timeout)["Topics"][0]
                self.assertEqual("REQUEST_TIMED_OUT", ERRORS[answer["ErrorCode"]])
            for version in (1, 6):
                named = {"TopicNames": ["t"]} if version < 6 else {"Topics": [{"Name": "t"}]}
                answer = self.asker.ask("DeleteTopics", version, TimeoutMs=timeout, **named)["Responses"][0]
                self.assertEqual(("t", "REQUEST_TIMED_OUT"), (answer["Name"], ERRORS[answer["ErrorCode"]]))
            answer = self.asker.ask("CreatePartitions", 3, Topics=[{"Name": "t", "Count": 9, "Assignments": None}], TimeoutMs=timeout)
            self.assertEqual("REQUEST_TIMED_OUT", ERRORS[answer["Results"][0]["ErrorCode"]])
        topic, = self.asker.ask("Metadata", 12, Topics=None)["Topics"]
        self.assertEqual(("t", 1), (topic["Name"], len(topic["Partitions"])))

    def test_numbers_of_partitions_and_replicas(self):
        for partitions, replicas, code, message in (
                (0, 1, "INVALID_PARTITIONS", "Number of partitions was set to an invalid non-positive value."),
                (0, 0, "INVALID_REPLICATION_FACTOR", "Replication factor must be larger than 0, or -1 to use the default value."),
                (1, 2, "INVALID_REPLICATION_FACTOR", "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be "
                 "reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."),
                (10001, 1, "POLICY_VIOLATION", "Excessively large number of partitions per request.")):
            refused = self.create({"Name": "t", "NumPartitions": partitions, "ReplicationFactor": replicas})["t"]
            self.assertEqual((code, message), (ERRORS[refused["ErrorCode"]], refused["ErrorMessage"]))

    def test_records_are_deleted_where_that_is_allowed(self):
        self.asker.create_topic("t")
        self.asker.create_topic("compact", configs={"cleanup.policy": "compact"})
        self.asker.find_coordinator("g")
        for _ in range(3):
            self.asker.produce("t", batch([b"a", b"b"]))

        def delete(topic, offset, partition=0, version=2):
            answer = self.asker.ask("DeleteRecords", version, TimeoutMs=5000, Topics=[
                {"Name": topic, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}])["Topics"][0]["Partitions"][0]
            return ERRORS[answer["ErrorCode"]], answer["LowWatermark"]
        for version, offset, expected in ((0, 1, ("NONE", 1)), (1, 0, ("NONE", 1)), (2, 7, ("OFFSET_OUT_OF_RANGE", -1)),
                                          (2, -2, ("OFFSET_OUT_OF_RANGE", -1)), (2, -1, ("NONE", 6))):
            self.assertEqual(expected, delete("t", offset, version=version))
        self.assertEqual(("POLICY_VIOLATION", -1), delete("compact", -1))
        self.assertEqual(("INVALID_TOPIC_EXCEPTION", -1), delete("__consumer_offsets", -1))
        for topic, partition in (("t", 9), ("t", -1), ("nope", 0), ("__consumer_offsets", 999)):
            self.assertEqual(("UNKNOWN_TOPIC_OR_PARTITION", -1), delete(topic, -1, partition))

    def test_features_with_a_least_version_of_zero_are_told_from_version_4_on(self):
        names = {version: {each["Name"] for each in self.asker.ask(
            "ApiVersions", version, ClientSoftwareName="tests", ClientSoftwareVersion="1")["SupportedFeatures"]} for version in (3, 4)}
        self.assertEqual({"metadata.version"}, names[3])
        self.assertIn("group.version", names[4])

    def test_list_config_resources_filters_by_type(self):
        self.asker.create_topic("t")
        self.asker.alter(16, "m", ("interval.ms", 0, "1000"))
        self.asker.alter(32, "g", ("consumer.session.timeout.ms", 0, "46000"))

        def listed(version, *types):
            answer = self.asker.ask("ListConfigResources", version, **({"ResourceTypes": list(types)} if version else {}))
            return ERRORS[answer["ErrorCode"]], sorted((each["ResourceName"], each.get("ResourceType")) for each in answer["ConfigResources"])
        self.assertEqual(("NONE", [("m", None)]), listed(0), "version 0 is client metrics alone")
        self.assertEqual(("NONE", [("1", 4), ("1", 8), ("g", 32), ("m", 16), ("t", 2)]), listed(1))
        self.assertEqual(("NONE", [("g", 32), ("t", 2)]), listed(1, 2, 32))
        self.assertEqual(("UNSUPPORTED_VERSION", []), listed(1, 1))

    def test_describe_log_dirs_tells_sizes_and_space(self):
        self.asker.create_topic("t")
        for version in range(1, 6):
            directory, = self.asker.ask("DescribeLogDirs", version, Topics=None)["Results"]
            self.assertEqual((0, str(self.node.data)), (directory["ErrorCode"], directory["LogDir"]))
            self.assertEqual(["t"], [each["Name"] for each in directory["Topics"]])
            if version >= 4:
                self.assertGreater(directory["TotalBytes"], directory["UsableBytes"])
        directory, = self.asker.ask("DescribeLogDirs", 4, Topics=[{"Topic": "t", "Partitions": [5]}])["Results"]
        self.assertEqual([], directory["Topics"])

    def test_create_partitions_checks_assignments(self):
        self.asker.create_topic("t")

        def grow(count, assignments=None):
            wanted = {"Name": "t", "Count": count, "Assignments": assignments and [{"BrokerIds": each} for each in assignments]}
            each, = self.asker.ask("CreatePartitions", 3, Topics=[wanted], TimeoutMs=5000)["Results"]
            return ERRORS[each["ErrorCode"]], each["ErrorMessage"]
        self.assertEqual(("INVALID_PARTITIONS", "Topic already has 1 partition(s)."), grow(1))
        self.assertEqual(("INVALID_REPLICA_ASSIGNMENT", "Attempted to add 2 additional partition(s), but only 1 assignment(s) were "
                          "specified."), grow(3, [[1]]))
        self.assertEqual(("INVALID_REPLICA_ASSIGNMENT", "The manual partition assignment includes broker 9, but no such broker is "
                          "registered."), grow(3, [[1], [9]]))
        self.assertEqual(("INVALID_REPLICA_ASSIGNMENT", "The manual partition assignment includes the broker 1 more than once."),
                         grow(3, [[1], [1, 1]]))
        self.assertEqual(("NONE", None), grow(3, [[1], [1]]))
        missing, = self.asker.ask("CreatePartitions", 3, Topics=[{"Name": "nope", "Count": 2, "Assignments": None}], TimeoutMs=5000)["Results"]
        self.assertEqual(("UNKNOWN_TOPIC_OR_PARTITION", None), (ERRORS[missing["ErrorCode"]], missing["ErrorMessage"]))


if __name__ == "__main__":
    unittest.main()
