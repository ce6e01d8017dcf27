"""Transactions that one of Apache Kafka and Millrace began and the other one ends, on one data directory; and Apache Kafka's tool for them."""

import unittest

from interop.apache import ApacheBroker, tool
from support.broker import BrokerTest
from support.protocol import Asker
from support.transactional import PROPERTIES, Producer, committed


class Transactions(BrokerTest):
    def open(self, broker):
        asker = Asker(broker.address)
        self.addCleanup(asker.socket.close)
        return asker

    def go_on(self, broker, producer):
        """The same producer, on a new connection."""
        other = Producer(broker.address, producer.name, modern=producer.modern, timeout_ms=600000)
        other.id, other.epoch, other.sequences = producer.id, producer.epoch, producer.sequences
        self.addCleanup(other.asker.socket.close)
        return other

    def test_what_is_open_goes_from_millrace_to_apache_kafka_and_back(self):
        broker = self.broker(PROPERTIES).start()
        self.open(broker).create_topic("t", 1)
        producers = [Producer(broker.address, f"tx-{modern}", modern=modern, timeout_ms=600000) for modern in (True, False)]
        for each in producers:
            self.addCleanup(each.asker.socket.close)
            self.assertEqual("NONE", each.init())
            self.assertEqual("NONE", each.write("t", f"{each.name} done"))
            self.assertEqual("NONE", each.end(True))
            self.assertEqual("NONE", each.write("t", f"{each.name} begun here"))
        self.assertEqual(0, broker.stop())

        apache = ApacheBroker(broker).start()
        self.addCleanup(apache.kill)
        producers = [self.go_on(broker, each) for each in producers]
        for each in producers:
            self.assertEqual("NONE", each.write("t", f"{each.name} ended there"))
            self.assertEqual("NONE", each.end(True))
            self.assertEqual("NONE", each.write("t", f"{each.name} begun there"))
        apache.stop()

        broker.start()
        producers = [self.go_on(broker, each) for each in producers]
        for each, commit in zip(producers, (True, False)):
            self.assertEqual("NONE", each.write("t", f"{each.name} ended here"))
            self.assertEqual("NONE", each.end(commit))
        names = [each.name for each in producers]
        expected = {f"{name} {what}" for name in names for what in ("done", "begun here", "ended there")}
        expected |= {f"{names[0]} {what}" for what in ("begun there", "ended here")}
        self.assertEqual(expected, set(committed(self.open(broker), "t")))

    def test_its_tool_lists_describes_and_aborts(self):
        broker = self.broker(PROPERTIES).start()
        self.open(broker).create_topic("t", 1)
        producer = Producer(broker.address, "tx", timeout_ms=600000)
        self.addCleanup(producer.asker.socket.close)
        producer.init()
        self.assertEqual("NONE", producer.write("t", "hanging"))
        to = ("--bootstrap-server", broker.address)
        self.assertRegex(tool("transactions", *to, "list"), rf"tx\s+1\s+{producer.id}\s+Ongoing")
        self.assertRegex(tool("transactions", *to, "describe", "--transactional-id", "tx"), r"Ongoing\s+.*t-0")
        self.assertRegex(tool("transactions", *to, "describe-producers", "--topic", "t", "--partition", "0"), rf"{producer.id}\s+0")
        tool("transactions", *to, "abort", "--topic", "t", "--partition", "0", "--start-offset", "0")
        self.assertEqual([], committed(self.open(broker), "t"))


if __name__ == "__main__":
    unittest.main()
