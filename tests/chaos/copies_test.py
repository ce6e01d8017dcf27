"""Consume, transform, produce: Apache Kafka's own copier takes records from one topic to another in transactions, its offsets with them, while brokers
and copiers are killed (kill -9). In the end each record is there once for readers of committed records."""

import os
import random
import sys
import time
import unittest
from collections import Counter

from chaos.killable import Killable
from interop import apache
from support.cluster import ClusterTest, combined
from support.transactional import committed

PARTITIONS = 2
RECORDS = int(os.environ.get("RECORDS", 1000))  # of each partition
OF_A_TRANSACTION = 5
END_SECONDS = max(240, RECORDS // 20)


def copier(folder, bootstrap, partition):
    """TransactionalMessageCopier, for one partition: to the end as it is when it starts."""
    name = f"copier-{partition}"
    command = [*apache.command_line("org.apache.kafka.tools.TransactionalMessageCopier"), "--broker-list", bootstrap,
               "--input-topic", "input", "--input-partition", str(partition), "--output-topic", "output",
               "--consumer-group", f"copiers-{partition}", "--transactional-id", name, "--enable-random-aborts",
               "--use-group-metadata", "--transaction-size", str(OF_A_TRANSACTION), "--transaction-timeout", "20000"]
    return Killable(command, folder / f"{name}.log")


class Copies(ClusterTest):
    def setUp(self):
        super().setUp()
        self.nodes = self.cluster(combined(3)).start()
        self.client = self.nodes.client()
        self.addCleanup(self.client.__exit__)
        for topic in ("input", "output"):
            self.client.create_topic(topic, PARTITIONS, 3, {"min.insync.replicas": 2})

    def fill(self):
        sent = [f"{partition}-{i}" for partition in range(PARTITIONS) for i in range(RECORDS)]
        for partition in range(PARTITIONS):
            values = [each.encode() for each in sent if each.startswith(f"{partition}-")]
            for at in range(0, RECORDS, 100):
                self.client.write("input", values[at:at + 100], partition)
        return sent

    def copier(self, partition):
        process = copier(self.nodes.folder, self.nodes.bootstrap, partition).start()
        self.addCleanup(process.kill)
        return process

    def wait_until_whole(self):
        def is_whole():
            try:
                return self.client.is_whole("input", "output", "__transaction_state", "__consumer_offsets")
            except (OSError, AssertionError):
                return False
        self.wait_for(is_whole, 60)

    def copied(self):
        """By readers of committed records, when no transaction is open any more."""
        found = []
        for partition in range(PARTITIONS):
            self.client.leader("output", partition, anew=True)
            found += self.client.at_leader("output", partition, lambda leader: committed(leader, "output", partition, seconds=40))
        return found

    def test_every_record_is_copied_once_while_brokers_and_copiers_are_killed(self):
        sent = self.fill()
        copiers = [self.copier(partition) for partition in range(PARTITIONS)]
        chance, deadline = random.Random(7), time.monotonic() + END_SECONDS
        brokers_killed = copiers_killed = 0
        while any(copier.is_running for copier in copiers) and time.monotonic() < deadline:
            time.sleep(chance.uniform(1, 3))
            victim = chance.choice(list(self.nodes.nodes.values()))
            victim.kill()
            brokers_killed += 1
            copier = chance.choice(copiers)
            if brokers_killed % 3 == 0 and copier.is_running:
                copier.kill()
                copier.start()
                copiers_killed += 1
            time.sleep(chance.uniform(0.1, 1.5))
            victim.start()
            self.wait_until_whole()
        for copier in copiers:
            self.assertEqual(0, copier.process.poll(), copier.log.read_text(errors="replace")[-3000:])
        self.assertGreater(brokers_killed, 2)
        self.assertGreater(copiers_killed, 0)
        times = Counter(self.copied())
        wrong = {value: times[value] for value in {*sent, *times} if times[value] != 1}
        self.assertEqual(({}, len(sent)), (wrong, len(times)))
        print(f"{len(sent)} records, {brokers_killed} brokers and {copiers_killed} copiers killed", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
