"""Apache Kafka's own word count for Kafka Streams, unchanged, with exactly_once_v2, while brokers and its processes are killed (kill -9). In the end
readers of committed records have seen each word's count rise one by one: no line counted twice, none lost."""

import os
import random
import time
import unittest
from collections import Counter, defaultdict

from chaos.killable import Killable
from interop import apache
from support.cluster import ClusterTest, combined

INPUT, OUTPUT = "streams-plaintext-input", "streams-wordcount-output"    # as the demo has them
PARTITIONS = 2
LINES = int(os.environ.get("LINES", 600))
LINES_A_ROUND = 50
WORDS = ["all", "streams", "lead", "to", "kafka", "hello", "mill", "race"]
END_SECONDS = 180
SETTINGS = {"processing.guarantee": "exactly_once_v2", "replication.factor": 3, "commit.interval.ms": 100, "consumer.session.timeout.ms": 6000,
            "consumer.heartbeat.interval.ms": 1000}


def word_counter(folder, bootstrap, number):
    """A process of the application; started again it has the same state directory."""
    properties = folder / f"word-count-{number}.properties"
    settings = {**SETTINGS, "bootstrap.servers": bootstrap, "state.dir": folder / f"word-count-{number}"}
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [*apache.command_line("org.apache.kafka.streams.examples.wordcount.WordCountDemo"), properties]
    return Killable(command, folder / f"word-count-{number}.log")


class WordCount(ClusterTest):
    def setUp(self):
        super().setUp()
        self.nodes = self.cluster(combined(3)).start()
        self.client = self.nodes.client()
        self.addCleanup(self.client.__exit__)
        for topic in (INPUT, OUTPUT):
            self.client.create_topic(topic, PARTITIONS, 3, {"min.insync.replicas": 2})

    def counter(self, number):
        counter = word_counter(self.nodes.folder, self.nodes.bootstrap, number).start()
        self.addCleanup(counter.kill)
        return counter

    def is_whole(self):
        try:
            return self.client.is_whole(INPUT, OUTPUT, "__transaction_state", "__consumer_offsets")
        except (OSError, AssertionError):
            return False

    def counts(self):
        """{word: what a reader of committed records sees of it, in order}"""
        read = apache.tool("console-consumer", "--bootstrap-server", self.nodes.bootstrap, "--topic", OUTPUT, "--from-beginning", "--isolation-level",
                           "read_committed", "--timeout-ms", 6000, "--formatter-property", "print.key=true", "--formatter-property",
                           "value.deserializer=org.apache.kafka.common.serialization.LongDeserializer")
        found = defaultdict(list)
        for word, count in (line.split("\t") for line in read.splitlines()):
            found[word].append(int(count))
        return found

    def test_every_word_is_counted_once_while_brokers_and_counters_are_killed(self):
        chance = random.Random(5)
        counters = [self.counter(number) for number in range(2)]
        expected = Counter()
        for round in range(LINES // LINES_A_ROUND):
            lines = [" ".join(chance.choices(WORDS, k=3)) for _ in range(LINES_A_ROUND)]
            expected.update(word for line in lines for word in line.split())
            self.client.write(INPUT, [line.encode() for line in lines], round % PARTITIONS)
            victim = chance.choice(list(self.nodes.nodes.values()))
            victim.kill()
            if round % 3 == 2:
                counter = chance.choice(counters)
                counter.kill()
                counter.start()
            time.sleep(chance.uniform(0.1, 2))
            victim.start()
            self.wait_for(self.is_whole, 60)
        found = {}

        def all_are_counted():
            found.update(self.counts())
            return all(found.get(word, [0])[-1] >= count for word, count in expected.items())
        self.wait_for(all_are_counted, END_SECONDS, lambda: f"{found}\n{counters[0].log.read_text(errors='replace')[-3000:]}")
        self.assertEqual({word: list(range(1, count + 1)) for word, count in expected.items()}, found)


if __name__ == "__main__":
    unittest.main()
