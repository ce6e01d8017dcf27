"""Share groups (KIP-932) over the wire: who is given which record, what becomes of it by what is said of it, and after the broker was killed."""

import json
import subprocess

from support.broker import BINARY, BrokerTest
from support.protocol import Asker
from support.share import ACCEPT, RECORD_LIMIT, REJECT, RELEASE, ShareMember
from support.waiting import eventually

PROPERTIES = {"group.share.session.timeout.ms": "3000", "group.share.min.session.timeout.ms": "1000", "group.share.assignment.interval.ms": "0",
              "group.share.heartbeat.interval.ms": "500", "group.share.min.heartbeat.interval.ms": "100",
              "share.coordinator.state.topic.num.partitions": "2", "offsets.topic.num.partitions": "2"}
GROUP = 32   # a config resource


class ShareGroups(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES).start()
        self.connect()
        self.asker.create_topic("t", 1)
        self.assertEqual("NONE", self.asker.alter(GROUP, "s", ("share.auto.offset.reset", 0, "earliest"))[0])

    def connect(self):
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)
        self.assertTrue(eventually(lambda: self.asker.find_coordinator("s") == 0))

    def member(self):
        return ShareMember(self.asker, "s", "t").join()

    def produce(self, *values):
        self.millrace("produce", "t", "-q", send="".join(f"{value}\n" for value in values))

    def millrace(self, *arguments, send="", expect=0):
        ended = subprocess.run([BINARY, *map(str, arguments), "-b", self.node.address], input=send, capture_output=True, text=True, timeout=60)
        self.assertEqual(expect, ended.returncode, ended.stdout + ended.stderr)
        return ended.stdout if expect == 0 else ended.stderr

    def group(self):
        [group] = json.loads(self.millrace("group", "describe", "s", "-o", "json"))
        return group

    def test_each_record_is_given_to_one_member_until_somebody_is_done_with_it(self):
        a, b = self.member(), self.member()
        self.produce(*range(10))
        self.assertEqual(([b"0", b"1", b"2", b"3"], [(0, 3, 1)]), a.fetch(most=4, mode=RECORD_LIMIT))
        self.assertEqual([(4, 9, 1)], b.fetch()[1])
        self.assertEqual(["INVALID_RECORD_STATE"], a.say((4, 4, ACCEPT)))
        self.assertEqual(["NONE"], a.say((0, 1, ACCEPT), (2, 2, RELEASE), (3, 3, REJECT)))
        self.assertEqual(([b"2"], [(2, 2, 2)]), b.fetch())
        self.assertEqual(([], []), a.fetch(wait_ms=0))

    def test_what_was_accepted_stays_so_when_the_broker_is_killed_and_the_rest_is_given_again(self):
        a = self.member()
        self.produce(*range(6))
        a.fetch()
        self.assertEqual(["NONE"], a.say((1, 2, ACCEPT), (4, 4, REJECT)))
        self.node.kill()
        self.node.start()
        self.connect()
        values, acquired = self.member().fetch(wait_ms=5000)
        self.assertEqual([b"0", b"3", b"5"], values)
        self.assertEqual([(0, 0), (3, 3), (5, 5)], [(first, last) for first, last, _ in acquired])

    def test_a_member_that_falls_silent_gives_its_records_back(self):
        a, b = self.member(), self.member()
        self.produce("x")
        self.assertEqual([(0, 0, 1)], a.fetch()[1])
        b.fetch(wait_ms=0)
        self.assertTrue(eventually(lambda: b.beat() == "NONE" and len(self.group()["members"]) == 1))
        self.assertEqual("UNKNOWN_MEMBER_ID", a.beat())
        a.close()
        self.assertEqual([(0, 0, 2)], b.fetch(wait_ms=5000)[1])

    def test_an_id_that_no_record_could_have_costs_the_connection(self):
        with Asker(self.node.address) as stranger, self.assertRaises(OSError):
            stranger.ask("ShareGroupHeartbeat", 1, GroupId="s", MemberId="m" * 40000, MemberEpoch=0, SubscribedTopicNames=["t"])
        with Asker(self.node.address) as stranger, self.assertRaises(OSError):
            stranger.ask("ShareGroupHeartbeat", 1, GroupId="s" * 65537, MemberId="m", MemberEpoch=0, SubscribedTopicNames=["t"])
        self.member()

    def test_the_command_shows_moves_and_forgets_it(self):
        a = self.member()
        self.produce(*range(4))
        a.fetch()
        self.assertEqual(["NONE"], a.say((0, 0, ACCEPT), (2, 2, ACCEPT)))
        group = self.group()
        self.assertEqual(("share", "Stable", "simple", 1), (group["type"], group["state"], group["assignor"], len(group["members"])))
        self.assertEqual([("t", 0, 0, 4, 2, a.id)],
                         [tuple(p[name] for name in ("topic", "partition", "committed", "end_offset", "lag", "member_id")) for p in group["partitions"]])
        self.assertIn("The group is not empty", self.millrace("group", "reset-offsets", "s", "--to", "start", "--execute", expect=1))
        a.leave()
        self.millrace("group", "reset-offsets", "s", "--to", "3", "--execute")
        self.assertEqual([(3, 1)], [(p["committed"], p["lag"]) for p in self.group()["partitions"]])
        b = self.member()
        self.assertEqual([b"3"], b.fetch(wait_ms=5000)[0])
        self.assertIn("a share group forgets a whole topic", self.millrace("group", "offsets", "delete", "s", "--topic", "t", "-p", 0, expect=1))
        b.leave()
        self.millrace("group", "offsets", "delete", "s", "--topic", "t")
        self.assertEqual([], self.group()["partitions"])
        self.millrace("group", "delete", "s")
        self.assertIn("there is no such group", self.millrace("group", "describe", "s", expect=1))
