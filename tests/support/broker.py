"""Starts, stops and kills the real `millrace` on free loopback ports, with its data and logs in a folder of its own."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("MILLRACE", ROOT / "build" / "release" / "millrace"))
START_SECONDS = 30
PORTS = (10000, 29000)
given_ports = set()


def free_ports(count):
    """Below those that the kernel gives to connections: nobody takes one of them while its node is down. Never the same twice."""
    ports = []
    while len(ports) < count:
        port = random.randrange(*PORTS)
        with contextlib.suppress(OSError), socket.socket() as candidate:
            candidate.bind(("127.0.0.1", port))
            if port not in given_ports:
                given_ports.add(port)
                ports.append(port)
    return ports


class Broker:
    """One node. `properties` are added to (or replace lines of) a plain single-node server.properties."""

    def __init__(self, folder, properties=None, data=None, environment=None, port=None):
        self.folder = Path(folder)
        self.data = Path(data or self.folder / "data")
        self.port, self.controller_port = free_ports(2)
        self.port = port or self.port
        self.environment = {**os.environ, **(environment or {})}
        self.properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.data),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **(properties or {}),
        }
        self.log_path = self.folder / "broker.log"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def launch(self):
        """Starts the process without waiting for it to be ready."""
        file = self.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in self.properties.items()))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BINARY, "start", file], stdout=log, stderr=log, cwd=self.folder,
                                            stdin=subprocess.DEVNULL, env=self.environment)
        return self

    def start(self):
        begun = self.log().count("Kafka Server started")
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while self.log().count("Kafka Server started") == begun:
            if self.process.poll() is not None:
                raise AssertionError(f"exit status {self.process.returncode} instead of a start:\n{self.log()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not ready after {START_SECONDS} s:\n{self.log()}")
            time.sleep(0.01)
        return self

    def stop(self, seconds=20):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def refusal(self, seconds=START_SECONDS):
        """What a node that must not start says; fails when it starts all the same."""
        self.log_path.unlink(missing_ok=True)
        self.launch()
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if "Kafka Server started" in self.log():
                self.kill()
                raise AssertionError(f"it started:\n{self.log()}")
            time.sleep(0.01)
        if self.process.poll() is None:
            self.kill()
            raise AssertionError(f"it neither started nor refused within {seconds} s:\n{self.log()}")
        if self.process.returncode != 1:
            raise AssertionError(f"exit status {self.process.returncode}, not 1:\n{self.log()}")
        return self.log()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def error_lines(self):
        return [line for line in self.log().splitlines() if re.search(r"^\[[^]]*\] (ERROR|FATAL)\b", line)]

    def memory(self, what="VmHWM"):
        """Bytes; VmHWM is the most that was ever resident, VmRSS what is now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) * 1024


class BrokerTest(unittest.TestCase):
    """Gives each test a folder and brokers that are gone afterwards; an unexpected ERROR line fails the test."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-")
        self.folder = Path(self._folder.name)
        self.brokers = []
        self.expected_errors = []  # regular expressions
        self.addCleanup(self._folder.cleanup)
        self.addCleanup(self._end_brokers)

    def broker(self, properties=None, **options):
        folder = self.folder / f"broker-{len(self.brokers)}"
        folder.mkdir()
        self.brokers.append(Broker(folder, properties, **options))
        return self.brokers[-1]

    def wait_for_log(self, broker, pattern, seconds=10):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, broker.log()):
            if time.monotonic() > deadline:
                self.fail(f"no line like {pattern!r} in:\n{broker.log()[-4000:]}")
            time.sleep(0.01)

    def _end_brokers(self):
        for broker in self.brokers:
            if broker.process and broker.process.poll() is None:
                broker.kill()
        for broker in self.brokers:
            unexpected = [line for line in broker.error_lines()
                          if not any(re.search(each, line) for each in self.expected_errors)]
            self.assertEqual([], unexpected, "unexpected ERROR lines")
