"""Nodes of Millrace and of Apache Kafka in one cluster."""

import base64
import contextlib
import unittest

from cluster.basics import ThreeNodes
from interop import apache
from support.cluster import APACHE, BOTH, BROKER, CONTROLLER, MILLRACE, Plan, combined

CONFIGS = {"min.insync.replicas": 2}


class Mixed(ThreeNodes):
    def use(self, plans, **options):
        self.cluster_ = self.cluster(plans, **options).start()
        self.client = self.cluster_.client()
        self.addCleanup(self.client.__exit__)
        return self.cluster_

    def lead_from_each(self, topic, ids):
        """Each broker leads in turn, and takes and gives records."""
        written = []
        for id in ids:
            others = [other for other in ids if other != id]
            self.client.reassign(topic, {0: [id, *others]})
            self.wait_for(lambda: not self.client.reassignments(), 60)
            self.wait_for_isr(self.client, topic, ids, seconds=60)
            self.client.elect_leaders(topic, [0])
            self.wait_for(lambda: self.client.leader(topic, anew=True) == id)
            for i in range(5):
                self.client.write(topic, [b"%d %d" % (id, i)])
                written.append(b"%d %d" % (id, i))
            self.assert_values(written, self.client, topic)
        return written

    def test_an_apache_broker_joins_millrace_controllers(self):
        self.use([Plan(101, CONTROLLER, MILLRACE), Plan(1, BROKER, MILLRACE), Plan(2, BROKER, APACHE)])
        self.client.create_topic("t", 1, 2, CONFIGS)
        self.lead_from_each("t", [1, 2])

    def test_a_millrace_broker_joins_apache_controllers(self):
        self.use([Plan(101, CONTROLLER, APACHE), Plan(1, BROKER, APACHE), Plan(2, BROKER, MILLRACE)])
        self.client.create_topic("t", 1, 2, CONFIGS)
        self.lead_from_each("t", [1, 2])

    def test_voters_of_both_kinds(self):
        cluster = self.use([Plan(1, BOTH, MILLRACE), Plan(2, BOTH, APACHE), Plan(3, BOTH, MILLRACE)])
        led = set()
        for round in range(4):
            self.client.create_topic(f"t{round}", 1, 3, CONFIGS)
            active = cluster.quorum_leader()
            led.add(active.kind)
            active.kill()
            self.wait_for(lambda: cluster.quorum_leader().id != active.id, 60)
            active.start()
            cluster.wait_until_ready()
        self.assertEqual(4, sum(each["Name"].startswith("t") for each in self.client.ask("Metadata", 12, Topics=None)["Topics"]))

    def upgrade_a_static_quorum(self, kind):
        """To dynamic voters (KIP-853), by Apache Kafka's tool, under a leader of the kind."""
        cluster = self.use([Plan(1, BOTH, MILLRACE), Plan(2, BOTH, APACHE), Plan(3, BOTH, MILLRACE), Plan(4, BROKER, MILLRACE)], quorum="static")
        while cluster.quorum_leader().kind != kind:
            cluster.quorum_leader().restart()
            cluster.wait_until_ready()

        def upgraded():
            with contextlib.suppress(AssertionError):   # until all voters have told this leader
                return apache.tool("features", "--bootstrap-server", cluster.bootstrap, "upgrade", "--feature", "kraft.version=1")

        self.assertIn("kraft.version was upgraded to 1", self.wait_for(upgraded, 60))
        directories = {node.id: node.identity()["directory.id"] for node in cluster.controllers}

        def told():
            return {each["ReplicaId"]: base64.urlsafe_b64encode(each["ReplicaDirectoryId"].bytes).decode().rstrip("=")
                    for each in self.client.quorum()["CurrentVoters"]}

        self.assertEqual(directories, told())
        for round in range(3):
            active = cluster.quorum_leader()
            active.restart()
            cluster.wait_until_ready()
            self.client.create_topic(f"t{round}", 1, 3, CONFIGS)
        self.assertEqual(directories, told())

    def test_a_static_quorum_is_upgraded_under_a_leader_of_millrace(self):
        self.upgrade_a_static_quorum(MILLRACE)

    def test_a_static_quorum_is_upgraded_under_a_leader_of_apache_kafka(self):
        self.upgrade_a_static_quorum(APACHE)

    def test_a_coordinator_moves_between_kinds(self):
        cluster = self.use([Plan(1, BOTH, MILLRACE), Plan(2, BOTH, APACHE), Plan(3, BOTH, APACHE)])
        self.client.create_topic("t", 1, 3, CONFIGS)
        for round in range(3):
            self.client.commit("g", "t", 0, round + 1)
            self.wait_for(lambda: self.client.is_whole("__consumer_offsets"), 60)
            coordinator = cluster.nodes[self.client.coordinator("g")]
            coordinator.kill()
            self.assert_committed(round + 1, self.client, "g", "t")
            coordinator.start()
            cluster.wait_until_ready()

    def test_an_apache_cluster_becomes_millrace_node_by_node_and_goes_back(self):
        cluster = self.use(combined(3, APACHE))
        self.client.create_topic("t", 1, 3, CONFIGS)
        written = []
        for kind in (MILLRACE, APACHE):
            for node in cluster.nodes.values():
                node.stop()
                node.kind = kind
                node.start()
                cluster.wait_until_ready()
                self.wait_for_isr(self.client, "t", {1, 2, 3}, seconds=90)
                value = b"%s %d" % (kind.encode(), node.id)
                self.client.write("t", [value])
                self.client.commit("g", "t", 0, len(written) + 1)
                written.append(value)
        self.assert_written(written, self.client, "t")
        self.assert_committed(len(written), self.client, "g", "t")


if __name__ == "__main__":
    unittest.main()
