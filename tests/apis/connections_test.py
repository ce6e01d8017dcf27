"""Limits of connections (kafka.md 2.1): max.connections, max.connections.per.ip and its overrides, connections.max.idle.ms; the first
ones change while the broker runs."""

import time
import unittest

from support.broker import BrokerTest
from support.kafka import Client
from support.protocol import Asker

BROKER, SET = 4, 0


class Connections(BrokerTest):
    def opened(self, node, count):
        """How many of `count` new connections are served; they stay open until the test ends."""
        served = 0
        for _ in range(count):
            client = Client(node.address, seconds=5)
            self.addCleanup(client.socket.close)
            try:
                client.api_versions()
                served += 1
            except ConnectionError:
                pass
        return served

    def test_connections_over_the_limit_are_closed_and_places_come_back(self):
        node = self.broker({"max.connections": "3", "millrace.shards": "2"}).start()
        with Client(node.address) as first:
            first.api_versions()
            self.assertEqual(2, self.opened(node, 5))
            self.wait_for_log(node, "refused: max.connections=3 is reached")
        deadline = time.monotonic() + 5
        while self.opened(node, 1) == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertLess(time.monotonic(), deadline, "no place came back")

    def test_an_addresses_limit_changes_while_the_broker_runs(self):
        node = self.broker().start()
        with Asker(node.address) as asker:
            self.assertEqual(("NONE", None), asker.alter(BROKER, "", ("max.connections.per.ip", SET, "2")))
            self.assertEqual(1, self.opened(node, 3))
            self.wait_for_log(node, "refused: max.connections.per.ip=2 is reached for 127.0.0.1")
            self.assertEqual(("NONE", None), asker.alter(BROKER, "1", ("max.connections.per.ip.overrides", SET, "127.0.0.1:4")))
            self.assertEqual(2, self.opened(node, 4))

    def test_an_idle_connection_is_closed_and_a_busy_one_is_not(self):
        node = self.broker({"connections.max.idle.ms": "400"}).start()
        with Client(node.address, seconds=5) as idle, Client(node.address, seconds=5) as busy:
            until = time.monotonic() + 1
            while time.monotonic() < until:
                busy.api_versions()
                time.sleep(0.02)
            self.assertTrue(idle.is_closed_by_peer())
            busy.api_versions()


if __name__ == "__main__":
    unittest.main()
