#!/usr/bin/env python3
"""A cluster under load that is being hurt for some minutes, and what its history says.

    ./dev chaos --minutes 30 --seed 7 --faults kill_leader,pause_leader --kinds millrace,apache,millrace --clients plain,java

The faults come in an order that the seed gives; what threads and processes do in between is not repeatable. Ends with status 1 when the
history has an anomaly or a client was stuck."""

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chaos import faults, foreign  # noqa: E402
from chaos.history import History, check  # noqa: E402
from chaos.power import Power  # noqa: E402
from chaos.workload import Committer, IdempotentWriter, PlainWriter, Reader  # noqa: E402
from support.cluster import MILLRACE, Cluster, combined  # noqa: E402

TOPIC = "chaos"
PARTITIONS = 4
PLAIN = "plain"     # clients of ours (workload.py)
CLIENTS = (PLAIN, foreign.LIBRDKAFKA, foreign.JAVA)
WHOLE_SECONDS = 60
JOIN_SECONDS = 90   # of a client that shall end


class Run:
    def __init__(self, cluster, given, log=print):
        self.cluster, self.chance, self.log = cluster, random.Random(given.seed), log
        self.pause = [float(each) for each in given.pause.split(",")]
        self.kinds_of_clients = given.clients.split(",")
        self.topic = TOPIC
        self.history = History()
        self.failovers = []             # seconds from the kill of a leader to the next acknowledged record of its partition
        self.controller_failovers = []  # seconds until the quorum has a leader again
        self.shutdowns = []             # seconds from SIGTERM to the end
        self.repairs = []               # seconds from a flipped bit to a whole log
        self.counts = {}
        self.power = {}                 # by node id, if the power of this cluster can be cut
        self.bytes_lost = 0
        self.measuring = []
        self.writers, self.readers = [], []

    def prepare_power(self):
        """Between formatting and the first start."""
        self.power = {node.id: Power(node, self.cluster.folder) for node in self.cluster.nodes.values()}

    # Used by faults

    def any_partition(self):
        return self.chance.randrange(PARTITIONS)

    def leader_of(self, partition, seconds=30):
        with self.cluster.client() as client:
            deadline = time.monotonic() + seconds
            while True:
                leader = client.leader(TOPIC, partition, anew=True)
                if leader in self.cluster.nodes and self.cluster.nodes[leader].is_running:
                    return self.cluster.nodes[leader]
                assert time.monotonic() < deadline, f"partition {partition} has no leader"
                time.sleep(0.05)

    def pause_seconds(self):
        return self.chance.uniform(*self.pause)

    def wait_until_read(self, partition):
        """What stands there now, by the group of foreign readers: Apache Kafka's consumer ends at a batch that is damaged, librdkafka's takes it as it is."""
        groups = [each.group for each in self.readers if isinstance(each, foreign.ForeignReader)]
        if groups:
            with self.cluster.client() as client:
                groups[0].wait_until_read(partition, client.end(TOPIC, partition))

    def note_failover(self, partition, killed, dead):
        """Measured beside: the fault goes on meanwhile."""
        def measure():
            while time.monotonic() < dead + 60:
                with self.history.lock:
                    ends = [write.ended for write in self.history.writes[-2000:] if write.partition == partition and write.ended > dead + 0.005]
                if ends:
                    self.failovers.append(min(ends) - killed)
                    return
                time.sleep(0.02)
            self.failovers.append(float("inf"))

        self.beside(measure)

    def note_controller_failover(self, node, killed):
        def measure():
            while time.monotonic() < killed + 60:
                try:
                    with self.cluster.client(seconds=3) as client:
                        if client.quorum()["LeaderId"] not in (-1, node.id):
                            self.controller_failovers.append(time.monotonic() - killed)
                            return
                except (OSError, AssertionError):
                    pass
                time.sleep(0.02)
            self.controller_failovers.append(float("inf"))

        self.beside(measure)

    def beside(self, work):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.measuring.append(thread)

    def wait_until_whole(self):
        """Every replica is in sync."""
        deadline = time.monotonic() + WHOLE_SECONDS
        found = {}
        while True:
            try:
                with self.cluster.client(seconds=5) as client:
                    found = client.partitions(TOPIC)
                    if all(set(each["IsrNodes"]) == set(each["ReplicaNodes"]) and each["LeaderId"] >= 0 for each in found.values()):
                        return
            except (OSError, AssertionError):
                pass
            assert time.monotonic() < deadline, f"not whole again: {found}"
            time.sleep(0.1)

    # The run

    def make_clients(self):
        """Writers, and readers, which see what the writers wrote last."""
        shared = (self.cluster.bootstrap, self.history, TOPIC, PARTITIONS)
        writers, readers = foreign.foreign_clients(self.kinds_of_clients, self.cluster.folder, *shared)
        if PLAIN in self.kinds_of_clients:
            writers += [kind(f"{kind.__name__}-{i}", *shared, partition=i) for kind in (PlainWriter, IdempotentWriter) for i in range(PARTITIONS)]
        readers += [Reader("reader-0", *shared), Committer("committer-0", *shared)]
        self.writers, self.readers = writers, readers

    def go(self, seconds, chosen):
        with self.cluster.client() as client:
            client.create_topic(TOPIC, PARTITIONS, min(3, len(self.cluster.brokers)), {"min.insync.replicas": 2})
        self.make_clients()
        clients = self.writers + self.readers
        for each in clients:
            each.start()
        self.wait_for_writers()
        deadline = time.monotonic() + seconds
        order = []
        while time.monotonic() < deadline:
            order = order or self.chance.sample(chosen, len(chosen))   # each comes as often as any other
            fault = order.pop()
            self.log(f"{fault.__name__}")
            begun = time.monotonic()
            fault(self)
            self.wait_until_whole()
            self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
            self.log(f"  whole again after {time.monotonic() - begun:.1f} s; {self.acknowledged()} records acknowledged")
            broken = [f"{each.name}: {each.failure!r}" for each in clients if each.failure]
            if broken:
                break
        return self.finish()

    def wait_for_writers(self, seconds=30):
        """Until each has begun."""
        deadline = time.monotonic() + seconds
        while any(each.sent == 0 and not each.failure for each in self.writers) and time.monotonic() < deadline:
            time.sleep(0.05)

    def acknowledged(self):
        with self.history.lock:
            return sum(len(write.values) for write in self.history.writes if write.state == "acknowledged")

    def finish(self):
        """What is wrong: a line each."""
        for thread in self.measuring:
            thread.join(60)
        for group in (self.writers, self.readers):
            for each in group:
                each.stopping.set()
            for each in group:
                each.join(JOIN_SECONDS)
        clients = self.writers + self.readers
        wrong = [f"{each.name} is stuck" for each in clients if each.is_alive()]
        wrong += [f"{each.name}: {each.failure!r}" for each in clients if each.failure]
        with self.cluster.client() as client:
            logs = {partition: client.read_all(TOPIC, partition) for partition in range(PARTITIONS)}
        wrong += [str(anomaly) for anomaly in check(self.history, logs)]
        idle = [each.name for each in self.writers if each.sent < 10]
        wrong += [f"{name} wrote next to nothing" for name in idle]
        return wrong

    def report(self):
        def times(values):
            if not values:
                return "-"
            return f"p50 {statistics.median(values) * 1000:.0f} ms, max {max(values) * 1000:.0f} ms, {len(values)} times"

        kills = sum(count * (len(self.cluster.nodes) if name in ("kill_all", "power_loss") else 3 if name == "kill_twice" else 1)
                    for name, count in self.counts.items() if name.startswith(("kill", "power")))
        return [f"faults: {', '.join(f'{count} {name}' for name, count in sorted(self.counts.items()))}",
                f"kills: {kills}; records acknowledged: {self.acknowledged()}; not synced and gone with the power: {self.bytes_lost} bytes",
                f"leader killed to next acknowledged record: {times(self.failovers)}",
                f"controller killed to the next one: {times(self.controller_failovers)}",
                f"SIGTERM to end: {times(self.shutdowns)}",
                f"bit flipped to repaired: {times(self.repairs)}"]

    def end_clients(self):
        """However the run ended."""
        for each in self.writers + self.readers:
            if isinstance(each, foreign.ForeignClient):
                each.kill()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=6)
    options.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    options.add_argument("--faults", default="", help="between commas; all by default: " + ", ".join(faults.ALL))
    options.add_argument("--kinds", default="millrace,millrace,millrace", help="of each node: millrace or apache")
    options.add_argument("--clients", default=",".join(CLIENTS), help="between commas: " + ", ".join(CLIENTS))
    options.add_argument("--pause", default="2,8", help="least and most seconds of a pause or a cut")
    options.add_argument("--keep", action="store_true", help="leave the data directories and logs")
    given = options.parse_args()
    kinds = given.kinds.split(",")
    all_sync = set(kinds) == {MILLRACE}
    possible = [fault for fault in faults.ALL.values() if all_sync or fault not in faults.MILLRACE_ONLY]
    chosen = [faults.ALL[name] for name in given.faults.split(",")] if given.faults else possible
    if not set(chosen) <= set(possible):
        options.error("these faults are for clusters of millrace alone: " + ", ".join(fault.__name__ for fault in faults.MILLRACE_ONLY))
    if not set(given.clients.split(",")) <= set(CLIENTS):
        options.error(f"clients are {', '.join(CLIENTS)}")
    folder = tempfile.mkdtemp(prefix="millrace-chaos-")
    print(f"seed {given.seed}; {folder}", flush=True)
    cluster = Cluster(folder, combined(len(kinds), kinds=kinds), links=True)
    run = Run(cluster, given, lambda line: print(line, flush=True))
    wrong = ["it did not come to an end"]
    try:
        cluster.format()
        if all_sync:
            run.prepare_power()
        cluster.start()
        wrong = run.go(given.minutes * 60, chosen)
    finally:
        run.end_clients()
        cluster.kill()
        for line in [*run.report(), *wrong[:50], f"{len(wrong)} anomalies"]:
            print(line, flush=True)
        if wrong or given.keep:
            print(f"logs and data are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
