"""What millrace's own commands do against any Kafka broker: run against ours (cli_test.py) and Apache Kafka's (interop)."""

import json
import os
import subprocess

from support.broker import BINARY


class Runs:
    """Mixed into a test case that has `self.address`."""

    def millrace(self, *arguments, send="", expect=0, seconds=60):
        """Runs a command; its standard output. What it says on standard error is in self.said."""
        ended = subprocess.run([BINARY, *map(str, arguments)], input=send, capture_output=True, text=True, timeout=seconds,
                               env={**os.environ, "MILLRACE_BOOTSTRAP": self.address})
        self.said = ended.stderr
        self.assertEqual(expect, ended.returncode, f"{arguments}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def json(self, *arguments, **options):
        return json.loads(self.millrace(*arguments, "-o", "json", **options))

    def json_lines(self, *arguments, **options):
        return [json.loads(line) for line in self.millrace(*arguments, "-o", "json", **options).splitlines()]

    def refused(self, *arguments, says, **options):
        """The command fails, says why, and what to try."""
        self.millrace(*arguments, expect=1, **options)
        self.assertIn(says, self.said)
        self.assertIn("Try: ", self.said)

    def make_topic(self, name, partitions=1, *options):
        self.millrace("topic", "create", name, "-p", partitions, *options)


class Basics(Runs):
    """Topic names are the test's own: one broker serves all tests."""

    # topic

    def test_topic_create_list_describe_delete(self):
        created = self.json("topic", "create", "whole", "-p", 3, "-c", "retention.ms=86400000")
        self.assertEqual([{"name": "whole", "result": "created"}], created)
        listed = {each["name"]: each for each in self.json("topic", "list")}
        self.assertEqual((3, 1), (listed["whole"]["partitions"], listed["whole"]["replication"]))
        self.assertRegex(self.millrace("topic", "list"), r"(?m)^whole +3 +1$")
        self.millrace("produce", "whole", "-p", 1, "-q", send="a\nb\n")
        [topic] = self.json("topic", "describe", "whole")
        self.assertEqual("86400000", topic["configs"]["retention.ms"])
        self.assertEqual([(0, 0), (0, 2), (0, 0)], [(p["start_offset"], p["end_offset"]) for p in topic["partitions"]])
        self.assertEqual([[1], [1], [1]], [p["isr"] for p in topic["partitions"]])
        self.assertRegex(self.millrace("topic", "describe", "whole"), r"(?m)^1 +1 +1 +1 +- +- +0 +2 +2$")
        self.millrace("topic", "delete", "whole")
        self.assertNotIn("whole", [each["name"] for each in self.json("topic", "list")])

    def test_topic_refusals_say_what_to_try(self):
        self.make_topic("there")
        self.refused("topic", "create", "there", says="cannot create topic 'there'")
        self.assertIn("millrace topic describe there", self.said)
        self.refused("topic", "describe", "absent", says="topic 'absent': it does not exist")
        self.assertIn("millrace topic create absent", self.said)
        self.refused("topic", "delete", "absent", says="cannot delete topic 'absent': it does not exist")
        self.refused("topic", "create", "no such name", says="cannot create topic 'no such name'")
        self.refused("topic", "create", "wide", "-r", 9, says="cannot create topic 'wide'")
        self.refused("topic", "create", "odd", "-c", "no.such.config=1", says="cannot create topic 'odd'")
        self.refused("topic", "create", "odd", "-c", "nonsense", says="'nonsense' is no config")
        self.millrace("topic", "create", "there", "--if-not-exists")

    def test_topic_dry_run_changes_nothing(self):
        self.millrace("topic", "create", "dry", "--dry-run")
        self.refused("topic", "describe", "dry", says="it does not exist")

    def test_topic_add_partitions(self):
        self.make_topic("growing", 2)
        self.millrace("topic", "add-partitions", "growing", "--total", 4)
        [topic] = self.json("topic", "describe", "growing")
        self.assertEqual(4, topic["partition_count"])
        self.refused("topic", "add-partitions", "growing", "--total", 3, says="cannot add partitions to topic 'growing'")
        self.millrace("topic", "add-partitions", "growing", expect=2)

    def test_topic_delete_records(self):
        self.make_topic("trimmed", 2)
        self.millrace("produce", "trimmed", "-p", 0, "-q", send="".join(f"{i}\n" for i in range(10)))
        [row] = self.json("topic", "delete-records", "trimmed", "--partition", 0, "--before", 4)
        self.assertEqual(4, row["start_offset"])
        self.assertEqual("4\n", self.millrace("consume", "trimmed", "--offset", "start", "-n", 1))
        self.millrace("topic", "delete-records", "trimmed", "--before", "end")
        self.assertEqual("", self.millrace("consume", "trimmed", "--offset", "start", "-e"))
        self.refused("topic", "delete-records", "trimmed", "--partition", 0, "--before", 99, says="cannot delete records")
        self.refused("topic", "delete-records", "trimmed", "--before", "soon", says="'soon' is no offset")

    # produce and consume

    def test_produce_tells_where_records_went_and_consume_brings_them_back(self):
        self.make_topic("lines")
        self.assertEqual("lines  0  0\nlines  0  1\n", self.millrace("produce", "lines", send="one\ntwo\n"))
        self.assertEqual([{"topic": "lines", "partition": 0, "offset": 2}],
                         self.json_lines("produce", "lines", send="three\n"))
        self.assertEqual("one\ntwo\nthree\n", self.millrace("consume", "lines", "--offset", "start", "--until-end"))

    def test_every_codec_brings_back_what_was_sent_in_order(self):
        sent = "".join(f"record {i} {'x' * (i % 50)}\n" for i in range(2000))
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            with self.subTest(codec=codec):
                self.make_topic(f"codec-{codec}")
                self.millrace("produce", f"codec-{codec}", "-z", codec, "-q", send=sent)
                self.assertEqual(sent, self.millrace("consume", f"codec-{codec}", "--offset", "start", "-e"))

    def test_formats_keys_headers_timestamps_and_null(self):
        self.make_topic("formats", 1)
        self.millrace("produce", "formats", "-f", "%T %k:%v", "-H", "colour=blue", "-H", "bare", "-Z", "-q",
                      send="1000 a:1\n2000 :x:y\n3000 c:\n")
        self.assertEqual("formats 0 0 a 1 colour=blue,bare 1000 1/1\nformats 0 1  x:y colour=blue,bare 2000 -1/3\n"
                         "formats 0 2 c  colour=blue,bare 3000 1/-1\n",
                         self.millrace("consume", "formats", "--offset", "start", "-e", "-f", "%t %p %o %k %v %h %T %K/%S"))
        rows = self.json_lines("consume", "formats", "--offset", "start", "-e")
        self.assertEqual([("a", "1"), (None, "x:y"), ("c", None)], [(row["key"], row["value"]) for row in rows])
        self.assertEqual([{"name": "colour", "value": "blue"}, {"name": "bare", "value": None}], rows[0]["headers"])
        self.assertEqual("1;x:y;;", self.millrace("consume", "formats", "--offset", "start", "-e", "-f", "%v;\\c"))
        self.refused("produce", "formats", "-f", "%k:%v", send="no separator\n", says="line 1 does not fit the format")
        self.refused("produce", "formats", "-f", "%k%v", send="x\n", says="nothing separates %k from %v")
        self.refused("consume", "formats", "-f", "%q", says="%q is no field")

    def test_keys_go_where_java_puts_them_and_the_others_where_they_are_told(self):
        self.make_topic("keyed", 3)
        rows = self.json_lines("produce", "keyed", "-f", "%k:%v", send="".join(f"key-{i}:x\n" for i in range(6)))
        self.assertGreater(len({row["partition"] for row in rows}), 1)
        again = self.json_lines("produce", "keyed", "--key", "key-3", send="y\n")
        by_key = {row["key"]: row["partition"] for row in self.json_lines("consume", "keyed", "--offset", "start", "-e")}
        self.assertEqual(by_key["key-3"], again[0]["partition"])
        self.assertEqual(2, self.json_lines("produce", "keyed", "-p", 2, send="z\n")[0]["partition"])
        self.refused("produce", "keyed", "-p", 9, send="z\n", says="has no partition 9")

    def test_offsets_to_start_at(self):
        self.make_topic("from")
        self.millrace("produce", "from", "-f", "%T %v", "-q", send="".join(f"{1_700_000_000_000 + i} {i}\n" for i in range(10)))
        for offset, expected in (("start", 0), ("7", 7), ("-2", 8), ("@1700000000005", 5), ("-99", 0)):
            with self.subTest(offset=offset):
                self.assertEqual("".join(f"{i}\n" for i in range(expected, 10)),
                                 self.millrace("consume", "from", "--offset", offset, "-e"))
        self.assertEqual("", self.millrace("consume", "from", "-e"))
        self.assertEqual("", self.millrace("consume", "from", "--offset", "@2100-01-01", "-e"))
        self.assertEqual("0\n1\n2\n", self.millrace("consume", "from", "--offset", "start", "--num", 3))
        self.refused("consume", "from", "--offset", "99", "-p", 0, says="from-0 has no offset 99")
        self.refused("consume", "from", "--offset", "soon", says="'soon' is no offset")
        self.refused("consume", "absent", says="it does not exist")

    def test_several_topics_and_many_records(self):
        sent = [f"{i}" for i in range(30_000)]
        self.make_topic("many", 4)
        self.make_topic("few")
        self.millrace("produce", "many", "-q", send="\n".join(sent) + "\n")
        self.millrace("produce", "few", "-q", send="last\n")
        read = self.millrace("consume", "many", "few", "--offset", "start", "-e").splitlines()
        self.assertEqual(sorted([*sent, "last"]), sorted(read))

    def test_acks_and_a_record_that_is_too_large(self):
        self.make_topic("acks", 1, "-c", "max.message.bytes=1000")
        self.assertEqual("acks  0  0\n", self.millrace("produce", "acks", "--acks", "1", send="x\n"))
        self.assertEqual("acks  0  -1\n", self.millrace("produce", "acks", "--acks", "0", send="x\n"))
        self.millrace("produce", "acks", send="small\n" + "x" * 5000 + "\nsmall\n", expect=1)
        self.assertIn("cannot produce record 2 to topic 'acks'", self.said)
        self.assertIn("max.message.bytes", self.said)
        self.assertIn("1 of 3 records were not produced", self.said)
        self.assertEqual("small\nsmall\n", self.millrace("consume", "acks", "--offset", "2", "-p", 0, "-e"))

    # group

    def test_a_group_goes_on_where_it_committed_and_shows_its_lag(self):
        self.make_topic("shared", 2)
        for partition in (0, 1):
            self.millrace("produce", "shared", "-p", partition, "-q", send="".join(f"{partition}-{i}\n" for i in range(5)))
        read = self.millrace("consume", "shared", "--group", "readers", "--until-end").splitlines()
        self.assertEqual(10, len(read))
        self.assertEqual("", self.millrace("consume", "shared", "--group", "readers", "--until-end"))
        self.millrace("produce", "shared", "-p", 1, "-q", send="new\n")
        [group] = self.json("group", "describe", "readers")
        self.assertEqual(("Empty", 1), (group["state"], group["total_lag"]))
        self.assertEqual([(0, 5, 5, 0), (1, 5, 6, 1)], [(p["partition"], p["committed"], p["end_offset"], p["lag"])
                                                       for p in group["partitions"]])
        self.assertRegex(self.millrace("group", "describe", "readers"), r"(?m)^shared +1 +5 +6 +1 +-$")
        self.assertEqual("new\n", self.millrace("consume", "shared", "-g", "readers", "-n", 1))
        self.assertIn("readers", [each["group"] for each in self.json("group", "list")])
        self.assertRegex(self.millrace("group", "list"), r"(?m)^readers +\w+")

    def test_a_group_of_the_consumer_protocol_goes_on_where_it_committed(self):
        self.make_topic("modern", 2)
        member = ("consume", "modern", "-g", "moderns", "--group-protocol", "consumer")
        for partition in (0, 1):
            self.millrace("produce", "modern", "-p", partition, "-q", send="".join(f"{partition}-{i}\n" for i in range(5)))
        self.assertEqual(10, len(self.millrace(*member, "--until-end").splitlines()))
        [group] = self.json("group", "describe", "moderns")
        self.assertEqual(("Empty", 0), (group["state"], group["total_lag"]))
        for i in range(3):  # a static member comes back under its name as soon as it has left for a while
            self.millrace("produce", "modern", "-p", i % 2, "-q", send=f"new{i}\n")
            self.assertEqual(f"new{i}\n", self.millrace(*member, "--instance-id", "i", "--assignor", "range", "-n", 1))
        for words, says in (((*member, "--assignor", "roundrobin"), "--assignor roundrobin is none of the consumer protocol"),
                            (("consume", "modern", "-g", "moderns", "--assignor", "uniform"), "--assignor uniform is none of the classic protocol")):
            self.millrace(*words, expect=2)
            self.assertIn(says, self.said)

    def test_reset_offsets_shows_first_and_moves_with_execute(self):
        self.make_topic("moved")
        self.millrace("produce", "moved", "-f", "%T %v", "-q", send="".join(f"{1000 + i} {i}\n" for i in range(10)))
        self.millrace("consume", "moved", "-g", "movers", "-e")
        for to, expected in (("start", 0), ("4", 4), ("-3", 7), ("+5", 10), ("@1006", 6), ("end", 10), ("current", 10)):
            with self.subTest(to=to):
                [row] = self.json("group", "reset-offsets", "movers", "--topic", "moved", "--to", to)
                self.assertEqual((10, expected, False), (row["committed"], row["new_offset"], row["done"]))
                self.assertIn("--execute", self.said)
        self.millrace("group", "reset-offsets", "movers", "--to", "8", "--execute")
        self.assertEqual("8\n9\n", self.millrace("consume", "moved", "-g", "movers", "-e"))
        self.refused("group", "reset-offsets", "nobody", "--to", "start", says="group 'nobody' has committed nothing")
        self.refused("group", "reset-offsets", "movers", "--to", "soon", says="'soon' is no offset")
        self.millrace("group", "reset-offsets", "movers", expect=2)

    def test_group_offsets_delete_and_group_delete(self):
        self.make_topic("left")
        self.millrace("produce", "left", "-q", send="x\n")
        self.millrace("consume", "left", "-g", "leavers", "-e")
        [row] = self.json("group", "offsets", "delete", "leavers", "--topic", "left")
        self.assertEqual(("left", 0, "deleted"), (row["topic"], row["partition"], row["result"]))
        self.assertEqual("x\n", self.millrace("consume", "left", "-g", "leavers", "-e"))
        self.millrace("group", "delete", "leavers")
        self.refused("group", "describe", "leavers", says="cannot describe group 'leavers': there is no such group")
        self.refused("group", "delete", "leavers", says="cannot delete group 'leavers'")

    # config and cluster

    def test_config_of_a_topic(self):
        self.make_topic("set")
        self.millrace("config", "alter", "topic", "set", "--set", "retention.ms=5000", "--set", "cleanup.policy=compact")
        changed = {row["name"]: (row["value"], row["source"]) for row in self.json("config", "describe", "topic", "set")
                   if row["source"] == "topic"}
        self.assertEqual({"retention.ms": ("5000", "topic"), "cleanup.policy": ("compact", "topic")}, changed)
        self.millrace("config", "alter", "topic", "set", "--append", "cleanup.policy=delete", "--delete", "retention.ms")
        self.assertRegex(self.millrace("config", "describe", "topic", "set"), r"(?m)^cleanup.policy +compact,delete +topic$")
        self.millrace("config", "alter", "topic", "set", "--subtract", "cleanup.policy=compact")
        [row] = self.json("config", "describe", "topic", "set", "-k", "cleanup.policy")
        self.assertEqual("delete", row["value"])
        self.assertGreater(len(self.json("config", "describe", "topic", "set", "--all")), 20)
        self.millrace("config", "alter", "topic", "set", "--set", "retention.ms=9", "--dry-run")
        [row] = self.json("config", "describe", "topic", "set", "-k", "retention.ms")
        self.assertNotEqual("9", row["value"])
        self.refused("config", "alter", "topic", "set", "--set", "no.such=1", says="cannot alter the configs of topic 'set'")
        self.refused("config", "alter", "topic", "set", "--set", "retention.ms=soon", says="retention.ms")
        self.refused("config", "describe", "topic", "absent", says="cannot describe the configs of topic 'absent'")

    def test_config_of_a_broker(self):
        values = {row["name"]: row for row in self.json("config", "describe", "broker", 1)}
        self.assertEqual("1", values["node.id"]["value"])
        self.refused("config", "describe", "broker", 77, says="there is no broker 77")
        self.millrace("config", "describe", "planet", 1, expect=2)
        self.millrace("config", "alter", "broker", 1, expect=2)

    def test_cluster(self):
        cluster = self.json("cluster", "describe")
        [broker] = cluster["brokers"]
        self.assertEqual((1, self.address), (broker["id"], f"{broker['host']}:{broker['port']}"))
        self.assertIn("metadata.version", [each["feature"] for each in cluster["features"]])
        self.assertIn("Fetch", [each["api"] for each in cluster["versions"]])
        self.assertIn(cluster["cluster_id"], self.millrace("cluster", "describe", "--versions"))
        self.make_topic("sized")
        self.millrace("produce", "sized", "-q", send="x\n")
        [directory] = self.json("cluster", "log-dirs", "--topic", "sized")
        self.assertEqual(["sized"], [each["topic"] for each in directory["partitions"]])
        self.assertGreater(directory["size"], 60)
        self.assertRegex(self.millrace("cluster", "log-dirs", "--partitions", "--topic", "sized"), r"(?m)^1 .* sized +0 +\d+$")
        self.refused("cluster", "log-dirs", "--topic", "absent", says="it does not exist")
