"""Clusters on loopback: nodes of Millrace, of Apache Kafka, or of both kinds; each with its data and logs in a folder of its own.

A node is a broker, a controller or both; its kind may change between two starts, on the same data directory. With links (support/proxy.py)
nodes reach each other through proxies, so that a test can cut, delay and reset what is between two of them."""

import base64
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from interop import apache

from .broker import BINARY, free_ports
from .cluster_client import ClusterClient
from .proxy import Links

MILLRACE, APACHE = "millrace", "apache"
BOTH, BROKER, CONTROLLER = "broker,controller", "broker", "controller"
STARTED = "Kafka Server started"
START_SECONDS = {MILLRACE: 30, APACHE: 180}
HOST = "127.0.0.1"


def new_id():
    """A cluster's or directory's id: 22 characters, and no '-' first, which a command line would take for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if text[0] != "-":
            return text


@dataclass
class Plan:
    """What a node shall be."""
    id: int
    roles: str = BOTH
    kind: str = MILLRACE
    rack: str = ""


def combined(count=3, kind=MILLRACE, kinds=None):
    """Nodes 1..count, each broker and controller."""
    return [Plan(i + 1, BOTH, kinds[i] if kinds else kind) for i in range(count)]


def separate(controllers=3, brokers=3, controller_kind=MILLRACE, broker_kind=MILLRACE):
    """Brokers 1.., controllers 101.. ."""
    return [Plan(101 + i, CONTROLLER, controller_kind) for i in range(controllers)] + \
           [Plan(1 + i, BROKER, broker_kind) for i in range(brokers)]


class Node:
    def __init__(self, cluster, plan):
        self.cluster, self.plan, self.kind = cluster, plan, plan.kind
        self.id, self.roles = plan.id, plan.roles
        self.folder = cluster.folder / f"node-{plan.id}"
        self.folder.mkdir()
        self.data = self.folder / "data"
        self.file = self.folder / "server.properties"
        self.directory_id = new_id()
        self.port, self.internal_port, self.controller_port = free_ports(3)
        self.process = None
        self.paused = False
        self.extra = {}        # properties of this node alone
        self.environment = {}
        self.java = apache.JAVA    # what a node of Apache Kafka runs in

    is_broker = property(lambda self: BROKER in self.roles)
    is_controller = property(lambda self: CONTROLLER in self.roles)
    is_running = property(lambda self: self.process is not None and self.process.poll() is None)
    address = property(lambda self: f"{HOST}:{self.port}")
    log_path = property(lambda self: self.folder / f"{self.kind}.log")

    @property
    def controller_address(self):
        """Where other nodes find this one's controller."""
        return f"{HOST}:{self.cluster.advertised_port(self, 'CONTROLLER')}"

    def properties(self):
        listeners = {}
        if self.is_broker:
            listeners["PLAINTEXT"] = self.port
            if self.cluster.internal:
                listeners["INTERNAL"] = self.internal_port
        if self.is_controller:
            listeners["CONTROLLER"] = self.controller_port
        shown = {name: self.cluster.advertised_port(self, name) for name in listeners}
        if not self.cluster.links:
            shown.pop("CONTROLLER", None)
        result = {
            "process.roles": self.roles,
            "node.id": self.id,
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
            "advertised.listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in shown.items()),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT",
            "log.dirs": self.data,
            **self.cluster.quorum_properties(),
            **self.cluster.properties,
            **self.extra,
        }
        if self.is_broker and self.cluster.internal:
            result["inter.broker.listener.name"] = "INTERNAL"
        if self.plan.rack:
            result["broker.rack"] = self.plan.rack
        if not shown:
            del result["advertised.listeners"]
        return result

    def write_properties(self):
        self.file.write_text("".join(f"{name}={value}\n" for name, value in self.properties().items()))

    def format(self, *arguments):
        """kafka-storage.sh format, of this node's kind."""
        self.write_properties()
        program = [BINARY] if self.kind == MILLRACE else apache.command_line("kafka.tools.StorageTool")
        done = subprocess.run([*program, "format", "-t", self.cluster.id, "-c", self.file, *arguments],
                              capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"format of node {self.id}: {done.stdout}{done.stderr}"

    def launch(self):
        """Starts the process without waiting for it to be ready."""
        self.write_properties()
        command = [BINARY, "start", self.file] if self.kind == MILLRACE else \
                  [*self.java, "-cp", f"{apache.jars()}/*", "kafka.Kafka", self.file]
        self.starts_before = self.log().count(STARTED)
        if self.cluster.links:
            self.cluster.links.open_ports(self.id)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **self.environment})
        self.paused = False
        return self

    def wait_until_started(self, seconds=None):
        deadline = time.monotonic() + (seconds or START_SECONDS[self.kind])
        while self.log().count(STARTED) == self.starts_before:
            if self.process.poll() is not None:
                raise AssertionError(f"node {self.id}: exit status {self.process.returncode} instead of a start:\n{self.log()[-6000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"node {self.id} is not ready:\n{self.log()[-6000:]}")
            time.sleep(0.02)
        return self

    def start(self, seconds=None):
        return self.launch().wait_until_started(seconds)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_for_end(self, seconds=60):
        """The exit status; Java's after SIGTERM counts as 0."""
        status = self.process.wait(seconds)
        self.close_ports()
        return 0 if self.kind == APACHE and status == 128 + signal.SIGTERM else status

    def stop(self, seconds=60):
        self.terminate()
        return self.wait_for_end(seconds)

    def kill(self, wait=True):
        if self.is_running:
            self.close_ports()
            self.process.kill()
            if wait:
                self.process.wait()

    def close_ports(self):
        if self.cluster.links:
            self.cluster.links.close_ports(self.id)

    def pause(self):
        """Returns when none of its threads runs any more: a signal is there before it has worked."""
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        while any(thread.read_text().rsplit(")", 1)[1].split()[0] != "T" for thread in threads.glob("*/stat")):
            time.sleep(0.001)
        self.paused = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def restart(self):
        self.stop()
        return self.start()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def error_lines(self):
        return [line for line in self.log().splitlines() if re.search(r"^\[[^]]*\] (ERROR|FATAL)\b", line)]

    def identity(self):
        """The lines of meta.properties."""
        lines = (self.data / "meta.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class Cluster:
    """`quorum`: initial-controllers (voters in the log), static (controller.quorum.voters), or standalone (the first controller is the
    only voter; the others join it when they are told to). `client_ports`: by node id, where clients shall find it, if that is a proxy of the
    test's own; brokers then reach each other past it."""

    def __init__(self, folder, plans, quorum="initial-controllers", properties=None, links=False, client_ports=None):
        self.folder = Path(folder)
        self.id = new_id()
        self.quorum = quorum
        brokers = sum(BROKER in plan.roles for plan in plans)
        copies = min(3, brokers)
        self.properties = {
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": min(2, copies),
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": min(2, copies),
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            **(properties or {}),
        }
        self.links = Links() if links else None
        self.client_ports = client_ports or {}
        self.internal = bool(links or client_ports)     # brokers have a listener for each other
        self.nodes = {}
        for plan in plans:
            self.add(plan)

    def add(self, plan):
        """A node more; not formatted and not started."""
        node = Node(self, plan)
        self.nodes[plan.id] = node
        if self.links:
            if node.is_broker:
                self.links.add(node, "INTERNAL", node.internal_port)
            if node.is_controller:
                self.links.add(node, "CONTROLLER", node.controller_port)
        return node

    def advertised_port(self, node, listener):
        if self.links and listener != "PLAINTEXT":
            return self.links.port_of(node.id, listener)
        return {"PLAINTEXT": self.client_ports.get(node.id, node.port), "INTERNAL": node.internal_port, "CONTROLLER": node.controller_port}[listener]

    brokers = property(lambda self: [node for node in self.nodes.values() if node.is_broker])
    controllers = property(lambda self: [node for node in self.nodes.values() if node.is_controller])
    running = property(lambda self: [node for node in self.nodes.values() if node.is_running and not node.paused])

    @property
    def bootstrap(self):
        return ",".join(node.address for node in self.brokers)

    address = bootstrap   # where a test does not care whether it talks to a Broker or to a Cluster

    @property
    def controller_bootstrap(self):
        return ",".join(node.controller_address for node in self.controllers)

    def quorum_properties(self):
        if self.quorum == "static":
            return {"controller.quorum.voters": ",".join(f"{node.id}@{node.controller_address}" for node in self.controllers)}
        return {"controller.quorum.bootstrap.servers": self.controller_bootstrap}

    def format_arguments(self, node):
        if self.quorum == "static" or not node.is_controller:
            return []
        if self.quorum == "standalone":
            return ["--standalone"] if node is self.controllers[0] else ["--no-initial-controllers"]
        voters = [each for each in self.controllers if not getattr(each, "joins", False)]
        if node not in voters:
            return ["--no-initial-controllers"]
        return ["--initial-controllers", ",".join(f"{each.id}@{each.controller_address}:{each.directory_id}" for each in voters)]

    def format(self):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda node: node.format(*self.format_arguments(node)), self.nodes.values()))
        return self

    def start(self):
        """Starts all nodes and waits until each broker knows every other one."""
        self.start_all()
        self.wait_until_ready()
        return self

    def wait_until_ready(self, seconds=60):
        expected = {node.id for node in self.brokers if node.is_running and not node.paused}
        deadline = time.monotonic() + seconds
        known = {}
        for node in self.brokers:
            while node.is_running and not node.paused:
                with contextlib.suppress(OSError, AssertionError), ClusterClient(node.address, seconds=5) as client:
                    known[node.id] = {each["BrokerId"] for each in client.describe()["Brokers"]}
                if known.get(node.id) == expected:
                    break
                assert time.monotonic() < deadline, f"node {node.id} knows {known.get(node.id)}, not {expected}:\n{node.log()[-3000:]}"
                time.sleep(0.05)

    def client(self, seconds=20):
        return ClusterClient(self.bootstrap, seconds)

    def quorum_leader(self, seconds=30):
        """The node that is the active controller, as a broker says."""
        with self.client() as client:
            deadline = time.monotonic() + seconds
            while True:
                with contextlib.suppress(OSError, AssertionError):
                    leader = client.quorum()["LeaderId"]
                    if leader in self.nodes and self.nodes[leader].is_running:
                        return self.nodes[leader]
                assert time.monotonic() < deadline, "no active controller"
                time.sleep(0.05)

    def stop(self, seconds=60):
        """Brokers alone first, as their controlled shutdown needs the controllers; then the rest at once. Exit statuses by id."""
        statuses = {}
        for group in ([node for node in self.nodes.values() if not node.is_controller], self.controllers):
            running = [node for node in group if node.is_running]
            for node in running:
                node.terminate()
            statuses.update((node.id, node.wait_for_end(seconds)) for node in running)
        return statuses

    def error_lines(self):
        """Of the nodes of Millrace."""
        return [f"node {node.id}: {line}" for node in self.nodes.values() if node.kind == MILLRACE for line in node.error_lines()]

    def kill_all(self):
        """At once."""
        for node in self.nodes.values():
            node.kill(wait=False)
        for node in self.nodes.values():
            if node.process:
                node.process.wait()

    def start_all(self):
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.wait_until_started()

    def kill(self):
        self.kill_all()
        if self.links:
            self.links.close()


class ClusterTest(unittest.TestCase):
    """Gives each test a folder and clusters that are gone afterwards; an unexpected ERROR line of a Millrace node fails the test."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.clusters = []
        self.expected_errors = []   # regular expressions
        self.addCleanup(self._folder.cleanup)
        self.addCleanup(self._end_clusters)

    def cluster(self, plans=None, **options):
        """Formatted, not started."""
        folder = self.folder / f"cluster-{len(self.clusters)}"
        folder.mkdir()
        self.clusters.append(Cluster(folder, plans or combined(3), **options))
        return self.clusters[-1].format()

    def wait_for(self, what, seconds=30, message="it did not come true"):
        """Until `what()` is true; connections may fail meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if result := what():
                    return result
            self.assertLess(time.monotonic(), deadline, message() if callable(message) else message)
            time.sleep(0.05)

    def _end_clusters(self):
        for cluster in self.clusters:
            cluster.kill()
        unexpected = [line for cluster in self.clusters for line in cluster.error_lines()
                      if not any(re.search(each, line) for each in self.expected_errors)]
        self.assertEqual([], unexpected, "unexpected ERROR lines")
