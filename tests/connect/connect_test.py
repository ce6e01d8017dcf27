"""Apache Kafka Connect, unchanged, with its own connectors for files: lines of a file become records exactly once (KIP-618) and then lines of another
file, while the worker and the broker are killed."""

import contextlib
import json
import time
import unittest
import urllib.error
import urllib.request

from chaos.killable import Killable
from interop import apache
from support.broker import BrokerTest, free_ports

PROPERTIES = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4"}
TEXT = "org.apache.kafka.connect.storage.StringConverter"
SETTINGS = {
    "group.id": "workers", "key.converter": TEXT, "value.converter": TEXT, "exactly.once.source.support": "enabled", "plugin.discovery": "service_load",
    "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "scheduled.rebalance.max.delay.ms": 0, "offset.flush.interval.ms": 200,
    "offset.storage.partitions": 2, "status.storage.partitions": 1,
    **{f"{kind}.storage.topic": f"connect-{kind}" for kind in ("offset", "config", "status")},
    **{f"{kind}.storage.replication.factor": 1 for kind in ("offset", "config", "status")},
}
STEP = 300


class Connect(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES).start()
        self.source, self.sink = self.folder / "source.txt", self.folder / "sink.txt"
        self.written = []
        self.rest = f"http://127.0.0.1:{free_ports(1)[0]}"
        properties = self.folder / "worker.properties"
        settings = {**SETTINGS, "bootstrap.servers": self.node.address, "listeners": self.rest}
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.worker = Killable([*apache.command_line("org.apache.kafka.connect.cli.ConnectDistributed"), properties], self.folder / "worker.log").start()
        self.addCleanup(self.worker.kill)

    def ask(self, path, method="GET", value=None):
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.rest}{path}", body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def eventually(self, check, what, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):   # the worker is not up, or joins its group
                if check():
                    return
            self.assertLess(time.monotonic(), deadline, f"{what}: not so\n{self.worker.log.read_text(errors='replace')[-6000:]}")
            time.sleep(0.2)

    def is_running(self, connector):
        status = self.ask(f"/connectors/{connector}/status")
        states = [each["state"] for each in (status["connector"], *status["tasks"])]
        self.assertNotIn("FAILED", states, status)
        return states == ["RUNNING", "RUNNING"]

    def add(self, name, **config):
        config = {each.replace("_", "."): value for each, value in config.items()}
        self.eventually(lambda: self.ask(f"/connectors/{name}/config", "PUT", {"tasks.max": "1", **config}), "the connector is taken")
        self.eventually(lambda: self.is_running(name), f"{name} runs")

    def write(self):
        more = [f"line {number}" for number in range(len(self.written), len(self.written) + STEP)]
        with open(self.source, "a") as file:
            file.writelines(f"{line}\n" for line in more)
        self.written += more

    def sunk(self):
        """In the order in which each line came first: what a sink was not sure of it writes again."""
        return list(dict.fromkeys(self.sink.read_text().splitlines())) if self.sink.exists() else []

    def expect_all_sunk(self):
        self.eventually(lambda: self.sunk()[-1:] == self.written[-1:], "the last line has come")
        self.assertEqual(self.written, self.sunk())

    def test_lines_go_through_a_topic_exactly_once(self):
        self.write()
        self.add("reader", connector_class="FileStreamSource", file=str(self.source), topic="lines", exactly_once_support="required")
        self.add("writer", connector_class="FileStreamSink", file=str(self.sink), topics="lines", **{"consumer_override_isolation_level": "read_committed"})
        self.expect_all_sunk()

        self.write()
        time.sleep(0.2)   # its transaction may be under way
        self.worker.kill()
        self.write()
        self.worker.start()
        self.expect_all_sunk()

        self.write()
        self.node.kill()
        self.write()
        self.node.start()
        self.expect_all_sunk()

        self.worker.kill()
        read = apache.tool("console-consumer", "--bootstrap-server", self.node.address, "--topic", "lines", "--from-beginning", "--isolation-level",
                           "read_committed", "--timeout-ms", 3000)
        self.assertEqual(self.written, read.splitlines(), "each line once, in order")


if __name__ == "__main__":
    unittest.main()
