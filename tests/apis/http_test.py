"""What a node says over HTTP: health and metrics."""

import re
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

from support.broker import BINARY, BrokerTest, free_ports

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\})? (\S+)$')


def parse(page):
    """{(name, labels): value}; every line is a family's or a sample's, every sample of the family announced last."""
    samples, family, announced = {}, None, set()
    for line in page.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in announced, f"{family} twice"
            announced.add(family)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family and line.split()[3] in ("counter", "gauge"), line
        else:
            name, labels, value = SAMPLE.match(line).groups()
            assert name == family and (name, labels) not in samples, line
            samples[name, labels] = float(value)
    return samples


class Http(BrokerTest):
    def setUp(self):
        super().setUp()
        [self.port] = free_ports(1)
        self.node = self.broker({"millrace.http.listener": f"localhost:{self.port}"}).start()

    def get(self, path, **options):
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://localhost:{self.port}{path}", **options), timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def millrace(self, *arguments, **options):
        subprocess.run([BINARY, *arguments, "-b", self.node.address], check=True, capture_output=True, **options)

    def test_health(self):
        self.assertEqual((200, "ok\n"), self.get("/livez"))
        self.assertEqual((200, "ok\n"), self.get("/readyz"))
        self.assertEqual(404, self.get("/nothing")[0])
        self.assertEqual(405, self.get("/livez", method="DELETE")[0])
        self.assertEqual((200, ""), self.get("/metrics", method="HEAD"))
        self.assertIn("/metrics", self.get("/")[1])

    def test_metrics_count_what_was_done(self):
        self.millrace("topic", "create", "t", "-p", "3")
        self.millrace("produce", "t", "-q", input=b"a\nb\nc\n")
        self.millrace("consume", "t", "--offset", "start", "--until-end")
        page = parse(self.get("/metrics")[1])
        for name, labels, value in (
                ("kafka_server_brokertopicmetrics_messagesin_total", 'topic="t"', 3),
                ("kafka_server_brokertopicmetrics_messagesin_total", None, 3),
                ("kafka_server_replicamanager_partitioncount", None, 3),
                ("kafka_server_replicamanager_leadercount", None, 3),
                ("kafka_server_replicamanager_underreplicatedpartitions", None, 0),
                ("kafka_controller_kafkacontroller_activecontrollercount", None, 1),
                ("kafka_controller_kafkacontroller_globalpartitioncount", None, 3),
                ("kafka_network_requestmetrics_requests_total", 'request="Produce"', 1),
                ("kafka_server_kafkaserver_brokerstate", None, 3)):
            self.assertEqual(value, page[name, labels], (name, labels))
        read, written = (page[f"kafka_server_brokertopicmetrics_bytes{way}_total", 'topic="t"'] for way in ("out", "in"))
        self.assertEqual(written, read)
        self.assertGreater(page["process_resident_memory_bytes", None], 1e6)

    def test_partitions_have_series_when_asked_for(self):
        self.millrace("topic", "create", "t", "-p", "2")
        self.assertNotIn("partition=", self.get("/metrics")[1])
        page = parse(self.get("/metrics?partitions=1")[1])
        self.assertEqual(0, page["kafka_log_log_logendoffset", 'topic="t",partition="1"'])

    def test_what_is_no_http_is_told_so_and_the_node_goes_on(self):
        with socket.create_connection(("localhost", self.port), timeout=20) as peer:
            peer.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
            self.assertTrue(peer.recv(1000).startswith(b"HTTP/1.1 400 "))
        self.assertEqual(200, self.get("/livez")[0])

    def test_an_address_that_somebody_chose_must_be_free(self):
        other = self.broker({"millrace.http.listener": f"localhost:{self.port}"})
        self.assertIn("millrace.http.listener", other.refusal())


if __name__ == "__main__":
    unittest.main()
