"""Apache Kafka's tools for clusters against three nodes: kafka-reassign-partitions.sh, kafka-leader-election.sh, kafka-metadata-quorum.sh,
kafka-features.sh, kafka-cluster.sh."""

import json
import unittest

from cluster.basics import ThreeNodes
from interop.apache import tool


class Tools(ThreeNodes):
    def setUp(self):
        super().setUp()
        self.start_three()
        self.to = ("--bootstrap-server", self.cluster_.bootstrap)
        self.client = self.cluster_.client()
        self.addCleanup(self.client.__exit__)

    def test_reassign_partitions(self):
        self.client.create_topic("t", assignment=[[1, 2], [2, 3]])
        self.client.write("t", [b"one", b"two"], 0)
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": "t", "partition": 0, "replicas": [3, 1]},
                                                                 {"topic": "t", "partition": 1, "replicas": [1, 2, 3]}]}))
        said = tool("reassign-partitions", *self.to, "--reassignment-json-file", plan, "--execute")
        self.assertIn("Successfully started partition reassignments for t-0,t-1", said)
        self.wait_for(lambda: not self.client.reassignments(), 60)
        said = tool("reassign-partitions", *self.to, "--reassignment-json-file", plan, "--verify")
        self.assertIn("Reassignment of partition t-0 is completed.", said)
        self.assertIn("Reassignment of partition t-1 is completed.", said)
        self.assertEqual([3, 1], self.client.partitions("t")["t", 0]["ReplicaNodes"])
        self.assert_values([b"one", b"two"], self.client, "t")
        self.assertIn("No partition reassignments found.", tool("reassign-partitions", *self.to, "--list"))

    def test_leader_election(self):
        self.client.create_topic("t", assignment=[[1, 2, 3]])
        self.cluster_.nodes[1].kill()
        self.wait_for(lambda: self.client.leader("t", anew=True) in (2, 3))
        self.cluster_.nodes[1].start()
        self.wait_for_isr(self.client, "t", {1, 2, 3}, seconds=60)
        said = tool("leader-election", *self.to, "--election-type", "preferred", "--topic", "t", "--partition", 0)
        self.assertRegex(said, r"Successfully completed leader election \(PREFERRED\) for partitions t-0|Valid replica already elected for partitions t-0")
        self.wait_for(lambda: self.client.leader("t", anew=True) == 1)
        said = tool("leader-election", *self.to, "--election-type", "preferred", "--topic", "t", "--partition", 0)
        self.assertIn("Valid replica already elected for partitions t-0", said)

    def test_metadata_quorum(self):
        said = tool("metadata-quorum", *self.to, "describe", "--status")
        self.assertRegex(said, r"LeaderId:\s+[123]\n")
        for id in (1, 2, 3):
            self.assertRegex(said, rf'CurrentVoters:.*"id": {id}, "directoryId": "{self.cluster_.nodes[id].directory_id}"')
        replication = tool("metadata-quorum", *self.to, "describe", "--replication")
        self.assertEqual(1, replication.count("Leader  ") or replication.count("Leader\t"))
        self.assertEqual(2, replication.count("Follower"))
        controllers = ("--bootstrap-controller", self.cluster_.controller_bootstrap)
        self.assertRegex(tool("metadata-quorum", *controllers, "describe", "--status"), r"LeaderId:\s+[123]\n")

    def test_features_and_cluster(self):
        self.assertRegex(tool("features", *self.to, "describe"), r"Feature: kraft.version\s+SupportedMinVersion: 0\s+SupportedMaxVersion: 1\s+FinalizedVersionLevel: 1")
        self.assertIn(f"Cluster ID: {self.cluster_.id}", tool("cluster", "cluster-id", *self.to))
        endpoints = tool("cluster", "list-endpoints", *self.to)
        for node in self.cluster_.nodes.values():
            self.assertRegex(endpoints, rf"(?m)^{node.id}\s+127\.0\.0\.1\s+{node.port}\s")


if __name__ == "__main__":
    unittest.main()
