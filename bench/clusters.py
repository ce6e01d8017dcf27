"""The rows about clusters: three combined nodes of one kind on this machine, not pinned; replication factor 3, acks=all, page cache on both sides."""

import os
import shutil
import time
from pathlib import Path
from statistics import median

import brokers
import rows
from rows import KB, PARTITIONS, RECORD, Row
from support import kafka
from support.cluster import APACHE, MILLRACE, Cluster, combined
from support.cluster_client import Refused

TICKS = os.sysconf("SC_CLK_TCK")
NAMES = {MILLRACE: "Millrace", APACHE: "Apache Kafka"}
LEADER_FIRST = [1, 2, 3]    # replicas: node 1 leads
MANY = {3000: "", 10_000: "-10k"}    # partitions; how the keys of their rows end
MOST_OF_A_TOPIC = 5000      # Apache Kafka's controller makes no more than 10,000 records of one request
CREATE_SECONDS = 100
STOP_SECONDS = 300
ROWS = [
    Row("cluster-cpu", "cluster: CPU of all three nodes per GB produced, 64 KiB batches", "s", ">= 4x", None, 4),
    Row("cluster-cpu-leader", "cluster: the leader's part", "s", ""),
    Row("cluster-cpu-follower", "cluster: a follower's part", "s", ""),
    Row("cluster-ack-p50", "cluster: ack p50 at 1,000/s", "ms", ""),
    Row("cluster-ack-p99", "cluster: ack p99 at 1,000/s", "ms", ""),
    Row("cluster-half-rate", "cluster: requests/s of 100 B that are half of what 16 connections get through", "", ""),
    Row("cluster-half-p50", "cluster: ack p50 at that rate", "ms", ""),
    Row("cluster-half-p99", "cluster: ack p99 at that rate", "ms", ""),
    Row("cluster-failover", "cluster: leader killed, until the next acknowledged record", "ms", ">= 3x, <= 1500 ms", 1500, 3),
    Row("cluster-controller", "cluster: active controller killed, until a topic is created", "ms", "<= 2500 ms", 2500),
    *(row for count, key in MANY.items() for row in (
        Row(f"cluster-create{key}", f"cluster: creating {count:,} partitions, until all have leaders", "ms", ""),
        Row(f"cluster-memory{key}", f"cluster: resident memory of a node, {count:,} partitions", "MB", ">= 15x", None, 15),
        Row(f"cluster-idle{key}", f"cluster: idle CPU of all nodes, {count:,} partitions", "% of a core", ">= 10x", None, 10),
        Row(f"cluster-restart{key}", f"cluster: a node stopped and started, {count:,} partitions, until it is in sync", "s", ""),
        Row(f"cluster-rolling{key}", f"cluster: rolling restart of all nodes, {count:,} partitions", "s", ""))),
    Row("cluster-behind", "cluster: a follower {behind} GB behind, until it is in sync", "s", ""),
]
BY_KEY = {row.key: row for row in ROWS}


class Nodes:
    """A cluster as the generator and the table see it: node 1 is whom load goes to."""

    def __init__(self, folder, kind):
        self.name = NAMES[kind]
        folder = Path(folder)
        folder.mkdir(parents=True)
        properties = {"millrace.durability": "page-cache", "min.insync.replicas": 2} if kind == MILLRACE else {"min.insync.replicas": 2}
        self.cluster = Cluster(folder, combined(3, kind), properties=properties).format()
        for node in self.cluster.nodes.values():
            node.java = brokers.JAVA
        self.cluster.start()
        self.first = self.cluster.nodes[1]

    port = property(lambda self: self.first.port)
    process = property(lambda self: self.first.process)

    def cpu_seconds(self, node):
        fields = Path(f"/proc/{node.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cpu(self):
        return {id: self.cpu_seconds(node) for id, node in self.cluster.nodes.items()}

    def resident_mb(self):
        return median(rows_of_status(node.process.pid) for node in self.cluster.nodes.values())

    def create(self, topic, partitions):
        with self.cluster.client() as client:
            client.create_topic(topic, assignment=[LEADER_FIRST] * partitions)
            wait_for(lambda: is_in_sync(client, topic), 60)
        with kafka.Client(self.first.address) as client:    # Apache Kafka answers before its brokers know
            for partition in range(partitions):
                wait_for(lambda: client.list_offset(topic, -1, partition)[0] == 0, 60)


def rows_of_status(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise brokers.Failed(f"process {pid} has ended")


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise brokers.Failed("it did not come true in time")
        time.sleep(0.02)


def load(nodes, plan):
    nodes.create("load", PARTITIONS)
    shape = {"topic": "load", "partitions": PARTITIONS, "connections": PARTITIONS, "record_bytes": RECORD, "batch_bytes": 64 * KB}
    rows.warm_memory(nodes.cluster.folder, 2 * len(LEADER_FIRST) * plan.produced_gigabytes)
    rows.generate("produce", nodes, bytes=int(plan.produced_gigabytes * 1e9), **shape)    # warm: a virtual machine compiles what it runs often
    before = nodes.cpu()
    got = rows.generate("produce", nodes, bytes=int(plan.produced_gigabytes * 1e9), **shape)
    time.sleep(1)    # for the followers' last fetches
    spent = {id: after - before[id] for id, after in nodes.cpu().items()}
    gigabytes = got["bytes"] / 1e9
    BY_KEY["cluster-cpu"].add(nodes, sum(spent.values()) / gigabytes)
    BY_KEY["cluster-cpu-leader"].add(nodes, spent[1] / gigabytes)
    BY_KEY["cluster-cpu-follower"].add(nodes, (spent[2] + spent[3]) / 2 / gigabytes)


def acknowledgements(nodes, plan):
    nodes.create("acks", 16)
    got = rows.generate("produce", nodes, topic="acks", partitions=16, connections=16, pipeline=64, rate=1000,
                        warm_up_seconds=plan.warm_up(nodes), seconds=plan.seconds)
    BY_KEY["cluster-ack-p50"].add(nodes, got["p50_us"] / 1000)
    BY_KEY["cluster-ack-p99"].add(nodes, got["p99_us"] / 1000)


def half_load(nodes, plan):
    """At half of what the cluster does: what is asked for and what it does are its own."""
    nodes.create("half", 16)
    shape = {"topic": "half", "partitions": 16, "connections": 16, "warm_up_seconds": plan.warm_up(nodes), "seconds": plan.seconds}
    most = rows.generate("produce", nodes, **shape)
    rate = int(most["requests"] / most["seconds"] / 2)
    got = rows.generate("produce", nodes, pipeline=64, rate=rate, **shape)
    BY_KEY["cluster-half-rate"].add(nodes, rate)
    BY_KEY["cluster-half-p50"].add(nodes, got["p50_us"] / 1000)
    BY_KEY["cluster-half-p99"].add(nodes, got["p99_us"] / 1000)


def failover(nodes, _):
    """The leader of a partition is killed under a producer; it comes back before the next round."""
    nodes.create("failover", 1)
    for _ in range(3):
        with nodes.cluster.client(seconds=1) as client:
            client.write("failover", [b"before"])
            victim = nodes.cluster.nodes[client.leader("failover", anew=True)]
            victim.kill()
            begun = time.perf_counter()
            client.write("failover", [b"after"], seconds=60)
            BY_KEY["cluster-failover"].add(nodes, (time.perf_counter() - begun) * 1000)
            victim.start()
            wait_for(lambda: len(client.in_sync("failover")) == 3, 60)


def controller_failover(nodes, _):
    for number in range(3):
        victim = nodes.cluster.quorum_leader()
        victim.kill()
        begun = time.perf_counter()
        with nodes.cluster.client(seconds=2) as client:
            def created():
                try:
                    client.create_topic(f"controller{number}", 1, 2)
                    return True
                except Refused as refused:
                    return refused.name == "TOPIC_ALREADY_EXISTS"    # its answer was lost
                except (OSError, AssertionError):
                    return False
            wait_for(created, 60)
        BY_KEY["cluster-controller"].add(nodes, (time.perf_counter() - begun) * 1000)
        victim.start()
        nodes.cluster.wait_until_ready()


def many_partitions(count):
    def measure_them(nodes, plan):
        key = MANY[count]
        topics = {f"many{first}": min(MOST_OF_A_TOPIC, count - first) for first in range(0, count, MOST_OF_A_TOPIC)}
        with nodes.cluster.client(seconds=120) as client:
            begun = time.perf_counter()
            for topic, partitions in topics.items():
                client.create_topic(topic, partitions, 3, seconds=CREATE_SECONDS)
            BY_KEY[f"cluster-create{key}"].add(nodes, (time.perf_counter() - begun) * 1000)
        time.sleep(5)
        BY_KEY[f"cluster-memory{key}"].add(nodes, nodes.resident_mb())
        before = nodes.cpu()
        time.sleep(plan.idle_seconds)
        spent = sum(nodes.cpu().values()) - sum(before.values())
        BY_KEY[f"cluster-idle{key}"].add(nodes, spent / plan.idle_seconds * 100)
        rolling_restart(nodes, topics, key)
    return measure_them


def rolling_restart(nodes, topics, key):
    begun = time.perf_counter()
    for node in nodes.cluster.nodes.values():
        since = time.perf_counter()
        node.stop(STOP_SECONDS)
        node.start()
        with nodes.cluster.client(seconds=120) as client:
            wait_for(lambda: all(is_in_sync(client, topic) for topic in topics), STOP_SECONDS)
        BY_KEY[f"cluster-restart{key}"].add(nodes, time.perf_counter() - since)
    BY_KEY[f"cluster-rolling{key}"].add(nodes, time.perf_counter() - begun)


def is_in_sync(client, topic):
    return all(len(each["IsrNodes"]) == 3 for each in client.partitions(topic).values())


def behind(nodes, plan):
    nodes.create("behind", PARTITIONS)
    follower = nodes.cluster.nodes[3]
    follower.stop()
    rows.generate("produce", nodes, topic="behind", partitions=PARTITIONS, connections=PARTITIONS, record_bytes=RECORD,
                  batch_bytes=256 * KB, bytes=int(plan.behind_gigabytes * 1e9))
    begun = time.perf_counter()
    follower.start()
    with nodes.cluster.client() as client:
        wait_for(lambda: is_in_sync(client, "behind"), 900)
    BY_KEY["cluster-behind"].add(nodes, time.perf_counter() - begun)


# In this order on one cluster; what wants an empty one comes first.
MEASUREMENTS = (*((tuple(f"cluster-{what}{key}" for what in ("create", "memory", "idle", "restart", "rolling")), many_partitions(count))
                  for count, key in MANY.items()),
                (("cluster-cpu", "cluster-cpu-leader", "cluster-cpu-follower"), load),
                (("cluster-ack-p50", "cluster-ack-p99"), acknowledgements),
                (("cluster-half-rate", "cluster-half-p50", "cluster-half-p99"), half_load),
                (("cluster-failover",), failover),
                (("cluster-controller",), controller_failover),
                (("cluster-behind",), behind))


def measure(folder, kinds, keys, plan, say):
    """All rows of `keys`, the kinds one after the other, on a cluster of its own each: one is not to pay for another's data."""
    for of_these, work in MEASUREMENTS:
        for kind in kinds if keys & set(of_these) else ():
            say(f"{NAMES[kind]}: {of_these[0]}")
            measure_one(Path(folder) / f"{kind}-{of_these[0]}", kind, lambda nodes: work(nodes, plan), say)


def measure_one(folder, kind, work, say):
    nodes = None
    try:
        nodes = Nodes(folder, kind)
        work(nodes)
    except (brokers.Failed, OSError, AssertionError) as failed:
        say(f"{NAMES[kind]}: {folder.name} is left out: {failed}")
    finally:
        if nodes:
            nodes.cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)
