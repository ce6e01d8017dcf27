"""What clients did and what came of it, and what must be true of that, whatever happened to the cluster meanwhile.

Values are unique: "writer number". A write is sent (invoked), then acknowledged with an offset, refused for certain, or neither (nobody
knows). Reads are what consumers saw: offset and value, in the order in which they saw them. In the end every partition is read whole.

The anomalies, as Jepsen's tests of Kafka and Redpanda name them:
  lost          acknowledged, and a later record of the partition is there, or nothing is, but this one is not
  duplicate     a value is there at two offsets (only an idempotent writer promises that it is not)
  reordered     an idempotent writer's records are not in the order in which they were sent
  phantom       a value that nobody sent, or that was refused for certain, is there or was read
  unseen        acknowledged, is there, and the final read of a consumer that read to the end never saw it
  inconsistent  two values at one offset: of an acknowledgement, a read, and the final log
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Write:
    writer: str
    number: int                 # the first of its values
    values: list
    partition: int
    idempotent: bool
    state: str = "open"         # open (nobody knows), acknowledged, refused
    base: int = -1
    begun: float = 0.0
    ended: float = 0.0


@dataclass
class History:
    writes: list = field(default_factory=list)
    reads: dict = field(default_factory=lambda: defaultdict(list))     # by (consumer, partition): [(offset, value)]
    finished: set = field(default_factory=set)                          # (consumer, partition) that read to the end, from the beginning
    lock: threading.Lock = field(default_factory=threading.Lock)

    def invoke(self, **what):
        write = Write(**what)
        with self.lock:
            self.writes.append(write)
        return write

    def read(self, consumer, partition, records):
        with self.lock:
            self.reads[consumer, partition] += records

    def finish(self, consumer, partition):
        with self.lock:
            self.finished.add((consumer, partition))


@dataclass
class Anomaly:
    kind: str
    partition: int
    what: str

    def __str__(self):
        return f"{self.kind} in partition {self.partition}: {self.what}"


class Checker:
    """check(history, logs): `logs` are, by partition, all (offset, value) that are there in the end."""

    def __init__(self, history, logs):
        self.history, self.logs = history, logs
        self.found = []
        self.offsets = {}       # by partition: {value: offsets}
        for partition, log in logs.items():
            places = defaultdict(list)
            for offset, value in log:
                places[value].append(offset)
            self.offsets[partition] = places

    def add(self, kind, partition, what):
        self.found.append(Anomaly(kind, partition, what))

    def run(self):
        self.check_inconsistent()
        self.check_lost()
        self.check_duplicate()
        self.check_reordered()
        self.check_phantom()
        self.check_unseen()
        return self.found

    def check_inconsistent(self):
        known = defaultdict(dict)   # by partition: {offset: (value, who says so)}

        def note(partition, offset, value, who):
            other, by = known[partition].setdefault(offset, (value, who))
            if other != value:
                self.add("inconsistent", partition, f"at {offset} {who} has {value}, {by} has {other}")

        for partition, log in self.logs.items():
            last = -1
            for offset, value in log:
                if offset <= last:
                    self.add("inconsistent", partition, f"offset {offset} comes after {last} in the log")
                last = offset
                note(partition, offset, value, "the log")
        for write in self.history.writes:
            if write.state == "acknowledged":
                for at, value in enumerate(write.values):
                    note(write.partition, write.base + at, value, "the acknowledgement")
        for (consumer, partition), records in self.history.reads.items():
            for offset, value in records:
                note(partition, offset, value, consumer)

    def check_lost(self):
        for write in self.history.writes:
            if write.state == "acknowledged":
                for value in write.values:
                    if value not in self.offsets.get(write.partition, {}):
                        self.add("lost", write.partition, f"{value}, acknowledged at {write.base}")
        for (consumer, partition), records in self.history.reads.items():
            for offset, value in records:
                if value not in self.offsets.get(partition, {}):
                    self.add("lost", partition, f"{value}, which {consumer} read at {offset}")

    def check_duplicate(self):
        idempotent = {value for write in self.history.writes if write.idempotent for value in write.values}
        for partition, places in self.offsets.items():
            for value, offsets in places.items():
                if len(offsets) > 1 and value in idempotent:
                    self.add("duplicate", partition, f"{value} at {offsets}")

    def check_reordered(self):
        """In the log, for each idempotent writer; and whatever one consumer reads has rising offsets, or begins anew further back."""
        sent = defaultdict(list)
        for write in sorted(self.history.writes, key=lambda write: write.number):   # others' clients are heard of when they are answered
            if write.idempotent:
                sent[write.writer, write.partition] += write.values
        for (writer, partition), values in sent.items():
            places = self.offsets.get(partition, {})
            there = [(places[value][0], value) for value in values if value in places]
            for (before, first), (after, second) in zip(there, there[1:]):
                if after < before:
                    self.add("reordered", partition, f"{writer}: {second} at {after}, {first} at {before}")

    def check_phantom(self):
        sent = defaultdict(set)
        refused = defaultdict(set)
        for write in self.history.writes:
            (refused if write.state == "refused" else sent)[write.partition].update(write.values)
        seen = [(partition, value, "the log") for partition, log in self.logs.items() for _, value in log]
        seen += [(partition, value, consumer) for (consumer, partition), records in self.history.reads.items() for _, value in records]
        for partition, value, who in seen:
            if value in refused[partition] and value not in sent[partition]:
                self.add("phantom", partition, f"{who} has {value}, which was refused")
            elif value not in sent[partition]:
                self.add("phantom", partition, f"{who} has {value}, which nobody sent")

    def check_unseen(self):
        for consumer, partition in self.history.finished:
            read = {value for _, value in self.history.reads[consumer, partition]}
            for write in self.history.writes:
                if write.partition != partition or write.state != "acknowledged":
                    continue
                for value in write.values:
                    if value not in read and value in self.offsets.get(partition, {}):
                        self.add("unseen", partition, f"{value}, acknowledged at {write.base}, by {consumer}")


def check(history, logs):
    return Checker(history, logs).run()
