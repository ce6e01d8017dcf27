"""kafka-verifiable-producer and kafka-verifiable-consumer, beside Apache Kafka's, whose JVM is each one's own: they end it themselves."""

import json
import os
import signal
import subprocess

from interop.apache import command_line
from scripts.comparing import SECONDS, ScriptsTest, plain, plain_errors

B = ("--bootstrap-server", "{broker}")
SIDES = ("apache", "ours")


def events(text):
    """One a line, without its time and what is measured. Their members have whatever order the JVM's reflection gives."""
    def event(line):
        return {name: value for name, value in json.loads(line).items() if name not in ("timestamp", "avg_throughput")}
    return [event(line) if line.startswith("{") else line for line in plain(text).splitlines()]


class Verifiable(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("ownjava", "ownmill", "read"):
            cls.ours("topics", *B, "--create", "--topic", name, "--partitions", 1)
        cls.millrace("produce", "read", "-f", "%k:%v", "-Z", "-q", send='a:1\n:2\nc:\nd:"4"\n')
        (cls.folder / "acks.properties").write_text("acks=1\n")

    @classmethod
    def program(cls, side, script):
        return [cls.link(script)] if side == "ours" else command_line(script)

    @classmethod
    def run_side(cls, side, script, words, send=""):
        return subprocess.run([*cls.program(side, script), *cls.words(side, words)], input=send, capture_output=True, text=True, timeout=SECONDS,
                              env={**os.environ, "TZ": "UTC"})

    def same_events(self, script, *words, status=0):
        theirs, ours = (self.run_side(side, script, words) for side in SIDES)
        said = f"\n{script} {' '.join(map(str, words))}\n--- Apache Kafka\n{theirs.stdout}{theirs.stderr}\n--- ours\n{ours.stdout}{ours.stderr}"
        self.assertEqual(events(theirs.stdout), events(ours.stdout), said)
        self.assertEqual(plain_errors(theirs.stderr), plain_errors(ours.stderr), said)
        self.assertEqual((status, status), (theirs.returncode, ours.returncode), said)
        return [json.loads(line) for line in ours.stdout.splitlines() if line.startswith("{")]

    def stopped(self, side, script, words, until):
        """Ended by SIGTERM once it has said `until`: what it printed, and its exit status."""
        with subprocess.Popen([*self.program(side, script), *self.words(side, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            said = []
            for line in process.stdout:
                said.append(line)
                if until in line:
                    process.send_signal(signal.SIGTERM)
                    break
            said.extend(process.stdout)
        return events("".join(said)), process.returncode

    def test_numbers_are_produced(self):
        told = self.same_events("verifiable-producer", *B, "--topic", "{own}", "--max-messages", 5)
        self.assertEqual(["startup_complete", *["producer_send_success"] * 5, "shutdown_complete", "tool_data"], [each["name"] for each in told])
        self.same_events("verifiable-producer", *B, "--topic", "{own}", "--max-messages", 5, "--value-prefix", 7, "--repeating-keys", 2, "--acks", 1,
                         "--message-create-time", 1000, "--throughput", 1000)
        self.same_events("verifiable-producer", *B, "--topic", "{own}", "--max-messages", 1, "--producer.config", "{folder}/acks.properties")

    def test_what_is_lost_is_told(self):
        (self.folder / "lost.properties").write_text("max.block.ms=500\nrequest.timeout.ms=500\n")
        self.same_events("verifiable-producer", "--bootstrap-server", "127.0.0.1:1", "--topic", "{own}", "--max-messages", 1, "--command-config",
                         "{folder}/lost.properties")

    def test_producer_that_is_stopped(self):
        words = (*B, "--topic", "{own}", "--throughput", 100)
        for side in SIDES:
            with self.subTest(side):
                told, status = self.stopped(side, "verifiable-producer", words, '"value":"9"')
                self.assertEqual(143, status)
                self.assertEqual(["shutdown_complete", "tool_data"], [each["name"] for each in told[-2:]])
                self.assertEqual((told[-1]["sent"], 100), (told[-1]["acked"], told[-1]["target_throughput"]))

    def test_records_are_consumed(self):
        words = (*B, "--topic", "read", "--group-id", "{own}")
        told = self.same_events("verifiable-consumer", *words, "--max-messages", 3, "--verbose")
        self.assertEqual(3, sum(each["name"] == "record_data" for each in told))
        self.same_events("verifiable-consumer", *words, "--max-messages", 1, "--session-timeout", 10000, "--group-instance-id", "{own}", "--enable-autocommit",
                         "--assignment-strategy", "org.apache.kafka.clients.consumer.RoundRobinAssignor")

    def test_consumer_that_is_stopped(self):
        results = [self.stopped(side, "verifiable-consumer", (*B, "--topic", "read", "--group-id", "{own}-stopped"), "offsets_committed") for side in SIDES]
        self.assertEqual(*results)
        self.assertEqual(143, results[0][1])

    def test_words(self):
        consume = (*B, "--topic", "read", "--group-id", "g")
        for script, words in (("verifiable-producer", B), ("verifiable-producer", ("--topic", "t")), ("verifiable-producer", (*B, "--topic", "t", "--acks", 2)),
                              ("verifiable-producer", (*B, "--topic", "t", "--max-messages", "x")), ("verifiable-producer", (*B, "--topic", "t", "--no-such")),
                              ("verifiable-producer", (*B, "--topic", "t", "--command-config", "/no/such")),
                              ("verifiable-producer", (*B, "--topic", "t", "--command-config", "x", "--producer.config", "y")),
                              ("verifiable-consumer", ("--topic", "t")), ("verifiable-consumer", (*B, "--topic", "t")),
                              ("verifiable-consumer", (*consume, "--no-such")), ("verifiable-consumer", (*consume, "--group-protocol", "odd")),
                              ("verifiable-consumer", (*consume, "--command-config", "/no/such"))):
            with self.subTest(f"{script} {words}"):
                self.compare(script, *words, status=1)
