"""kcat (librdkafka), unchanged, against the real binary."""

import subprocess
import unittest

from support.broker import BrokerTest


class Kcat(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker().start()

    def kcat(self, *arguments, send=None, expect=0):
        ended = subprocess.run(["kcat", "-q", "-b", self.node.address, *arguments], input=send, capture_output=True,
                               text=True, timeout=60)
        self.assertEqual(expect, ended.returncode, ended.stderr)
        return ended.stdout

    def consume(self, topic, *arguments):
        return self.kcat("-C", "-t", topic, "-e", *arguments)

    def test_lists_the_broker_and_its_topics(self):
        self.kcat("-P", "-t", "listed", send="x\n")
        listing = self.kcat("-L")
        self.assertIn(f"broker 1 at {self.node.address}", listing)
        self.assertIn('topic "listed" with 1 partitions', listing)

    def test_every_codec_brings_back_what_was_sent_in_order(self):
        sent = "".join(f"record {i} {'x' * (i % 50)}\n" for i in range(2000))
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            with self.subTest(codec=codec):
                self.kcat("-P", "-t", codec, "-z", codec, send=sent)
                self.assertEqual(sent, self.consume(codec))

    def test_keys_headers_and_offsets(self):
        self.kcat("-P", "-t", "whole", "-K:", "-H", "colour=blue", send="a:1\nb:2\n")
        self.assertEqual("0 a 1 colour=blue\n1 b 2 colour=blue\n", self.consume("whole", "-f", "%o %k %s %h\n"))

    def test_consumes_from_an_offset_and_the_last_ones(self):
        self.kcat("-P", "-t", "offsets", send="".join(f"{i}\n" for i in range(10)))
        self.assertEqual("7\n8\n9\n", self.consume("offsets", "-o", "7"))
        self.assertEqual("8\n9\n", self.consume("offsets", "-o", "-2"))

    def test_idempotent_producer(self):
        sent = "".join(f"{i}\n" for i in range(5000))
        self.kcat("-P", "-t", "once", "-X", "enable.idempotence=true", send=sent)
        self.assertEqual(sent, self.consume("once"))

    def test_transactional_producer(self):
        sent = "".join(f"{i}\n" for i in range(5000))
        self.kcat("-P", "-t", "whole", "-X", "transactional.id=kcat", send=sent)
        self.assertEqual(sent, self.consume("whole", "-X", "isolation.level=read_committed"))

    def test_record_just_below_the_limit_and_one_above(self):
        below, above = "b" * 900_000 + "\n", "a" * 1_100_000 + "\n"
        self.kcat("-P", "-t", "large", send=below)
        self.assertEqual(below, self.consume("large"))
        self.kcat("-P", "-t", "large", "-X", "message.max.bytes=2000000", send=above, expect=1)
        self.assertEqual(below, self.consume("large"))

    def test_records_survive_a_stop_and_a_kill(self):
        self.kcat("-P", "-t", "lasting", send="one\n")
        self.assertEqual(0, self.node.stop())
        self.node.start()
        self.kcat("-P", "-t", "lasting", send="two\n")
        self.node.kill()
        self.node.start()
        self.assertEqual("one\ntwo\n", self.consume("lasting"))

    def test_group_goes_on_where_it_committed(self):
        self.kcat("-P", "-t", "grouped", send="one\ntwo\n")
        begin = ("-X", "auto.offset.reset=earliest", "-e")
        self.assertEqual("one\ntwo\n", self.kcat("-G", "readers", *begin, "grouped"))
        self.assertEqual(0, self.node.stop())
        self.node.start()
        self.kcat("-P", "-t", "grouped", send="three\n")
        self.assertEqual("three\n", self.kcat("-G", "readers", *begin, "grouped"))


if __name__ == "__main__":
    unittest.main()
