"""Apache Kafka's own word count for Kafka Streams, unchanged, as a group of the streams protocol (KIP-1071): two processes, one of which is killed, and what
kafka-streams-groups.sh says of them and does with the group; and three brokers, of which the group's coordinator is killed, with transactions."""

import random
import subprocess
import time
import unittest
from collections import Counter, defaultdict

from chaos.killable import Killable
from interop import apache
from support.broker import BrokerTest
from support.cluster import ClusterTest
from support.kafka import batch, keyed_records_of
from support.protocol import Asker

INPUT, OUTPUT = "streams-plaintext-input", "streams-wordcount-output"    # as the demo has them
GROUP = "streams-wordcount"
SETTINGS = {"group.protocol": "streams", "commit.interval.ms": 100}
PROPERTIES = {"group.streams.initial.rebalance.delay.ms": "500", "group.streams.session.timeout.ms": "6000", "group.streams.min.session.timeout.ms": "1000",
              "group.streams.heartbeat.interval.ms": "500", "group.streams.min.heartbeat.interval.ms": "100", "offsets.topic.num.partitions": "4",
              "group.streams.num.standby.replicas": "1"}


class WordCount:
    """Of a test with brokers at `self.address`, and a `self.folder`."""

    def counter(self, number, **settings):
        properties = self.folder / f"word-count-{number}.properties"
        settings = {**SETTINGS, "bootstrap.servers": self.address, "state.dir": self.folder / f"word-count-{number}",
                    **{name.replace("_", "."): value for name, value in settings.items()}}
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        counter = Killable([*apache.command_line("org.apache.kafka.streams.examples.wordcount.WordCountDemo"), properties],
                           self.folder / f"word-count-{number}.log").start()
        self.addCleanup(counter.kill)
        return counter

    def told(self):
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in sorted(self.folder.glob("word-count-*.log")))

    def all_counts(self):
        """What was counted of each word, in the order in which it was: what is committed only."""
        read = apache.tool("console-consumer", "--bootstrap-server", self.address, "--topic", OUTPUT, "--from-beginning", "--timeout-ms", 6000,
                           "--isolation-level", "read_committed", "--formatter-property", "print.key=true", "--formatter-property",
                           "value.deserializer=org.apache.kafka.common.serialization.LongDeserializer")
        found = defaultdict(list)
        for word, count in (line.split("\t") for line in read.splitlines()):
            found[word].append(int(count))
        return found

    def eventually(self, check, seconds):
        deadline = time.monotonic() + seconds
        while not check():
            self.assertLess(time.monotonic(), deadline, self.told())
            time.sleep(0.2)

    def is_stable(self, members):
        group = self.described()
        return group["GroupState"] == "Stable" and len(group["Members"]) == members


class OneBroker(WordCount, BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES).start()
        self.address = self.node.address
        self.asker = Asker(self.address)
        self.addCleanup(self.asker.socket.close)
        self.eventually(lambda: self.asker.find_coordinator(GROUP) == 0, 10)
        for topic in (INPUT, OUTPUT):
            self.asker.create_topic(topic, 2)

    def write(self, *lines):
        """To partitions in turn."""
        for index, line in enumerate(lines):
            error, _ = self.asker.produce(INPUT, batch([line.encode()]), index % 2)
            self.assertEqual(0, error)

    def counts(self):
        """The last of each word. What was not acknowledged may be counted again, so that some come twice."""
        found = Counter()
        for partition in range(2):
            error, _, data = self.asker.fetch(OUTPUT, 0, partition)
            self.assertEqual(0, error)
            for _, word, count in keyed_records_of(data):
                found[word.decode()] = max(found[word.decode()], int.from_bytes(count))
        return found

    def described(self):
        return self.asker.ask("StreamsGroupDescribe", 0, GroupIds=[GROUP])["Groups"][0]

    def groups(self, *arguments):
        return apache.tool("streams-groups", "--bootstrap-server", self.address, *arguments)

    def of_group(self, *arguments):
        return self.groups(*arguments, "--group", GROUP)

    def committed(self):
        answers = [self.asker.committed_offset(GROUP, INPUT, partition) for partition in range(2)]
        self.assertEqual([0, 0], [error for error, _ in answers])
        return [offset for _, offset in answers]

    def topics(self):
        return {each["Name"] for each in self.asker.ask("Metadata", 12, Topics=None)["Topics"]}

    def test_two_processes_share_the_work_and_one_takes_it_all(self):
        counters = [self.counter(number, replication_factor=1) for number in range(2)]
        self.eventually(lambda: self.is_stable(members=2), 120)
        self.write("all streams lead to kafka", "hello kafka streams")
        expected = Counter("all streams lead to kafka hello kafka streams".split())
        self.eventually(lambda: self.counts() == expected, 90)
        self.assertRegex(self.groups("--list"), GROUP)
        self.assertRegex(self.of_group("--describe", "--state"), "Stable")
        self.assertEqual(2, sum(line.startswith(GROUP) for line in self.of_group("--describe", "--members", "--verbose").splitlines()))
        counters[0].kill()
        self.write("hello again")
        expected.update(["hello", "again"])
        self.eventually(lambda: self.counts() == expected, 90)
        self.eventually(lambda: self.is_stable(members=1), 30)
        self.is_told_and_ended(counters[1])

    def is_told_and_ended(self, counter):
        """What administrators may do with the group: offsets while it runs, all the rest when it is empty."""
        self.eventually(lambda: self.committed() == [2, 1], 30)
        self.assertEqual(2, self.is_described_with_offsets())
        self.assertRegex(self.of_group("--describe", "--verbose"), rf"(?m)^{GROUP}\s+{INPUT}\s+0\s")
        counter.kill()
        self.eventually(lambda: self.described()["GroupState"] == "Empty", 30)
        reset = ("--reset-offsets", "--input-topic", INPUT, "--to-earliest")
        self.assertRegex(self.of_group(*reset, "--dry-run"), rf"(?m)^{GROUP}\s+{INPUT}\s+1\s+0\s*$")
        self.assertEqual([2, 1], self.committed())
        internal = {name for name in self.topics() if name.endswith(("-changelog", "-repartition"))}
        self.assertEqual(2, len(internal), internal)
        self.of_group(*reset, "--execute", "--delete-all-internal-topics")
        self.assertEqual([0, 0], self.committed())
        self.eventually(lambda: not internal & self.topics(), 20)
        self.assertIn("Successful", self.of_group("--delete-offsets", "--input-topic", INPUT))
        self.assertEqual([-1, -1], self.committed())
        self.assertIn("was successful", self.of_group("--delete"))
        self.assertEqual([], self.asker.ask("ListGroups", 5)["Groups"])

    def is_described_with_offsets(self):
        """The number of lines of the input topic, none of which has anything left to read."""
        told = self.of_group("--describe")
        return sum(line.split()[:2] == [GROUP, INPUT] and line.split()[-1] == "0" for line in told.splitlines())


class ThreeBrokers(WordCount, ClusterTest):
    def setUp(self):
        super().setUp()
        self.brokers = self.cluster(properties={**PROPERTIES, "transaction.state.log.num.partitions": 4,
                                                "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000}).start()
        self.address = self.brokers.bootstrap
        self.client = self.brokers.client()
        self.client.__enter__()
        self.addCleanup(self.client.__exit__)
        for topic in (INPUT, OUTPUT):
            self.client.create_topic(topic, 2, replication=3)
        self.client.coordinator(GROUP)
        self.wait_for(lambda: self.client.is_whole("__consumer_offsets"))
        self.written = Counter()
        self.random = random.Random(1)
        self.writer = subprocess.Popen([*apache.command_line("console-producer"), "--bootstrap-server", self.address, "--topic", INPUT,
                                        "--command-property", "linger.ms=0"], stdin=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)
        self.addCleanup(self.writer.wait)
        self.addCleanup(self.writer.kill)
        self.addCleanup(self.writer.stdin.close)

    def described(self):
        try:
            address = self.client.address_of(self.client.coordinator(GROUP))
            return self.client.ask_at(address, "StreamsGroupDescribe", 0, GroupIds=[GROUP])["Groups"][0]
        except OSError:     # a broker that is gone
            return {"GroupState": "", "Members": []}

    def write_until(self, check, least_seconds, seconds):
        """Lines all the time."""
        begun = time.monotonic()
        while time.monotonic() - begun < least_seconds or not check():
            self.assertLess(time.monotonic() - begun, seconds, self.told())
            words = self.random.choices(("all", "streams", "lead", "to", "kafka"), k=3)
            self.written.update(words)
            self.writer.stdin.write(" ".join(words) + "\n")
            self.writer.stdin.flush()
            time.sleep(0.05)

    def test_every_word_is_counted_once_when_a_coordinator_and_a_member_are_killed(self):
        counters = [self.counter(number, processing_guarantee="exactly_once_v2", replication_factor=3) for number in range(2)]
        self.eventually(lambda: self.is_stable(members=2), 120)
        self.write_until(lambda: True, 3, 10)
        former = self.client.coordinator(GROUP)
        self.brokers.nodes[former].kill()
        self.write_until(lambda: self.client.coordinator(GROUP) != former and self.is_stable(members=2), 8, 60)
        counters[0].kill()
        self.write_until(lambda: self.is_stable(members=1), 2, 60)
        self.writer.stdin.close()
        self.assertEqual(0, self.writer.wait(60))
        expected = {word: list(range(1, count + 1)) for word, count in self.written.items()}
        found = {}

        def is_all_counted():
            found.update(self.all_counts())
            return all(len(found.get(word, ())) >= count for word, count in self.written.items())
        self.eventually(is_all_counted, 90)
        self.assertEqual(expected, found)
        self.assertEqual("Stable", self.described()["GroupState"])


if __name__ == "__main__":
    unittest.main()
