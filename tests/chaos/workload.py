"""Clients that write, read and commit while the cluster is being hurt, and note everything in a history.

A plain writer sends each value once: without an answer nobody knows. An idempotent writer sends a batch again, with its sequence, until it
is answered. A reader reads every partition from its beginning. A committer moves the offsets of its group forward and looks whether they stay."""

import threading
import time

from support.cluster_client import COORDINATOR_MOVES, ClusterClient, Refused
from support.kafka import records_of
from support.protocol import ERRORS

REFUSED = {"NOT_ENOUGH_REPLICAS", "MESSAGE_TOO_LARGE", "INVALID_RECORD"}    # nothing was written, for certain
AGAIN = {"NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PARTITION", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
         "REQUEST_TIMED_OUT", "KAFKA_STORAGE_ERROR", "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "OFFSET_NOT_AVAILABLE", "NETWORK_EXCEPTION",
         "REPLICA_NOT_AVAILABLE"}
THERE_ALREADY = "DUPLICATE_SEQUENCE_NUMBER"
PAUSE = 0.02
CALL_SECONDS = 4


class Client(threading.Thread):
    """Works until told to stop; what it did not expect ends it and is told by the test."""

    def __init__(self, name, bootstrap, history, topic, partitions):
        super().__init__(name=name, daemon=True)
        self.bootstrap, self.history, self.topic, self.partitions = bootstrap, history, topic, partitions
        self.stopping = threading.Event()
        self.failure = None
        self.errors = 0         # answers and connections that failed

    def run(self):
        try:
            with ClusterClient(self.bootstrap, CALL_SECONDS) as client:
                while not self.stopping.is_set():
                    try:
                        self.step(client)
                    except (OSError, Refused):
                        self.errors += 1
                        time.sleep(PAUSE)
                self.finish(client)
        except Exception as failure:   # told by the test
            self.failure = failure

    def finish(self, client):
        pass


class Writer(Client):
    idempotent = False

    def __init__(self, *arguments, partition=0, rate=200):
        super().__init__(*arguments)
        self.partition = partition
        self.period = 1 / rate
        self.sent = 0
        self.producer = (-1, -1)

    def next_write(self, size=3):
        values = [f"{self.name} {self.sent + i}".encode() for i in range(size)]
        write = self.history.invoke(writer=self.name, number=self.sent, values=values, partition=self.partition,
                                    idempotent=self.idempotent, begun=time.monotonic())
        self.sent += size
        return write

    def send(self, client, write):
        """The error's name; notes an acknowledgement."""
        sequence = write.number if self.idempotent else -1
        error, base = client.produce(self.topic, write.values, self.partition, producer=(*self.producer, sequence))
        if not error:
            write.base, write.ended, write.state = base, time.monotonic(), "acknowledged"
        else:
            self.errors += 1
        return ERRORS[error]


class PlainWriter(Writer):
    def step(self, client):
        write = self.next_write()
        name = self.send(client, write)
        if name in REFUSED:
            write.state = "refused"
        assert name == "NONE" or name in AGAIN | REFUSED, f"{self.name}: {name}"
        time.sleep(self.period if name == "NONE" else PAUSE)


class IdempotentWriter(Writer):
    idempotent = True
    open_write = None

    def step(self, client):
        if self.producer[0] < 0:
            self.producer = client.producer_id()
        self.open_write = self.open_write or self.next_write()
        name = self.send(client, self.open_write)
        if name in ("NONE", THERE_ALREADY):
            self.open_write = None
            time.sleep(self.period)
            return
        assert name in AGAIN, f"{self.name}: {name} for {self.open_write.values[0]}"
        time.sleep(PAUSE)

    def finish(self, client):
        """The last batch is written, too: afterwards there is no gap in what was sent."""
        deadline = time.monotonic() + 60
        while self.open_write:
            assert time.monotonic() < deadline, f"{self.name} cannot finish"
            try:
                self.step(client)
            except OSError:
                time.sleep(PAUSE)


class Reader(Client):
    """From the beginning; in the end until it has seen what is there."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.positions = dict.fromkeys(range(self.partitions), 0)
        self.out_of_range = 0

    def step(self, client):
        for partition in self.positions:
            if self.stopping.is_set():
                return
            self.read(client, partition, wait_ms=10)

    def read(self, client, partition, wait_ms):
        """Whether it is at the end."""
        at = self.positions[partition]

        def fetch(connection):
            return connection.fetch(self.topic, at, partition, wait_ms=wait_ms)

        error, high_watermark, data = client.led(self.topic, partition, fetch)
        if ERRORS[error] == "OFFSET_OUT_OF_RANGE":
            self.out_of_range += 1
            time.sleep(PAUSE)
            return False
        if error:
            self.errors += 1
            assert ERRORS[error] in AGAIN, f"{self.name}: {ERRORS[error]}"
            time.sleep(PAUSE)
            return False
        found = [(offset, value) for offset, value in records_of(data) if offset >= at]
        if found:
            self.history.read(self.name, partition, found)
            self.positions[partition] = found[-1][0] + 1
        return self.positions[partition] >= high_watermark

    def finish(self, client):
        deadline = time.monotonic() + 60
        for partition in self.positions:
            end = None
            while end is None or self.positions[partition] < end:
                assert time.monotonic() < deadline, f"{self.name} is stuck at {self.positions[partition]} of {partition}: the end is {end}"
                try:
                    end = client.end(self.topic, partition)
                    self.read(client, partition, wait_ms=50)
                except (OSError, AssertionError):
                    time.sleep(PAUSE)
            self.history.finish(self.name, partition)


class Committer(Client):
    """What was acknowledged stays, until a later commit: one that was not answered may come to pass any time, even after later ones, since
    nothing but its connection orders it. Each attempt has an offset of its own."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.offset = 0
        self.acknowledged = -1
        self.doubtful = set()

    def step(self, client):
        self.offset += 1
        self.doubtful.add(self.offset)
        node = client.coordinator(self.name)
        error = client.at(client.address_of(node), lambda connection: connection.commit_offset(self.name, -1, "", self.topic, 0, self.offset))
        if error:
            self.errors += 1
            assert ERRORS[error] in COORDINATOR_MOVES | AGAIN, f"{self.name}: {ERRORS[error]}"
            time.sleep(PAUSE)
            return
        self.doubtful.discard(self.offset)
        self.acknowledged = self.offset
        self.look(client)
        time.sleep(PAUSE)

    def look(self, client):
        found = client.committed(self.name, self.topic)
        assert found == self.acknowledged or found in self.doubtful, \
            f"{self.name}: {self.acknowledged} was committed, now it is {found}; in doubt: {sorted(self.doubtful)[-10:]}"

    def finish(self, client):
        self.look(client)
