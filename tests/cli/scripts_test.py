"""The program called by the names of Apache Kafka's scripts: their words, lines and exit statuses, as those of Apache Kafka 4.3.1."""

import os
import re
import signal
import subprocess
import time
import unittest
from pathlib import Path

from support.broker import BINARY, BrokerTest, free_ports
from support.kafka import Client
from support.protocol import Asker

CLUSTER = "JBnGmM1nQnKjv6nDT2mAzQ"

# What the config/server.properties of its distribution sets; only the addresses and the directory are the test's.
DISTRIBUTION = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:{controller}
listeners=PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controller}
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs={data}
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""


class Scripts(BrokerTest):
    def setUp(self):
        super().setUp()
        (self.folder / "bin").mkdir()
        for name in ("kafka-storage", "kafka-server-start", "kafka-run-class"):
            os.symlink(BINARY, self.folder / "bin" / f"{name}.sh")
        self.port, controller = free_ports(2)
        self.data = self.folder / "data"
        self.file = self.folder / "server.properties"
        self.file.write_text(DISTRIBUTION.format(port=self.port, controller=controller, data=self.data))
        self.static = self.folder / "static.properties"
        self.static.write_text(self.file.read_text().replace("controller.quorum.bootstrap.servers=", "controller.quorum.voters=1@"))

    def script(self, name, *arguments, expect=0, environment=None):
        ended = subprocess.run([self.folder / "bin" / f"{name}.sh", *arguments], capture_output=True, text=True, timeout=30,
                               cwd=self.folder, env={**os.environ, **(environment or {})})
        self.assertEqual(expect, ended.returncode, ended.stdout + ended.stderr)
        return (ended.stdout + ended.stderr).replace(str(self.folder), "F")

    def storage(self, *arguments, expect=0):
        return self.script("kafka-storage", *arguments, expect=expect)

    def format(self, *arguments, file=None, cluster=CLUSTER, expect=0):
        return self.storage("format", "-t", cluster, "-c", file or self.file, *arguments, expect=expect)

    def end(self, pid):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def wait_for_start(self, output):
        deadline = time.monotonic() + 30
        while "[KafkaRaftServer nodeId=1] Kafka Server started" not in (output.read_text() if output.exists() else ""):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    # kafka-storage.sh

    def test_random_uuid(self):
        ids = {self.storage("random-uuid") for _ in range(3)}
        self.assertEqual(3, len(ids))
        for each in ids:
            self.assertRegex(each, r"^\w[\w-]{21}\n$")

    def test_a_dynamic_quorum_has_to_be_told_who_votes(self):
        self.assertIn("--standalone, --initial-controllers, or --no-initial-controllers", self.format(expect=1))
        self.assertEqual("Formatting dynamic metadata voter directory F/data with metadata.version 4.3-IV0.\n", self.format("--standalone"))
        self.assertIn("F/data is already formatted. Use --ignore-formatted", self.format("--standalone", expect=1))
        self.assertEqual("All of the log directories are already formatted.\n", self.format("-s", "-g"))
        self.assertIn("Expected another, but read " + CLUSTER, self.format("-s", "-g", cluster="another", expect=1))
        self.assertEqual({"__cluster_metadata-0", "bootstrap.checkpoint", "meta.properties"}, {each.name for each in self.data.iterdir()})

    def test_the_first_voters_can_be_several_or_known_elsewhere(self):
        voters = "1@localhost:9093:JEXY6aqzQY-32P5TStzaFg,2@localhost:9094:MvDxzVmcRsaTz33bUuRU6A"
        self.assertIn("No colon following port could be found. It is '2@b:9'", self.format("-I", voters + ",2@b:9", expect=1))
        self.assertIn("only one of them", self.format("-I", voters, "-N", expect=1))
        self.assertEqual("Formatting dynamic metadata voter directory F/data with metadata.version 4.3-IV0.\n", self.format("-I", voters))
        self.assertIn("directory.id=JEXY6aqzQY-32P5TStzaFg\n", (self.data / "meta.properties").read_text())
        joining = self.folder / "joining.properties"
        joining.write_text(self.file.read_text().replace(str(self.data), str(self.folder / "other")))
        self.assertEqual("Formatting metadata directory F/other with metadata.version 4.3-IV0.\n", self.format("-N", file=joining))
        self.assertEqual({"bootstrap.checkpoint", "meta.properties"}, {each.name for each in (self.folder / "other").iterdir()})

    def test_brokers_alone_and_controllers_alone_are_formatted(self):
        for role, listeners, name in (("broker", "PLAINTEXT://localhost:9092", "b"), ("controller", "CONTROLLER://localhost:9093", "c")):
            file = self.folder / f"{role}.properties"
            file.write_text(f"process.roles={role}\nnode.id=1\nlisteners={listeners}\ncontroller.listener.names=CONTROLLER\n"
                            f"controller.quorum.bootstrap.servers=localhost:9093\nlog.dirs={self.folder}/{name}\n")
        self.assertIn("You can only use --standalone on a controller.", self.format("-s", file=self.folder / "broker.properties", expect=1))
        self.assertEqual("Formatting metadata directory F/b with metadata.version 4.3-IV0.\n", self.format(file=self.folder / "broker.properties"))
        self.assertIn("dynamic metadata voter directory F/c", self.format("-s", file=self.folder / "controller.properties"))

    def test_a_static_quorum_is_configured(self):
        self.assertIn("You cannot specify controller.quorum.voters and format the node with", self.format("--standalone", file=self.static, expect=1))
        self.assertEqual("Formatting metadata directory F/data with metadata.version 4.3-IV0.\n", self.format(file=self.static))

    def test_what_is_missing_or_makes_no_sense_is_refused_with_status_1(self):
        for arguments, says in (((), "Help: kafka-storage.sh --help"), (("nonsense",), "'nonsense'"), (("info",), "--config"),
                                (("format", "-c", self.file), "--cluster-id"), (("format", "-t", CLUSTER), "--config"),
                                (("format", "-t", CLUSTER, "-c", "none", "-s"), "none"), (("info", "-c", "none"), "none")):
            self.assertIn(says, self.storage(*arguments, expect=1))
        for arguments, says in ((("-r", "9.9"), "9.9"), (("-f", "nope=1"), "Unsupported feature: nope"), (("-f", "group.version"), "group.version"),
                                (("-f", "group.version=9"), "No feature:group.version with feature level 9"),
                                (("-r", "4.2", "-f", "metadata.version=29"), "Use --release-version instead of"),
                                (("-f", "kraft.version=0"), "Cannot set kraft.version to 0"), (("-S", "SCRAM-SHA-256=[name=a,password=b]"), "SASL")):
            self.assertIn(says, self.format("-s", *arguments, expect=1))
        self.assertFalse(self.data.exists())

    def test_info(self):
        self.assertEqual("Found problem:\n  F/data does not exist\n\n", self.storage("info", "-c", self.file, expect=1))
        self.data.mkdir()
        self.assertEqual("Found log directory:\n  F/data\n\nFound problem:\n  F/data is not formatted.\n\n",
                         self.storage("info", "-c", self.file, expect=1))
        self.format("-s")
        self.assertRegex(self.storage("info", "-c", self.file), r"^Found log directory:\n  F/data\n\nFound metadata: "
                         r"\{cluster.id=" + CLUSTER + r", directory.id=[\w-]{22}, node.id=1, version=1\}\n\n$")

    def test_a_cluster_begins_with_the_features_that_were_asked_for(self):
        self.assertIn("with metadata.version 3.9-IV0.", self.format("-s", "--release-version", "3.9", "--feature", "group.version=1"))
        output = self.folder / "out"
        with open(output, "w") as out:
            process = subprocess.Popen([self.folder / "bin/kafka-server-start.sh", self.file], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.addCleanup(process.kill)
        self.wait_for_start(output)
        with Asker(f"localhost:{self.port}") as asker:
            features = asker.ask("ApiVersions", 4, ClientSoftwareName="t", ClientSoftwareVersion="1")["FinalizedFeatures"]
        self.assertEqual({"metadata.version": 21, "group.version": 1, "kraft.version": 1}, {each["Name"]: each["MaxVersionLevel"] for each in features})
        process.terminate()
        self.assertEqual(0, process.wait(20))

    # kafka-server-start.sh and kafka-run-class.sh

    def test_they_say_how_they_are_used(self):
        self.assertEqual("USAGE: kafka-server-start.sh [-daemon] server.properties [--override property=value]*\n",
                         self.script("kafka-server-start", expect=1))
        self.assertRegex(self.script("kafka-run-class", expect=1), r"^USAGE: kafka-run-class.sh \[-daemon\] \[-name servicename\] \[-loggc\] classname")
        self.assertIn("Could not find or load main class kafka.Nothing", self.script("kafka-run-class", "kafka.Nothing", expect=1))
        self.assertIn("no-such-file", self.script("kafka-server-start", "no-such-file", expect=1))
        self.assertIn("Help: kafka-server-start.sh", self.script("kafka-server-start", self.file, "--nonsense", expect=1))

    def test_what_stops_a_start_says_what_to_try(self):
        self.file.write_text("broker.id=1\nzookeeper.connect=localhost:2181\n")
        self.assertIn("take out zookeeper.connect", self.script("kafka-server-start", self.file, expect=1))
        node = self.broker().start()
        self.assertIn("Stop the node that runs there", self.broker(data=node.data).refusal())
        self.assertEqual(0, node.stop())
        self.assertIn("Mend node.id", self.broker({"node.id": "5"}, data=node.data).refusal())
        self.assertIn("Choose an address of this machine", self.broker({"listeners": "PLAINTEXT://192.0.2.1:9,CONTROLLER://127.0.0.1:0"}).refusal())

    def test_each_way_starts_a_node_that_sigterm_stops(self):
        self.format("--standalone")
        for number, words in enumerate((["kafka-server-start.sh"], ["kafka-run-class.sh", "kafka.Kafka"],
                                        ["kafka-run-class.sh", "-name", "kafkaServer", "-loggc", "kafka.Kafka"])):
            output = self.folder / f"out-{number}"
            with open(output, "w") as out:
                process = subprocess.Popen([self.folder / "bin" / words[0], *words[1:], self.file, "--override", "num.partitions=2"],
                                           stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            self.addCleanup(process.kill)
            self.wait_for_start(output)
            with Client(f"localhost:{self.port}") as client:
                self.assertTrue(client.api_versions())
            process.terminate()
            self.assertEqual(0, process.wait(20))

    def test_a_daemon_goes_on_alone_and_writes_to_its_log(self):
        self.format("--standalone")
        logs = self.folder / "logs"
        self.assertEqual("", self.script("kafka-server-start", "-daemon", self.file, environment={"LOG_DIR": str(logs)}))
        self.wait_for_start(logs / "kafkaServer.out")
        pid, = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and self.runs_here(each))
        self.assertEqual(pid, os.getsid(pid))
        self.end(pid)

    def runs_here(self, process):
        try:
            return str(self.file).encode() in (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main()
