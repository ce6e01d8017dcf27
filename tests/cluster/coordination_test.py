"""Controllers and group coordinators that die: another one takes over with all that was promised."""

import json
import signal
import subprocess
import unittest

from cluster.basics import KINDS, ThreeNodes, kind_of
from support.broker import BINARY
from support.cluster import MILLRACE, separate


class Controllers(ThreeNodes):
    def test_another_controller_takes_over_and_knows_everything(self):
        cluster = self.start_three()
        with cluster.client() as client:
            for round in range(3):
                client.create_topic(f"before-{round}", 2, 3)
                active = cluster.quorum_leader()
                active.kill()
                self.wait_for(lambda: cluster.quorum_leader().id != active.id)
                client.create_topic(f"after-{round}", 1, 2)
                active.start()
                cluster.wait_until_ready()
            topics = {each["Name"] for each in client.ask("Metadata", 12, Topics=None)["Topics"]}
            self.assertLessEqual({f"{when}-{round}" for when in ("before", "after") for round in range(3)}, topics)

    def test_without_a_majority_nothing_changes_and_with_it_again_all_goes_on(self):
        cluster = self.start_three()
        with cluster.client(seconds=5) as client:
            client.create_topic("t", 1, 3, {"min.insync.replicas": 1})
            survivor = client.leader("t")
            others = [node for node in cluster.nodes.values() if node.id != survivor]
            for node in others:
                node.kill()
            try:
                answer = client.ask_at(cluster.nodes[survivor].address, "CreateTopics", 7, timeoutMs=2000,
                                       Topics=[{"Name": "u", "NumPartitions": 1, "ReplicationFactor": 1}])
                self.assertNotEqual(0, answer["Topics"][0]["ErrorCode"])
            except OSError:
                pass
            for node in others:
                node.launch()
            for node in others:
                node.wait_until_started()
            cluster.wait_until_ready()
            client.create_topic("v", 1, 3)
            client.write("t", [b"again"])

    @unittest.skipUnless(KINDS == [MILLRACE], "asks millrace's command and logs")
    def test_who_is_missing_is_told_when_the_majority_is_lost(self):
        cluster = self.start_three()
        survivor = cluster.quorum_leader()   # finds out within its fetch timeout, and resigns: it asks its bootstrap servers, too
        others = [node for node in cluster.nodes.values() if node is not survivor]
        for node in others:
            node.kill()
        self.wait_for(lambda: "has had no leader" in survivor.log())
        status = self.wait_for(lambda: self.failed_status(survivor.address))
        self.assertIn("no controller is active", status.stderr)
        self.assertIn("of its voters 1, 2, 3 a majority has to run", status.stderr)
        for node in others:
            said = rf"node {node.id} has not answered for \d+ s \(.*\) at {node.controller_address}"
            self.assertRegex(status.stderr, said)
            self.assertRegex(survivor.log(), said)
            self.assertEqual(status.stderr.count(f" at {node.controller_address}"), 1)
        for node in others:
            node.start()
        self.wait_for(lambda: "leads again" in survivor.log())

    @staticmethod
    def failed_status(address):
        status = subprocess.run([BINARY, "cluster", "status", "-b", address], capture_output=True, text=True, timeout=60)
        return status if status.returncode else None

    def test_brokers_alone_and_controllers_alone(self):
        cluster = self.cluster_ = self.cluster(separate(3, 2, kind_of(0), kind_of(1))).start()
        with cluster.client() as client:
            client.create_topic("t", 2, 2, {"min.insync.replicas": 2})
            client.write("t", [b"one"], 0)
            self.assertIn(cluster.quorum_leader().id, (101, 102, 103))
            cluster.quorum_leader().kill()
            client.create_topic("u", 1, 2)
            client.write("t", [b"two"], 1)
            self.assert_values([b"one"], client, "t", 0)

    def test_a_static_quorum(self):
        cluster = self.start_three(quorum="static")
        with cluster.client() as client:
            client.create_topic("t", 1, 3)
            active = cluster.quorum_leader()
            active.kill()
            client.write("t", [b"one"])
            client.create_topic("u", 1, 2)
            active.start()
            cluster.wait_until_ready()


class Groups(ThreeNodes):
    def test_a_groups_offsets_move_with_its_coordinator(self):
        cluster = self.start_three()
        with cluster.client() as client:
            client.create_topic("t", 1, 3, {"min.insync.replicas": 2})
            client.write("t", [b"a", b"b", b"c"])
            for round in range(3):
                client.commit("readers", "t", 0, round + 1)
                self.wait_for(lambda: client.is_whole("__consumer_offsets"), 60)
                coordinator = cluster.nodes[client.coordinator("readers")]
                coordinator.kill()
                self.assert_committed(round + 1, client, "readers", "t")
                self.assertNotEqual(coordinator.id, client.coordinator("readers"))
                coordinator.start()
                cluster.wait_until_ready()

    def test_a_broker_that_is_not_the_coordinator_says_so_of_every_partition(self):
        """OffsetFetch has a field for the error of the whole group from version 2 on; without it silence would mean that nothing is committed."""
        cluster = self.start_three()
        with cluster.client() as client:
            client.create_topic("t", 2, 3)
            client.commit("g", "t", 0, 5)
            coordinator = client.coordinator("g")
            for node in cluster.nodes.values():
                if node.id == coordinator:
                    continue
                group = {"GroupId": "g", "Topics": [{"Name": "t", "PartitionIndexes": [0, 1]}]}
                for version in (1, 2, 7):
                    answer = client.ask_at(node.address, "OffsetFetch", version, **group)
                    told = [each["ErrorCode"] for topic in answer["Topics"] for each in topic["Partitions"]]
                    self.assertEqual(([16, 16] if version < 2 else [], answer.get("ErrorCode", 16)), (told, 16), f"version {version}")

    def test_members_stay_in_their_generation_when_the_coordinator_moves(self):
        cluster = self.start_three()
        with cluster.client() as client:
            client.create_topic("t", 1, 3, {"min.insync.replicas": 2})
            join = client.at_coordinator("g", lambda c: c.join_group("g", ""))
            error, generation, leader, member, _ = join
            self.assertEqual(0, error)
            self.assertEqual(leader, member)
            self.assertEqual((0, b"mine"), client.at_coordinator("g", lambda c: c.sync_group("g", generation, member, {member: b"mine"})))
            client.at_coordinator("g", lambda c: (c.commit_offset("g", generation, member, "t", 0, 7),))
            self.wait_for(lambda: client.is_whole("__consumer_offsets"), 60)
            coordinator = cluster.nodes[client.coordinator("g")]
            coordinator.kill()
            error, = client.at_coordinator("g", lambda c: (c.heartbeat("g", generation, member),))
            self.assertEqual(0, error)
            self.assert_committed(7, client, "g", "t")
            error, = client.at_coordinator("g", lambda c: (c.commit_offset("g", generation, member, "t", 0, 8),))
            self.assertEqual(0, error)
            self.assert_committed(8, client, "g", "t")

    def test_our_members_of_the_consumer_protocol_go_on_when_their_coordinator_dies(self):
        cluster = self.start_three()
        with cluster.client() as client:
            client.create_topic("t", 4, 3, {"min.insync.replicas": 2})
            members = [self.consumer("t") for _ in range(2)]
            self.wait_for(lambda: self.shares() == [2, 2], message=lambda: f"the shares are {self.shares()}")
            expected = self.write_to_all(client, 4, "before")
            self.wait_for(lambda: client.is_whole("__consumer_offsets"), 60)
            coordinator = cluster.nodes[client.coordinator("g")]
            coordinator.kill()
            expected += self.write_to_all(client, 4, "meanwhile")
            self.wait_for(lambda: self.shares() == [2, 2], message=lambda: f"the shares are {self.shares()}")
            self.wait_for(lambda: self.group()["total_lag"] == 0)
            coordinator.start()
            cluster.wait_until_ready()
            expected += self.write_to_all(client, 4, "after")
            self.wait_for(lambda: self.group()["total_lag"] == 0)
            for member in members:
                member.send_signal(signal.SIGTERM)
            read = [line for member in members for line in member.communicate(timeout=20)[0].split()]
            self.assertEqual([0, 0], [member.returncode for member in members])
            self.assertEqual(sorted(expected), sorted(read))

    def consumer(self, topic):
        member = subprocess.Popen([BINARY, "consume", topic, "-g", "g", "--group-protocol", "consumer", "-b", self.cluster_.bootstrap],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(member.stdout.close)
        self.addCleanup(member.stderr.close)
        self.addCleanup(member.wait)
        self.addCleanup(member.kill)
        return member

    def group(self):
        """As it is described; while it cannot be, nobody is in it."""
        ended = subprocess.run([BINARY, "group", "describe", "g", "-o", "json", "-b", self.cluster_.bootstrap], capture_output=True, text=True, timeout=60)
        return json.loads(ended.stdout)[0] if ended.returncode == 0 else {"members": [], "total_lag": None}

    def shares(self):
        """How many partitions each member has."""
        return sorted(len(each["partitions"]) for each in self.group()["members"])

    @staticmethod
    def write_to_all(client, partitions, name):
        for partition in range(partitions):
            client.write("t", [f"{name}-{partition}-{i}".encode() for i in range(20)], partition)
        return [f"{name}-{partition}-{i}" for partition in range(partitions) for i in range(20)]


if __name__ == "__main__":
    unittest.main()
