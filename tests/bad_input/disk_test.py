"""Volumes that are full or read-only. They are mounted for the test: where that is not allowed, it is skipped."""

import os
import subprocess
import unittest

from support import kafka
from support.broker import BrokerTest
from support.kafka import Client

KAFKA_STORAGE_ERROR = 56


def run(*command):
    return subprocess.run(command, capture_output=True).returncode == 0


class Volume(BrokerTest):
    def setUp(self):
        super().setUp()
        self.volume = self.folder / "volume"
        self.volume.mkdir()
        if not run("mount", "-t", "tmpfs", "-o", "size=24m", "millrace-test", self.volume):
            self.skipTest("mounting is not allowed here")
        self._cleanups.insert(-1, (run, ("umount", "-l", self.volume), {}))

    def test_full_disk_refuses_writes_serves_reads_and_resumes(self):
        self.expected_errors = ["No space left"]
        ballast = self.volume / "ballast"
        ballast.write_bytes(bytes(4 << 20))
        node = self.broker(data=self.volume / "data").start()
        value = bytes(256 << 10)
        with Client(node.address) as client:
            self.assertEqual(0, client.create_topic("full"))
            data, written = kafka.batch([value]), 0
            while (answer := client.produce("full", data))[0] == 0:
                written += 1
                self.assertLess(written, 200)
            self.assertEqual(KAFKA_STORAGE_ERROR, answer[0])
            self.assertGreater(written, 10)
            self.assertEqual([(i, value) for i in range(3)], list(kafka.records_of(client.fetch("full", 0)[2]))[:3])
            self.assertEqual((0, written), client.list_offset("full", -1))
            ballast.unlink()
            self.assertEqual((0, written), client.produce("full", data))
        self.assertEqual(0, node.stop())
        node.start()
        with Client(node.address) as client:
            self.assertEqual((0, written + 1), client.list_offset("full", -1))

    def test_read_only_directory_is_named(self):
        self.assertTrue(run("mount", "-o", "remount,ro", self.volume))
        said = self.broker(data=self.volume / "data").refusal()
        self.assertIn(str(self.volume), said)
        self.assertIn("Read-only", said)


if __name__ == "__main__":
    unittest.main()
