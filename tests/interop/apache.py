"""Apache Kafka from Maven Central: its jars in a cache of the user's, its broker on a data directory, its command line tools."""

import hashlib
import signal
import subprocess
import time
import tomllib
from pathlib import Path

from support.cache import installed_once

POM = Path(__file__).with_name("pom.xml")
VERSION = tomllib.loads((POM.parent.parent / "versions.toml").read_text())["apache-kafka"]["version"]
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]

TOOLS = {
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "configs": "kafka.admin.ConfigCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
}


def jars():
    """The folder of the jars, filled at first use; named after the version and what the pom says."""
    def install(folder):
        subprocess.run(["mvn", "-q", "-B", "-f", POM, COPY, f"-DoutputDirectory={folder}", "-DincludeScope=runtime",
                        f"-Dkafka.version={VERSION}", "-Dstyle.color=never"], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    return installed_once(f"apache-kafka-{VERSION}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}", install)


def command_line(name):
    """The words that run one of the tools, or a class by its full name."""
    return [*JAVA[:-1], "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{jars()}/*", TOOLS.get(name, name)]


def tool(name, *arguments, stdin="", seconds=90):
    """Runs one of the tools; its standard output."""
    run = subprocess.run([*command_line(name), *map(str, arguments)], input=stdin, capture_output=True, text=True,
                         timeout=seconds)
    if run.returncode != 0:
        raise AssertionError(f"{name} {arguments}: exit status {run.returncode}\n{run.stdout}{run.stderr}")
    return run.stdout


class ApacheBroker:
    """Apache Kafka's server on the data directory and ports of a (stopped) Millrace broker."""

    def __init__(self, broker):
        self.broker = broker
        self.log_path = broker.folder / "apache.log"
        self.process = None

    def start(self, seconds=90):
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
