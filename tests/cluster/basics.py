"""What every test of a cluster begins with: three nodes of the kind that is tested.

CLUSTER_KIND=apache runs the tests on Apache Kafka, which shows that they ask for what it does; a mixture is told by node: millrace,apache,millrace."""

import contextlib
import json
import os
import subprocess

from support.broker import BINARY
from support.cluster import APACHE, MILLRACE, ClusterTest, combined

KINDS = os.environ.get("CLUSTER_KIND", MILLRACE).split(",")


def kind_of(index):
    return KINDS[index % len(KINDS)]


def three_nodes():
    return combined(3, kinds=[kind_of(i) for i in range(3)])


class ThreeNodes(ClusterTest):
    """One cluster for each test."""

    def start_three(self, **options):
        self.cluster_ = self.cluster(three_nodes(), **options).start()
        return self.cluster_

    def millrace(self, *arguments, expect=0, seconds=60):
        """Runs a command against the cluster; its standard output. What it says on standard error is in self.said."""
        ended = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
                               env={**os.environ, "MILLRACE_BOOTSTRAP": self.cluster_.bootstrap})
        self.said = ended.stderr
        self.assertEqual(expect, ended.returncode, f"{arguments}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def json(self, *arguments, **options):
        return json.loads(self.millrace(*arguments, "-o", "json", **options))

    def wait_for_isr(self, client, topic, expected, partition=0, seconds=30):
        self.wait_for(lambda: client.in_sync(topic, partition) == set(expected), seconds,
                      lambda: f"the ISR of {topic}-{partition} is {client.partitions(topic)[topic, partition]}, not {expected}")

    def values(self, client, topic, partition=0):
        return [value for _, value in client.read_all(topic, partition)]

    def assert_values(self, expected, client, topic, partition=0, seconds=10):
        """A leader that was just elected learns from its followers' fetches how far consumers may read."""
        found = []

        def are_there():
            found[:] = self.values(client, topic, partition)
            return found[:len(expected)] == expected

        with contextlib.suppress(AssertionError):
            self.wait_for(are_there, seconds)
        self.assertEqual(expected, found)

    def assert_committed(self, expected, client, group, topic, partition=0):
        """A coordinator of Millrace that has taken over knows every commit. One of Apache Kafka says for a moment (0.2 s were measured) that
        there is none, without an error."""
        if any(node.kind == APACHE for node in self.cluster_.nodes.values()):
            self.wait_for(lambda: client.committed(group, topic, partition) == expected, 60)
        self.assertEqual(expected, client.committed(group, topic, partition))

    def assert_written(self, expected, client, topic, partition=0):
        """The same where a record may be there twice, as it was sent again."""
        client.write(topic, [b"last"], partition)
        found = self.values(client, topic, partition)
        self.assertEqual([*expected, b"last"], [value for i, value in enumerate(found) if value not in found[:i]])
