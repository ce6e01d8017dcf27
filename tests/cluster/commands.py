"""What millrace's commands about clusters do: run against our nodes (commands_test.py) and Apache Kafka's (interop)."""

import json
import os
import subprocess

from support.broker import BINARY
from support.cluster import BOTH, CONTROLLER, Plan, combined


class Commands:
    """Mixed into a ClusterTest that has `kind`, the kind of its nodes."""

    def millrace(self, *arguments, expect=0, seconds=90):
        """Its standard output; what it says on standard error is in self.said."""
        ended = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
                               env={**os.environ, "MILLRACE_BOOTSTRAP": self.nodes.bootstrap})
        self.said = ended.stderr
        self.assertEqual(expect, ended.returncode, f"{arguments}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def json(self, *arguments, **options):
        return json.loads(self.millrace(*arguments, "-o", "json", **options))

    def carried(self):
        return {row["id"]: row["replicas"] for row in self.json("cluster", "nodes")}

    def first_partition_of(self, name):
        [topic] = self.json("topic", "describe", name)
        return topic["partitions"][0]

    def third_leads_all(self):
        """As far as the broker that answers has heard."""
        first = self.first_partition_of("t")
        return (3, [3, 1, 2], {1, 2, 3}, []) == (first["leader"], first["replicas"], set(first["isr"]), first["elr"])

    def settles(self, carried):
        """The broker that answers may still have to hear of what the controller has done."""
        self.wait_for(lambda: self.carried() == carried, 30, lambda: f"{carried} != {self.carried()}")

    def test_the_doctor_names_what_is_configured_wrong(self):
        self.nodes = self.cluster(combined(3, self.kind)).start()
        for name, *options in (("alone", "-r", 1), ("tight", "-r", 3, "-c", "min.insync.replicas=3"), ("loose", "-r", 3, "-c", "min.insync.replicas=1"),
                               ("unclean", "-r", 3, "-c", "unclean.leader.election.enable=true", "-c", "min.insync.replicas=2")):
            self.millrace("topic", "create", name, *options)
        wanted = {"one-replica": "alone", "no-spare": "tight", "acknowledged-by-one": "loose", "unclean": "unclean"}
        found = {}

        def is_found():   # the broker that is asked hears of topics a moment later
            found.update((each["check"], each["problem"]) for each in self.json("doctor", expect=1))
            return wanted.keys() <= found.keys()
        self.wait_for(is_found, 30, lambda: found)
        for check, topic in wanted.items():
            self.assertIn(f": {topic}. ", found[check])
        self.assertFalse({"unreachable", "loopback", "own-topics", "one-controller", "even-voters"} & set(found), found)
        self.assertIn("should be mended", self.said)

    def test_leaders_and_replicas(self):
        self.nodes = self.cluster(combined(3, self.kind)).start()
        self.millrace("topic", "create", "t", "-p", 6, "-r", 2)
        self.settles({1: 4, 2: 4, 3: 4})
        status = self.json("cluster", "status")
        self.assertEqual((self.nodes.id, 3, 3, 3, 6, 0, []), tuple(status[key] for key in (
            "cluster_id", "voters", "brokers", "brokers_alive", "partitions", "under_replicated", "problems")))

        self.assertEqual([], self.json("cluster", "rebalance", "--dry-run"))
        planned = self.json("cluster", "rebalance", "--without", 3, "--dry-run")
        self.assertEqual({1: 4, 2: 4, 3: 4}, self.carried(), "a dry run moves nothing")
        self.assertEqual(planned, self.json("cluster", "rebalance", "--without", 3, "--wait"))
        self.settles({1: 6, 2: 6, 3: 0})
        self.json("cluster", "rebalance", "--wait")
        self.settles({1: 4, 2: 4, 3: 4})

        self.json("cluster", "reassign", "t", "--partition", 0, "--replica", 3, "--replica", 1, "--replica", 2, "--wait")
        self.wait_for(self.third_leads_all, 30, lambda: self.first_partition_of("t"))
        self.assertEqual([], self.json("cluster", "reassign", "--list"))
        self.assertEqual({"not needed"}, {row["result"] for row in self.json("cluster", "elect", "--topic", "t")})

        for words, says in ((("reassign", "t", "--replica", 9), "broker 9"), (("reassign", "t", "--cancel"), "cannot reassign t-0"),
                            (("elect", "--topic", "none"), "it does not exist"),
                            (("rebalance", "--without", 1, "--without", 2), "t-0 has 3 replicas and 1 brokers are left")):
            self.millrace("cluster", *words, expect=1)
            self.assertIn(says, self.said)
            self.assertIn("Try: ", self.said)
        for words in (("reassign", "t"), ("reassign", "--cancel"), ("elect", "--unclean"), ("elect", "--partition", 1)):
            self.millrace("cluster", *words, expect=2)

    def test_a_node_that_is_down_is_told_with_what_to_do(self):
        self.nodes = self.cluster(combined(3, self.kind)).start()
        self.millrace("topic", "create", "t", "-r", 3, "-c", "min.insync.replicas=3")
        down = next(row["id"] for row in self.json("cluster", "nodes") if not row["active_controller"])
        self.nodes.nodes[down].kill()
        with self.nodes.client() as client:
            self.wait_for(lambda: down not in client.in_sync("t"), 60)
        status = self.json("cluster", "status", expect=1)
        self.assertEqual((2, 1, 1), (status["brokers_alive"], status["under_replicated"], status["under_min_isr"]))
        self.assertIn(f"node {down} is fenced", [row["problem"] for row in status["problems"]])
        self.assertIn("the cluster has 3 problems", self.said)
        self.assertEqual([down], self.first_partition_of("t")["elr"])

    def test_who_votes(self):
        plans = [Plan(1, BOTH, self.kind), Plan(2, CONTROLLER, self.kind)]
        self.nodes = self.cluster(plans, quorum="standalone").start()
        self.assertEqual({1: "leader", 2: "observer"}, self.roles())
        self.wait_for(self.second_votes, 60, lambda: f"node 2 does not vote: {self.said}")
        self.assertEqual({1: "leader", 2: "voter"}, self.roles())
        self.millrace("cluster", "remove-voter", "--id", 7, expect=1)
        self.assertIn("node 7 is no voter", self.said)
        self.millrace("cluster", "remove-voter", "--id", 2)
        self.wait_for(lambda: self.roles() == {1: "leader", 2: "observer"})
        self.millrace("cluster", "add-voter", "-c", "no-such-file", expect=1)
        self.assertIn("no-such-file", self.said)

    def roles(self):
        return {row["id"]: row["role"] for row in self.json("cluster", "quorum")["replicas"]}

    def second_votes(self):
        """A controller that has not caught up yet is refused, so this is tried until it is not."""
        ended = subprocess.run([BINARY, "cluster", "add-voter", "-c", self.nodes.nodes[2].file], capture_output=True, text=True, timeout=60,
                               env={**os.environ, "MILLRACE_BOOTSTRAP": self.nodes.bootstrap})
        self.said = ended.stderr
        return ended.returncode == 0
