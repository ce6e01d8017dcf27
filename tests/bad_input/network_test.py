"""What no client would send: the broker closes that connection, says why and whose it was, and serves the others."""

import resource
import random
import struct
import unittest
import zlib

from support import kafka
from support.broker import BrokerTest
from support.kafka import Client

MEBIBYTE = 1 << 20


class Network(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker().start()

    def assert_closed_with_log(self, data, pattern):
        with Client(self.node.address) as client:
            peer = "%s:%d" % client.socket.getsockname()
            client.send_raw(data)
            self.assertTrue(client.is_closed_by_peer())
        self.wait_for_log(self.node, rf"WARN .*{peer}.*{pattern}")
        self.assert_still_serves()

    def assert_still_serves(self):
        with Client(self.node.address) as client:
            self.assertIn(kafka.PRODUCE, client.api_versions())

    def test_garbage_closes_only_its_connection(self):
        chance = random.Random(1)
        for _ in range(50):
            with Client(self.node.address) as client:
                client.send_raw(b"\xff" + chance.randbytes(chance.randrange(8, 5000)))
                self.assertTrue(client.is_closed_by_peer())
        self.assert_still_serves()

    def test_random_bodies_behind_valid_headers_do_no_harm(self):
        chance = random.Random(2)
        with Client(self.node.address) as client:
            served = client.api_versions()
        for api, (least, most) in served.items():
            for version in {least, most}:
                with Client(self.node.address, seconds=5) as client:
                    client.send_raw(kafka.request(api, version, chance.randbytes(chance.randrange(0, 300))))
                    client.is_closed_by_peer()
        self.assert_still_serves()

    def test_tls_hello_is_named(self):
        self.assert_closed_with_log(bytes.fromhex("16030100c8010000c40303") + bytes(200), "TLS")

    def test_http_is_named(self):
        self.assert_closed_with_log(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP")

    def test_frame_over_the_limit_is_refused_unread(self):
        self.assert_closed_with_log(struct.pack(">i", 0x7FFFFFFF), "socket.request.max.bytes")

    def test_negative_frame_size_is_refused(self):
        self.assert_closed_with_log(struct.pack(">i", -1), "impossible size")

    def test_frame_too_short_for_its_header_is_refused(self):
        self.assert_closed_with_log(struct.pack(">ih", 2, 18), "no room for its header")

    def test_announced_frame_costs_no_memory_before_it_comes(self):
        before = self.node.memory("VmRSS")
        clients = [Client(self.node.address) for _ in range(20)]
        for client in clients:
            client.send_raw(struct.pack(">i", 100 * MEBIBYTE) + bytes(100))
        self.assert_still_serves()
        self.assertLess(self.node.memory("VmRSS") - before, 20 * MEBIBYTE)
        for client in clients:
            client.socket.close()

    def test_huge_counts_inside_a_request_cost_no_memory(self):
        before = self.node.memory()
        for api, version, body in ((kafka.METADATA, 1, struct.pack(">i", 0x7FFFFFFF)),
                                   (kafka.CREATE_TOPICS, 2, struct.pack(">i", 0x7FFFFFFE)),
                                   (kafka.FETCH, 4, struct.pack(">iiiibi", -1, 0, 0, 1, 0, 0x7FFFFFFF)),
                                   (kafka.PRODUCE, 3, struct.pack(">hhii", -1, 1, 1000, 0x7FFFFFFF))):
            self.assert_closed_with_log(kafka.request(api, version, body), "closed: ")
        self.assertLess(self.node.memory() - before, 10 * MEBIBYTE)

    def test_unknown_api_key_is_refused(self):
        self.assert_closed_with_log(kafka.request(12345, 0, b""), "unknown API key 12345")

    def test_unserved_version_is_refused(self):
        self.assert_closed_with_log(kafka.request(kafka.PRODUCE, 99, b""), "Produce v99")

    def test_api_versions_of_the_future_is_answered_with_what_is_served(self):
        with Client(self.node.address) as client:
            client.send_raw(kafka.request(kafka.API_VERSIONS, 99, b"\0\x01\x01\0"))
            answer = kafka.Answer(client.read_frame())
            self.assertEqual((1, 35), answer.take("ih"))
            self.assertIn(kafka.API_VERSIONS, [answer.take("hhh")[0] for _ in range(answer.take("i"))])

    def test_half_frames_of_a_thousand_connections_leave_room_for_others(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        clients = [Client(self.node.address) for _ in range(1000)]
        half = kafka.request(kafka.METADATA, 1, bytes(64))[:40]
        for client in clients:
            client.send_raw(half)
        self.assert_still_serves()
        self.assertLess(self.node.memory("VmRSS"), 100 * MEBIBYTE)
        for client in clients:
            client.socket.close()
        self.assert_still_serves()

    def test_decompression_bomb_costs_bounded_memory(self):
        packer = zlib.compressobj(9, wbits=31)
        zeros = bytes(MEBIBYTE)
        size = 600 * MEBIBYTE
        body = b"\0" + kafka.varint(0) * 2 + kafka.varint(-1) + kafka.varint(size)
        head = kafka.varint(len(body) + size + 1) + body
        packed = packer.compress(head) + b"".join(packer.compress(zeros) for _ in range(600))
        packed += packer.compress(kafka.varint(0)) + packer.flush()
        with Client(self.node.address, seconds=60) as client:
            self.assertEqual(0, client.create_topic("bomb"))
            error, _ = client.produce("bomb", kafka.batch(records=packed, count=1, codec=kafka.GZIP))
            self.assertNotEqual(0, error)
            self.assertEqual((0, 0), client.produce("bomb", kafka.batch([b"after"])))
        self.assertLess(self.node.memory(), 300 * MEBIBYTE)

    def test_broken_batches_are_refused_and_leave_nothing(self):
        good = kafka.batch([b"one", b"two"])
        with Client(self.node.address) as client:
            self.assertEqual(0, client.create_topic("broken"))
            flipped = good[:-1] + bytes([good[-1] ^ 1])
            for broken in (flipped, good[:-3], good[:30], b"\0" * 61, kafka.batch([b"x"], count=5)):
                self.assertNotEqual(0, client.produce("broken", broken)[0], broken.hex())
            self.assertEqual((0, 0), client.produce("broken", good))
            self.assertEqual([(0, b"one"), (1, b"two")], client.read_all("broken"))


if __name__ == "__main__":
    unittest.main()
