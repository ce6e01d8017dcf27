"""The brokers that are compared: Millrace, Apache Kafka, the floor server. Each runs pinned on one core with a folder of its own."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from interop import apache  # noqa: E402
from support import kafka  # noqa: E402
from support.broker import free_ports  # noqa: E402

BUILD = ROOT / "build" / "release"
GENERATOR = BUILD / "bench" / "bench_generator"
GROUPS = BUILD / "bench" / "bench_groups"
BROKER_CORE, GENERATOR_CORE = 0, 1
READY_SECONDS = 120
DELETE_TOPICS = 20    # the API key
# What bin/kafka-server-start.sh of the distribution starts the broker with.
JAVA = ["java", "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]
CLUSTER_ID = "bench-bench-bench-benc"


def pinned(core):
    """For preexec_fn: the child stays on `core` and may open as many files as the system lets it."""
    def prepare():
        os.sched_setaffinity(0, {core})
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return prepare


class Failed(Exception):
    """A server or the generator did not do what it was asked for."""


class Server:
    """What all have in common: a process, a port, a folder."""
    name = ""
    speaks_kafka = True    # the whole protocol, and not just the generator's requests
    ten_thousand_partitions = (10_000,)

    def __init__(self, folder, properties=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.controller_port = free_ports(2)
        self.properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "auto.create.topics.enable": "false",
            **(properties or {}),
        }
        self.process = None

    def command(self):
        raise NotImplementedError

    def prepare(self):
        """Whatever has to be done once before the first start."""
        file = self.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in self.properties.items()))

    def start(self):
        """Starts it; the seconds from exec to the first answer."""
        with open(self.folder / "log", "ab") as log:
            begun = time.perf_counter()
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, preexec_fn=pinned(BROKER_CORE))
        while not self.answers():
            if self.process.poll() is not None or time.perf_counter() - begun > READY_SECONDS:
                self.kill()
                raise Failed(f"{self.name} did not start: see {self.folder}/log")
            time.sleep(0.001)
        return time.perf_counter() - begun

    def answers(self):
        try:
            with kafka.Client(f"127.0.0.1:{self.port}", seconds=READY_SECONDS) as client:
                client.call(kafka.API_VERSIONS, 0, b"")
            return True
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def discard(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def resident_mb(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise Failed(f"{self.name} has ended: see {self.folder}/log")

    def create_topic(self, name, partitions):
        """Creates it; the seconds until the answer."""
        with kafka.Client(f"127.0.0.1:{self.port}", seconds=READY_SECONDS) as client:
            begun = time.perf_counter()
            if error := client.create_topic(name, partitions):
                raise Failed(f"{self.name}: creating {name}: error {error}")
            return time.perf_counter() - begun

    def await_leaders(self, topic, partitions):
        """Apache Kafka answers CreateTopics before the partitions have their leaders."""
        with kafka.Client(f"127.0.0.1:{self.port}", seconds=READY_SECONDS) as client:
            for partition in range(partitions):
                while client.list_offset(topic, -1, partition)[0] != 0:
                    time.sleep(0.01)

    def delete_topic(self, name):
        body = kafka.struct.pack(">i", 1) + kafka.string(name) + kafka.struct.pack(">i", READY_SECONDS * 1000)
        with kafka.Client(f"127.0.0.1:{self.port}", seconds=READY_SECONDS) as client:
            client.call(DELETE_TOPICS, 1, body)


class Millrace(Server):
    name = "Millrace"

    def __init__(self, folder, properties=None):
        super().__init__(folder, {"millrace.durability": "page-cache", "millrace.shards": "1", **(properties or {})})

    def command(self):
        return [BUILD / "millrace", "start", self.folder / "server.properties"]


class Apache(Server):
    name = "Apache Kafka"
    directory = None    # of an unpacked distribution; else the jars come from Maven Central
    ten_thousand_partitions = (5_000, 5_000)    # its controller makes no more than 10,000 records of one request

    def jars(self):
        return Path(self.directory) / "libs" if self.directory else apache.jars()

    def command(self):
        return [*JAVA, "-cp", f"{self.jars()}/*", "kafka.Kafka", self.folder / "server.properties"]

    def prepare(self):
        super().prepare()
        subprocess.run([*JAVA[:1], "-cp", f"{self.jars()}/*", "kafka.tools.StorageTool", "format", "--standalone",
                        "-t", CLUSTER_ID, "-c", self.folder / "server.properties"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


class Floor(Server):
    name = "floor"
    speaks_kafka = False

    def command(self):
        return [BUILD / "bench" / "bench_floor", str(self.port), self.folder]

    def prepare(self):
        pass

    def answers(self):
        return "ready" in (self.folder / "log").read_text()

    def create_topic(self, name, partitions):
        return 0.0

    def await_leaders(self, topic, partitions):
        pass

    def delete_topic(self, name):
        for file in self.folder.glob(f"{name}-*.log"):
            file.unlink()
