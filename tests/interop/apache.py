"""Apache Kafka from Maven Central: its jars in a cache of the user's, its broker on a data directory, its command line tools."""

import atexit
import hashlib
import itertools
import os
import signal
import struct
import subprocess
import threading
import time
import tomllib
from pathlib import Path

from support.cache import installed_once
from support.waiting import eventually

POM = Path(__file__).with_name("pom.xml")
VERSION = tomllib.loads((POM.parent.parent / "versions.toml").read_text())["apache-kafka"]["version"]
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]
CAUGHT_UP = itertools.count(1)      # a value of its own for each time
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"

TOOLS = {
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "configs": "kafka.admin.ConfigCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "metadata-shell": "org.apache.kafka.shell.MetadataShell",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
}

END_THEIR_JVM = ("cluster", "metadata-shell")   # by System.exit, where others ask Kafka's Exit
UTC = {**os.environ, "TZ": "UTC"}


def jars():
    """The folder of the jars, filled at first use; named after the version and what the pom says."""
    def install(folder):
        subprocess.run(["mvn", "-q", "-B", "-f", POM, COPY, f"-DoutputDirectory={folder}", "-DincludeScope=runtime",
                        f"-Dkafka.version={VERSION}", "-Dstyle.color=never"], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    return installed_once(f"apache-kafka-{VERSION}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}", install)


def command_line(name):
    """The words that run one of the tools, or a class by its full name, in a JVM of its own."""
    return [*JAVA[:-1], QUIET, "-cp", f"{jars()}/*", TOOLS.get(name, name)]


def run(name, arguments, stdin="", seconds=90):
    """Runs one of the tools in a JVM that others ran in before: its subprocess.CompletedProcess. Files are named by absolute paths; the time zone is UTC."""
    if name in END_THEIR_JVM:
        return subprocess.run([*command_line(name), *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=seconds, env=UTC)
    idle = [jvm for jvm in JVMS if jvm.idle.acquire(blocking=False)]
    for spare in idle[1:]:
        spare.idle.release()
    jvm = idle[0] if idle else ToolsJvm()
    try:
        done = jvm.run([TOOLS.get(name, name), *map(str, arguments)], stdin, seconds)
        jvm.idle.release()
        return done
    except BaseException:
        jvm.end()
        raise


def tool(name, *arguments, stdin="", seconds=90):
    """Runs one of the tools; its standard output."""
    done = run(name, arguments, stdin, seconds)
    if done.returncode != 0:
        raise AssertionError(f"{name} {arguments}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class ToolsJvm:
    """A JVM with Tools.java, begun in use. One that did not answer in time is not asked again."""

    def __init__(self):
        self.idle = threading.Lock()
        self.idle.acquire()
        own = sorted(str(jar) for jar in jars().glob("*.jar") if jar.name.startswith(("kafka-tools-4", "kafka_2")))
        others = ":".join(sorted(str(jar) for jar in jars().glob("*.jar") if str(jar) not in own))
        self.process = subprocess.Popen([*JAVA[:-1], QUIET, "-cp", others, Path(__file__).with_name("Tools.java"), *own],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=UTC)
        atexit.register(self.end)
        JVMS.append(self)

    def run(self, words, stdin, seconds):
        overdue = threading.Timer(seconds, self.process.kill)
        overdue.start()
        try:
            self.process.stdin.write(struct.pack(">i", len(words)) + b"".join(self.text(word) for word in [*words, stdin]))
            self.process.stdin.flush()
            return subprocess.CompletedProcess(words, self.number(), self.taken(), self.taken())
        except (struct.error, OSError):
            raise AssertionError(f"{words}: no answer within {seconds} s, or the JVM died") from None
        finally:
            overdue.cancel()

    @staticmethod
    def text(text):
        octets = text.encode()
        return struct.pack(">i", len(octets)) + octets

    def number(self):
        return struct.unpack(">i", self.process.stdout.read(4))[0]

    def taken(self):
        return self.process.stdout.read(self.number()).decode()

    def end(self):
        atexit.unregister(self.end)
        if self in JVMS:
            JVMS.remove(self)
        self.process.kill()
        self.process.communicate()


JVMS = []   # of this process


class ApacheBroker:
    """Apache Kafka's server on the data directory and ports of a (stopped) Millrace broker."""

    def __init__(self, broker):
        self.broker = broker
        self.log_path = broker.folder / "apache.log"
        self.process = None

    def start(self, seconds=180):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*JAVA, "-cp", f"{jars()}/*", "kafka.Kafka", self.broker.folder / "server.properties"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.broker.folder)
        deadline = time.monotonic() + seconds
        while "Kafka Server started" not in self.log_path.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError("Apache Kafka did not start:\n" + self.log_path.read_text(errors="replace")[-6000:])
            time.sleep(0.1)
        return self

    def stop(self, seconds=60):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def catch_up(asker):
    """Waits until the broker knows all that was changed, which Apache Kafka's answers do not wait for: until it tells of a change behind that."""
    group, name, value = {"ResourceType": 32, "ResourceName": "catch-up"}, "consumer.session.timeout.ms", str(45_000 + next(CAUGHT_UP))
    change = {"Name": name, "ConfigOperation": 0, "Value": value}
    altered, = asker.ask("IncrementalAlterConfigs", 1, Resources=[group | {"Configs": [change]}])["Responses"]
    if altered["ErrorCode"]:
        raise AssertionError(f"the cluster's metadata cannot be changed: {altered}")

    def is_known():
        result, = asker.ask("DescribeConfigs", 4, Resources=[group | {"ConfigurationKeys": [name]}])["Results"]
        return [each["Value"] for each in result["Configs"]] == [value]
    if not eventually(is_known, 60):
        raise AssertionError("the broker does not hear of a change")
    time.sleep(0.1)        # its coordinators are told right behind that
