"""Quotas of clients (kafka.md 2.13) over sockets and in real time: what is answered at once, and that the connection is then not heard. What is
decided, counted and waited for in between is in src/quota, src/controller and src/server/client_quotas_test.cc, on a clock that does as it is told."""

import re
import socket
import time
import unittest
import urllib.request

from support.broker import BrokerTest, free_ports
from support.kafka import Client, batch
from support.protocol import ERRORS, Asker
from support.quotas import alter, described, entity
from support.waiting import eventually

BY_NAME = 12


class Quotas(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker({"millrace.shards": "2", "quota.window.num": "3", "controller.quota.window.num": "2"}).start()
        self.admin, self.asker = self.connect(), self.connect()

    def connect(self):
        asker = Asker(self.node.address)
        self.addCleanup(asker.socket.close)
        return asker

    def fine(self, parts, **quotas):
        self.assertEqual(("NONE", None), alter(self.admin, parts, **quotas))

    def produce(self, asker, size, acks=-1):
        """How long the producer is told to wait, in milliseconds."""
        data = batch([b"x" * size])
        topics = [{"Name": "t", "PartitionData": [{"Index": 0, "Records": data}]}]
        answer = asker.ask("Produce", BY_NAME, Acks=acks, TimeoutMs=5000, TopicData=topics)
        self.assertEqual(0, answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"])
        return answer["ThrottleTimeMs"]

    def silence(self, asker):
        """How many milliseconds go by until the connection is heard again."""
        begun = time.monotonic()
        asker.ask("Metadata", 12, Topics=[])
        return (time.monotonic() - begun) * 1000

    def test_what_was_set_is_described_and_outlives_the_process(self):
        for version in (0, 1):
            self.assertEqual(("NONE", None), alter(self.admin, entity(user="u", client_id=None), version, producer_byte_rate=1000 + version))
        self.fine(entity(ip="127.0.0.1"), connection_creation_rate=100)
        self.assertEqual("INVALID_REQUEST", alter(self.admin, entity(user="u"), producer_byte_rate=0.5)[0])
        self.assertEqual(("NONE", None), alter(self.admin, entity(user="u"), validate_only=True, producer_byte_rate=5))
        self.assertEqual(0, self.node.stop())
        self.node.start()
        for version in (0, 1):
            found = described(self.connect(), version=version)
            self.assertEqual({(("client-id", None), ("user", "u")): {"producer_byte_rate": 1001.0},
                              (("ip", "127.0.0.1"),): {"connection_creation_rate": 100.0}}, found)

    def test_a_producer_that_sends_too_much_waits_on_all_its_connections(self):
        self.asker.create_topic("t")
        self.fine(entity(user="ANONYMOUS"), producer_byte_rate=10_000)
        wait = self.produce(self.asker, 30_000)    # two windows of 10,000 bytes are behind it
        self.assertTrue(900 <= wait <= 1200, wait)
        other = self.connect()
        self.assertLess(self.silence(other), 300, "another connection is heard until it adds to it")
        self.assertGreater(self.produce(other, 10), 0)
        self.assertTrue(wait - 300 <= self.silence(self.asker) <= wait + 1000)
        self.fine(entity(user="ANONYMOUS"), producer_byte_rate=None)
        self.assertEqual(0, self.produce(self.asker, 30_000))

    def test_old_versions_are_held_back_as_new_ones_are(self):
        self.asker.create_topic("t")
        self.fine(entity(client_id="tests"), producer_byte_rate=10_000)
        answer = self.asker.ask("Produce", 3, Acks=1, TimeoutMs=5000, TopicData=[
            {"Name": "t", "PartitionData": [{"Index": 0, "Records": batch([b"x" * 30_000])}]}])
        self.assertGreater(answer["ThrottleTimeMs"], 500)
        self.assertGreater(self.silence(self.asker), 400)

    def test_a_consumer_that_reads_too_much_gets_nothing_for_a_while(self):
        self.asker.create_topic("t")
        for _ in range(6):
            self.produce(self.asker, 5000)
        self.fine(entity(client_id=None), consumer_byte_rate=5000)

        def fetch(offset):
            topics = [{"Topic": "t", "Partitions": [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}]}]
            answer = self.asker.ask("Fetch", BY_NAME, MaxWaitMs=0, MinBytes=1, MaxBytes=1 << 20, SessionEpoch=-1, Topics=topics)
            return answer["ThrottleTimeMs"], sum(len(p["Records"] or b"") for t in answer["Responses"] for p in t["Partitions"])
        for _ in range(5):    # what stands around the records is a little more than the quota has
            wait, got = fetch(0)
            if got:
                break
        self.assertTrue(0 < got <= 10_000, "no more than two windows have")
        wait, got = fetch(1)
        self.assertEqual(0, got)
        self.assertGreater(wait, 100)
        self.assertGreater(self.silence(self.asker), wait - 300)

    def test_requests_that_take_too_much_time_are_waited_for_a_window_at_most(self):
        self.fine(entity(client_id="tests"), request_percentage=0.001)
        for _ in range(1000):
            wait = self.asker.ask("Metadata", 12)["ThrottleTimeMs"]
            if wait:
                break
        self.assertTrue(0 < wait <= 1000, wait)
        self.assertGreater(self.silence(self.asker), wait - 300)

    def test_changes_of_topics_are_refused_or_waited_for(self):
        self.fine(entity(user=None), controller_mutation_rate=2)    # four at once

        def create(version, name, partitions=1):
            answer = self.asker.ask("CreateTopics", version, timeoutMs=5000, Topics=[
                {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1}])
            return ERRORS[answer["Topics"][0]["ErrorCode"]], answer["ThrottleTimeMs"]
        begun = time.monotonic()
        self.assertEqual(("NONE", 0), create(7, "a", 12))
        error, wait = create(7, "b")
        self.assertEqual("THROTTLING_QUOTA_EXCEEDED", error)
        self.assertTrue(3500 - 1000 * (time.monotonic() - begun) <= wait <= 4000, wait)
        self.assertGreater(self.silence(self.asker), wait - 300)
        error, wait = create(5, "c", 6)
        self.assertEqual("NONE", error)
        self.assertGreater(wait, 1000)

    def test_an_address_that_connects_too_often_is_held_and_closed(self):
        self.asker.ask("Metadata", 12, Topics=[])   # it is let in, not waiting to be
        begun = time.monotonic()
        self.fine(entity(ip="localhost"), connection_creation_rate=2)
        served = 0
        while self.lets_in():
            served += 1
            self.assertLess(served, 50, "the quota has an effect")
        lasted = time.monotonic() - begun
        self.assertGreaterEqual(served, 4, "two windows of two")
        self.assertLessEqual(served, 2 * (2 + lasted))
        self.assertGreater(lasted, 0.2)
        self.fine(entity(ip="localhost"), connection_creation_rate=None)
        self.connect().ask("Metadata", 12, Topics=[])

    def lets_in(self):
        """Whether a new connection is served, not closed."""
        with socket.create_connection(("127.0.0.1", self.node.port)) as peer:
            peer.settimeout(5)
            client = Client.__new__(Client)
            client.socket, client.correlation = peer, 0
            try:
                client.api_versions()
            except ConnectionError:
                return False
            return True

    def test_a_broker_that_lets_few_in_serves_them_later(self):
        node = self.broker({"max.connection.creation.rate": "2", "quota.window.num": "3"}).start()
        begun = time.monotonic()
        for _ in range(6):
            with Asker(node.address) as asker:
                asker.ask("Metadata", 12, Topics=[])
        self.assertGreater(time.monotonic() - begun, 0.4)

    def test_metrics_tell_who_waits(self):
        port, = free_ports(1)
        node = self.broker({"millrace.http.listener": f"localhost:{port}"}).start()
        with Asker(node.address) as asker:
            asker.create_topic("t")
            self.assertEqual(("NONE", None), alter(asker, entity(client_id="tests"), producer_byte_rate=100))
            self.assertGreater(self.produce(asker, 2000), 0)
            page = urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=10).read().decode()
        self.assertRegex(page, r'kafka_server_produce_byte_rate\{user="",client_id="tests"\} \d+')
        self.assertRegex(page, r'kafka_server_produce_throttle_time\{user="",client_id="tests"\} [1-9]')

    def test_metrics_tell_of_time_that_nobody_is_charged_for(self):
        port, = free_ports(1)
        node = self.broker({"millrace.http.listener": f"localhost:{port}"}).start()

        def exempt():
            page = urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=10).read().decode()
            found = re.search(r"^kafka_server_request_exempt_request_time (\S+)$", page, re.MULTILINE)
            return found and float(found[1])
        with Asker(node.address) as asker:
            asker.create_topic("t")
            self.assertIsNone(exempt(), "no quota of request time is set")
            self.assertEqual(("NONE", None), alter(asker, entity(client_id="tests"), request_percentage=100))
            asker.ask("Metadata", 12)
            self.assertEqual(0, exempt(), "that was charged to the client")
            data = batch([b"x" * 1000])
            asker.send("Produce", BY_NAME, Acks=0, TimeoutMs=5000, TopicData=[{"Name": "t", "PartitionData": [{"Index": 0, "Records": data}]}])
            self.assertTrue(eventually(lambda: exempt() > 0, 10))


if __name__ == "__main__":
    unittest.main()
