"""Apache Kafka's MirrorMaker 2, unchanged, between an Apache Kafka and a Millrace, both ways at once: records, partitions, configs of topics, committed offsets
of groups."""

import time
import unittest

from chaos.killable import Killable
from interop import apache
from support.broker import BrokerTest, free_ports

PROPERTIES = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4"}
RECORDS = 300
SETTINGS = {
    "clusters": "apache, millrace", "apache->millrace.enabled": "true", "millrace->apache.enabled": "true", "topics": "orders.*", "groups": "readers",
    "dedicated.mode.enable.internal.rest": "true", "apache.exactly.once.source.support": "enabled", "millrace.exactly.once.source.support": "enabled",
    "plugin.discovery": "service_load", "sync.group.offsets.enabled": "true", "sync.topic.acls.enabled": "false", "offset.lag.max": 0,
    "replication.factor": 1, "offset.storage.partitions": 2, "status.storage.partitions": 1, "tasks.max": 1,
    **{f"{topic}.topic.replication.factor": 1 for topic in ("checkpoints", "heartbeats", "offset-syncs")},
    **{f"{topic}.storage.replication.factor": 1 for topic in ("offset", "config", "status")},
    **{f"{each}.interval.seconds": 1 for each in ("refresh.topics", "refresh.groups", "sync.topic.configs", "sync.group.offsets", "emit.checkpoints",
                                                  "emit.heartbeats")},
}


class MirrorMaker(BrokerTest):
    def setUp(self):
        super().setUp()
        self.nodes = {"millrace": self.broker(PROPERTIES).start(), "apache": self.broker(PROPERTIES).start()}
        self.assertEqual(0, self.nodes["apache"].stop())
        other = apache.ApacheBroker(self.nodes["apache"]).start()   # formatted by Millrace
        self.addCleanup(other.kill)

    def ask(self, cluster, tool, *arguments, **more):
        return apache.tool(tool, "--bootstrap-server", self.nodes[cluster].address, *arguments, **more)

    def produce(self, cluster, topic, numbers):
        self.ask(cluster, "console-producer", "--topic", topic, "--reader-property", "parse.key=true",
                 stdin="".join(f"key {number % 7}\tof {cluster} {number}\n" for number in numbers))

    def consume(self, cluster, topic, *options):
        """(partition, key, value) in the order of each partition."""
        read = self.ask(cluster, "console-consumer", "--topic", topic, "--isolation-level", "read_committed", "--timeout-ms", 5000, "--formatter-property",
                        "print.key=true", "--formatter-property", "print.partition=true", *options)
        return sorted((tuple(line.split("\t")) for line in read.splitlines()), key=lambda record: record[0])

    def eventually(self, check, what, seconds=120):
        deadline = time.monotonic() + seconds
        while not check():
            self.assertLess(time.monotonic(), deadline, f"{what}: not so\n{self.mirror.log.read_text(errors='replace')[-6000:]}")
            time.sleep(0.5)

    def ends(self, cluster, topic):
        """Of what a reader of committed records reaches."""
        listed = self.ask(cluster, "get-offsets", "--topic-partitions", topic).split()
        return [int(line.rsplit(":", 1)[1]) for line in listed]

    def committed(self, cluster, topic):
        """By partition, of the group, which may not be there."""
        told = apache.run("consumer-groups", ["--bootstrap-server", self.nodes[cluster].address, "--describe", "--group", "readers"]).stdout
        listed = [line.split() for line in told.splitlines()]
        return {int(words[2]): words[3] for words in listed if words[:2] == ["readers", topic]}

    def start_mirror(self):
        file = self.folder / "mirror.properties"
        settings = {**SETTINGS, "listeners": f"http://127.0.0.1:{free_ports(1)[0]}",
                    **{f"{name}.bootstrap.servers": node.address for name, node in self.nodes.items()}}
        file.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self.mirror = Killable([*apache.command_line("org.apache.kafka.connect.mirror.MirrorMaker"), file], self.folder / "mirror.log").start()
        self.addCleanup(self.mirror.kill)

    def test_both_ways_at_once(self):
        ways = (("apache", "millrace"), ("millrace", "apache"))
        for source, _ in ways:
            # A topic that is new gives the task that copies a successor, and what it has still to tell of offsets is lost then.
            self.ask(source, "topics", "--create", "--topic", "heartbeats", "--config", "cleanup.policy=compact")
            self.ask(source, "topics", "--create", "--topic", f"orders-{source}", "--partitions", 2, "--config", "retention.ms=123456789")
            self.produce(source, f"orders-{source}", range(RECORDS))
            self.assertEqual(RECORDS, len(self.consume(source, f"orders-{source}", "--group", "readers", "--from-beginning")))
        self.start_mirror()
        for source, target in ways:
            with self.subTest(source):
                mirrored = f"{source}.orders-{source}"
                self.eventually(lambda: mirrored in self.ask(target, "topics", "--list").split(), f"{mirrored} is there")
                self.eventually(lambda: sum(self.ends(target, mirrored)) >= RECORDS, f"{mirrored} has all records")
                self.eventually(lambda: len(self.committed(target, mirrored)) == 2, f"the group's offsets of {mirrored} are there")
                self.assertEqual(self.consume(source, f"orders-{source}", "--from-beginning"), self.consume(target, mirrored, "--from-beginning"))
                self.assertIn("retention.ms=123456789", self.ask(target, "topics", "--describe", "--topic", mirrored))
                # Its consumers move: they get what none of them had, once.
                self.produce(source, f"orders-{source}", range(RECORDS, RECORDS + 10))
                seen = set()
                self.eventually(lambda: len(seen.update(self.consume(target, mirrored, "--group", "readers")) or seen) >= 10, "the rest has come")
                self.assertEqual({f"of {source} {number}" for number in range(RECORDS, RECORDS + 10)}, {value for _, _, value in seen})
        for source, target in ways:
            self.assertNotIn(f"{source}.{target}.orders-{target}", self.ask(target, "topics", "--list"), "what came from there does not go back")


if __name__ == "__main__":
    unittest.main()
