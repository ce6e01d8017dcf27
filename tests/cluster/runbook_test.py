"""docs/run/cluster.md, step by step: the commands that it tells, while records are written and counted."""

import os
import re
import shutil
import subprocess
import unittest

from cluster.basics import ThreeNodes
from support.broker import BINARY, ROOT, free_ports
from support.cluster import BROKER, MILLRACE, Cluster, Plan, combined, new_id

PAGE = ROOT / "docs/run/cluster.md"


class Build(ThreeNodes):
    def blocks(self, title):
        """The indented blocks of a section of the page."""
        section = re.search(rf"^## {title}\n(.*?)(?=^## )", PAGE.read_text(), re.M | re.S)[1]
        return [re.sub(r"^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n)+", section, re.M)]

    def test_build_a_cluster_as_written(self):
        """The file and the command of the page, with addresses of this machine and ids."""
        properties, command = self.blocks("Build a cluster")
        folder = self.folder / "written"
        folder.mkdir()
        cluster = self.cluster_ = Cluster(folder, combined(3))
        self.clusters.append(cluster)
        ports = dict(zip("abc", zip(free_ports(3), free_ports(3))))
        words = {"CLUSTER-ID": cluster.id, **{f"DIRECTORY-ID-{i}": new_id() for i in (1, 2, 3)}}

        def here(text):
            for name, (clients, controllers) in ports.items():
                text = text.replace(f"{name}.example:9092", f"127.0.0.1:{clients}").replace(f"{name}.example:9093", f"127.0.0.1:{controllers}")
            for word, value in words.items():
                text = text.replace(word, value)
            return text

        for node, name in zip(cluster.nodes.values(), ports):
            own = properties.replace("a.example:9092,CONTROLLER://a.example:9093", f"{name}.example:9092,CONTROLLER://{name}.example:9093")
            node.port = ports[name][0]
            node.properties = lambda own=own, node=node: dict(
                line.split("=", 1) for line in here(own.replace("node.id=1", f"node.id={node.id}")).replace("/var/lib/millrace", str(node.data)).split())
            node.write_properties()
            program, *arguments = here(command.replace("\\\n", " ")).split()
            self.assertEqual("millrace", program)
            subprocess.run([BINARY, *arguments], check=True, cwd=node.folder, capture_output=True)
        cluster.start()
        self.assertEqual(["leader", "voter", "voter"], sorted(each["role"] for each in self.json("cluster", "quorum")["replicas"]))
        with cluster.client() as client:
            client.create_topic("t")
            self.assertEqual(3, len(client.in_sync("t")))
            client.write("t", [b"one"])
        self.millrace("cluster", "status")


class Runbook(ThreeNodes):
    def setUp(self):
        super().setUp()
        self.start_three()
        self.client = self.cluster_.client()
        self.addCleanup(self.client.__exit__)
        self.millrace("topic", "create", "orders", "-p", 4, "-r", 3, "-c", "min.insync.replicas=2")
        self.written = []

    def write(self):
        value = b"%d" % len(self.written)
        self.client.write("orders", [value])
        self.written.append(value)

    def carried(self):
        return {row["id"]: row["replicas"] for row in self.json("cluster", "nodes")}

    def test_add_a_broker_and_take_one_out(self):
        self.write()
        added = self.cluster_.add(Plan(4, BROKER, MILLRACE))
        added.format("--no-initial-controllers")
        added.start()
        self.cluster_.wait_until_ready()
        self.millrace("cluster", "rebalance", "--wait")
        self.assertEqual({1: 3, 2: 3, 3: 3, 4: 3}, self.carried())
        self.write()
        self.millrace("cluster", "rebalance", "--without", 4, "--wait")
        self.assertEqual({1: 4, 2: 4, 3: 4, 4: 0}, self.carried())
        self.write()
        self.assertEqual(0, added.stop())
        self.assert_written(self.written, self.client, "orders")

    def test_replace_a_disk_of_a_broker(self):
        added = self.cluster_.add(Plan(4, BROKER, MILLRACE))
        added.format("--no-initial-controllers")
        added.start()
        self.cluster_.wait_until_ready()
        self.millrace("cluster", "rebalance", "--wait")
        self.write()
        added.stop()
        shutil.rmtree(added.data)
        added.format("--no-initial-controllers")
        added.start()
        self.cluster_.wait_until_ready()
        for partition in range(4):
            replicas = self.client.partitions("orders")["orders", partition]["ReplicaNodes"]
            self.wait_for_isr(self.client, "orders", replicas, partition, 60)
        self.millrace("cluster", "status")
        self.write()
        self.assert_written(self.written, self.client, "orders")

    def test_replace_a_disk_of_a_voter(self):
        node = next(each for each in self.cluster_.nodes.values() if each is not self.cluster_.quorum_leader())
        self.write()
        node.stop()
        shutil.rmtree(node.data)
        self.millrace("cluster", "remove-voter", "--id", node.id)
        node.format("--no-initial-controllers")
        node.start()
        self.cluster_.wait_until_ready()
        self.wait_for(lambda: self.gives_vote(node), 60, lambda: self.said)
        voters = [each["id"] for each in self.json("cluster", "quorum")["replicas"] if each["role"] != "observer"]
        self.assertEqual([1, 2, 3], sorted(voters))    # what had the old disk is an observer for a while
        for partition in range(4):
            self.wait_for_isr(self.client, "orders", {1, 2, 3}, partition, 60)
        self.millrace("cluster", "status")
        self.write()
        self.assert_written(self.written, self.client, "orders")

    def gives_vote(self, node):
        """Refused while it has not caught up."""
        ended = subprocess.run([BINARY, "cluster", "add-voter", "-c", node.file], capture_output=True, text=True, timeout=60,
                               env={**os.environ, "MILLRACE_BOOTSTRAP": self.cluster_.bootstrap})
        self.said = ended.stderr
        return ended.returncode == 0

    def test_a_rolling_restart(self):
        for node in self.cluster_.nodes.values():
            self.write()
            self.assertEqual(0, node.stop())
            self.write()
            node.start()
            self.cluster_.wait_until_ready()
            for partition in range(4):
                self.wait_for_isr(self.client, "orders", {1, 2, 3}, partition, 60)
            self.millrace("cluster", "status")
        self.millrace("cluster", "elect")
        self.assert_written(self.written, self.client, "orders")


if __name__ == "__main__":
    unittest.main()
