"""sarama's functional tests: five brokers that clients reach through toxiproxy, at addresses that are written into the tests; they stop and start
brokers by `docker compose`, for which a program of ours stands in."""

import contextlib
import json
import os
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.broker import free_ports

from suites.go import GoSuite, copy_module, go
from suites.suite import VERSIONS, must

DOCKER = """#!/usr/bin/env python3
import socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({path!r})
    asked.sendall(" ".join(sys.argv[1:]).encode() + b"\\n")
    said = asked.makefile().read()
sys.exit(said != "done" and f"docker's stand-in: {{said}}")
"""


class Sarama(GoSuite):
    name = source = "sarama"
    nodes = 5
    tags = "functional"
    seconds = 300
    client_ports = {id: 29090 + id for id in range(1, 6)}
    cluster_properties = {"default.replication.factor": "2", "min.insync.replicas": "1",
                          "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"}

    def install(self, folder):
        super().install(folder)
        copy_module(VERSIONS["toxiproxy"], folder / "toxiproxy", go())
        must([go(), "build", "-o", folder / "toxiproxy-server", "./cmd/server"], folder / "toxiproxy", self.constant)

    def run(self, target, tests):
        with toxiproxy(self.installed() / "toxiproxy-server", target) as proxies, docker(target) as folder:
            self.environment = {"TOXIPROXY_ADDR": proxies, "KAFKA_VERSION": VERSIONS["apache-kafka"]["version"],
                                "PATH": f"{folder}:{os.environ['PATH']}"}
            return super().run(target, tests)


@contextlib.contextmanager
def toxiproxy(program, cluster):
    """Gives the address where its proxies, kafka1 to kafka5, can be hurt."""
    port, = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([program, "-host", "127.0.0.1", "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for id, client_port in cluster.client_ports.items():
                post(f"{url}/proxies", {"name": f"kafka{id}", "listen": f"127.0.0.1:{client_port}",
                                        "upstream": f"127.0.0.1:{cluster.nodes[id].port}", "enabled": True})
            yield url
        finally:
            process.terminate()


def post(url, value, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(urllib.request.Request(url, json.dumps(value).encode()), timeout=seconds).read()
        except urllib.error.URLError as failure:
            if isinstance(failure, urllib.error.HTTPError) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def docker(cluster):
    """Gives the folder of a `docker` that knows `compose stop kafka-N` and `compose start kafka-N`."""

    def carry_out(words):
        match words:
            case ["compose", "stop", service]:
                cluster.nodes[int(service.removeprefix("kafka-"))].stop()
            case ["compose", "start", service]:
                node = cluster.nodes[int(service.removeprefix("kafka-"))]
                if not node.is_running:
                    node.start()
            case _:
                return f"{words} is not done here"
        return "done"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(carry_out(self.rfile.readline().decode().split()).encode())

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        Path(folder, "docker").write_text(DOCKER.format(path=path))
        Path(folder, "docker").chmod(0o755)
        with socketserver.UnixStreamServer(path, Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield folder
            finally:
                server.shutdown()
