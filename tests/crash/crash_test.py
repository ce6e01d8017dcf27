"""kill -9 under load, again and again: every acknowledged record is there afterwards, once, where it was said to be."""

import os
import random
import struct
import threading
import time
import unittest

from support import kafka
from support.broker import BrokerTest
from support.kafka import Client

INIT_PRODUCER_ID = 22
KILLS = int(os.environ.get("KILLS", 50))
PARTITIONS = 2
TOPIC = "crash"


class Writer(threading.Thread):
    """Writes small batches with acks=all through one connection after another until told to stop."""

    def __init__(self, address, name, partition):
        super().__init__(name=name, daemon=True)
        self.address, self.partition = address, partition
        self.acknowledged = []  # (base offset, values)
        self.written = 0
        self.failure = None
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                try:
                    with Client(self.address) as client:
                        self.write_until_cut(client)
                except (ConnectionError, TimeoutError):
                    time.sleep(0.005)
        except Exception as failure:  # reported by the test
            self.failure = failure

    def write_until_cut(self, client):
        while not self.stopping.is_set():
            self.write(client)

    def next_values(self):
        return [f"{self.name} {self.written + i}".encode() for i in range(3)]

    def acknowledge(self, answer, values):
        error, base = answer
        assert error == 0, f"error {error} to {values[0]}"
        self.acknowledged.append((base, values))


class PlainWriter(Writer):
    """A batch without an answer may be there or not: it is not sent again."""

    def write(self, client):
        values = self.next_values()
        self.written += len(values)
        self.acknowledge(client.produce(TOPIC, kafka.batch(values), self.partition), values)


class IdempotentWriter(Writer):
    """A batch without an answer is sent again with its sequence until it has one."""

    producer = None

    def write(self, client):
        if self.producer is None:
            answer = client.call(INIT_PRODUCER_ID, 0, struct.pack(">hi", -1, 60000))
            _, error, *producer = answer.take("ihqh")
            assert error == 0, f"InitProducerId: error {error}"
            self.producer = tuple(producer)
        values = self.next_values()
        batch = kafka.batch(values, producer=(*self.producer, self.written))
        self.acknowledge(client.produce(TOPIC, batch, self.partition), values)
        self.written += len(values)


def check_partition(test, log, writers):
    """`log` is all of a partition's (offset, value); `writers` are those that wrote to it."""
    test.assertEqual(list(range(len(log))), [offset for offset, _ in log], "gaps or repeated offsets")
    values = [value for _, value in log]
    test.assertEqual(len(values), len(set(values)), "a record is there twice")
    for writer in writers:
        for base, sent in writer.acknowledged:
            test.assertEqual(sent, values[base:base + len(sent)], f"acknowledged at {base} by {writer.name}")
        own = [int(v.split()[1]) for v in values if v.startswith(writer.name.encode() + b" ")]
        test.assertEqual(sorted(own), own, f"{writer.name} out of order")
        if isinstance(writer, IdempotentWriter):
            test.assertEqual(list(range(len(own))), own, f"{writer.name}: a record is missing")


class Checker(unittest.TestCase):
    """The check below can fail: each planted fault is found."""

    def setUp(self):
        self.writer = IdempotentWriter("", "w", 0)
        self.writer.acknowledged = [(0, [b"w 0", b"w 1", b"w 2"]), (3, [b"w 3", b"w 4", b"w 5"])]

    def log(self, *numbers):
        return [(at, b"w %d" % number) for at, number in enumerate(numbers)]

    def assert_found(self, log, message):
        with self.assertRaisesRegex(AssertionError, message):
            check_partition(self, log, [self.writer])

    def test_whole_log_passes(self):
        check_partition(self, self.log(0, 1, 2, 3, 4, 5, 6, 7, 8), [self.writer])

    def test_lost_tail_is_found(self):
        self.assert_found(self.log(0, 1, 2), "acknowledged at 3")

    def test_record_written_twice_is_found(self):
        self.assert_found(self.log(0, 1, 2, 3, 4, 5, 3, 4, 5), "there twice")

    def test_changed_order_is_found(self):
        self.assert_found(self.log(0, 1, 2, 3, 4, 5, 8, 7, 6), "out of order")

    def test_hole_is_found(self):
        self.assert_found(self.log(0, 1, 2, 3, 4, 5, 7), "a record is missing")
        self.assert_found([(0, b"w 0"), (2, b"w 2")], "gaps")


class Crash(BrokerTest):
    def test_every_acknowledged_record_survives_kills(self):
        node = self.broker().start()
        with Client(node.address) as client:
            self.assertEqual(0, client.create_topic(TOPIC, PARTITIONS))
        writers = [kind(node.address, f"{kind.__name__}-{i}", i % PARTITIONS)
                   for kind in (PlainWriter, IdempotentWriter) for i in range(PARTITIONS)]
        for writer in writers:
            writer.start()
        chance = random.Random(1)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.3))
            node.kill()
            node.start()
        time.sleep(0.2)
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(30)
            self.assertIsNone(writer.failure, writer.name)
            self.assertGreater(len(writer.acknowledged), KILLS, writer.name)
        with Client(node.address) as client:
            for partition in range(PARTITIONS):
                log = client.read_all(TOPIC, partition)
                check_partition(self, log, [w for w in writers if w.partition == partition])


if __name__ == "__main__":
    unittest.main()
