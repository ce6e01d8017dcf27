"""The same log compacted by Apache Kafka and by Millrace: the same files, byte for byte; and each goes on with what the other left."""

import shutil
import subprocess
import time

from interop.apache import ApacheBroker, tool
from support.broker import Broker, BrokerTest
from support.kafka import Client

CLEANER = {"log.cleaner.backoff.ms": "100", "log.cleaner.min.cleanable.ratio": "0.01"}
TOPIC = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "index.interval.bytes": "4096"}
FILES = ("*.log", "*.index", "*.timeindex", "*.txnindex")


class SameCompaction(BrokerTest):
    def write(self, broker, rounds, *options):
        for number in rounds:
            run = subprocess.run(["kcat", "-b", broker.address, "-P", "-t", "table", "-K", "=", "-X", "batch.size=4000", *options],
                                 input="".join(f"k{(key * number) % 997}=value {number} of {key} {'x' * (key % 300)}\n" for key in range(2000)),
                                 capture_output=True, text=True, timeout=60)
            self.assertEqual(0, run.returncode, run.stderr)

    @staticmethod
    def last_base(folder):
        return max(int(path.stem) for path in (folder / "table-0").glob("*.log"))

    def wait_until_clean(self, folder, log, seconds=90):
        deadline = time.monotonic() + seconds
        path = folder / "cleaner-offset-checkpoint"
        while not path.exists() or f"table 0 {self.last_base(folder)}" not in path.read_text().splitlines():
            self.assertLess(time.monotonic(), deadline, log()[-3000:])
            time.sleep(0.1)

    def cleaned_files(self, folder):
        """Of all segments but the active one."""
        active = self.last_base(folder)
        return {path.name: path.read_bytes() for pattern in FILES for path in (folder / "table-0").glob(pattern)
                if int(path.name.split(".")[0]) != active}

    def test_the_same_log_becomes_the_same_files(self):
        first = self.broker({**CLEANER, "log.cleaner.enable": "false"}).start()
        with Client(first.address) as client:
            client.create_topic("table", configs=TOPIC)
        self.write(first, range(1, 6))
        self.write(first, range(6, 9), "-X", "enable.idempotence=true")
        self.write(first, range(9, 12))
        self.assertEqual(0, first.stop())
        self.assertGreater(len(list((first.data / "table-0").glob("*.log"))), 2)

        copy = self.folder / "copy"
        copy.mkdir()
        shutil.copytree(first.data, copy / "data")
        theirs = Broker(copy, {**first.properties, **CLEANER, "log.cleaner.enable": "true", "log.dirs": str(copy / "data")}, port=first.port)
        theirs.controller_port = first.controller_port
        (copy / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in theirs.properties.items()))
        apache = ApacheBroker(theirs).start()
        self.addCleanup(apache.kill)
        self.wait_until_clean(theirs.data, lambda: apache.log_path.read_text(errors="replace"))
        apache.stop()

        first.properties["log.cleaner.enable"] = "true"
        first.start()
        self.wait_until_clean(first.data, first.log)
        self.assertEqual(0, first.stop())
        ours, kafkas = self.cleaned_files(first.data), self.cleaned_files(theirs.data)
        self.assertEqual(sorted(kafkas), sorted(ours))
        for name in sorted(kafkas):
            self.assertEqual(kafkas[name], ours[name], name)
        printed = tool("dump-log", "--deep-iteration", "--files", ",".join(str(path) for path in sorted((first.data / "table-0").glob("*.log"))))
        self.assertNotIn("isvalid: false", printed)
        checkpoint = tool("dump-log", "--index-sanity-check", "--files",
                          ",".join(str(path) for path in sorted((first.data / "table-0").glob("*.index"))))
        self.assertIn("passed sanity check", checkpoint)

        # Apache Kafka goes on with what we compacted.
        again = ApacheBroker(first).start()
        self.addCleanup(again.kill)
        self.write(first, range(12, 14))
        again.stop()
        self.assertNotIn("Resetting first dirty offset", again.log_path.read_text(errors="replace"))
