"""What a crash costs a broker whose logs are synced before they are acknowledged, and what an empty disk does (KIP-966)."""

import shutil
import unittest

from support.cluster import APACHE, BROKER, CONTROLLER, MILLRACE, ClusterTest, Plan, combined, separate
from support.cluster_client import ClusterClient


class Crashes(ClusterTest):
    controller_kind = MILLRACE

    def values(self, client, topic):
        return [value for _, value in client.read_all(topic)]

    def crash_all(self, cluster):
        """Of the brokers alone where controllers stand apart: what they know stays."""
        for node in cluster.brokers:
            node.process.kill()
        for node in cluster.brokers:
            node.kill()

    def start_but(self, cluster, *absent):
        for node in cluster.brokers:
            if node.id not in absent:
                node.launch()
        for node in cluster.brokers:
            if node.id not in absent:
                node.wait_until_started()

    def write_and_crash(self, cluster):
        with cluster.client() as client:
            client.create_topic("t", 1, 3, {"min.insync.replicas": 2})
            written = [b"%d" % i for i in range(20)]
            client.write("t", written)
            leader = client.leader("t", anew=True)
        self.crash_all(cluster)
        return leader, written

    def expect_service(self, cluster, written, without):
        """The two that are back lead what was acknowledged, and take records; the third may come when it likes."""
        there = [node for node in cluster.brokers if node.id != without]
        with ClusterClient(",".join(node.address for node in there)) as client:
            client.write("t", [b"after"], seconds=60)
            self.assertEqual([*written, b"after"], self.values(client, "t"))
            cluster.nodes[without].start()
            self.wait_for(lambda: client.in_sync("t") == {1, 2, 3}, 60)

    def test_two_of_three_that_crashed_serve_without_the_one_that_led_last(self):
        cluster = self.cluster(separate(1, 3, controller_kind=self.controller_kind)).start()
        leader, written = self.write_and_crash(cluster)
        self.start_but(cluster, leader)
        self.expect_service(cluster, written, leader)

    def test_page_cache_promises_nothing_after_a_crash(self):
        cluster = self.cluster(separate(1, 3, controller_kind=self.controller_kind), properties={"millrace.durability": "page-cache"}).start()
        with cluster.client() as client:
            client.create_topic("t", 1, 3, {"min.insync.replicas": 2})
            client.write("t", [b"1"])
            leader = client.leader("t", anew=True)
            others = [node for node in cluster.brokers if node.id != leader]
            for node in others:   # first, so that there is one last leader, whatever is noticed when
                node.kill()
            self.wait_for(lambda: client.in_sync("t") == {leader}, 60)
        cluster.nodes[leader].kill()
        self.start_but(cluster, leader)
        with ClusterClient(",".join(node.address for node in others)) as client:
            self.wait_for(lambda: client.partitions("t")["t", 0]["IsrNodes"] == [], 30, lambda: client.partitions("t"))
            state = client.partitions("t")["t", 0]
            self.assertEqual(-1, state["LeaderId"])
            self.assertFalse({node.id for node in others} & set(state["EligibleLeaderReplicas"] or []))


class CrashesUnderMillrace(Crashes):
    def test_two_of_three_combined_nodes_serve_without_the_one_that_led_last(self):
        cluster = self.cluster(combined(3)).start()
        leader, written = self.write_and_crash(cluster)
        self.start_but(cluster, leader)
        self.expect_service(cluster, written, leader)

    def test_an_empty_disk_is_not_elected_because_it_led_last(self):
        cluster = self.cluster([Plan(101, CONTROLLER), Plan(1, BROKER), Plan(2, BROKER)]).start()
        with cluster.client() as client:
            client.create_topic("t", assignment=[[2]])
            client.write("t", [b"gone"])
            node = cluster.nodes[2]
            node.kill()
            shutil.rmtree(node.data)
            node.format("--no-initial-controllers")
            node.start()
            cluster.wait_until_ready()
            self.wait_for(lambda: client.partitions("t")["t", 0]["LastKnownElr"] == [], 30)
            self.assertEqual(-1, client.partitions("t")["t", 0]["LeaderId"])
            self.assertIn("has lost its disk and begins anew", cluster.nodes[101].log())
            client.elect_leaders("t", [0], unclean=True)
            client.write("t", [b"anew"])
            self.assertEqual([b"anew"], self.values(client, "t"))


class CrashesUnderApacheKafka(Crashes):
    """Its controller believes what our brokers say in PreviousBrokerEpoch."""
    controller_kind = APACHE


del Crashes

if __name__ == "__main__":
    unittest.main()
