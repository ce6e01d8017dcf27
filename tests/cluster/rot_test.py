"""Bits that rot on one replica of three: found while the broker runs, kept aside, and mended from another replica. Nobody is told anything wrong,
nothing that was acknowledged is missing, and leader and ISR stay as they are."""

import time
import unittest

from cluster.basics import ThreeNodes
from support.protocol import ERRORS

SEGMENT_BYTES = 1 << 20
MEND_SECONDS = 30
TOLD = [r"is damaged, bytes", r"no other replica is there to mend it from"]


class Rot(ThreeNodes):
    def setUp(self):
        super().setUp()
        self.expected_errors = TOLD
        self.nodes = self.start_three().nodes
        self.client = self.cluster_.client()
        self.addCleanup(self.client.__exit__)

    def fill(self, replicas):
        """Some closed segments and an open one."""
        self.client.create_topic("t", 1, replicas, {"min.insync.replicas": min(2, replicas), "segment.bytes": SEGMENT_BYTES})
        self.written = [b"%06d" % i * 15_000 for i in range(40)]
        for value in self.written:
            self.client.write("t", [value])

    def folder_of(self, node):
        return node.data / "t-0"

    def segments(self, node):
        return sorted(self.folder_of(node).glob("*.log"))

    def flip(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))

    def fetch(self, offset):
        """What a consumer is told that asks for the batch of that offset alone."""
        return ERRORS[self.client.at_leader("t", 0, lambda connection: connection.fetch("t", offset, most=1))[0]]

    def assert_mended(self, node, before, seconds=MEND_SECONDS):
        begun = time.monotonic()
        self.wait_for(lambda: list(self.folder_of(node).glob("*.damaged.old")), seconds, lambda: node.log()[-3000:])
        print(f"mended after {time.monotonic() - begun:.1f} s", flush=True)
        self.assertEqual(before, {path.name: path.read_bytes() for path in self.segments(node)})
        self.assertEqual([], list(self.folder_of(node).glob("*.damaged")))
        self.assertIn("is damaged, bytes", node.log())

    def test_a_flipped_bit_of_a_follower_and_of_the_leader_is_mended_while_they_run(self):
        self.fill(3)
        leader = self.client.leader("t")
        follower = next(id for id in self.nodes if id != leader)
        described = self.client.partitions("t")["t", 0]
        for id in (follower, leader):
            node = self.nodes[id]
            before = {path.name: path.read_bytes() for path in self.segments(node)}
            self.assertGreater(len(before), 3)
            self.flip(self.segments(node)[1], 300_000)
            self.assert_mended(node, before)
        self.assertEqual(described, self.client.partitions("t")["t", 0], "leader, epochs and ISR are as they were")
        self.assert_values(self.written, self.client, "t")

    def test_what_no_checksum_covers_is_found_as_well(self):
        """A batch's offset, which another replica gives back; its leader epoch, which the log itself knows."""
        self.fill(3)
        node = self.nodes[self.client.leader("t")]
        before = {path.name: path.read_bytes() for path in self.segments(node)}
        path = self.segments(node)[1]
        batch_size = 12 + int.from_bytes(before[path.name][8:12], "big")
        self.flip(path, 5 * batch_size + 13)
        self.wait_for(lambda: path.read_bytes() == before[path.name], MEND_SECONDS, "the leader epoch is not as it was")
        self.assertIn("leader epoch", node.log())
        self.flip(path, 7 * batch_size + 6)
        self.assert_mended(node, before)
        self.assert_values(self.written, self.client, "t")

    def test_damage_of_a_front_that_a_start_after_a_kill_meets_is_mended(self):
        self.fill(3)
        node = self.nodes[next(id for id in self.nodes if id != self.client.leader("t"))]
        node.restart()  # so that the recovery points are where the log ends
        self.wait_for_isr(self.client, "t", {1, 2, 3})
        node.kill()
        before = {path.name: path.read_bytes() for path in self.segments(node)}
        last = self.segments(node)[-1]
        self.flip(last, 16)      # of its first batch: where the next begins is not known any more
        node.start()
        self.assert_mended(node, before)
        self.wait_for_isr(self.client, "t", {1, 2, 3})

    def test_with_one_replica_what_is_damaged_is_told_and_all_else_is_served(self):
        self.fill(1)
        node = self.nodes[self.client.leader("t")]
        self.flip(self.segments(node)[1], 300_000)
        self.wait_for(lambda: list(self.folder_of(node).glob("*.damaged")), MEND_SECONDS)
        name = next(self.folder_of(node).glob("*.damaged")).name
        first, below = map(int, name.split(".")[1].split("-"))
        self.assertEqual(first + 1, below)
        codes = []
        for offset in range(len(self.written)):
            codes.append(self.fetch(offset))
            if offset != first:
                self.assertEqual("NONE", codes[-1], offset)
        self.assertEqual("CORRUPT_MESSAGE", codes[first])
        node.restart()
        self.wait_for(lambda: self.fetch(first) == "CORRUPT_MESSAGE", 20, "the next process knows of it")
        self.client.write("t", [b"last"])


if __name__ == "__main__":
    unittest.main()
