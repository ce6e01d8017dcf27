"""One data directory, two brokers: what Millrace wrote Apache Kafka serves, and the other way round. Its tools drive ours."""

import subprocess
import time
import unittest

from interop.apache import ApacheBroker, tool
from support.broker import BINARY, BrokerTest
from support.protocol import Asker
from support.quotas import alter, described, entity

FAST_GROUPS = {"group.initial.rebalance.delay.ms": "0"}


def kcat(broker, *arguments, stdin="", seconds=30):
    run = subprocess.run(["kcat", "-b", broker.address, *arguments], input=stdin, capture_output=True, text=True,
                         timeout=seconds)
    if run.returncode != 0:
        raise AssertionError(f"kcat {arguments}: {run.stderr}")
    return run.stdout


def lines(numbers):
    return "".join(f"value {i}\n" for i in numbers)


class DataDirectory(BrokerTest):
    def produce(self, broker, numbers, *options):
        kcat(broker, "-P", "-t", "shared", *options, stdin=lines(numbers))

    def expect_all(self, broker, numbers):
        self.assertEqual(lines(numbers), kcat(broker, "-C", "-t", "shared", "-o", "beginning", "-e", "-q"))

    def consume_rest(self, broker):
        """What the group has not read yet; commits."""
        return kcat(broker, "-G", "readers", "-X", "auto.offset.reset=earliest", "-e", "-q", "shared")

    def test_goes_from_millrace_to_apache_kafka_and_back_with_all_records_and_offsets(self):
        broker = self.broker(FAST_GROUPS).start()
        self.produce(broker, range(0, 500))
        self.produce(broker, range(500, 1000), "-z", "zstd", "-X", "enable.idempotence=true")
        self.assertEqual(lines(range(1000)), self.consume_rest(broker))
        self.assertEqual(0, broker.stop())

        apache = ApacheBroker(broker).start()
        self.addCleanup(apache.kill)
        self.expect_all(broker, range(1000))
        self.produce(broker, range(1000, 1500), "-z", "lz4")
        self.assertEqual(lines(range(1000, 1500)), self.consume_rest(broker))
        apache.stop()

        broker.start()
        self.expect_all(broker, range(1500))
        self.produce(broker, range(1500, 1600))
        self.assertEqual(lines(range(1500, 1600)), self.consume_rest(broker))

    def test_dump_log_reads_our_segments_and_indexes_without_a_complaint(self):
        broker = self.broker().start()
        for start in range(0, 20_000, 2_000):
            self.produce(broker, range(start, start + 2_000), "-X", "batch.size=2000")
        self.assertEqual(0, broker.stop())
        stem = broker.data / "shared-0" / ("0" * 20)
        printed = tool("dump-log", "--deep-iteration", "--files",
                       ",".join(f"{stem}.{suffix}" for suffix in ("log", "index", "timeindex")))
        for complaint in ("Found", "mismatch", "isvalid: false", "Exception"):
            self.assertNotIn(complaint, printed)
        self.assertGreater(printed.count("isvalid: true"), 50)
        metadata = tool("dump-log", "--cluster-metadata-decoder", "--files",
                        broker.data / "__cluster_metadata-0" / ("0" * 20 + ".log"))
        for record in ("LeaderChange", "FEATURE_LEVEL_RECORD", "REGISTER_BROKER_RECORD", "TOPIC_RECORD"):
            self.assertIn(record, metadata)

    def test_apache_kafka_starts_from_our_snapshot_and_its_tool_reads_it(self):
        broker = self.broker({"metadata.log.max.record.bytes.between.snapshots": "2000", "metadata.max.retention.bytes": "2000",
                              **FAST_GROUPS}).start()
        for topic in range(30):
            kcat(broker, "-P", "-t", f"topic-{topic}", stdin="one\n")
        self.produce(broker, range(100))
        self.assertEqual(0, broker.stop())
        snapshots = sorted((broker.data / "__cluster_metadata-0").glob("*.checkpoint"))
        self.assertNotIn("0" * 20 + "-" + "0" * 10 + ".checkpoint", [each.name for each in snapshots])
        printed = tool("dump-log", "--cluster-metadata-decoder", "--files", snapshots[-1])
        for record in ("SnapshotHeader", "KRaftVoters", "FEATURE_LEVEL_RECORD", "REGISTER_BROKER_RECORD", "TOPIC_RECORD",
                       "SnapshotFooter"):
            self.assertIn(record, printed)
        self.assertNotIn("isvalid: false", printed)

        apache = ApacheBroker(broker).start()
        self.addCleanup(apache.kill)
        self.expect_all(broker, range(100))
        self.assertEqual("one\n", kcat(broker, "-C", "-t", "topic-17", "-e", "-q"))
        apache.stop()
        broker.start()
        self.expect_all(broker, range(100))

    def test_quotas_go_to_apache_kafka_and_back_in_log_and_snapshot(self):
        def quotas(expected=None):
            deadline = time.monotonic() + 20    # until the broker has read what its controller has
            while True:
                with Asker(broker.address) as asker:
                    found = described(asker)
                if expected is None or found == expected or time.monotonic() > deadline:
                    return found
                time.sleep(0.1)
        broker = self.broker({"metadata.log.max.record.bytes.between.snapshots": "2000"}).start()
        with Asker(broker.address) as asker:
            for i in range(40):
                alter(asker, entity(user=f"user-{i}", client_id=None if i % 2 else "c"), producer_byte_rate=1000 + i, request_percentage=0.5)
            alter(asker, entity(user=None), controller_mutation_rate=2.5)
            alter(asker, entity(ip="127.0.0.1"), connection_creation_rate=1000)
            alter(asker, entity(user="user-7", client_id=None), producer_byte_rate=None)
        ours = quotas()
        self.assertEqual(42, len(ours))
        self.assertEqual(0, broker.stop())
        snapshot = sorted((broker.data / "__cluster_metadata-0").glob("*.checkpoint"))[-1]
        printed = tool("dump-log", "--cluster-metadata-decoder", "--files", snapshot)
        self.assertIn("CLIENT_QUOTA_RECORD", printed)
        self.assertNotIn("isvalid: false", printed)

        apache = ApacheBroker(broker).start()
        self.addCleanup(apache.kill)
        self.assertEqual(ours, quotas(ours))
        with Asker(broker.address) as asker:
            alter(asker, entity(client_id="c"), consumer_byte_rate=77)
            alter(asker, entity(user="user-8", client_id="c"), producer_byte_rate=None, request_percentage=None)
        del ours[("client-id", "c"), ("user", "user-8")]
        ours[("client-id", "c"),] = {"consumer_byte_rate": 77.0}
        apache.stop()
        broker.start()
        self.assertEqual(ours, quotas(ours))

    def test_apache_kafka_starts_from_what_we_formatted(self):
        broker = self.broker(FAST_GROUPS)
        file = broker.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in broker.properties.items()))
        subprocess.run([BINARY, "format", "-t", "JBnGmM1nQnKjv6nDT2mAzQ", "-c", file], check=True, capture_output=True)
        for name in ("bootstrap.checkpoint", "__cluster_metadata-0/" + "0" * 20 + "-" + "0" * 10 + ".checkpoint"):
            self.assertNotIn("isvalid: false", tool("dump-log", "--cluster-metadata-decoder", "--files", broker.data / name))
        apache = ApacheBroker(broker).start()
        self.addCleanup(apache.kill)
        self.produce(broker, range(10))
        apache.stop()
        broker.start()
        self.expect_all(broker, range(10))


class JavaTools(BrokerTest):
    def test_make_describe_alter_and_delete_a_topic(self):
        broker = self.broker().start()
        at = ("--bootstrap-server", broker.address)
        tool("topics", *at, "--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=1000000")
        described = tool("topics", *at, "--describe", "--topic", "orders")
        self.assertIn("PartitionCount: 3", described)
        self.assertIn("retention.ms=1000000", described)
        tool("topics", *at, "--alter", "--topic", "orders", "--partitions", "5")
        tool("configs", *at, "--alter", "--entity-type", "topics", "--entity-name", "orders", "--add-config",
             "max.message.bytes=2000000")
        self.assertIn("max.message.bytes=2000000",
                      tool("configs", *at, "--describe", "--entity-type", "topics", "--entity-name", "orders"))
        self.assertEqual(5, len(tool("get-offsets", *at, "--topic", "orders").splitlines()))
        tool("topics", *at, "--delete", "--topic", "orders")
        self.assertNotIn("orders", tool("topics", *at, "--list"))

    def test_produce_consume_and_commit(self):
        broker = self.broker(FAST_GROUPS).start()
        at = ("--bootstrap-server", broker.address)
        tool("topics", *at, "--create", "--topic", "t", "--partitions", "2")
        tool("console-producer", *at, "--topic", "t", stdin=lines(range(2000)))
        read = tool("console-consumer", *at, "--topic", "t", "--group", "java", "--from-beginning", "--max-messages", "2000")
        self.assertEqual(sorted(lines(range(2000)).splitlines()), sorted(read.splitlines()))
        described = tool("consumer-groups", *at, "--describe", "--group", "java").split()
        self.assertEqual(["2000"], sorted({str(sum(int(described[i + 3]) for i, word in enumerate(described)
                                                   if word == "t"))}))


if __name__ == "__main__":
    unittest.main()
