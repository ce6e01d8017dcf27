"""kafka-reassign-partitions on three brokers with two log directories each, beside Apache Kafka's."""

import json
import re
import tempfile
import time
import unittest
from pathlib import Path

from scripts.comparing import OWN, ScriptsTest, plain
from support.cluster import Cluster, combined

B = ("--bootstrap-server", "{broker}")


def moves(*partitions):
    """Of (topic, partition, replicas) or (topic, partition, replicas, log_dirs)."""
    return {"version": 1, "partitions": [dict(zip(("topic", "partition", "replicas", "log_dirs"), each)) for each in partitions]}


class ReassignPartitions(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        unittest.TestCase.setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="millrace-", ignore_cleanup_errors=True)
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.node = Cluster(cls.folder, combined(3))
        cls.addClassCleanup(cls.node.kill)
        for node in cls.node.nodes.values():
            node.data = node.folder / "disk-a"
            node.extra["log.dirs"] = f"{node.data},{node.folder / 'disk-b'}"
        cls.node.format().start()
        cls.quick = cls.folder / "quick.properties"
        cls.quick.write_text("request.timeout.ms=1000\ndefault.api.timeout.ms=2000\n")
        cls.topic("still", "1:2,2:1")
        cls.topic("single", "1,2")
        for own in OWN.values():
            cls.topic(own, "1:2,2:3,3:1")
            cls.topic(f"{own}-stuck", "1,1")
            cls.topic(f"{own}-disk", "1")
            cls.write(f"{own}-move", moves((own, 0, [2, 3]), (own, 1, [3, 1, 2]), (own, 2, [3])))
            cls.write(f"{own}-else", moves((own, 0, [1, 2])))
            cls.write(f"{own}-stuck", moves((f"{own}-stuck", 0, [1, 3]), (f"{own}-stuck", 1, [1])))
        for name, partitions in (("same", moves(("single", 0, [1]))), ("more", moves(("single", 0, [1, 2]))), ("absent", moves(("absent", 0, [1]))),
                                 ("beyond", moves(("still", 7, [1, 2]))), ("next", moves(("still", 2, [1, 2]))), ("nobody", moves(("still", 0, [1, 99]))),
                                 ("twice", moves(("still", 0, [1, 2]), ("still", 0, [2, 1]))), ("again", moves(("still", 0, [1, 1]), ("still", 1, [2, 2]))),
                                 ("empty", moves()), ("without", moves(("still", 0, []))), ("sizes", moves(("still", 0, [1, 2], ["any"]))),
                                 ("text", moves(("still", "0", [1]))), ("lacking", {"partitions": [{"topic": "still", "partition": 0}]}),
                                 ("two", {"version": 2}), ("list", []), ("nowhere", moves(("single", 0, [1], ["/no/such"]))),
                                 ("topics", {"topics": [{"topic": "still"}]}), ("singles", {"topics": [{"topic": "single"}], "version": 1}),
                                 ("topic-twice", {"topics": [{"topic": "still"}, {"topic": "still"}]}), ("topic-absent", {"topics": [{"topic": "absent"}]})):
            cls.write(name, partitions)
        (cls.folder / "nothing.json").write_text("")

    @classmethod
    def topic(cls, name, assignment):
        cls.ours("topics", *B, "--create", "--topic", name, "--replica-assignment", assignment)

    @classmethod
    def write(cls, name, content):
        (cls.folder / f"{name}.json").write_text(json.dumps(content))

    def reassign(self, *words, name="", at=B, **options):
        file = ("--reassignment-json-file", f"{{folder}}/{name}.json") if name else ()
        return self.compare("reassign-partitions", *at, *words, *file, **options)

    def wait_until_moved(self):
        deadline = time.monotonic() + 60
        while "No partition reassignments found" not in self.ours("reassign-partitions", *B, "--list"):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def execute_one_after_the_other(self, *words, name):
        """Whoever adds a reassignment sets the throttles of those that are under way, too."""
        said = []
        for side in OWN:
            run = self.run_side(side, "reassign-partitions", (*B, "--execute", *words, "--reassignment-json-file", f"{{folder}}/{name}.json"))
            said.append((run.returncode, plain(run.stdout)))
            self.wait_until_moved()
        self.assertEqual(0, said[0][0], said)
        self.assertEqual(said[0], said[1])

    def generated(self, side, *words):
        run = self.run_side(side, "reassign-partitions", (*B, "--generate", *words))
        self.assertEqual((0, ""), (run.returncode, re.sub(r"(?m)^\[.*\n", "", run.stderr)))
        now, plan = re.fullmatch(r"Current partition replica assignment\n(.*)\n\nProposed partition reassignment configuration\n(.*)\n", run.stdout).groups()
        return json.loads(now), json.loads(plan)

    def test_a_plan_is_made(self):
        """Where a partition begins is drawn by lot, so replicas are compared as sets, and on as many brokers as there are replicas."""
        words = ("--topics-to-move-json-file", "{folder}/topics.json", "--broker-list", "3,1")
        theirs, ours = (self.generated(side, *words) for side in ("apache", "ours"))
        self.assertEqual(theirs[0], ours[0])
        for plan in (theirs[1], ours[1]):
            self.assertEqual(2, len({each["replicas"][0] for each in plan["partitions"]}), "they take turns in leading")
            for each in plan["partitions"]:
                each["replicas"].sort()
        self.assertEqual(theirs[1], ours[1])
        self.compare("reassign-partitions", *B, "--generate", "--topics-to-move-json-file", "{folder}/singles.json", "--broker-list", "3", "--disable-rack-aware",
                     status=0)
        for file, brokers in (("topics", "1"), ("topics", "1,x"), ("topics", "1,2,1"), ("topic-twice", "1,2"), ("topic-absent", "1,2"), ("two", "1"), ("nothing", "1"),
                              ("topics", "88")):
            with self.subTest(file=file, brokers=brokers):
                self.compare("reassign-partitions", *B, "--generate", "--topics-to-move-json-file", f"{{folder}}/{file}.json", "--broker-list", brokers, status=1)

    def test_partitions_move(self):
        self.reassign("--execute", name="same", status=0)
        self.execute_one_after_the_other("--additional", "--throttle", 50_000_000, name="{own}-move")
        self.compare("configs", *B, "--describe", "--topic", "{own}", status=0)
        self.compare("configs", *B, "--describe", "--broker", 2, status=0)
        self.reassign("--verify", "--preserve-throttles", name="{own}-move", status=0)
        self.reassign("--verify", name="{own}-else", status=0)
        self.compare("configs", *B, "--describe", "--topic", "{own}", status=0)
        self.reassign("--cancel", name="{own}-move", status=0)

    def test_replicas_move_between_directories(self):
        for own in OWN.values():
            described = self.ours("log-dirs", *B, "--describe", "--topic-list", f"{own}-disk", "--broker-list", 1)
            at = next(each["logDir"] for each in json.loads(described.splitlines()[-1])["brokers"][0]["logDirs"] if each["partitions"])
            self.write(f"{own}-back", moves((f"{own}-disk", 0, [1], [at])))
            self.write(f"{own}-disk", moves((f"{own}-disk", 0, [1], [f"{at[:-1]}{'b' if at.endswith('a') else 'a'}"])))
        self.reassign("--verify", "--preserve-throttles", name="{own}-disk", status=0)
        self.reassign("--execute", "--replica-alter-log-dirs-throttle", 100_000_000, name="{own}-disk", status=0)
        for own in OWN.values():
            deadline = time.monotonic() + 30
            while "still in progress" in self.ours("reassign-partitions", *B, "--verify", "--preserve-throttles", "--reassignment-json-file", self.folder / f"{own}-disk.json"):
                self.assertLess(time.monotonic(), deadline)
        self.compare("configs", *B, "--describe", "--broker", 1, status=0)
        self.reassign("--verify", name="{own}-disk", status=0)
        self.reassign("--verify", name="{own}-back", status=0)
        self.reassign("--execute", name="nowhere", status=1)

    def test_what_is_under_way(self):
        """A broker is gone that shall have a replica: its partition moves until that is cancelled."""
        self.node.nodes[3].kill()
        self.node.wait_until_ready()
        self.addCleanup(lambda: (self.node.nodes[3].start(), self.node.wait_until_ready()))
        for own in OWN.values():
            self.millrace("cluster", "reassign", f"{own}-stuck", "--partition", 0, "--replica", 1, "--replica", 3)
        controllers = ("--bootstrap-controller", self.node.nodes[1].controller_address)
        self.reassign("--list", status=0)
        self.reassign("--list", at=controllers, status=0)
        self.reassign("--verify", name="{own}-stuck", status=0)
        self.reassign("--execute", name="same", status=1)
        self.reassign("--execute", "--additional", "--disallow-replication-factor-change", name="more", status=1)
        self.reassign("--cancel", "--preserve-throttles", at=controllers, name="{own}-stuck", status=0)
        self.reassign("--cancel", "--preserve-throttles", name="{own}-stuck", status=0)
        self.reassign("--list", status=0)

    def test_files_that_are_refused(self):
        for name in ("nobody", "twice", "again", "empty", "without", "sizes", "text", "lacking", "two", "list", "nothing", "no-such-file", "absent", "beyond"):
            with self.subTest(name):
                self.reassign("--execute", name=name, status=1)
        for name in ("absent", "next"):
            with self.subTest(name):
                self.reassign("--verify", name=name, status=1)
        self.reassign("--verify", "--preserve-throttles", name="beyond", status=0)

    def test_words_that_are_refused(self):
        file = ("--reassignment-json-file", "{folder}/same.json")
        for words in ((), B, (*B, "--list", "--verify"), ("--list",), (*B, "--bootstrap-controller", "x:1", "--list"), (*B, "--execute"), (*B, "--generate", *file),
                      (*B, "--verify", *file, "--throttle", 1), ("--bootstrap-controller", "x:1", "--execute", *file), (*B, "--no-such"),
                      (*B, "--execute", *file, "--throttle", "fast"), ("--bootstrap-server", "--list"), ("--bootstrap-server", "nowhere", "--list"),
                      ("--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--list"), (*B, "--command-config", "no-such-file", "--list")):
            with self.subTest(words):
                self.compare("reassign-partitions", *words, status=1)
