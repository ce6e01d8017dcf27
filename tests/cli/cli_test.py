"""millrace's own commands, unchanged, against the real binary."""

import json
import os
import re
import signal
import subprocess
import time
import unittest

from cli.basics import Basics
from support.broker import BINARY, BrokerTest
from support.waiting import eventually

SPEEDY_GROUPS = {"group.initial.rebalance.delay.ms": "0"}
FAMILIES = {
    "topic": ("list", "create", "describe", "delete", "add-partitions", "delete-records"),
    "group": ("list", "describe", "delete", "reset-offsets"),
    "group offsets": ("delete",),
    "config": ("describe", "alter"),
    "cluster": ("describe", "log-dirs"),
    "log": ("dump",),
}


class Commands(Basics, BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(SPEEDY_GROUPS).start()
        self.address = self.node.address


class Members(BrokerTest):
    """Consumers that run on while others come and go."""

    def setUp(self):
        super().setUp()
        self.node = self.broker(SPEEDY_GROUPS).start()
        self.consumers = []

    def run_millrace(self, *arguments, send=""):
        ended = subprocess.run([BINARY, *arguments, "-b", self.node.address], input=send, capture_output=True, text=True,
                               timeout=60)
        self.assertEqual(0, ended.returncode, ended.stderr)
        return ended.stdout

    def consumer(self, *arguments):
        process = subprocess.Popen([BINARY, "consume", "t", "-g", "g", "-b", self.node.address, *arguments],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        return process

    def group(self):
        return json.loads(self.run_millrace("group", "describe", "g", "-o", "json"))[0]

    def wait_for_shares(self, expected, seconds=30):
        """Until the numbers of partitions of the members are these."""
        deadline = time.monotonic() + seconds
        shares = None
        while time.monotonic() < deadline:
            if any(each["group"] == "g" for each in json.loads(self.run_millrace("group", "list", "-o", "json"))):
                group = self.group()
                shares = sorted(len(member["partitions"]) for member in group["members"])
                if group["state"] == "Stable" and shares == expected:
                    return group
            time.sleep(0.05)
        self.fail(f"shares are {shares}, not {expected}")

    def wait_until_committed(self, records):
        """The lag does not tell: that of a partition of which nothing was committed yet is not known."""
        self.assertTrue(eventually(lambda: sum(each["committed"] or 0 for each in self.group()["partitions"]) == records))

    def test_ctrl_c_commits_and_leaves_the_group(self):
        self.run_millrace("topic", "create", "t", "-p", "2")
        consumer = self.consumer("-f", "%v")
        self.wait_for_shares([2])
        self.run_millrace("produce", "t", send="a\nb\nc\n")
        self.assertEqual(["a\n", "b\n", "c\n"], sorted(consumer.stdout.readline() for _ in range(3)))
        consumer.send_signal(signal.SIGINT)
        self.assertEqual(0, consumer.wait(20), consumer.stderr.read())
        group = self.group()
        self.assertEqual(("Empty", 0, 3), (group["state"], group["total_lag"], sum(p["committed"] for p in group["partitions"])))

    def test_members_share_out_the_partitions_and_take_over(self):
        self.run_millrace("topic", "create", "t", "-p", "4")
        for assignor in ("range", "roundrobin", "cooperative-sticky"):
            with self.subTest(assignor=assignor):
                first = self.consumer("--assignor", assignor)
                self.wait_for_shares([4])
                second = self.consumer("--assignor", assignor)
                self.assertEqual(assignor, self.wait_for_shares([2, 2])["assignor"])
                self.refuse_while_there_are_members()
                first.send_signal(signal.SIGTERM)
                self.assertEqual(0, first.wait(20), first.stderr.read())
                self.wait_for_shares([4])
                second.send_signal(signal.SIGTERM)
                self.assertEqual(0, second.wait(20), second.stderr.read())

    def test_the_coordinator_shares_out_the_partitions_of_the_consumer_protocol(self):
        self.run_millrace("topic", "create", "t", "-p", "4")
        for assignor in ("uniform", "range"):
            with self.subTest(assignor=assignor):
                first = self.consumer("--group-protocol", "consumer", "--assignor", assignor)
                self.wait_for_shares([4])
                second = self.consumer("--group-protocol", "consumer", "--assignor", assignor)
                self.assertEqual(assignor, self.wait_for_shares([2, 2])["assignor"])
                first.send_signal(signal.SIGTERM)
                self.assertEqual(0, first.wait(20), first.stderr.read())
                self.wait_for_shares([4])
                second.send_signal(signal.SIGTERM)
                self.assertEqual(0, second.wait(20), second.stderr.read())

    def test_what_was_read_is_read_once_while_members_of_the_consumer_protocol_come_and_go(self):
        self.run_millrace("topic", "create", "t", "-p", "4")
        self.run_millrace("produce", "t", "-q", send="".join(f"a{i}\n" for i in range(200)))
        first = self.consumer("--group-protocol", "consumer")
        self.wait_for_shares([4])
        second = self.consumer("--group-protocol", "consumer", "--instance-id", "i")
        self.wait_for_shares([2, 2])
        self.run_millrace("produce", "t", "-q", send="".join(f"b{i}\n" for i in range(200)))
        first.send_signal(signal.SIGINT)
        self.assertEqual(0, first.wait(20))
        self.wait_for_shares([4])
        self.run_millrace("produce", "t", "-q", send="".join(f"c{i}\n" for i in range(200)))
        self.wait_until_committed(600)
        second.send_signal(signal.SIGINT)
        self.assertEqual(0, second.wait(20))
        read = first.stdout.read().split() + second.stdout.read().split()
        self.assertEqual(sorted(f"{name}{i}" for name in "abc" for i in range(200)), sorted(read))

    def test_members_of_both_protocols_share_one_group(self):
        self.run_millrace("topic", "create", "t", "-p", "4")
        classic = self.consumer("--assignor", "cooperative-sticky")
        self.wait_for_shares([4])
        modern = self.consumer("--group-protocol", "consumer")
        self.wait_for_shares([2, 2])
        classic.send_signal(signal.SIGINT)
        self.assertEqual(0, classic.wait(20), classic.stderr.read())
        self.wait_for_shares([4])
        modern.send_signal(signal.SIGINT)
        self.assertEqual(0, modern.wait(20), modern.stderr.read())

    def test_a_member_that_was_thrown_out_joins_again(self):
        self.node.kill()
        self.node = self.broker({f"group.consumer.{name}.ms": value for name, value in (
            ("min.session.timeout", 1500), ("session.timeout", 1500), ("min.heartbeat.interval", 300), ("heartbeat.interval", 300))}).start()
        self.run_millrace("topic", "create", "t", "-p", "4")
        first, second = (self.consumer("--group-protocol", "consumer") for _ in range(2))
        self.wait_for_shares([2, 2])
        first.send_signal(signal.SIGSTOP)
        self.run_millrace("produce", "t", "-q", send="".join(f"a{i}\n" for i in range(200)))
        self.wait_for_shares([4])
        first.send_signal(signal.SIGCONT)
        self.wait_for_shares([2, 2])
        self.run_millrace("produce", "t", "-q", send="".join(f"b{i}\n" for i in range(200)))
        self.wait_until_committed(400)
        for member in (first, second):
            member.send_signal(signal.SIGTERM)
            self.assertEqual((0, ""), (member.wait(20), member.stderr.read()))
        read = first.stdout.read().split() + second.stdout.read().split()
        self.assertEqual({f"{name}{i}" for name in "ab" for i in range(200)}, set(read))
        self.assertEqual(0, self.group()["total_lag"])

    def test_a_broker_without_the_consumer_protocol_is_named(self):
        self.node.kill()
        self.node = self.broker({"group.coordinator.rebalance.protocols": "classic"}).start()
        self.run_millrace("topic", "create", "t", "-p", "1")
        consumer = self.consumer("--group-protocol", "consumer")
        self.assertEqual(1, consumer.wait(20))
        self.assertIn("the cluster does not serve groups of the consumer protocol", consumer.stderr.read())

    def refuse_while_there_are_members(self):
        self.run_millrace("produce", "t", "-q", send="x\n")
        for arguments in (("delete", "g"), ("reset-offsets", "g", "--topic", "t", "--to", "start", "--execute")):
            ended = subprocess.run([BINARY, "group", *arguments, "-b", self.node.address], capture_output=True, text=True,
                                   timeout=60)
            self.assertEqual(1, ended.returncode)
            self.assertIn("it has members", ended.stderr)

    def test_a_member_shares_with_kcat(self):
        self.run_millrace("topic", "create", "t", "-p", "4")
        consumer = self.consumer("--assignor", "range")
        self.wait_for_shares([4])
        other = subprocess.Popen(["kcat", "-b", self.node.address, "-G", "g", "-q", "t"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        self.wait_for_shares([2, 2])
        consumer.send_signal(signal.SIGINT)
        self.assertEqual(0, consumer.wait(20), consumer.stderr.read())

    def test_a_reader_that_goes_away_ends_the_consumer(self):
        self.run_millrace("topic", "create", "t", "-p", "1")
        consumer = self.consumer()
        self.wait_for_shares([1])
        consumer.stdout.close()
        for _ in range(20):
            self.run_millrace("produce", "t", "-q", send="x\n")
            if consumer.poll() is not None:
                break
            time.sleep(0.2)
        self.assertEqual(0, consumer.wait(10))


class WithoutABroker(unittest.TestCase):
    def run_millrace(self, *arguments, expect=0):
        ended = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60)
        self.assertEqual(expect, ended.returncode, ended.stderr)
        return ended

    def test_every_help_is_there_and_has_an_example(self):
        for family, commands in FAMILIES.items():
            self.run_millrace(*family.split(), "--help")
            for command in commands:
                help_text = self.run_millrace(*family.split(), command, "--help").stdout
                self.assertIn(f"millrace {family} {command}", help_text)
        for command in ("start", "format", "produce", "consume"):
            self.assertIn(f"millrace {command}", self.run_millrace(command, "--help").stdout)

    def test_words_that_are_not_understood_are_told_with_status_2(self):
        for arguments in ((), ("nonsense",), ("topic",), ("topic", "nonsense"), ("topic", "create"),
                          ("topic", "list", "--nonsense"), ("topic", "list", "-o", "xml"), ("start", "a", "b"),
                          ("consume", "t", "-g", "g", "-p", "0"), ("consume", "t", "-n", "0")):
            with self.subTest(arguments=arguments):
                self.assertIn("Help: millrace", self.run_millrace(*arguments, expect=2).stderr)

    def test_nobody_there(self):
        said = self.run_millrace("topic", "list", "-b", "127.0.0.1:1", expect=1).stderr
        self.assertIn("no broker can be reached: connect to 127.0.0.1:1: Connection refused", said)
        self.assertIn("--bootstrap", said)
        self.assertIn("no broker can be reached", self.run_millrace("produce", "t", "-b", "127.0.0.1:1", expect=1).stderr)
        self.assertIn("is no address", self.run_millrace("topic", "list", "-b", "a:b", expect=1).stderr)

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w") as full:
            ended = subprocess.run([BINARY, "version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(1, ended.returncode)
        self.assertIn("cannot write the output: No space left on device", ended.stderr)

    def test_version(self):
        self.assertRegex(self.run_millrace("version").stdout, r"^millrace \d+\.\d+\.\d+ \(Apache Kafka \d")


class LogDump(BrokerTest):
    def test_shows_what_every_file_of_a_log_directory_holds(self):
        node = self.broker(SPEEDY_GROUPS).start()

        def millrace(*arguments, send=""):
            ended = subprocess.run([BINARY, *map(str, arguments)], input=send, capture_output=True, text=True, timeout=60,
                                   env={**os.environ, "MILLRACE_BOOTSTRAP": node.address})
            self.assertEqual(0, ended.returncode, ended.stderr)
            return ended.stdout

        millrace("topic", "create", "t", "-p", 1)
        millrace("produce", "t", "-z", "zstd", "--key", "k", "-H", "a=b", "-q", send="one\ntwo\n")
        millrace("consume", "t", "-g", "readers", "-e")
        self.assertEqual(0, node.stop())
        segment = node.data / "t-0" / f"{0:020}.log"
        [batch] = [json.loads(line) for line in millrace("log", "dump", segment, "--records", "-o", "json").splitlines()]
        self.assertEqual((0, 1, "zstd", True), (batch["base_offset"], batch["last_offset"], batch["codec"], batch["valid"]))
        self.assertEqual([("k", "one"), ("k", "two")], [(r["key"], r["value"]) for r in batch["records"]])
        self.assertIn("codec: zstd", millrace("log", "dump", segment))

        types = set(re.findall(r"type: (\w+)", millrace("log", "dump", "-r", node.data / "__cluster_metadata-0" / f"{0:020}.log")))
        self.assertLessEqual({"LEADER_CHANGE", "FeatureLevelRecord", "RegisterBrokerRecord", "TopicRecord"}, types)
        offsets = "".join(millrace("log", "dump", "-r", each) for each in node.data.glob("__consumer_offsets-*/*.log"))
        self.assertIn('key: {"group":"readers","topic":"t","partition":0}', offsets)
        self.assertIn('"assignment":{"assignedPartitions":[{"topic":"t","partitions":[0]}]', offsets)

        files = [*node.data.glob("*checkpoint"), node.data / "meta.properties", *node.data.glob("t-0/*")]
        shown = json.loads(millrace("log", "dump", node.data / "replication-offset-checkpoint", "-o", "json"))
        self.assertIn({"topic": "t", "partition": 0, "offset": 2}, shown)
        self.assertGreater(len(files), 5)
        for file in files:
            with self.subTest(file=file.name):
                millrace("log", "dump", file)

    def test_damage_is_told_with_status_1(self):
        node = self.broker().start()
        subprocess.run([BINARY, "produce", "t", "-q", "-b", node.address], input="one\n", text=True, check=True, timeout=60)
        self.assertEqual(0, node.stop())
        segment = node.data / "t-0" / f"{0:020}.log"
        content = bytearray(segment.read_bytes())
        for damage, says in ((lambda b: b[:-1] + bytes([b[-1] ^ 1]), "wrong checksum"), (lambda b: b[:-5], "ends before"),
                             (lambda b: b"\x01" * 100, "position 0")):
            segment.write_bytes(damage(bytes(content)))
            ended = subprocess.run([BINARY, "log", "dump", segment], capture_output=True, text=True, timeout=60)
            self.assertEqual(1, ended.returncode)
            self.assertIn(says, ended.stderr)


if __name__ == "__main__":
    unittest.main()
