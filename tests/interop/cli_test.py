"""millrace's own commands against Apache Kafka's broker: the same tests as against ours."""

import unittest

from cli.basics import Basics
from interop.apache import ApacheBroker, catch_up
from support.broker import BrokerTest
from support.protocol import Asker

CHANGES = {("topic", "create"), ("topic", "delete"), ("topic", "add-partitions"), ("config", "alter")}


class CommandsAgainstApacheKafka(Basics, BrokerTest):
    """One broker for all tests: it takes seconds to start."""

    @classmethod
    def setUpClass(cls):
        cls.owner = BrokerTest()
        cls.owner.setUp()
        cls.addClassCleanup(cls.owner.doCleanups)
        ours = cls.owner.broker({"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "5"}).start()
        ours.stop()  # leaves a formatted log directory
        apache = ApacheBroker(ours).start(seconds=180)
        cls.addClassCleanup(apache.kill)
        cls.address = ours.address
        cls.asker = Asker(cls.address)

    def millrace(self, *arguments, **options):
        told = super().millrace(*arguments, **options)
        if arguments[:2] in CHANGES:
            catch_up(self.asker)
        return told


if __name__ == "__main__":
    unittest.main()
