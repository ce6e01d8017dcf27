"""Compaction by a real process: of each key the newest value stays, through kill -9, restarts and a retention that both apply."""

import re
import subprocess
import time
import urllib.request

from support.broker import BINARY, BrokerTest, free_ports
from support.kafka import Client

EAGER = {"log.cleaner.backoff.ms": "50", "log.cleaner.min.cleanable.ratio": "0.01", "log.cleaner.io.buffer.size": "8192",
         "log.retention.check.interval.ms": "500"}
SEGMENTS = {"internal.segment.bytes": "20000"}
KEYS = 50


def kcat(broker, *arguments, stdin=""):
    run = subprocess.run(["kcat", "-b", broker.address, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        raise AssertionError(f"kcat {arguments}: {run.stderr}")
    return run.stdout


class Compaction(BrokerTest):
    def create(self, broker, **configs):
        with Client(broker.address) as client:
            client.create_topic("table", configs={"cleanup.policy": "compact", **SEGMENTS,
                                                  **{name.replace("_", "."): value for name, value in configs.items()}})

    def write(self, broker, rounds, *options):
        """Each key once a round, the last one of it; a key that the round is a multiple of is deleted."""
        for number in rounds:
            kcat(broker, "-P", "-t", "table", "-K", "=", "-Z", "-X", "enable.idempotence=true", *options,
                 stdin="".join(f"k{key}={'' if self.deletes(number, key) else f'value {number} of {key} ' + 'x' * 50}\n"
                               for key in range(KEYS)))

    @staticmethod
    def deletes(number, key):
        return key > 0 and number % key == 0

    def read(self, broker):
        """(offset, key, value) of all records; no value: a tombstone."""
        out = kcat(broker, "-C", "-t", "table", "-o", "beginning", "-e", "-q", "-f", "%o %k %S %s\n")
        records = []
        for line in out.splitlines():
            offset, key, size, *value = line.split(" ", 3)
            records.append((int(offset), key, None if size == "-1" else value[0]))
        self.assertEqual(sorted(r[0] for r in records), [r[0] for r in records])
        return records

    def table(self, records):
        table = {}
        for _, key, value in records:
            table.pop(key, None)
            if value is not None:
                table[key] = value
        return table

    def expected(self, number):
        return {f"k{key}": f"value {number} of {key} " + "x" * 50 for key in range(KEYS) if not self.deletes(number, key)}

    def bases(self, broker):
        return sorted(int(path.stem) for path in (broker.data / "table-0").glob("*.log"))

    def wait_until_clean(self, broker, seconds=30):
        """Up to the active segment."""
        deadline = time.monotonic() + seconds
        path = broker.data / "cleaner-offset-checkpoint"
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            if f"table 0 {self.bases(broker)[-1]}" in lines:
                return
            if time.monotonic() > deadline:
                self.fail(f"{lines} is not {self.bases(broker)}:\n{broker.log()[-3000:]}")
            time.sleep(0.02)

    def metrics(self, port):
        """Of the cleaner."""
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=20) as answer:
            return {name: float(value) for name, value in re.findall(r"^\w*log_?cleaner(\w+) (\S+)$", answer.read().decode(), re.MULTILINE)}

    def test_of_each_key_the_newest_value_stays(self):
        [port] = free_ports(1)
        broker = self.broker({**EAGER, "millrace.http.listener": f"localhost:{port}"}).start()
        self.create(broker)
        self.write(broker, range(1, 31))
        self.wait_until_clean(broker)
        records = self.read(broker)
        self.assertEqual(self.expected(30), self.table(records))
        self.assertLess(len(records), 30 * KEYS / 2)
        told = self.metrics(port)
        self.assertGreater(told["_compactions_total"], 0)
        self.assertLess(0, told["_written_bytes_total"])
        self.assertLess(told["_written_bytes_total"], told["_read_bytes_total"])
        self.assertTrue(0 < told["_cleaner_recopy_percent"] < 100, told)
        self.assertTrue(0 < told["_max_clean_time_secs"] < 30, told)
        self.assertLess(told["manager_time_since_last_run_ms"], 30_000)
        self.assertEqual(0, broker.stop())
        broker.start()
        self.assertEqual(records, self.read(broker))
        self.assertEqual([], list((broker.data / "table-0").glob("*.cleaned")) + list((broker.data / "table-0").glob("*.swap")))

    def test_kill_9_while_it_compacts_loses_nothing(self):
        broker = self.broker({**EAGER, "log.cleaner.io.max.bytes.per.second": "300000"}).start()
        self.create(broker)
        last = 0
        for life in range(8):
            self.write(broker, range(last + 1, last + 6), *(["-z", "lz4"] if life % 2 else []))
            last += 5
            time.sleep(0.05 * life)
            broker.kill()
            broker.start()
            self.assertEqual(self.expected(last), self.table(self.read(broker)))
        broker.stop()
        broker.properties["log.cleaner.io.max.bytes.per.second"] = "1e9"
        broker.start()
        self.write(broker, [last + 1])
        self.wait_until_clean(broker)
        records = self.read(broker)
        self.assertEqual(self.expected(last + 1), self.table(records))
        self.assertLess(len(records), last * KEYS / 2)

    def test_tombstones_go_when_their_time_is_over(self):
        broker = self.broker(EAGER).start()
        self.create(broker, delete_retention_ms="0")
        self.write(broker, [0])                          # deletes every key but the first
        for _ in range(6):
            kcat(broker, "-P", "-t", "table", "-K", "=", stdin="".join(f"other{i}={'y' * 200}\n" for i in range(91)))
            self.wait_until_clean(broker)
        keys = {key for _, key, _ in self.read(broker)}
        self.assertTrue(any(key.startswith("other") for key in keys))
        self.assertEqual({"k0"}, {key for key in keys if key.startswith("k")}, "tombstones are still there")

    def test_both_policies_apply(self):
        broker = self.broker(EAGER).start()
        self.create(broker, cleanup_policy="compact,delete", retention_bytes="60000")
        self.write(broker, range(1, 61))
        self.wait_until_clean(broker)
        deadline = time.monotonic() + 20
        with Client(broker.address) as client:
            for number in range(100):
                kcat(broker, "-P", "-t", "table", "-K", "=", stdin="".join(f"new{number}-{i}={'z' * 300}\n" for i in range(40)))
                error, start = client.list_offset("table", -2)
                self.assertEqual(0, error)
                if start > 60 * KEYS:
                    break
                self.assertLess(time.monotonic(), deadline, "retention deletes nothing")
        self.assertLess(sum(path.stat().st_size for path in (broker.data / "table-0").glob("*.log")), 150_000)

    def test_settings_change_while_it_runs(self):
        broker = self.broker({**EAGER, "log.cleaner.threads": "0"}).start()
        self.create(broker)
        self.write(broker, range(1, 11))
        time.sleep(0.5)
        self.assertEqual(10 * KEYS, len(self.read(broker)))
        run = subprocess.run([BINARY, "config", "alter", "broker", "1", "--set", "log.cleaner.threads=1", "-b", broker.address],
                             capture_output=True, text=True, timeout=20)
        self.assertEqual(0, run.returncode, run.stderr)
        self.wait_until_clean(broker)
        self.assertEqual(self.expected(10), self.table(self.read(broker)))

    def test_a_record_without_a_key_is_refused(self):
        broker = self.broker(EAGER).start()
        self.create(broker)
        run = subprocess.run(["kcat", "-b", broker.address, "-P", "-t", "table", "-X", "retries=0"], input="no key\n", capture_output=True,
                             text=True, timeout=30)
        self.assertIn("Broker failed to validate record", run.stdout + run.stderr)
