"""./dev run --nodes: a cluster on this machine, as a person starts and stops it."""

import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from support.broker import BINARY, ROOT, BrokerTest, free_ports
from support.cluster_client import ClusterClient


class RunNodes(BrokerTest):
    def run_nodes(self, *arguments):
        self.output = self.folder / "output"
        with open(self.output, "w") as out:
            process = subprocess.Popen([sys.executable, "-B", ROOT / "tools" / "run_nodes", *map(str, arguments)], stdout=out, stderr=out,
                                       stdin=subprocess.DEVNULL, cwd=self.folder, env={**os.environ, "MILLRACE": str(BINARY)})
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        return process.wait(40)

    def wait_for(self, text, seconds=40):
        deadline = time.monotonic() + seconds
        while text not in self.output.read_text():
            self.assertLess(time.monotonic(), deadline, self.output.read_text())
            time.sleep(0.05)

    def test_three_nodes_start_stop_and_go_on(self):
        port = max(free_ports(8)) - 6
        for life in range(2):
            process = self.run_nodes("--nodes", 3, "--data", "cluster", "--port", port)
            self.wait_for("Ctrl-C stops all of them.")
            with ClusterClient(f"127.0.0.1:{port}") as client:
                self.assertEqual({port, port + 2, port + 4}, {each["Port"] for each in client.describe()["Brokers"]})
            self.assertEqual(0, self.end(process))
            for log in Path(self.folder).glob("cluster/node-*/log"):
                self.assertIn("stopped", log.read_text()[-300:], f"life {life}")
        self.assertNotEqual(0, self.run_nodes("--nodes", 2, "--data", "cluster", "--port", port).wait(20))
        self.assertIn(f"Run it with --nodes 3 --port {port}", self.output.read_text())


if __name__ == "__main__":
    unittest.main()
