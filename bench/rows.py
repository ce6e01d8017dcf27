"""The rows of the table: how each is measured. A measurement takes a running (or new) server and gives numbers by row."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import brokers
from brokers import BUILD, GENERATOR, GENERATOR_CORE, pinned
from support import kafka

KB = 1024
PARTITIONS = 4      # of the topics of the rows by the GB, one connection each
RECORD = 1000       # bytes of a record there


@dataclass
class Row:
    key: str
    title: str
    unit: str
    goal: str
    most: float = None          # Millrace's value
    least_ratio: float = None   # Apache Kafka's over ours
    has_efficiency: bool = False
    values: dict = field(default_factory=dict)    # by server: one a pair

    def add(self, server, value):
        self.values.setdefault(server.name, []).append(value)


ROWS = [
    Row("small", "small produce, one 100 B record a request, 16 connections, saturated: CPU a request", "us",
        ">= 12x, <= 9 us", 9, 12, True),
    Row("paced", "the same at 1,000 requests/s: CPU a request", "us", ">= 10x", None, 10, True),
    Row("produce-16k", "per GB produced, 16 KiB batches", "s", ">= 6x", None, 6, True),
    Row("produce-64k", "per GB produced, 64 KiB batches", "s", ">= 4x", None, 4, True),
    Row("produce-1m", "per GB produced, 1 MiB batches", "s", "", None, None, True),
    Row("fetch-16k", "per GB consumed, 16 KiB a partition", "s", "", None, None, True),
    Row("fetch-64k", "per GB consumed, 64 KiB a partition", "s", ">= 7x", None, 7, True),
    Row("fetch-1m", "per GB consumed, 1 MiB a partition", "s", ">= 1.2x", None, 1.2, True),
    Row("ack-p50", "ack p50 at 1,000/s", "ms", ""),
    Row("ack-p99", "ack p99 at 1,000/s", "ms", ">= 4x", None, 4),
    Row("ack-p999", "ack p99.9 at 1,000/s", "ms", ">= 3x", None, 3),
    Row("saturated-p99", "ack p99, saturated, small", "ms", ">= 20x", None, 20),
    Row("durable-p99", "durable ack p99 at 1,000/s (fsync; Kafka: flush.messages=1)", "ms", ">= 5x, <= 2.5 ms", 2.5, 5),
    Row("memory-empty", "resident memory, empty", "MB", "<= 15 MB", 15),
    Row("memory-load", "resident memory, under load", "MB", "<= 100 MB", 100),
    Row("memory-10k", "resident memory, 10,000 partitions", "MB", "<= 40 MB", 40),
    Row("start", "start-up, exec to first answer, empty", "ms", "<= 50 ms", 50),
    Row("restart-clean", "restart with {gigabytes} GB after a clean stop", "ms", "<= 500 ms", 500),
    Row("restart-killed", "restart with {gigabytes} GB after kill -9", "ms", "<= 500 ms", 500),
    Row("restart-10k", "restart with 10,000 partitions after a clean stop", "ms", ""),
    Row("idle", "idle CPU, 10,000 partitions and 1,000 connections", "% of a core", "<= 0.2 %", 0.2),
    Row("compaction", "compaction of 1 KiB records: CPU per GB read or written", "s", "<= 1.67 s (300 MB/s each)", 1.67),
    Row("create-10k", "creating a topic with 10,000 partitions, seen by the client", "ms", "<= 100 ms", 100),
    Row("connections-10k", "memory of 10,000 idle connections", "MB", "<= 40 MB", 40),
]
ROWS += [
    Row("group-heartbeat", "consumer group of 1,000 members and 10,000 partitions: CPU a heartbeat in the coordinator", "us", "<= 50 us", 50),
    Row("rebalance", "the same: a new target assignment, its records applied", "ms", "<= 50 ms", 50),
]

BY_KEY = {row.key: row for row in ROWS}


def groups():
    """The coordinator alone, without a broker around it."""
    run = subprocess.run([brokers.GROUPS], capture_output=True, text=True, check=True, preexec_fn=pinned(GENERATOR_CORE))
    measured = dict(line.split() for line in run.stdout.splitlines())
    BY_KEY["group-heartbeat"].add(brokers.Millrace, float(measured["heartbeat_us"]))
    BY_KEY["rebalance"].add(brokers.Millrace, float(measured["rebalance_ms"]))


def generate(mode, server, **options):
    """Runs the generator to its end; what it reports."""
    command = [GENERATOR, mode, f"port={server.port}", f"broker={server.process.pid}"]
    command += [f"{name}={value}" for name, value in options.items()]
    run = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned(GENERATOR_CORE))
    if run.returncode != 0:
        raise brokers.Failed(f"{server.name}: {run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def warm_memory(folder, gigabytes):
    """Touches as much memory as the next run will: a guest's idle memory belongs to its host."""
    piece = bytes(1 << 20)
    path = Path(folder) / "warm"
    with open(path, "wb") as file:
        for _ in range(int(gigabytes * 1000)):
            file.write(piece)
    path.unlink()


class Cell:
    """A fresh topic for one measurement on one server."""
    count = 0

    def __init__(self, server, partitions):
        Cell.count += 1
        self.server, self.topic, self.partitions = server, f"cell{Cell.count:05}", partitions

    def __enter__(self):
        self.server.create_topic(self.topic, self.partitions)
        self.server.await_leaders(self.topic, self.partitions)
        return self

    def __exit__(self, *_):
        self.server.delete_topic(self.topic)

    def run(self, mode, **options):
        return generate(mode, self.server, topic=self.topic, partitions=self.partitions, **options)


def small(server, plan):
    with Cell(server, 16) as cell:
        got = cell.run("produce", connections=16, warm_up_seconds=plan.warm_up(server), seconds=plan.seconds)
    BY_KEY["small"].add(server, got["broker_cpu_seconds"] / got["requests"] * 1e6)
    BY_KEY["saturated-p99"].add(server, got["p99_us"] / 1000)


def paced(server, plan):
    with Cell(server, 16) as cell:
        got = cell.run("produce", connections=16, pipeline=64, rate=1000, warm_up_seconds=plan.warm_up(server),
                       seconds=plan.seconds)
    BY_KEY["paced"].add(server, got["broker_cpu_seconds"] / got["requests"] * 1e6)
    BY_KEY["ack-p50"].add(server, got["p50_us"] / 1000)
    BY_KEY["ack-p99"].add(server, got["p99_us"] / 1000)
    BY_KEY["ack-p999"].add(server, got["p999_us"] / 1000)


def produce_by_gigabyte(server, plan, key, batch_bytes):
    warm_memory(server.folder, plan.produced_gigabytes + 0.5)
    with Cell(server, PARTITIONS) as cell:
        got = cell.run("produce", connections=PARTITIONS, record_bytes=RECORD, batch_bytes=batch_bytes,
                       warm_up_seconds=plan.short_warm_up(server), bytes=int(plan.produced_gigabytes * 1e9))
    BY_KEY[key].add(server, got["broker_cpu_seconds"] / got["bytes"] * 1e9)


def fetch_by_gigabyte(server, plan, keys):
    """Of one log of 16 KiB batches, the three rows."""
    sizes = {"fetch-16k": 16 * KB, "fetch-64k": 64 * KB, "fetch-1m": 1024 * KB}
    shape = {"connections": PARTITIONS, "record_bytes": RECORD, "batch_bytes": 16 * KB}
    with Cell(server, PARTITIONS) as cell:
        cell.run("produce", bytes=500_000_000, **shape)
        for key in keys:
            got = cell.run("fetch", partition_max_bytes=sizes[key], warm_up_seconds=plan.short_warm_up(server),
                           bytes=int(plan.consumed_gigabytes * 1e9), **shape)
            BY_KEY[key].add(server, got["broker_cpu_seconds"] / got["bytes"] * 1e9)


def durable(server, plan):
    """`server` syncs before it answers; what other rows have written must not be under way to the disk."""
    with Cell(server, 16) as cell:
        os.sync()
        got = cell.run("produce", connections=16, pipeline=64, rate=1000, warm_up_seconds=plan.warm_up(server),
                       seconds=plan.seconds)
    BY_KEY["durable-p99"].add(server, got["p99_us"] / 1000)


def restart(server, plan):
    """`server` was started for this alone."""
    server.create_topic("data", PARTITIONS)
    server.await_leaders("data", PARTITIONS)
    generate("produce", server, topic="data", partitions=PARTITIONS, connections=PARTITIONS, record_bytes=RECORD,
             batch_bytes=256 * KB, bytes=int(plan.gigabytes * 1e9))
    server.kill()
    BY_KEY["restart-killed"].add(server, restarted(server) * 1000)
    server.stop()
    BY_KEY["restart-clean"].add(server, restarted(server) * 1000)


def restarted(server):
    """Seconds from exec until the data can be asked for."""
    begun = time.perf_counter()
    server.start()
    while True:
        try:
            with kafka.Client(f"127.0.0.1:{server.port}", seconds=120) as client:
                if client.list_offset("data", -1)[0] == 0:
                    return time.perf_counter() - begun
        except OSError:
            pass
        time.sleep(0.001)


def ten_thousand(server, plan):
    """`server` was started for this alone."""
    sizes = server.ten_thousand_partitions
    seconds = [server.create_topic(name, size) for name, size in zip(("data", "more"), sizes)]
    BY_KEY["create-10k"].add(server, sum(seconds) * 1000)
    time.sleep(1)
    BY_KEY["memory-10k"].add(server, server.resident_mb())
    got = generate("idle", server, connections=1000, seconds=plan.idle_seconds)
    BY_KEY["idle"].add(server, got["broker_cpu_seconds"] / got["seconds"] * 100)
    server.stop()
    BY_KEY["restart-10k"].add(server, restarted(server) * 1000)


def compaction(folder, plan):
    """Of a log, without a server: what one is while it compacts is not told apart from the rest of it."""
    for _ in range(plan.pairs):
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(BUILD / "bench" / "bench_compaction"), f"directory={folder}", f"gigabytes={plan.produced_gigabytes}"]
        run = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned(GENERATOR_CORE))
        shutil.rmtree(folder)
        if run.returncode != 0:
            raise brokers.Failed(f"compaction: {run.stderr}")
        got = json.loads(run.stdout.splitlines()[-1])
        BY_KEY["compaction"].add(brokers.Millrace, got["cpu_seconds"] / (got["read_mb"] + got["written_mb"]) * 1000)


def idle_connections(server, plan):
    """`server` was started for this alone."""
    before = server.resident_mb()
    command = [GENERATOR, "idle", f"port={server.port}", "connections=9500", "seconds=1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(GENERATOR_CORE)) as idle:
        if idle.stdout.readline() != "open\n":
            raise brokers.Failed(f"{server.name}: the idle connections could not be opened")
        BY_KEY["connections-10k"].add(server, (server.resident_mb() - before) * 10_000 / 9_500)
        idle.kill()


def flush_dirty_pages():
    """So that one run's write-back does not fall into the next one's window."""
    os.sync()
