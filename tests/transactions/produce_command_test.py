"""`millrace produce --transactional-id`: what is committed is seen and nothing else, by either protocol (transaction.version 1 and 2)."""

import subprocess
import time

from support.broker import BINARY, BrokerTest
from support.protocol import Asker
from support.transactional import PROPERTIES, Producer, committed, fetch

SECONDS = 60


class ProduceCommand(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES)

    def start(self):
        self.node.start()
        self.open()
        self.asker.create_topic("t", 1)

    def open(self):
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)

    def words(self, *words):
        return [BINARY, "produce", "t", "-b", self.node.address, "--transactional-id", "tx", *map(str, words)]

    def produce(self, lines, *words):
        return subprocess.run(self.words(*words), input=lines, capture_output=True, text=True, timeout=SECONDS)

    def begin(self, *words):
        """A producer whose input stays open."""
        process = subprocess.Popen(self.words(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def write(self, process, *values):
        try:
            process.stdin.writelines(f"{value}\n" for value in values)
            process.stdin.flush()
        except BrokenPipeError:
            self.fail(f"it has ended: {process.communicate()[1]}")

    def wait_for_end(self, offset):
        """Until so much is in the log."""
        deadline = time.monotonic() + SECONDS
        while fetch(self.asker, "t", committed=False)["HighWatermark"] < offset:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_records_go_in_transactions_of_so_many(self):
        self.start()
        values = [str(i) for i in range(10)]
        done = self.produce("\n".join(values), "--transaction-every", 4)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(values, committed(self.asker, "t"))
        # Each transaction ends with a marker.
        self.assertEqual([0, 1, 2, 3, 5, 6, 7, 8, 10, 11], [int(line.split()[2]) for line in done.stdout.splitlines()])
        self.assertEqual(13, fetch(self.asker, "t")["HighWatermark"])

    def test_without_a_number_it_is_one_transaction(self):
        self.start()
        process = self.begin()
        self.write(process, "a", "b")
        self.wait_for_end(2)
        self.assertEqual(0, fetch(self.asker, "t")["LastStableOffset"])
        out, errors = process.communicate("c\n", timeout=SECONDS)
        self.assertEqual((0, ""), (process.returncode, errors))
        self.assertEqual(3, len(out.splitlines()))
        self.assertEqual(["a", "b", "c"], committed(self.asker, "t"))

    def test_a_cluster_of_the_first_protocol(self):
        subprocess.run([BINARY, "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", self.properties_file(), "--feature", "transaction.version=1"],
                       check=True, capture_output=True)
        self.start()
        for round in range(3):
            done = self.produce("".join(f"{round}-{i}\n" for i in range(20)), "--transaction-every", 7)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual([f"{round}-{i}" for round in range(3) for i in range(20)], committed(self.asker, "t"))

    def properties_file(self):
        file = self.node.folder / "format.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in self.node.properties.items()))
        return file

    def test_a_record_that_is_refused_aborts_its_transaction_only(self):
        self.start()
        self.asker.create_topic("small", 1, configs={"max.message.bytes": "1000"})
        lines = ["a", "b", "c", "x" * 2000, "d"]
        done = subprocess.run([BINARY, "produce", "small", "-b", self.node.address, "--transactional-id", "tx", "--transaction-every", "2"],
                              input="\n".join(lines), capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(1, done.returncode)
        self.assertIn("the transaction was aborted: cannot produce record 4 to topic 'small': ", done.stderr)
        self.assertIn("2 records of transactions before it are committed", done.stderr)
        self.assertEqual(2, len(done.stdout.splitlines()))
        self.assertEqual(["a", "b"], committed(self.asker, "small"))

    def test_a_line_that_makes_no_record_aborts_its_transaction(self):
        self.start()
        done = self.produce("k:a\nnothing\n", "--format", "%k:%v")
        self.assertEqual(1, done.returncode)
        self.assertIn("the transaction was aborted: line 2 does not fit", done.stderr)
        self.assertEqual([], committed(self.asker, "t"))

    def test_a_second_producer_with_the_same_id_fences_the_first(self):
        self.start()
        process = self.begin()
        self.write(process, "lost")
        self.wait_for_end(1)
        second = self.produce("kept")
        self.assertEqual((0, ""), (second.returncode, second.stderr))
        out, errors = process.communicate("late\n", timeout=SECONDS)
        self.assertEqual((1, ""), (process.returncode, out))
        self.assertIn("another producer has taken the transactional id 'tx'", errors)
        self.assertEqual(["kept"], committed(self.asker, "t"))

    def test_a_transaction_that_lasts_too_long_is_told(self):
        self.start()
        for ends_with in ("", "later\n"):
            with self.subTest(ends_with):
                process = self.begin("--transaction-timeout", 1)
                self.write(process, "late")
                self.wait_for_end(fetch(self.asker, "t", committed=False)["HighWatermark"] + 2)    # with the marker of an abort
                out, errors = process.communicate(ends_with, timeout=SECONDS)
                self.assertEqual((1, ""), (process.returncode, out))
                self.assertIn("the transaction was aborted: ", errors)
                self.assertIn("lasted", errors)
        self.assertEqual([], committed(self.asker, "t"))

    def test_a_broker_that_is_killed_in_a_transaction_and_comes_back(self):
        self.start()
        process = self.begin("--transaction-every", 3)
        self.write(process, *"abcd")
        self.wait_for_end(5)    # with a marker
        self.node.kill()
        self.write(process, "e")
        self.node.start()
        out, errors = process.communicate("f\ng\n", timeout=SECONDS)
        self.assertEqual((0, ""), (process.returncode, errors))
        self.open()
        self.assertEqual(list("abcdefg"), committed(self.asker, "t"))
        self.assertEqual(7, len(out.splitlines()))

    def test_kills_lose_and_double_nothing(self):
        self.start()
        process = self.begin("--transaction-every", 5, "-q")
        values = [f"{i}" for i in range(200)]
        for at in range(0, 200, 50):
            self.write(process, *values[at:at + 50])
            self.wait_for_end(at + at // 5 + 7)    # it is in the middle of them; each has a marker
            self.node.kill()
            self.node.start()
            self.open()
        out, errors = process.communicate(timeout=SECONDS)
        self.assertEqual((0, ""), (process.returncode, errors))
        self.assertEqual(values, committed(self.asker, "t"))

    def test_after_a_producer_is_killed_the_next_one_goes_on(self):
        self.start()
        process = self.begin()
        self.write(process, "lost")
        self.wait_for_end(1)
        process.kill()
        self.assertEqual(0, self.produce("kept").returncode)
        self.assertEqual(["kept"], committed(self.asker, "t"))
        other = Producer(self.node.address, "tx")
        self.addCleanup(other.asker.socket.close)
        self.assertEqual("NONE", other.init())

    def test_words_that_make_no_sense(self):
        self.node.start()
        for words in (("--acks", "1"), ("--transaction-every", "0"), ("--transaction-timeout", "0"), ("--transaction-timeout", "9999999")):
            with self.subTest(words):
                self.assertEqual(2, self.produce("a", *words).returncode)
        done = subprocess.run([BINARY, "produce", "t", "-b", self.node.address, "--transaction-every", "2"], input="a", capture_output=True, text=True)
        self.assertEqual(2, done.returncode)
        self.assertIn("need --transactional-id", done.stderr)
        done = self.produce("a", "--transaction-timeout", "2000000")
        self.assertEqual(1, done.returncode)
        self.assertIn("transaction.max.timeout.ms", done.stderr)
