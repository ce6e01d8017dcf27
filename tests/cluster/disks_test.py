"""Brokers with several log directories: one that fails takes only its own replicas offline, replicas move from one to another, and Apache Kafka's
tools do it: kafka-log-dirs, and kafka-reassign-partitions with log directories and a throttle."""

import contextlib
import json
import time
import unittest

from chaos.power import Power
from cluster.basics import ThreeNodes, three_nodes
from interop import apache
from support.cluster import Cluster
from support.protocol import ERRORS

FAILED = [r"log directory \S+ (goes|is) offline", r"partition \S+ is offline", r"checkpoints of ", r"append to ", r"fetch: "]


class Disks(ThreeNodes):
    """Each node has `data`, with the metadata, and `disk`."""

    def setUp(self):
        super().setUp()
        folder = self.folder / "cluster"
        folder.mkdir()
        self.cluster_ = Cluster(folder, three_nodes(), properties={"log.flush.offset.checkpoint.interval.ms": 500})
        self.clusters.append(self.cluster_)
        self.nodes = self.cluster_.nodes
        for node in self.nodes.values():
            node.extra = {"log.dirs": f"{node.data},{self.disk(node)}"}
        self.cluster_.format().start()
        self.client = self.cluster_.client()
        self.addCleanup(self.client.__exit__)

    def disk(self, node):
        return node.folder / "disk"

    def break_disk(self, node):
        """A file where the directory was: nothing in it can be opened any more."""
        self.expected_errors.extend(FAILED)
        self.disk(node).rename(node.folder / "away")
        self.disk(node).write_text("")

    def mend_disk(self, node):
        self.disk(node).unlink()
        (node.folder / "away").rename(self.disk(node))

    def log_dirs(self, node):
        """{path: (error, {(topic, partition): (size, lag, is future)})}"""
        answer = self.ask_at(node, "DescribeLogDirs", 4, Topics=None)
        return {each["LogDir"]: (ERRORS[each["ErrorCode"]],
                                 {(topic["Name"], p["PartitionIndex"]): (p["PartitionSize"], p["OffsetLag"], p["IsFutureKey"])
                                  for topic in each["Topics"] for p in topic["Partitions"]})
                for each in answer["Results"]}

    def ask_at(self, node, api, version, **values):
        """Of a node that may have been started anew since it was asked last."""
        with contextlib.suppress(OSError):
            return self.client.ask_at(node.address, api, version, **values)
        return self.client.ask_at(node.address, api, version, **values)

    def limit_moves(self, node, bytes_per_second):
        name = "replica.alter.log.dirs.io.max.bytes.per.second"

        def value():
            answer = self.ask_at(node, "DescribeConfigs", 4, Resources=[{"ResourceType": 4, "ResourceName": str(node.id), "ConfigurationKeys": [name]}])
            return [each["Value"] for each in answer["Results"][0]["Configs"]]

        self.ask_at(node, "IncrementalAlterConfigs", 1, ValidateOnly=False, Resources=[
            {"ResourceType": 4, "ResourceName": str(node.id), "Configs": [{"Name": name, "ConfigOperation": 0, "Value": str(bytes_per_second)}]}])
        self.wait_for(lambda: value() == [str(bytes_per_second)])

    def lies_in(self, node, topic, partition=0):
        return [path for path, (_, partitions) in self.log_dirs(node).items() if (topic, partition) in partitions]

    def fill(self, topic, partitions, records=20, size=1000, **options):
        self.client.create_topic(topic, partitions, 3, {"min.insync.replicas": 2}, **options)
        self.written = {p: [b"%d %d " % (p, i) + b"x" * size for i in range(records)] for p in range(partitions)}
        for partition, values in self.written.items():
            for value in values:
                self.client.write(topic, [value], partition)

    def assert_all_there(self, topic):
        """In order; what was sent again because its leader went may be there twice."""
        for partition, values in self.written.items():
            self.wait_for(lambda: list(dict.fromkeys(self.values(self.client, topic, partition))) == values, 20,
                          lambda: f"{topic}-{partition} has not {values}")

    def test_a_directory_that_fails_takes_its_own_replicas_and_a_start_without_it_does_too(self):
        self.fill("t", 6)
        node = self.nodes[next(id for id in self.nodes if id != self.cluster_.quorum_leader().id)]
        dirs = self.log_dirs(node)
        lost = {p for t, p in dirs[str(self.disk(node))][1] if t == "t"}
        self.assertTrue(lost and lost != set(range(6)), f"dealt out by number: {dirs}")

        def only_what_was_lost_left_the_isr():
            return all((node.id in self.client.in_sync("t", p)) == (p not in lost) for p in range(6))

        self.break_disk(node)
        self.wait_for(only_what_was_lost_left_the_isr, 30, lambda: f"{lost} of {node.id}: {self.client.partitions('t')}\n{node.log()[-3000:]}")
        self.assertEqual("KAFKA_STORAGE_ERROR", self.log_dirs(node)[str(self.disk(node))][0])
        for p in lost:
            self.assertNotEqual(node.id, self.client.leader("t", p, anew=True))
        self.assert_all_there("t")
        for p in range(6):
            self.client.write("t", [b"while it is away"], p)
            self.written[p].append(b"while it is away")

        node.kill()
        node.start()
        self.wait_for(only_what_was_lost_left_the_isr, 60)
        self.assertEqual("KAFKA_STORAGE_ERROR", self.log_dirs(node)[str(self.disk(node))][0])
        self.assertEqual(set(), {p for p in lost if (node.data / f"t-{p}").exists()}, "no replica is made anew elsewhere")

        node.kill()
        self.mend_disk(node)
        node.start()
        for p in range(6):
            self.wait_for_isr(self.client, "t", set(self.nodes), p, 60)
        self.assert_all_there("t")

    def test_without_its_last_directory_a_broker_stops(self):
        self.expected_errors.append(r"ERROR stopping: ")
        node = self.nodes[next(id for id in self.nodes if id != self.cluster_.quorum_leader().id)]
        self.break_disk(node)
        node.data.rename(node.folder / "data-away")
        node.data.write_text("")
        self.wait_for(lambda: not node.is_running, 60)
        self.assertNotEqual(0, node.process.returncode)

    def test_kafka_s_tools_move_replicas_between_directories(self):
        self.fill("t", 1, records=60, size=50_000)
        leader = self.client.leader("t")
        targets = {}
        for node in self.nodes.values():
            here, = self.lies_in(node, "t")
            targets[node.id] = next(path for path in self.log_dirs(node) if path != here)
        ids = list(self.nodes)
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": "t", "partition": 0, "replicas": ids, "log_dirs": [targets[id] for id in ids]}]}))
        tool = ("--bootstrap-server", self.cluster_.bootstrap, "--reassignment-json-file", plan)
        said = apache.tool("reassign-partitions", *tool, "--execute", "--replica-alter-log-dirs-throttle", 1_000_000)
        self.assertIn("uccessfully started", said[-600:])
        self.wait_for(lambda: any(is_future and lag > 0 for node in self.nodes.values() for _, partitions in self.log_dirs(node).values()
                                  for _, lag, is_future in partitions.values()), 20, "a future replica that lags is seen")
        for i in range(20):
            self.client.write("t", [b"meanwhile %d" % i])
            self.written[0].append(b"meanwhile %d" % i)
        self.wait_for(lambda: all(self.lies_in(node, "t") == [targets[node.id]] for node in self.nodes.values()), 60)
        self.assertIn("is complete", apache.tool("reassign-partitions", *tool, "--verify"))
        self.wait_for_isr(self.client, "t", set(ids))
        self.assert_all_there("t")
        described = apache.tool("log-dirs", "--bootstrap-server", self.cluster_.bootstrap, "--describe", "--topic-list", "t")
        found = json.loads(described[described.index("{"):])
        for broker in found["brokers"]:
            lies_in = [each["logDir"] for each in broker["logDirs"] if each["partitions"]]
            self.assertEqual([targets[broker["broker"]]], lies_in)
        self.nodes[leader].kill()
        self.nodes[leader].start()
        self.wait_for_isr(self.client, "t", set(ids), seconds=60)
        self.assertEqual([targets[leader]], self.lies_in(self.nodes[leader], "t"))
        self.assert_all_there("t")

    def test_a_broker_that_is_killed_while_a_replica_moves_goes_on_with_it(self):
        self.fill("t", 1, records=40, size=100_000)
        node = self.nodes[next(id for id in self.nodes if id != self.client.leader("t"))]
        here, = self.lies_in(node, "t")
        there = next(path for path in self.log_dirs(node) if path != here)
        self.limit_moves(node, 1000)    # after the first MB it stands as good as still
        answer = self.ask_at(node, "AlterReplicaLogDirs", 2, Dirs=[
            {"Path": there, "Topics": [{"Name": "t", "Partitions": [0]}]}])
        self.assertEqual("NONE", ERRORS[answer["Results"][0]["Partitions"][0]["ErrorCode"]])
        self.wait_for(lambda: sorted(self.lies_in(node, "t")) == sorted([here, there]))
        node.kill()
        node.start()
        self.wait_for(lambda: sorted(self.lies_in(node, "t")) == sorted([here, there]), 20, "the copy is still there")
        self.limit_moves(node, 100_000_000)
        self.wait_for(lambda: self.lies_in(node, "t") == [there], 60)
        self.wait_for_isr(self.client, "t", set(self.nodes))
        self.assert_all_there("t")


class FullDisk(ThreeNodes):
    def test_a_follower_whose_disk_is_full_holds_writers_up_for_seconds_and_comes_back_when_there_is_room(self):
        self.expected_errors.extend([r"append to ", r"No space left on device"])
        folder = self.folder / "cluster"
        folder.mkdir()
        cluster = self.cluster_ = Cluster(folder, three_nodes())
        self.clusters.append(cluster)
        cluster.format()
        disks = {id: Power(node, folder) for id, node in cluster.nodes.items()}
        cluster.start()
        with cluster.client() as client:
            client.create_topic("t", 1, 3, {"min.insync.replicas": 2})
            client.write("t", [b"first"])
            others = {client.leader("t"), cluster.quorum_leader().id}
            full = next(id for id in cluster.nodes if id not in others)
            client.bootstrap.remove(cluster.nodes[full].address)    # it cannot write what it is told of the cluster
            disks[full].fill(True)
            begun = time.monotonic()
            client.write("t", [b"second"])
            self.assertLess(time.monotonic() - begun, 15, "replica.lag.time.max.ms is 30 s")
            self.wait_for_isr(client, "t", set(cluster.nodes) - {full})
            disks[full].fill(False)
            self.wait_for_isr(client, "t", set(cluster.nodes))
            self.assert_values([b"first", b"second"], client, "t")


class Throttle(ThreeNodes):
    def test_kafka_reassign_partitions_throttles_a_replica_that_is_added_and_no_other(self):
        nodes = self.start_three().nodes
        ids = list(nodes)
        with self.cluster_.client() as client:
            client.create_topic("t", 1, assignment=[ids[:2]])
            written = [b"%06d" % i * 10_000 for i in range(100)]
            for value in written:
                client.write("t", [value])
            plan = self.folder / "plan.json"
            plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": "t", "partition": 0, "replicas": ids}]}))
            tool = ("--bootstrap-server", self.cluster_.bootstrap, "--reassignment-json-file", plan)
            begun = time.monotonic()
            apache.tool("reassign-partitions", *tool, "--execute", "--throttle", 500_000)
            for i in range(10):  # those in sync are not held up
                sent = time.monotonic()
                client.write("t", [b"meanwhile %d" % i])
                self.assertLess(time.monotonic() - sent, 6)
                written.append(b"meanwhile %d" % i)
            self.wait_for(lambda: client.in_sync("t") == set(ids), 60)
            took = time.monotonic() - begun
            self.assertGreater(took, 8, "6 MB at 0.5 MB/s")
            apache.tool("reassign-partitions", *tool, "--verify")
            self.assert_values(written, client, "t")


if __name__ == "__main__":
    unittest.main()
