"""The controller's listener: what it serves, the life of a broker that is no process of ours, and the metadata log as a replica fetches it
(KIP-595, KIP-630, KIP-631, KIP-919)."""

import time
import unittest
import uuid

from support.broker import BrokerTest
from support.protocol import ERRORS, Asker

METADATA_TOPIC = uuid.UUID(int=1)
STRANGER = uuid.UUID(int=0xABCD)
FEATURES = [{"Name": "metadata.version", "MinSupportedVersion": 7, "MaxSupportedVersion": 30},
            *({"Name": name, "MinSupportedVersion": 0, "MaxSupportedVersion": most} for name, most in (
                ("eligible.leader.replicas.version", 1), ("group.version", 1), ("share.version", 1), ("streams.version", 1),
                ("transaction.version", 2)))]


class Controller(BrokerTest):
    properties = {"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "200", "metadata.log.max.snapshot.interval.ms": "300"}

    def setUp(self):
        super().setUp()
        self.node = self.broker(self.properties).start()
        self.clients = self.asker(self.node.port)
        self.controllers = self.asker(self.node.controller_port)

    def asker(self, port):
        asker = Asker(f"127.0.0.1:{port}")
        self.addCleanup(asker.socket.close)
        return asker

    def cluster_id(self):
        return self.clients.ask("DescribeCluster", 2)["ClusterId"]

    def fenced(self):
        """{id: fenced} as a client is told."""
        answer = self.clients.ask("DescribeCluster", 2, IncludeFencedBrokers=True)
        return {each["BrokerId"]: each["IsFenced"] for each in answer["Brokers"]}

    def register(self, **changed):
        listener = {"Name": "PLAINTEXT", "Host": "127.0.0.1", "Port": 1, "SecurityProtocol": 0}
        return self.controllers.ask("BrokerRegistration", 4, **{
            "BrokerId": 2, "ClusterId": self.cluster_id(), "IncarnationId": uuid.uuid4(), "Listeners": [listener], "Rack": None,
            "Features": FEATURES, "LogDirs": [uuid.UUID(int=0xD1_0000)], **changed})

    def beat(self, epoch, **changed):
        return self.controllers.ask("BrokerHeartbeat", 2, BrokerId=2, BrokerEpoch=epoch, CurrentMetadataOffset=1 << 40, **changed)

    def fetch(self, offset, epoch=1, last_epoch=1, wait_ms=0, high_watermark=1 << 60):
        answer = self.controllers.ask("Fetch", 18, ReplicaState={"ReplicaId": 7}, MaxWaitMs=wait_ms, Topics=[
            {"TopicId": METADATA_TOPIC, "Partitions": [
                {"Partition": 0, "CurrentLeaderEpoch": epoch, "FetchOffset": offset, "LastFetchedEpoch": last_epoch,
                 "PartitionMaxBytes": 1 << 20, "ReplicaDirectoryId": STRANGER, "HighWatermark": high_watermark}]}])
        self.assertEqual(0, answer["ErrorCode"])
        return answer["Responses"][0]["Partitions"][0]

    def test_each_kind_of_listener_has_its_own_apis(self):
        served = [{each["ApiKey"] for each in asker.ask("ApiVersions", 4, ClientSoftwareName="t", ClientSoftwareVersion="1")["ApiKeys"]}
                  for asker in (self.clients, self.controllers)]
        self.assertIn(0, served[0])
        self.assertNotIn(62, served[0])
        self.assertNotIn(0, served[1])
        self.assertLessEqual({1, 18, 52, 53, 54, 55, 59, 60, 62, 63, 67, 70}, served[1])

    def test_controllers_are_described_where_controllers_listen(self):
        answer = self.controllers.ask("DescribeCluster", 2, EndpointType=2)
        self.assertEqual([(1, self.node.controller_port)], [(each["BrokerId"], each["Port"]) for each in answer["Brokers"]])
        for asker, wrong in ((self.controllers, 1), (self.clients, 2)):
            self.assertEqual("MISMATCHED_ENDPOINT_TYPE", ERRORS[asker.ask("DescribeCluster", 2, EndpointType=wrong)["ErrorCode"]])

    def test_a_broker_registers_is_unfenced_by_its_heartbeat_and_fenced_without_it(self):
        registered = self.register()
        self.assertEqual(0, registered["ErrorCode"])
        self.assertEqual({1: False, 2: True}, self.fenced())
        beat = self.beat(registered["BrokerEpoch"])
        self.assertEqual((0, True, False), (beat["ErrorCode"], beat["IsCaughtUp"], beat["IsFenced"]))
        self.assertEqual({1: False, 2: False}, self.fenced())
        deadline = time.monotonic() + 10
        while not self.fenced()[2]:
            self.assertLess(time.monotonic(), deadline, "it is never fenced")
            time.sleep(0.05)
        self.assertFalse(self.fenced()[1])
        self.assertTrue(self.beat(registered["BrokerEpoch"], WantShutDown=True)["ShouldShutDown"])

    def test_what_does_not_fit_is_refused(self):
        for changed, error in (({"ClusterId": "other"}, "INCONSISTENT_CLUSTER_ID"), ({"Features": []}, "INVALID_REGISTRATION"),
                               ({"LogDirs": []}, "INVALID_REGISTRATION"), ({"BrokerId": 1}, "DUPLICATE_BROKER_REGISTRATION")):
            with self.subTest(changed):
                self.assertEqual(error, ERRORS[self.register(**changed)["ErrorCode"]])
        self.assertEqual("STALE_BROKER_EPOCH", ERRORS[self.beat(5)["ErrorCode"]])
        epoch = self.register()["BrokerEpoch"]
        self.assertEqual("STALE_BROKER_EPOCH", ERRORS[self.beat(epoch + 1)["ErrorCode"]])
        ids = [self.controllers.ask("AllocateProducerIds", 0, BrokerId=2, BrokerEpoch=epoch) for _ in range(2)]
        self.assertEqual(1000, ids[1]["ProducerIdStart"] - ids[0]["ProducerIdStart"])
        self.assertEqual("STALE_BROKER_EPOCH", ERRORS[self.controllers.ask(
            "AllocateProducerIds", 0, BrokerId=2, BrokerEpoch=epoch + 1)["ErrorCode"]])

    def test_a_replica_fetches_the_log_waits_at_its_end_and_is_told_when_it_diverges(self):
        first = self.fetch(0, last_epoch=0)
        self.assertEqual(0, first["ErrorCode"])
        self.assertEqual((1, 1), (first["CurrentLeader"]["LeaderId"], first["CurrentLeader"]["LeaderEpoch"]))
        segment = next((self.node.data / "__cluster_metadata-0").glob("*.log")).read_bytes()
        self.assertEqual(segment[:len(first["Records"])], first["Records"])
        end = first["HighWatermark"]
        self.assertGreater(end, 0)
        begun = time.monotonic()
        self.assertFalse(self.fetch(end, wait_ms=300)["Records"])
        self.assertGreater(time.monotonic() - begun, 0.2)
        self.assertEqual((1, end), tuple(self.fetch(end + 100)["DivergingEpoch"][k] for k in ("Epoch", "EndOffset")))
        self.assertEqual("FENCED_LEADER_EPOCH", ERRORS[self.fetch(end, epoch=0)["ErrorCode"]])
        self.assertEqual("UNKNOWN_LEADER_EPOCH", ERRORS[self.fetch(end, epoch=9)["ErrorCode"]])
        observers = self.clients.ask("DescribeQuorum", 2, Topics=[{"TopicName": "__cluster_metadata", "Partitions": [
            {"PartitionIndex": 0}]}])["Topics"][0]["Partitions"][0]["Observers"]
        self.assertEqual([(7, end)], [(each["ReplicaId"], each["LogEndOffset"]) for each in observers])

    def newest_snapshot(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            names = sorted((self.node.data / "__cluster_metadata-0").glob("*.checkpoint"))
            if len(names) > 1:
                return names[-1]
            time.sleep(0.05)
        self.fail("no snapshot was written")

    def test_a_snapshot_is_fetched_in_pieces(self):
        file = self.newest_snapshot()
        end, epoch = (int(part) for part in file.stem.split("-"))

        def piece(position):
            answer = self.controllers.ask("FetchSnapshot", 1, ReplicaId=7, MaxBytes=100, Topics=[
                {"Name": "__cluster_metadata", "Partitions": [
                    {"Partition": 0, "CurrentLeaderEpoch": 1, "SnapshotId": {"EndOffset": end, "Epoch": epoch}, "Position": position}]}])
            return answer["Topics"][0]["Partitions"][0]
        until = time.monotonic() + 10
        while ERRORS[piece(0)["ErrorCode"]] == "SNAPSHOT_NOT_FOUND" and time.monotonic() < until:
            time.sleep(0.02)   # it has its name a moment before the node knows that it is whole
        got, size = b"", 1
        while len(got) < size:
            partition = piece(len(got))
            self.assertEqual((0, len(got)), (partition["ErrorCode"], partition["Position"]))
            got, size = got + partition["UnalignedRecords"], partition["Size"]
        self.assertEqual(file.read_bytes(), got)

    def test_a_vote_for_a_log_that_is_behind_is_refused(self):
        def vote(**changed):
            partition = {"PartitionIndex": 0, "ReplicaEpoch": 1, "ReplicaId": 7, "LastOffsetEpoch": 0, "LastOffset": 0, "PreVote": True}
            return self.controllers.ask("Vote", 2, ClusterId=changed.pop("ClusterId", None), VoterId=1, Topics=[
                {"TopicName": changed.pop("TopicName", "__cluster_metadata"), "Partitions": [{**partition, **changed}]}])
        answer = vote()["Topics"][0]["Partitions"][0]
        self.assertEqual((0, 1, False), (answer["ErrorCode"], answer["LeaderId"], answer["VoteGranted"]))
        self.assertEqual("INCONSISTENT_CLUSTER_ID", ERRORS[vote(ClusterId="other")["ErrorCode"]])
        self.assertEqual("INVALID_REQUEST", ERRORS[vote(TopicName="t")["ErrorCode"]])


if __name__ == "__main__":
    unittest.main()
