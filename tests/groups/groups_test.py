"""The coordinator of groups in a running broker: its timers, and what topics' deletion does to offsets."""

import signal
import struct
import time
import unittest

from support.broker import BrokerTest
from support.kafka import JOIN_GROUP, Client, blob, request, string
from support.waiting import eventually

DELETE_TOPICS, DESCRIBE_GROUPS = 20, 15


def state_of(client, group):
    answer = client.call(DESCRIBE_GROUPS, 0, struct.pack(">i", 1) + string(group))
    answer.take("ih")
    answer.string()
    return answer.string()


class Groups(BrokerTest):
    def start(self):
        node = self.broker({"group.initial.rebalance.delay.ms": "200"}).start()
        with Client(node.address) as client:
            self.assertEqual(0, client.create_topic("read", 1))
            self.assertEqual(0, client.create_topic("kept", 1))
            self.assertTrue(eventually(lambda: client.find_coordinator("g") == 0))
        return node

    def join(self, client, session_ms=6000):
        error, generation, leader, member, _ = client.join_group("g", "", session_ms=session_ms)
        self.assertEqual((0, leader), (error, member))
        self.assertEqual(0, client.sync_group("g", generation, member, {member: b"all"})[0])
        return generation, member

    def test_silent_member_is_removed_though_nobody_asks(self):
        node = self.start()
        with Client(node.address) as client:
            self.join(client)
            self.assertEqual("Stable", state_of(client, "g"))
        time.sleep(7)
        with Client(node.address) as client:
            self.assertEqual("Empty", state_of(client, "g"))

    def test_member_goes_on_after_a_restart_and_is_removed_when_silent(self):
        node = self.start()
        with Client(node.address) as client:
            generation, member = self.join(client)
        node.kill()
        node.start()
        with Client(node.address) as client:
            # Until its log is read again: COORDINATOR_LOAD_IN_PROGRESS, and to a heartbeat NONE.
            self.assertTrue(eventually(lambda: state_of(client, "g") == "Stable"))
            self.assertEqual(0, client.heartbeat("g", generation, member))
            self.assertTrue(eventually(lambda: state_of(client, "g") == "Empty"))

    def test_a_join_that_waits_does_not_hold_up_a_stop_and_a_second_signal_ends_at_once(self):
        node = self.broker({"group.initial.rebalance.delay.ms": "60000"}).start()
        for signals, status, says in ((1, 0, "stopped"), (2, 1, "a second signal stops at once")):
            if signals == 2:
                node.start()
            with Client(node.address) as client, Client(node.address) as other:
                self.assertTrue(eventually(lambda: client.find_coordinator("g") == 0))
                client.send_raw(request(JOIN_GROUP, 2, string("g") + struct.pack(">ii", 60000, 60000) + string("") + string("consumer")
                                        + struct.pack(">i", 1) + string("range") + blob(b"")))
                self.assertTrue(eventually(lambda: state_of(other, "g") == "PreparingRebalance"))
                begun = time.monotonic()
                node.process.send_signal(signal.SIGTERM)
                if signals == 2:  # at once: a join that waits is answered NOT_COORDINATOR, and then nothing holds up the stop
                    self.assertTrue(eventually(lambda: node.log().count("stopping") == signals, pause=0.0005))
                    node.process.send_signal(signal.SIGTERM)
                self.assertEqual(status, node.process.wait(20))
                self.assertLess(time.monotonic() - begun, 15)
                self.assertIn(says, node.log().splitlines()[-1])

    def test_offsets_of_a_deleted_topic_are_gone_for_good(self):
        node = self.start()
        with Client(node.address) as client:
            generation, member = self.join(client)
            for topic in ("read", "kept"):
                self.assertEqual(0, client.commit_offset("g", generation, member, topic, 0, 5))
            client.call(DELETE_TOPICS, 1, struct.pack(">i", 1) + string("read") + struct.pack(">i", 10000))
            for restart in range(2):
                with Client(node.address) as again:
                    self.assertTrue(eventually(lambda: state_of(again, "g")))  # its coordinator is loaded
                    self.assertEqual((0, -1), again.committed_offset("g", "read", 0))
                    self.assertEqual((0, 5), again.committed_offset("g", "kept", 0))
                node.kill()
                node.start()


if __name__ == "__main__":
    unittest.main()
