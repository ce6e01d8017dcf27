"""Clients of others under the same load and the same checker: librdkafka (rdkafka_client.c) and Apache Kafka's Java client (its verifiable producer
and consumer). Both say a line of JSON for each record; what they say goes into the history.

A foreign writer is idempotent and has no time limit, so in the end all that it sent is acknowledged. The foreign readers, one of each kind, are one
group: what a partition's readers have seen together is what the group saw, at least once."""

import json
import signal
import subprocess
import threading
import time
from pathlib import Path

from interop import apache
from suites.rdkafka import Librdkafka
from support.cluster_client import ClusterClient

LIBRDKAFKA, JAVA = "librdkafka", "java"
PREFIX = {LIBRDKAFKA: 1, JAVA: 2}   # of the values: "1.17" is the first's eighteenth. Java's takes numbers alone
GROUP = "foreign-readers"
PER_SECOND = 100
END_SECONDS = 60
PRODUCER = {"enable.idempotence": "true", "retries": 2**31 - 1, "delivery.timeout.ms": 2**31 - 1, "max.block.ms": 2**31 - 1,
            "request.timeout.ms": 5000, "linger.ms": 5, "metadata.max.age.ms": 5000}
CONSUMER = {"request.timeout.ms": 5000, "session.timeout.ms": 6000, "metadata.max.age.ms": 5000}


def compiled(program, folder):
    """PROGRAM.c, compiled at first use, against the library whose own tests are run, too."""
    built = Path(folder) / program
    if not built.exists():
        library = Librdkafka().installed() / "src"
        subprocess.run(["cc", "-O1", "-isystem", library, "-o", built, Path(__file__).with_name(f"{program}.c"),
                        library / "librdkafka.so.1", f"-Wl,-rpath,{library}"], check=True, capture_output=True)
    return built


def java_client(folder, name, tool, config, *arguments):
    file = Path(folder) / f"{name}.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
    return [*apache.command_line(f"org.apache.kafka.tools.{tool}"), "--command-config", file, *arguments]


class ForeignClient(threading.Thread):
    """Reads what a process says, until that ends; told by the test as a Client of workload.py is."""

    def __init__(self, name, command, folder):
        super().__init__(name=name, daemon=True)
        self.command, self.complaints = command, Path(folder) / f"{name}.log"
        self.stopping = threading.Event()
        self.failure = None
        self.process = None

    def start(self):
        with open(self.complaints, "wb") as complaints:
            self.process = subprocess.Popen([str(word) for word in self.command], stdout=subprocess.PIPE, stderr=complaints, text=True,
                                            stdin=subprocess.DEVNULL)
        super().start()
        threading.Thread(target=self.end, daemon=True).start()

    def run(self):
        try:
            for line in self.process.stdout:
                if line.startswith("{"):
                    said = json.loads(line)
                    self.hear(said["name"], said)
            status = self.process.wait()
            assert self.stopping.is_set(), f"it ended by itself with {status}: {self.last_complaints()}"
            self.finished()
        except Exception as failure:   # told by the test
            self.failure = failure

    def end(self):
        self.stopping.wait()
        self.before_end()
        self.process.send_signal(signal.SIGTERM)

    def last_complaints(self):
        return self.complaints.read_text(errors="replace")[-1500:]

    def before_end(self):
        pass

    def finished(self):
        pass

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()


class ForeignWriter(ForeignClient):
    def __init__(self, name, command, folder, history, partitions):
        super().__init__(name, command, folder)
        self.history, self.partitions = history, partitions
        self.acknowledged = set()
        self.sent = 0

    def hear(self, what, said):
        if what == "producer_send_success":
            number = int(said["value"].rsplit(".", 1)[1])
            self.acknowledged.add(number)
            self.sent = max(self.sent, number + 1)
            write = self.invoke(number, said["partition"])
            write.base, write.ended, write.state = said["offset"], time.monotonic(), "acknowledged"
        elif what == "producer_send_error":
            raise AssertionError(f"{said}: {self.last_complaints()}")
        elif what == "tool_data":
            self.sent = said["sent"]

    def invoke(self, number, partition):
        return self.history.invoke(writer=self.name, number=number, values=[f"{PREFIX[self.name]}.{number}".encode()], partition=partition,
                                   idempotent=True, begun=time.monotonic())

    def finished(self):
        """Nobody knows to which partition went what was not acknowledged."""
        missing = sorted(set(range(self.sent)) - self.acknowledged)
        for number in missing:
            for partition in range(self.partitions):
                self.invoke(number, partition)
        assert not missing, f"sent and never acknowledged: {missing[:20]}: {self.last_complaints()}"


class ForeignReader(ForeignClient):
    def __init__(self, name, command, folder, group):
        super().__init__(name, command, folder)
        self.group = group

    def hear(self, what, said):
        if what == "record_data":
            self.group.read(said["partition"], said["offset"], said["value"].encode())

    def before_end(self):
        self.group.wait_for_end()


class ReadersGroup:
    """What the members of a group have read together."""

    def __init__(self, bootstrap, history, topic, partitions):
        self.bootstrap, self.history, self.topic = bootstrap, history, topic
        self.seen = [set() for _ in range(partitions)]
        self.lock = threading.Lock()
        self.whole = False

    def read(self, partition, offset, value):
        self.history.read(GROUP, partition, [(offset, value)])
        self.seen[partition].add(offset)

    def wait_until_read(self, partition, end):
        deadline = time.monotonic() + END_SECONDS
        while end > 0 and end - 1 not in self.seen[partition]:
            assert time.monotonic() < deadline, f"nobody reads {self.topic}-{partition} to {end}"
            time.sleep(0.05)

    def wait_for_end(self):
        """Until every partition was read to its end; who is first waits for all."""
        with self.lock, ClusterClient(self.bootstrap) as client:
            deadline = time.monotonic() + END_SECONDS
            while not self.whole and time.monotonic() < deadline:
                try:
                    ends = [client.end(self.topic, partition) for partition in range(len(self.seen))]
                except (OSError, AssertionError):
                    ends = None
                if ends and all(end == 0 or end - 1 in seen for end, seen in zip(ends, self.seen)):
                    self.whole = True
                time.sleep(0.1)
            for partition in range(len(self.seen)):
                self.history.finish(GROUP, partition)


def foreign_clients(kinds, folder, bootstrap, history, topic, partitions):
    """(writers, readers), not started."""
    group = ReadersGroup(bootstrap, history, topic, partitions)
    to = ["--bootstrap-server", bootstrap, "--topic", topic]
    writers, readers = [], []
    if LIBRDKAFKA in kinds:
        program = compiled("rdkafka_client", folder)
        writers.append((LIBRDKAFKA, [program, "produce", bootstrap, topic, PREFIX[LIBRDKAFKA], PER_SECOND]))
        readers.append((f"{LIBRDKAFKA}-reader", [program, "consume", bootstrap, topic, GROUP]))
    if JAVA in kinds:
        writers.append((JAVA, java_client(folder, JAVA, "VerifiableProducer", PRODUCER, *to, "--acks", "-1", "--throughput", PER_SECOND,
                                          "--value-prefix", PREFIX[JAVA])))
        readers.append((f"{JAVA}-reader", java_client(folder, f"{JAVA}-reader", "VerifiableConsumer", CONSUMER, *to, "--group-id", GROUP,
                                                      "--verbose", "--session-timeout", 6000)))
    return ([ForeignWriter(name, command, folder, history, partitions) for name, command in writers],
            [ForeignReader(name, command, folder, group) for name, command in readers])
