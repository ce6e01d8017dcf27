"""The voters of a quorum change while it runs (KIP-853): by request through any broker, and by a controller that joins by itself."""

import base64
import time
import unittest
import uuid

from support.cluster import HOST, ClusterTest, combined
from support.protocol import ERRORS


def directory_of(node):
    return uuid.UUID(bytes=base64.urlsafe_b64decode(node.identity()["directory.id"] + "=="))


def voters(client):
    return sorted(each["ReplicaId"] for each in client.quorum()["CurrentVoters"])


class Voters(ClusterTest):
    def add(self, client, node, via):
        answer = client.ask_at(via.address, "AddRaftVoter", 1, ClusterId=node.cluster.id, TimeoutMs=5000, VoterId=node.id,
                               VoterDirectoryId=directory_of(node),
                               Listeners=[{"Name": "CONTROLLER", "Host": HOST, "Port": node.controller_port}])
        return ERRORS[answer["ErrorCode"]]

    def test_voters_are_added_and_the_leader_is_removed_by_request(self):
        cluster = self.cluster(combined(3), quorum="standalone").start()
        one, two, three = cluster.nodes.values()
        with cluster.client() as client:
            self.assertEqual([1], voters(client))
            # Once it has caught up; asked of a broker that is not the controller.
            self.wait_for(lambda: self.add(client, two, via=three) == "NONE")
            self.assertEqual("DUPLICATE_VOTER", self.add(client, two, via=one))
            self.wait_for(lambda: self.add(client, three, via=two) == "NONE")
            self.assertEqual([1, 2, 3], voters(client))
            removed = client.ask_at(two.address, "RemoveRaftVoter", 0, ClusterId=None, VoterId=1, VoterDirectoryId=directory_of(one))
            self.assertEqual("NONE", ERRORS[removed["ErrorCode"]])
            self.wait_for(lambda: client.quorum()["LeaderId"] in (2, 3))
            self.assertEqual([2, 3], voters(client))
            client.create_topic("t", replication=3)

    def test_a_voter_that_cannot_be_reached_or_never_fetched_is_not_added(self):
        cluster = self.cluster(combined(2), quorum="standalone").start()
        one, two = cluster.nodes.values()
        with cluster.client() as client:
            two.kill()
            self.assertEqual("REQUEST_TIMED_OUT", self.add(client, two, via=one))
            two.start()
            unknown = client.ask_at(one.address, "AddRaftVoter", 1, ClusterId=None, TimeoutMs=5000, VoterId=7, VoterDirectoryId=uuid.uuid4(),
                                    Listeners=[{"Name": "CONTROLLER", "Host": HOST, "Port": two.controller_port}])
            self.assertEqual("REQUEST_TIMED_OUT", ERRORS[unknown["ErrorCode"]])
            self.assertEqual([1], voters(client))

    def test_controllers_join_by_themselves_and_again_with_a_new_disk(self):
        cluster = self.cluster(combined(3), quorum="standalone", properties={"controller.quorum.auto.join.enable": "true"}).start()
        with cluster.client() as client:
            self.wait_for(lambda: voters(client) == [1, 2, 3])
            client.create_topic("t", replication=3)
            last = cluster.nodes[3]
            last.stop()
            last.data.rename(last.folder / "lost")
            last.format("--no-initial-controllers")
            fresh = directory_of(last)
            last.start()
            self.wait_for(lambda: fresh in [each["ReplicaDirectoryId"] for each in client.quorum()["CurrentVoters"]])
            self.assertEqual([1, 2, 3], voters(client))

    def test_a_voter_that_listens_elsewhere_says_so(self):
        cluster = self.cluster(combined(3)).start()
        moved = next(node for node in cluster.nodes.values() if node is not cluster.quorum_leader())
        moved.stop()
        moved.controller_port, moved.internal_port = moved.internal_port, moved.controller_port
        moved.start()

        def known_port(client):
            answer = client.ask("DescribeQuorum", 2, Topics=[{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}])
            return {each["NodeId"]: each["Listeners"][0]["Port"] for each in answer["Nodes"]}[moved.id]

        with cluster.client() as client:
            begun = time.monotonic()
            self.wait_for(lambda: known_port(client) == moved.controller_port)
            self.assertLess(time.monotonic() - begun, 20)

    def kraft_version(self, client):
        levels = client.ask("ApiVersions", 4, ClientSoftwareName="tests", ClientSoftwareVersion="1")["FinalizedFeatures"]
        return {each["Name"]: each["MaxVersionLevel"] for each in levels}.get("kraft.version", 0)

    def upgrade(self, client, level=1, upgrade_type=1, validate_only=False):
        updates = [{"Feature": "kraft.version", "MaxVersionLevel": level, "UpgradeType": upgrade_type}]
        answer = client.ask("UpdateFeatures", 2, timeoutMs=10000, FeatureUpdates=updates, ValidateOnly=validate_only)
        return ERRORS[answer["ErrorCode"]], answer["ErrorMessage"] or ""

    def test_a_static_quorum_becomes_a_dynamic_one(self):
        cluster = self.cluster(combined(3), quorum="static").start()
        with cluster.client() as client:
            self.assertEqual(0, self.kraft_version(client))
            self.assertEqual({uuid.UUID(int=0)}, {each["ReplicaDirectoryId"] for each in client.quorum()["CurrentVoters"]})
            self.wait_for(lambda: self.upgrade(client, validate_only=True)[0] == "NONE")
            self.assertEqual(0, self.kraft_version(client))
            self.assertEqual(("NONE", ""), self.upgrade(client))
            self.wait_for(lambda: self.kraft_version(client) == 1)
            self.assertEqual({directory_of(node) for node in cluster.nodes.values()},
                             {each["ReplicaDirectoryId"] for each in client.quorum()["CurrentVoters"]})
            error, message = self.upgrade(client, level=0, upgrade_type=2)
            self.assertEqual("INVALID_UPDATE_VERSION", error)
            self.assertIn("Can't downgrade the version of this feature.", message)
            leader = cluster.quorum_leader()
            other = next(node for node in cluster.nodes.values() if node is not leader)
            removed = client.ask_at(leader.address, "RemoveRaftVoter", 0, ClusterId=None, VoterId=other.id,
                                    VoterDirectoryId=directory_of(other))
            self.assertEqual("NONE", ERRORS[removed["ErrorCode"]])
            self.wait_for(lambda: self.add(client, other, via=leader) == "NONE")
            for node in cluster.nodes.values():
                node.restart()
            cluster.wait_until_ready()
            self.assertEqual(1, self.kraft_version(client))
            self.assertEqual([1, 2, 3], voters(client))

    def test_a_static_quorum_with_a_silent_voter_is_not_upgraded(self):
        cluster = self.cluster(combined(3), quorum="static").start()
        with cluster.client() as client:
            self.wait_for(lambda: self.upgrade(client, validate_only=True)[0] == "NONE")
            silent = next(node for node in cluster.nodes.values() if node is not cluster.quorum_leader())
            silent.kill()
            self.assertEqual(("NONE", ""), self.upgrade(client, validate_only=True))  # it has told this leader
            leader = cluster.quorum_leader()
            leader.restart()
            self.wait_for(lambda: cluster.quorum_leader().is_running)
            error, message = self.upgrade(client)
            self.assertEqual("INVALID_UPDATE_VERSION", error)
            self.assertIn("not all of the voters support it", message)
            self.assertEqual(0, self.kraft_version(client))

    def test_a_leader_that_listens_elsewhere_corrects_its_entry(self):
        cluster = self.cluster(combined(1)).start()
        node = cluster.nodes[1]
        node.stop()
        node.controller_port, node.internal_port = node.internal_port, node.controller_port
        node.start()
        with cluster.client() as client:
            answer = client.ask("DescribeQuorum", 2, Topics=[{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}])
            self.assertEqual([node.controller_port], [each["Listeners"][0]["Port"] for each in answer["Nodes"]])


if __name__ == "__main__":
    unittest.main()
