"""Nodes that do not belong where they are started: a clear word each, and the cluster that they come to stays as it is."""

import subprocess
import unittest

from support.broker import BINARY
from support.cluster import BROKER, CONTROLLER, ClusterTest, Plan, new_id, separate

JOINS = "--no-initial-controllers"


class Strangers(ClusterTest):
    """A controller, 101, and a broker, 1, that must not notice anything."""

    def setUp(self):
        super().setUp()
        self.whole = self.cluster(separate(1, 1)).start()
        self.client = self.whole.client()
        self.addCleanup(self.client.__exit__)
        self.client.create_topic("t")
        self.client.write("t", [b"before"])
        self.before = self.state()

    def state(self):
        brokers = [(each["BrokerId"], each["Port"]) for each in self.client.describe(fenced=True)["Brokers"]]
        voters = [each["ReplicaId"] for each in self.client.quorum()["CurrentVoters"]]
        return brokers, voters, self.client.partitions("t")["t", 0]["LeaderEpoch"]

    def assert_untouched(self):
        self.assertEqual(self.before, self.state())
        self.assertEqual(1, self.client.write("t", [b"after"]))

    def stranger(self, plan, cluster_id=None, **properties):
        """Formatted, not started; `_` stands for a dot."""
        node = self.whole.add(plan)
        node.extra = {name.replace("_", "."): value for name, value in properties.items()}
        own, self.whole.id = self.whole.id, cluster_id or self.whole.id
        node.format(JOINS)
        self.whole.id = own
        return node

    def assert_says(self, node, *texts):
        """While it runs, or why it ended; it never gets ready."""
        node.launch()
        self.wait_for(lambda: all(text in node.log() for text in texts), 30, lambda: node.log()[-3000:])
        self.assertNotIn("Kafka Server started", node.log())
        node.kill()
        del self.whole.nodes[node.id]
        self.assert_untouched()

    def test_a_broker_of_another_cluster_is_told_so(self):
        self.assert_says(self.stranger(Plan(2, BROKER), new_id()), "WARN quorum: bootstrap server ", "it belongs to another cluster")

    def test_a_controller_of_another_cluster_is_told_so(self):
        self.assert_says(self.stranger(Plan(102, CONTROLLER), new_id()), "INCONSISTENT_CLUSTER_ID")

    def test_a_second_broker_with_one_id_is_refused(self):
        self.assert_says(self.stranger(Plan(2, BROKER), node_id=1), "DUPLICATE_BROKER_REGISTRATION", "node.id=1")

    def test_the_directory_of_another_node_is_named_with_both_ids(self):
        node = self.stranger(Plan(2, BROKER))
        node.extra = {"node.id": 1}
        self.assert_says(node, str(node.data), "belongs to node 2", "node.id=1", "Mend node.id")

    def test_a_bootstrap_controller_that_does_not_answer_is_named(self):
        self.assert_says(self.stranger(Plan(2, BROKER), controller_quorum_bootstrap_servers="127.0.0.1:1"), "127.0.0.1:1", "Connection refused")

    def test_a_node_without_a_cluster_is_told_how_it_gets_one(self):
        node = self.whole.add(Plan(2, BROKER))
        self.assert_says(node, str(node.data), "is not formatted", "millrace format --cluster-id")

    def test_a_controller_that_nobody_gave_a_vote_follows_without_one(self):
        node = self.stranger(Plan(102, CONTROLLER))
        node.launch()
        self.wait_for(lambda: any(each["ReplicaId"] == node.id for each in self.client.quorum()["Observers"]), 30)
        node.kill()
        self.assert_untouched()


class Format(ClusterTest):
    """What `millrace format` refuses; nothing is written then."""

    def refusal(self, *arguments, **properties):
        folder = self.folder / "refused"
        values = {"process.roles": "controller", "node.id": 3, "controller.listener.names": "CONTROLLER", "listeners": "CONTROLLER://127.0.0.1:9093",
                  "listener.security.protocol.map": "CONTROLLER:PLAINTEXT", "log.dirs": folder,
                  "controller.quorum.bootstrap.servers": "127.0.0.1:9093"}
        values |= {name.replace("_", "."): value for name, value in properties.items()}
        file = self.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items() if value))
        ended = subprocess.run([BINARY, "format", "-t", new_id(), "-c", file, *arguments], capture_output=True, text=True, timeout=30)
        self.assertEqual(1, ended.returncode, ended.stdout)
        self.assertFalse(folder.exists(), list(folder.glob("*")) if folder.exists() else "")
        return ended.stderr

    def test_a_level_that_no_feature_has_is_named_with_those_that_are(self):
        self.assertIn("metadata.version with feature level 99: 7 to 30", self.refusal("--standalone", "--feature", "metadata.version=99"))
        self.assertIn("kraft.version with feature level 7: 0 to 1", self.refusal("--standalone", "--feature", "kraft.version=7"))
        self.assertIn("Unsupported feature: no.such", self.refusal("--standalone", "--feature", "no.such=1"))
        self.assertIn("Unknown release '9.9'", self.refusal("--standalone", "--release-version", "9.9"))

    def test_a_node_that_is_not_among_its_own_voters_is_named(self):
        said = self.refusal(controller_quorum_bootstrap_servers="", controller_quorum_voters="12@127.0.0.1:9093")
        self.assertIn("the node id 3 must be included in the set of voters", said)

    def test_a_voter_without_a_directory_id_is_named(self):
        self.assertIn("3@127.0.0.1:1", self.refusal("--initial-controllers", "3@127.0.0.1:1"))


if __name__ == "__main__":
    unittest.main()
