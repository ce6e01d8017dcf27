"""The same requests to Apache Kafka and to Millrace, at every version that both serve: the answers must be the same, but for what every cluster
has of its own (ids, ports, times) and for the order of what has none."""

import json
import re
import subprocess
import time
import unittest
import uuid

from interop.apache import ApacheBroker, catch_up
from support.broker import BINARY, BrokerTest
from support.kafka import batch
from support.protocol import ERRORS, MESSAGES, Asker
from support.quotas import entity

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
UNKNOWN_ID = uuid.UUID(int=99)
OF_ITS_OWN = {"Port", "ClusterId", "SessionId", "LogDir", "FinalizedFeaturesEpoch", "TotalBytes", "UsableBytes", "LogAppendTimeMs", "LastTimestamp",
              "LastFetchTimestamp", "LastCaughtUpTimestamp", "ReplicaDirectoryId", "HighWatermark", "LogEndOffset", "ProducerId"}
NAMES = ("ResourceType", "ResourceName", "Name", "TopicName", "Topic", "TopicId", "Index", "PartitionIndex", "Partition", "ApiKey", "Entity", "Key")


class Side:
    """One of the two brokers, with the ids of its topics, so that answers can be compared."""

    def __init__(self, address):
        self.asker = Asker(address)
        self.ids = {}

    def create(self, name, partitions=1, **configs):
        topic, = self.asker.ask("CreateTopics", 7, timeoutMs=10000, Topics=[
            {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
             "Configs": [{"Name": key.replace("_", "."), "Value": value} for key, value in configs.items()]}])["Topics"]
        if topic["ErrorCode"]:
            raise AssertionError(f"{name} was not created: {topic}")
        self.ids[topic["TopicId"]] = name
        deadline = time.monotonic() + 60   # Apache Kafka answers before its broker knows the topic, and tells of leaders that do not lead yet
        while any(self.asker.list_offset(name, -1, partition)[0] for partition in range(partitions)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} has no leaders that lead")
            time.sleep(0.02)

    def catch_up(self):
        catch_up(self.asker)

    def id(self, name):
        return next(key for key, value in self.ids.items() if value == name)

    def ask(self, api, version, **values):
        return self.plain(self.asker.ask(api, version, **values))

    def plain(self, value, key=None):
        if isinstance(value, dict):
            return {k: self.plain(v, k) for k, v in value.items()}
        if isinstance(value, list):
            items = [self.plain(each, key) for each in value]
            if items and isinstance(items[0], dict):
                items.sort(key=lambda each: json.dumps([each.get(name) for name in NAMES]))
            return items
        if key == "ErrorCode":
            return ERRORS[value]
        if isinstance(value, uuid.UUID):
            return self.ids.get(value, "an id" if value.int else "no id")
        if key in OF_ITS_OWN and value is not None:
            return "something" if isinstance(value, str) or value >= 0 else value
        if isinstance(value, bytes):
            return value.hex()
        return re.sub(r"\d{11,}", "N", value) if isinstance(value, str) else value


class BothSides(BrokerTest):
    PROPERTIES = {"share.coordinator.state.topic.replication.factor": "1", "millrace.http.listener": ""}

    def setUp(self):
        super().setUp()
        other = self.broker(self.PROPERTIES)
        file = other.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in other.properties.items()))
        subprocess.run([BINARY, "format", "-t", "JBnGmM1nQnKjv6nDT2mAzQ", "-c", file], check=True, capture_output=True)
        apache = ApacheBroker(other).start()
        self.addCleanup(apache.kill)
        self.nodes = [other, self.broker(self.PROPERTIES).start()]
        self.sides = [Side(node.address) for node in self.nodes]
        for side in self.sides:
            self.addCleanup(side.asker.socket.close)

    def on_both(self, act):
        return [act(side) for side in self.sides]

    def same(self, api, values, versions=None):
        """`values`: the fields of the request, or what makes them of a side and a version."""
        least, most = versions or MESSAGES[api + "Request"].versions
        for version in range(least, most + 1):
            with self.subTest(api=api, version=version):
                theirs, ours = self.on_both(lambda side, version=version: side.ask(
                    api, version, **(values(side, version) if callable(values) else values)))
                self.assertEqual(theirs, ours)


# Of users, ACLs and tokens: not served yet.
OF_SECURITY = {"SaslHandshake", "SaslAuthenticate", "DescribeAcls", "CreateAcls", "DeleteAcls", "CreateDelegationToken", "RenewDelegationToken",
               "ExpireDelegationToken", "DescribeDelegationToken", "DescribeUserScramCredentials", "AlterUserScramCredentials"}


class Differential(BothSides):
    def test_the_same_apis_features_and_versions_are_served_on_both_listeners(self):
        security = {MESSAGES[name + "Request"].key for name in OF_SECURITY}
        listeners = {"broker": [side.asker for side in self.sides],
                     "controller": [Asker(f"127.0.0.1:{node.controller_port}") for node in self.nodes]}
        for asker in listeners["controller"]:
            self.addCleanup(asker.socket.close)

        def served(asker, version):
            answer = asker.ask("ApiVersions", version, ClientSoftwareName="tests", ClientSoftwareVersion="1")
            apis = {each["ApiKey"]: (each["MinVersion"], each["MaxVersion"]) for each in answer.pop("ApiKeys") if each["ApiKey"] not in security}
            features = {kind: sorted(map(str, answer.get(kind, ()))) for kind in ("SupportedFeatures", "FinalizedFeatures")}
            return apis, features, answer["ErrorCode"], answer.get("ZkMigrationReady")
        for version in range(5):
            for listener, askers in listeners.items():
                with self.subTest(version=version, listener=listener):
                    theirs, ours = (served(asker, version) for asker in askers)
                    self.assertEqual(theirs, ours)

    def test_clusters_and_topics_are_described_alike(self):
        self.on_both(lambda side: (side.create("many", 3), side.create("one")))
        for names in (["many", "nope", "b d", "", ".", "x" * 250], ["one"]):
            topics = [{"Name": name} for name in names]
            self.same("Metadata", {"Topics": topics, "AllowAutoTopicCreation": False, "IncludeTopicAuthorizedOperations": True}, (4, 13))
        self.same("Metadata", lambda side, _: {"Topics": [{"Name": None, "TopicId": each} for each in (side.id("one"), UNKNOWN_ID)]}, (12, 13))
        self.same("Metadata", {"Topics": []}, (1, 13))
        for limit, cursor in ((2000, None), (2, None), (0, None), (2, ("many", 2)), (2, ("one", 0)), (2, ("zzz", 0)), (2, ("many", -1))):
            self.same("DescribeTopicPartitions", {
                "Topics": [{"Name": name} for name in ("one", "many", "nope")], "ResponsePartitionLimit": limit,
                "Cursor": cursor and {"TopicName": cursor[0], "PartitionIndex": cursor[1]}})
        for kind in (1, 2, 3):
            self.same("DescribeCluster", {"EndpointType": kind, "IncludeClusterAuthorizedOperations": True})
        for topics in ([("__cluster_metadata", [0])], [("__cluster_metadata", [1])], [("x", [0])], []):
            self.same("DescribeQuorum", {"Topics": [
                {"TopicName": name, "Partitions": [{"PartitionIndex": p} for p in partitions]} for name, partitions in topics]}, (0, 0))

    def test_offsets_and_epochs_are_alike(self):
        base = int(time.time() * 1000) - 100_000
        self.on_both(lambda side: side.create("t", 2))
        for ahead in (1000, 3000, 2000):
            self.on_both(lambda side, ahead=ahead: side.asker.produce("t", batch([b"a", b"b"], timestamp=base + ahead)))
        for timestamp in (-1, -2, -3, -4, -5, -6, -7, 0, base + 1000, base + 1001, base + 3001):
            self.same("ListOffsets", {"ReplicaId": -1, "TimeoutMs": 5000, "Topics": [{"Name": "t", "Partitions": [
                {"PartitionIndex": p, "Timestamp": timestamp} for p in (0, 1, 9)]}]})
        for epoch in (-2, -1, 0, 1):
            for partition in (0, 1, 9):
                self.same("OffsetForLeaderEpoch", {"Topics": [{"Topic": "t", "Partitions": [
                    {"Partition": partition, "LeaderEpoch": 0, "CurrentLeaderEpoch": epoch}]}]})
                self.same("OffsetForLeaderEpoch", {"Topics": [{"Topic": "t", "Partitions": [{"Partition": partition, "LeaderEpoch": epoch}]}]})

    def test_records_are_fetched_alike(self):
        self.on_both(lambda side: side.create("t", 3))
        data = batch([b"a", b"b"], timestamp=int(time.time() * 1000))
        for partition in (0, 0, 0, 1):
            self.on_both(lambda side, partition=partition: side.asker.produce("t", data, partition))

        def fetch(*partitions, **options):
            def values(side, version):
                topic = {"TopicId": side.id("t")} if version >= 13 else {"Topic": "t"}
                wanted = [{"PartitionMaxBytes": 1 << 20, **each} for each in partitions]
                return {"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 1 << 20, "Topics": [{**topic, "Partitions": wanted}], **options}
            self.same("Fetch", values)
        everything = [{"Partition": p, "FetchOffset": 0} for p in (0, 1, 2, 9, -1)]
        fetch(*everything)
        fetch(*everything, IsolationLevel=1)
        for limit in (0, 1, 100, 200):
            fetch(*everything[:2], MaxBytes=limit)
        for offset in (-1, 1, 5, 6, 7):
            fetch({"Partition": 0, "FetchOffset": offset})
        for epochs in ((0, -1), (3, -1), (-1, 0), (-1, 1), (0, 0)):
            fetch({"Partition": 0, "FetchOffset": 6, "CurrentLeaderEpoch": epochs[0], "LastFetchedEpoch": epochs[1]})
        fetch({"Partition": 0, "FetchOffset": 7, "LastFetchedEpoch": 0})

    def test_topics_are_made_and_unmade_alike(self):
        topics = {
            "fine": (2, 1, {}), "defaults": (-1, -1, {}), "none": (0, 1, {}), "no-replicas": (0, 0, {}), "replicas": (1, 2, {}), "b d": (1, 1, {}),
            "unknown": (1, 1, {"nope": "1"}), "null": (1, 1, {"retention.ms": None}), "bad": (1, 1, {"retention.ms": "x"}),
            "range": (1, 1, {"retention.ms": "-2"}), "policy": (1, 1, {"cleanup.policy": "foo"}), "good": (1, 1, {"retention.ms": "5"})}

        def create(version, names):
            return {"timeoutMs": 10000, "validateOnly": version % 2 == 0, "Topics": [
                {"Name": f"v{version}-{name}" if name != "b d" else name, "NumPartitions": topics[name][0], "ReplicationFactor": topics[name][1],
                 "Configs": [{"Name": k, "Value": v} for k, v in topics[name][2].items()]} for name in names]}
        for name in topics:
            self.same("CreateTopics", lambda _, version, name=name: create(version, [name]))
        self.same("CreateTopics", lambda _, version: create(version, ["defaults", "defaults", "b d"]))
        self.on_both(lambda side: side.create("t"))
        for count in (0, 1, -1):
            self.same("CreatePartitions", {"TimeoutMs": 5000, "Topics": [{"Name": "t", "Count": count, "Assignments": None},
                                                                         {"Name": "nope", "Count": count, "Assignments": None}]})
        self.same("CreatePartitions", lambda _, version: {"TimeoutMs": 5000, "Topics": [{"Name": "t", "Count": version + 2, "Assignments": None}]})
        self.same("DeleteTopics", {"TimeoutMs": 5000, "TopicNames": ["nope", "b d", ""]}, (1, 5))
        by_id = lambda side, _: {"TimeoutMs": 5000, "Topics": [{"Name": "t"}, {"Name": None, "TopicId": side.id("t")}]}  # noqa: E731
        self.same("DeleteTopics", by_id, (6, 6))
        self.same("DeleteTopics", {"TimeoutMs": 5000, "Topics": [{"Name": "t"}, {"Name": "nope"}, {"Name": None, "TopicId": UNKNOWN_ID}]}, (6, 6))

    def test_configs_are_described_and_altered_alike(self):
        self.on_both(lambda side: side.create("t", retention_ms="1234", cleanup_policy="compact"))
        resources = ((TOPIC, "t", None), (TOPIC, "nope", None), (TOPIC, "b d", None), (BROKER, "", None), (BROKER, "2", None), (BROKER, "x", None),
                     (METRICS, "m", None), (METRICS, "", None), (GROUP, "g", None), (GROUP, "", None), (LOGGER, "", None),
                     (BROKER, "1", ["log.retention.ms", "message.max.bytes", "node.id", "ssl.keystore.password"]))
        for kind, name, keys in resources:
            self.same("DescribeConfigs", {"IncludeSynonyms": True, "Resources": [
                {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}]})
        changes = ((TOPIC, "t", "retention.ms", 0, "5"), (TOPIC, "t", "retention.ms", 0, None), (TOPIC, "t", "retention.ms", 0, "x"),
                   (TOPIC, "t", "retention.ms", 1, None), (TOPIC, "t", "nope", 0, "1"), (TOPIC, "t", "retention.ms", 2, "5"),
                   (TOPIC, "t", "cleanup.policy", 2, "delete"), (TOPIC, "t", "cleanup.policy", 3, "compact"), (TOPIC, "t", "cleanup.policy", 2, "x"),
                   (TOPIC, "nope", "retention.ms", 0, "5"), (TOPIC, "b d", "retention.ms", 0, "5"), (TOPIC, "", "retention.ms", 0, "5"),
                   (BROKER, "1", "node.id", 0, "5"), (BROKER, "1", "message.max.bytes", 0, "x"), (BROKER, "2", "message.max.bytes", 0, "1"),
                   (BROKER, "", "log.retention.ms", 0, "5000000"), (GROUP, "g", "consumer.session.timeout.ms", 0, "5"),
                   (METRICS, "m", "interval.ms", 0, "5"), (METRICS, "m", "match", 0, "x"), (LOGGER, "1", "root", 1, None))
        for kind, name, key, operation, value in changes:
            self.same("IncrementalAlterConfigs", {"Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [
                {"Name": key, "ConfigOperation": operation, "Value": value}]}]})
        self.same("AlterConfigs", {"Resources": [
            {"ResourceType": TOPIC, "ResourceName": "t", "Configs": [{"Name": "segment.ms", "Value": "99999"}]}]})

    def test_quotas_are_altered_and_described_alike(self):
        """Errors and their words, what a second alteration leaves, all filters. Entities are in the order in which Apache Kafka has them."""
        def op(key, value=None):
            return {"Key": key, "Value": value or 0, "Remove": value is None}
        entities = (entity(user="u"), entity(user=None), entity(client_id="c"), entity(user="u", client_id="c"), entity(user="u", client_id=None),
                    entity(ip="127.0.0.1"), entity(ip=None), entity(ip="::1"), entity(ip="no such host"), entity(ip="127.0.0.1", user="u"), entity(group="g"),
                    entity(user=""), entity(ip=""), [], [*entity(user="u"), *entity(user="v")])
        changes = ([op("producer_byte_rate", 1000)], [op("producer_byte_rate", 1000), op("request_percentage", 0.5)], [op("request_percentage")],
                   [op("consumer_byte_rate")], [op("connection_creation_rate", 5)], [op("connection_creation_rate", 5.5)], [op("connection_creation_rate", 3e9)],
                   [op("producer_byte_rate", 0)], [op("producer_byte_rate", -5)], [op("producer_byte_rate", 1e19)], [op("producer_byte_rate", 1.5)],
                   [op("controller_mutation_rate", 1e30)], [op("nope", 1)], [op("nope")],
                   [op("producer_byte_rate", 1), op("producer_byte_rate", 2)], [])
        for parts in entities:
            for ops in changes:
                for validate_only in (True, False):
                    self.same("AlterClientQuotas", {"ValidateOnly": validate_only, "Entries": [{"Entity": parts, "Ops": ops}]}, (1, 1))
        twice = {"Entity": entity(user="u", client_id="c"), "Ops": [op("producer_byte_rate", 77)]}
        self.same("AlterClientQuotas", {"Entries": [twice, twice]})
        self.same("AlterClientQuotas", {"Entries": []})
        self.on_both(Side.catch_up)
        filters = [[(kind, how, name)] for kind in ("user", "client-id", "ip", "", "group") for how in (0, 1, 2, 3) for name in ("u", None)]
        filters += [[], [("user", 0, "u"), ("client-id", 0, "c")], [("user", 0, "u"), ("client-id", 2, None)], [("user", 0, "u"), ("user", 2, None)],
                    [("user", 2, None), ("ip", 2, None)], [("ip", 0, "127.0.0.1")]]
        for components in filters:
            for strict in (False, True):
                self.same("DescribeClientQuotas", {"Strict": strict, "Components": [
                    {"EntityType": kind, "MatchType": how, "Match": name} for kind, how, name in components]})


if __name__ == "__main__":
    unittest.main()
