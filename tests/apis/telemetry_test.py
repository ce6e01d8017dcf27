"""Client telemetry (KIP-714): what is subscribed to, pushed, and shown."""

import struct
import time
import unittest
import urllib.request
import uuid
import zlib

from support.broker import BrokerTest, free_ports
from support.protocol import ERRORS, Asker

CLIENT_METRICS = 16


def field(number, value):
    """A field of a protobuf message: bytes, or a double."""
    if isinstance(value, float):
        return bytes([number << 3 | 1]) + struct.pack("<d", value)
    return bytes([number << 3 | 2, len(value)]) + value


def gauge(name, value):
    """OpenTelemetry's MetricsData with one gauge."""
    metric = field(1, name.encode()) + field(5, field(1, field(4, value)))
    return field(1, field(2, field(2, metric)))


class Telemetry(BrokerTest):
    def setUp(self):
        super().setUp()
        [self.port] = free_ports(1)
        self.node = self.broker({"millrace.http.listener": f"localhost:{self.port}"}).start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)

    def subscribe(self, **configs):
        changes = [(name.replace("_", "."), 0, value) for name, value in configs.items()]
        self.assertEqual(("NONE", None), self.asker.alter(CLIENT_METRICS, "basics", *changes))

    def ask(self, instance=None):
        return self.asker.ask("GetTelemetrySubscriptions", 0, ClientInstanceId=instance or uuid.UUID(int=0))

    def push(self, subscription, payload, **options):
        answer = self.asker.ask("PushTelemetry", 0, **{
            "ClientInstanceId": subscription["ClientInstanceId"], "SubscriptionId": subscription["SubscriptionId"], "Terminating": False,
            "CompressionType": 0, "Metrics": payload, **options})
        return ERRORS[answer["ErrorCode"]]

    def page(self):
        with urllib.request.urlopen(f"http://localhost:{self.port}/metrics", timeout=20) as answer:
            return answer.read().decode()

    def test_what_is_pushed_is_shown(self):
        self.subscribe(metrics="org.apache.kafka.", interval_ms="100")
        subscription = self.ask()
        self.assertEqual((["org.apache.kafka."], 100), (subscription["RequestedMetrics"], subscription["PushIntervalMs"]))
        self.assertEqual("NONE", self.push(subscription, gauge("org.apache.kafka.consumer.poll.idle.ratio.avg", 0.25)))
        shown, = [line for line in self.page().splitlines() if line.startswith("kafka_client_consumer_poll_idle_ratio_avg")]
        self.assertRegex(shown, r'\{client_id="tests",client_instance_id="[\w-]{22}"\} 0.25$')
        self.assertIn("kafka_server_client_metrics_instance_count 1", self.page())
        time.sleep(0.1)
        packed = zlib.compressobj(wbits=31)
        packed = packed.compress(gauge("org.apache.kafka.consumer.poll.idle.ratio.avg", 0.5)) + packed.flush()
        self.assertEqual("NONE", self.push(subscription, packed, CompressionType=1))
        self.assertRegex(self.page(), r"kafka_client_consumer_poll_idle_ratio_avg\{.*\} 0.5\n")

    def test_a_change_of_subscriptions_reaches_clients(self):
        subscription = self.ask()
        self.assertEqual([], subscription["RequestedMetrics"])
        self.subscribe(metrics="*", match="client_id=te.*")
        deadline = time.monotonic() + 10
        while self.push(subscription, b"", Terminating=False) != "UNKNOWN_SUBSCRIPTION_ID":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertEqual(["*"], self.ask(subscription["ClientInstanceId"])["RequestedMetrics"])

    def test_what_cannot_be_read_is_refused(self):
        self.subscribe(metrics="*", interval_ms="100")
        self.assertEqual("INVALID_RECORD", self.push(self.ask(), b"\x0a\x7fnothing"))
        self.assertEqual("INVALID_REQUEST", self.push({"ClientInstanceId": uuid.UUID(int=0), "SubscriptionId": 1}, b""))

    def test_a_node_that_shows_nothing_takes_nothing(self):
        silent = Asker(self.broker({"millrace.http.listener": ""}).start().address)
        self.addCleanup(silent.socket.close)
        keys = [{each["ApiKey"] for each in asker.ask("ApiVersions", 4, ClientSoftwareName="t", ClientSoftwareVersion="1")["ApiKeys"]}
                for asker in (self.asker, silent)]
        self.assertEqual({71, 72}, keys[0] - keys[1])


if __name__ == "__main__":
    unittest.main()
