"""millrace doctor: what it finds in one broker, and that it finds nothing where nothing is wrong."""

import unittest

from cli.basics import Runs
from support.broker import BrokerTest


class Doctor(Runs, BrokerTest):
    def setUp(self):
        super().setUp()
        self.address = self.broker().start().address

    def found(self):
        return {each["check"]: each for each in self.json("doctor", expect=1)}

    def test_a_fresh_broker_is_well(self):
        self.make_topic("t")
        self.assertEqual("nothing is wrong with the configuration\n", self.millrace("doctor"))
        self.assertEqual([], self.json("doctor"))

    def test_what_is_wrong_is_named_with_how_to_mend_it(self):
        self.make_topic("kept", 1, "-c", "retention.ms=-1")
        self.make_topic("huge", 1, "-c", "max.message.bytes=200000000")
        found = self.found()
        self.assertEqual({"endless", "request-size"}, set(found))
        self.assertIn("1 topics keep everything: kept", found["endless"]["problem"])
        self.assertIn("104857600", found["request-size"]["problem"])
        for name, change in (("kept", "retention.bytes=1000000"), ("huge", "max.message.bytes=1000000")):
            self.millrace("config", "alter", "topic", name, "--set", change)
        self.millrace("doctor")

    def test_an_address_that_nobody_can_reach_is_named(self):
        node = self.broker()
        node.properties["advertised.listeners"] = f"PLAINTEXT://127.0.0.1:9,CONTROLLER://127.0.0.1:{node.controller_port}"
        self.address = node.start().address
        found = self.json("doctor", "--timeout", 5, expect=1)
        self.assertEqual(["unreachable"], [each["check"] for each in found])
        self.assertIn("broker 1 says that it is at 127.0.0.1:9, but ", found[0]["problem"])


if __name__ == "__main__":
    unittest.main()
