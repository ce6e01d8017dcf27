"""kill -9 under load, again and again: every acknowledged record is there afterwards, once, where it was said to be; what
consumers have read stays read, and no offset that they committed is lost or moved back."""

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
GROUP = "readers"
CONSUMERS = 2
NOT_THERE = (14, 15, 16)                    # the coordinator is loading, or not to be had yet
JOIN_AGAIN, JOIN_ANEW = (22, 27), (25,)     # another generation; the member is forgotten


class Worker(threading.Thread):
    """Works through one connection after another until told to stop."""

    def __init__(self, address, name):
        super().__init__(name=name, daemon=True)
        self.address = address
        self.failure = None
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                try:
                    with Client(self.address) as client:
                        self.work_until_cut(client)
                except (ConnectionError, TimeoutError):
                    time.sleep(0.005)
        except Exception as failure:  # reported by the test
            self.failure = failure


class Writer(Worker):
    """Writes small batches with acks=all."""

    def __init__(self, address, name, partition):
        super().__init__(address, name)
        self.partition = partition
        self.acknowledged = []  # (base offset, values)
        self.written = 0

    def work_until_cut(self, client):
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


class Offsets:
    """What the members of a group were told of committed offsets; finds those that went back."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = [0] * PARTITIONS
        self.count = 0

    def acknowledge(self, partition, offset):
        with self.lock:
            # Two members may note their commits in another order than they made them.
            self.acknowledged[partition] = max(self.acknowledged[partition], offset)
            self.count += 1

    def fetched(self, partition, offset, least):
        """`least` was acknowledged before the fetch was sent."""
        assert offset >= least, f"partition {partition}: {least} was committed, now it is {offset}"


class Consumer(Worker):
    """A member of a group: joins, shares the partitions out when it leads, reads, and commits what it has read."""

    LEAVES_AFTER = 60  # commits, so that the group rebalances now and then

    def __init__(self, address, name, offsets):
        super().__init__(address, name)
        self.offsets = offsets
        self.read = [{} for _ in range(PARTITIONS)]  # value by offset
        self.member_id, self.generation = "", -1
        self.positions = None  # by partition; none: not in a generation
        self.commits = 0

    def work_until_cut(self, client):
        while not self.stopping.is_set():
            self.enter(client) if self.positions is None else self.consume(client)
        if self.member_id:
            client.leave_group(GROUP, self.member_id)

    def is_refused(self, error):
        """Whether an answer is an error; what has to be done about it is then done next."""
        if error in JOIN_ANEW:
            self.member_id = ""
        if error in JOIN_AGAIN + JOIN_ANEW:
            self.positions = None
        elif error in NOT_THERE:
            time.sleep(0.01)
        else:
            assert error == 0, f"error {error}"
        return error != 0

    def enter(self, client):
        if self.is_refused(client.find_coordinator(GROUP)):
            return
        error, generation, leader, member_id, members = client.join_group(GROUP, self.member_id)
        if self.is_refused(error):
            return
        self.member_id, self.generation = member_id, generation
        shares = {member: bytes(range(at, PARTITIONS, len(members))) for at, member in enumerate(members)}
        error, own = client.sync_group(GROUP, generation, member_id, shares if leader == member_id else {})
        if self.is_refused(error):
            return
        positions = {}
        for partition in own:
            least = self.offsets.acknowledged[partition]
            error, offset = client.committed_offset(GROUP, TOPIC, partition)
            if self.is_refused(error):
                return
            self.offsets.fetched(partition, max(offset, 0), least)
            positions[partition] = max(offset, 0)
        self.positions = positions

    def consume(self, client):
        if self.is_refused(client.heartbeat(GROUP, self.generation, self.member_id)):
            return
        for partition, position in list(self.positions.items()):
            error, _, data = client.fetch(TOPIC, position, partition, wait_ms=10)
            if self.is_refused(error):
                return
            found = [(offset, value) for offset, value in kafka.records_of(data) if offset >= position]
            if not found:
                continue
            self.read[partition].update(found)
            self.commit(client, partition, found[-1][0] + 1)
            if self.positions is None:
                return
        if not self.positions:
            time.sleep(0.01)

    def commit(self, client, partition, offset):
        error = client.commit_offset(GROUP, self.generation, self.member_id, TOPIC, partition, offset)
        if self.is_refused(error):
            return
        self.offsets.acknowledge(partition, offset)
        self.positions[partition] = offset
        self.commits += 1
        if self.commits % self.LEAVES_AFTER == 0:
            self.positions = None
            client.leave_group(GROUP, self.member_id)
            self.member_id = ""


def check_consumers(test, logs, consumers):
    """`logs` are, by partition, all (offset, value) that are there in the end."""
    for consumer in consumers:
        for partition, read in enumerate(consumer.read):
            there = dict(logs[partition])
            for offset, value in read.items():
                test.assertEqual(value, there.get(offset), f"{consumer.name} read something else at {offset}")


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


class OffsetsChecker(unittest.TestCase):
    """The same of what consumers were told."""

    def test_lost_commit_is_found(self):
        offsets = Offsets()
        offsets.acknowledge(0, 7)
        offsets.fetched(0, 7, 7)
        with self.assertRaisesRegex(AssertionError, "7 was committed, now it is 0"):
            offsets.fetched(0, 0, 7)

    def test_record_that_was_read_and_is_gone_is_found(self):
        consumer = Consumer("", "c", Offsets())
        consumer.read[0] = {3: b"value"}
        check_consumers(self, [[(3, b"value")], []], [consumer])
        with self.assertRaisesRegex(AssertionError, "c read something else at 3"):
            check_consumers(self, [[(3, b"other")], []], [consumer])


class Crash(BrokerTest):
    def test_what_was_acknowledged_survives_kills(self):
        node = self.broker({"group.initial.rebalance.delay.ms": "0"}).start()
        with Client(node.address) as client:
            self.assertEqual(0, client.create_topic(TOPIC, PARTITIONS))
        writers = [kind(node.address, f"{kind.__name__}-{i}", i % PARTITIONS)
                   for kind in (PlainWriter, IdempotentWriter) for i in range(PARTITIONS)]
        offsets = Offsets()
        consumers = [Consumer(node.address, f"consumer-{i}", offsets) for i in range(CONSUMERS)]
        self.kill_under_load(node, writers + consumers, offsets)
        for writer in writers:
            self.assertGreater(len(writer.acknowledged), KILLS, writer.name)
        self.assertGreater(offsets.count, KILLS)
        with Client(node.address) as client:
            logs = [client.read_all(TOPIC, partition) for partition in range(PARTITIONS)]
            for partition, log in enumerate(logs):
                check_partition(self, log, [w for w in writers if w.partition == partition])
                error, committed = client.committed_offset(GROUP, TOPIC, partition)
                self.assertEqual(0, error)
                offsets.fetched(partition, committed, offsets.acknowledged[partition])
        check_consumers(self, logs, consumers)

    def wait_for_commit(self, offsets, workers, seconds=20):
        before, deadline = offsets.count, time.monotonic() + seconds
        while offsets.count == before:
            self.assertEqual([], [(w.name, w.failure) for w in workers if w.failure])
            self.assertLess(time.monotonic(), deadline, "the group makes no progress")
            time.sleep(0.01)

    def kill_under_load(self, node, workers, offsets):
        for worker in workers:
            worker.start()
        chance = random.Random(1)
        for life in range(KILLS):
            if life % 5 == 0:  # on a busy machine short lives alone would never let the group begin
                self.wait_for_commit(offsets, workers)
            time.sleep(chance.uniform(0.05, 0.4))
            node.kill()
            node.start()
        self.wait_for_commit(offsets, workers)
        for worker in workers:
            worker.stopping.set()
        for worker in workers:
            worker.join(30)
            self.assertIsNone(worker.failure, worker.name)
            self.assertFalse(worker.is_alive(), worker.name)


if __name__ == "__main__":
    unittest.main()
