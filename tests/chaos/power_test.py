"""What a power loss takes away: what was written and not synced, and nothing else. What a full disk refuses."""

import os
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

from chaos.power import Power
from support.broker import Broker
from support.kafka import Client, batch
from support.protocol import ERRORS

WRITER = """
import os, sys
def write(name, *steps):
    fd = os.open(os.path.join(sys.argv[1], name), os.O_RDWR | os.O_CREAT)
    for step in steps:
        if step == 'sync': os.fsync(fd)
        elif step == 'datasync': os.fdatasync(fd)
        elif isinstance(step, int): os.ftruncate(fd, step)
        else: os.write(fd, step)
write('synced', b'12345', 'sync')
write('tail', b'12345', 'datasync', b'678')
write('never', b'12345')
write('cut', b'12345', 'sync', 2)
write('old', b'12345')
"""


class PowerLoss(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millrace-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.data = self.folder / "data"
        self.data.mkdir()
        (self.data / "format").write_bytes(b"identity")
        self.node = types.SimpleNamespace(id=1, data=self.data, environment={})
        self.power = Power(self.node, self.folder)

    def test_what_was_not_synced_is_gone(self):
        subprocess.run([sys.executable, "-c", WRITER, self.data], check=True, env={**os.environ, **self.node.environment})
        self.assertEqual(3 + 5 + 5, self.power.lose())
        self.assertEqual({"synced": b"12345", "tail": b"12345", "never": b"", "cut": b"12", "old": b"", "format": b"identity"},
                         {path.name: path.read_bytes() for path in self.data.iterdir()})
        self.assertEqual(0, self.power.lose())

    def start(self, properties):
        """A real node and its Power."""
        broker = Broker(self.folder, properties, data=self.folder / "node")
        self.node.data = broker.data
        power = Power(self.node, self.folder)
        broker.environment |= self.node.environment
        broker.start()
        self.addCleanup(lambda: broker.process.poll() is None and broker.kill())
        return broker, power

    def after_power_loss(self, properties):
        """What is left of 20 acknowledged records of a real node."""
        broker, power = self.start(properties)
        with Client(broker.address) as client:
            self.assertEqual(0, client.create_topic("t"))
            for i in range(20):
                self.assertEqual((0, i), client.produce("t", batch([b"%d" % i])))
        broker.kill()
        power.lose()
        broker.start()
        with Client(broker.address) as client:
            return client.read_all("t")

    def test_a_node_that_syncs_first_loses_nothing(self):
        self.assertEqual([(i, b"%d" % i) for i in range(20)], self.after_power_loss({}))

    def test_a_node_that_leaves_it_to_the_page_cache_loses_records(self):
        self.assertLess(len(self.after_power_loss({"millrace.durability": "page-cache"})), 20)

    def test_a_full_disk_takes_nothing_until_it_has_room(self):
        broker, power = self.start({})
        with Client(broker.address) as client:
            self.assertEqual(0, client.create_topic("t"))
            self.assertEqual((0, 0), client.produce("t", batch([b"before"])))
            power.fill(True)
            self.assertEqual("KAFKA_STORAGE_ERROR", ERRORS[client.produce("t", batch([b"refused"]))[0]])
            self.assertEqual([(0, b"before")], client.read_all("t"))
            power.fill(False)
            self.assertEqual((0, 1), client.produce("t", batch([b"after"])))


if __name__ == "__main__":
    unittest.main()
