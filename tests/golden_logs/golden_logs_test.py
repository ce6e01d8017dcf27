"""The data directories that Apache Kafka 4.3.1 left behind, one after a clean stop and one after kill -9, start here and serve
what a client read from Apache Kafka itself: every codec, transactions committed, aborted and left open, a compacted topic, deleted
records, committed offsets."""

import gzip
import json
import subprocess
import tarfile
import unittest

from support.broker import ROOT, BrokerTest

GOLDEN = ROOT / "tests" / "golden" / "logs"
NOT_COMMITTED = -1001


class GoldenLogs(BrokerTest):
    def start_on(self, archive):
        data = self.folder / "kafka-data"
        data.mkdir()
        with tarfile.open(GOLDEN / archive) as tar:
            tar.extractall(data, filter="data")
        return self.broker(data=data).start()

    def read(self, broker, partition, isolation):
        topic, index = partition.rsplit("-", 1)
        run = subprocess.run(["kcat", "-b", broker.address, "-C", "-t", topic, "-p", index, "-o", "beginning", "-e", "-q",
                              "-J", "-X", f"isolation.level={isolation}"], capture_output=True, text=True, timeout=30)
        self.assertEqual(0, run.returncode, run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def committed(self, broker, group, partition):
        """Where a reader of the group begins, when it asks the coordinator and reads one record at most."""
        topic, index = partition.rsplit("-", 1)
        run = subprocess.run(["kcat", "-b", broker.address, "-C", "-t", topic, "-p", index, "-o", "stored", "-c", "1", "-q",
                              "-e", "-J", "-X", f"group.id={group}", "-X", "auto.offset.reset=error"],
                             capture_output=True, text=True, timeout=30)
        return json.loads(run.stdout)["offset"] if run.stdout else NOT_COMMITTED

    def check(self, archive):
        expected = json.loads(gzip.decompress((GOLDEN / "expected.json.gz").read_bytes()))
        broker = self.start_on(archive)
        for name, stated in expected["partitions"].items():
            partition, isolation = name.split()
            with self.subTest(partition=partition, isolation=isolation):
                got = self.read(broker, partition, isolation)
                self.assertEqual([[r[0], r[1]] for r in stated["records"]], [[g["offset"], g["ts"]] for g in got])
                for record, read in zip(stated["records"], got):
                    for place, field in ((2, "key"), (3, "payload")):
                        text = None if record[place] is None else bytes.fromhex(record[place]).decode()
                        self.assertEqual(text, read[field])
                    headers = [part for name, value in record[4]
                               for part in (name, None if value is None else bytes.fromhex(value).decode())]
                    self.assertEqual(headers, read.get("headers", []))
        for group, offsets in expected["committed"].items():
            for partition, offset in offsets.items():
                with self.subTest(group=group, partition=partition):
                    self.assertEqual(offset, self.committed(broker, group, partition))
        self.assertEqual(0, broker.stop())

    def test_a_cleanly_stopped_apache_kafka_directory_is_served_whole(self):
        self.check("clean.tar.gz")

    def test_a_killed_apache_kafka_directory_is_recovered_and_served_whole(self):
        self.check("killed.tar.gz")


if __name__ == "__main__":
    unittest.main()
