"""kafka-streams-groups, beside Apache Kafka's."""

from interop.streams_groups_test import PROPERTIES, Member, subtopology, topic, topology
from scripts.comparing import OWN, ScriptsTest
from support.protocol import Asker
from support.waiting import eventually

B = ("--bootstrap-server", "{broker}")


def regrouping(group):
    """Reads `in`, writes by another key to a topic of its own, counts that; what the changelog is called is no name of an internal topic in group "odd"."""
    store = "odd-store" if group == "odd" else f"{group}-store-changelog"
    return topology(
        subtopology(["in"], sinks=[f"{group}-by-word-repartition"]),
        subtopology([], "1", [topic(store, cleanup_policy="compact")], repartitions=[topic(f"{group}-by-word-repartition", cleanup_policy="delete")]))


class StreamsGroups(ScriptsTest):
    PROPERTIES = {**ScriptsTest.PROPERTIES, **PROPERTIES, "group.streams.session.timeout.ms": "600000", "group.streams.max.session.timeout.ms": "600000"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "in", "--partitions", 2)
        cls.ours("topics", *B, "--create", "--topic", "other")
        for partition in (0, 1):
            cls.millrace("produce", "in", "-f", "%T %v", "-p", partition, "-q", send="".join(f"{1000 + i} {i}\n" for i in range(5)))
        cls.asker = Asker(cls.node.address)
        cls.addClassCleanup(cls.asker.socket.close)
        for group in ("readers", "odd", *OWN.values()):
            cls.leave(cls.member(group))
            cls.commit(group)
        cls.alive = cls.member("alive")
        cls.commit("alive", cls.alive)

    @classmethod
    def beat(cls, member, values):
        answer = cls.asker.ask("StreamsGroupHeartbeat", 0, **values)
        member.take(answer)
        return answer

    @classmethod
    def member(cls, group):
        """One that has all its tasks, after its topics were made."""
        if not eventually(lambda: cls.asker.find_coordinator(group) == 0):
            raise AssertionError("no coordinator")
        member = Member(f"member-of-{group}", group, told=regrouping(group))
        cls.beat(member, member.joining())
        if not eventually(lambda: cls.beat(member, member.owning())["ErrorCode"] == 0 and member.count() == 4, 30):
            raise AssertionError(f"{group}: {member.owned}")
        cls.beat(member, member.owning())
        return member

    @classmethod
    def leave(cls, member):
        cls.beat(member, member.silent() | {"MemberEpoch": -1})

    @classmethod
    def commit(cls, group, member=None):
        answer = cls.asker.ask("OffsetCommit", 9, GroupId=group, GenerationIdOrMemberEpoch=member.epoch if member else -1, MemberId=member.id if member else "",
                               Topics=[{"Name": name, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": offset}]}
                                       for name, offset in (("in", 3), (f"{group}-by-word-repartition", 0))])
        errors = [each["ErrorCode"] for told in answer["Topics"] for each in told["Partitions"]]
        if any(errors):
            raise AssertionError(errors)

    def test_list(self):
        self.compare("streams-groups", *B, "--list", status=0, any_order=True)
        self.compare("streams-groups", *B, "--list", "--state", status=0, any_order=True)
        self.compare("streams-groups", *B, "--list", "--state", " stable,notready", status=0)
        self.compare("streams-groups", *B, "--list", "--state", "PreparingRebalance", status=1, errors=False)   # names states in the order of a Set

    def test_describe(self):
        for words in ((), ("--offsets", "--verbose"), ("--members",), ("--members", "--verbose"), ("--state",), ("--state", "--verbose")):
            with self.subTest(words):
                self.compare("streams-groups", *B, "--describe", "--group", "readers", "--group", "alive", *words, status=0, any_order=True)   # partitions in that of a hash table
        self.compare("streams-groups", *B, "--describe", "--group", "absent", status=1)

    def test_reset_dry_run(self):
        reset = ("streams-groups", *B, "--reset-offsets", "--dry-run", "--group")
        for words in (("--input-topic", "in:0", "--to-latest"), ("--all-input-topics", "--to-offset", 99), ("--input-topic", "in:0", "--shift-by", -2),
                      ("--all-input-topics", "--to-datetime", "1970-01-01T00:00:01.002", "--export"), ("--input-topic", "in", "--to-earliest")):
            with self.subTest(words):
                self.compare(*reset, "readers", *words, status=0)
        for words in (("readers", "--input-topic", "absent", "--to-earliest"), ("readers", "--to-earliest"), ("readers", "--input-topic", "in:x", "--to-earliest"),
                      ("absent", "--all-input-topics", "--to-earliest")):
            with self.subTest(words):
                self.compare(*reset, *words, status=1)
        self.compare(*reset, "alive", "--all-input-topics", "--to-earliest", status=0)
        self.compare(*reset, "absent", "--input-topic", "in", "--to-earliest", status=0)

    def topics(self):
        return self.ours("topics", *B, "--list").splitlines()

    def test_what_changes_a_group(self):
        (self.folder / "plan.csv").write_text("in,0,1\nin,1,4\n")
        reset = ("streams-groups", *B, "--reset-offsets", "--execute", "--group", "{own}")
        self.compare(*reset, "--from-file", "{folder}/plan.csv", "--export", status=0)
        self.compare(*reset, "--all-input-topics", "--to-current", "--delete-internal-topic", "{own}-by-word-repartition", status=0)
        self.compare(*reset, "--all-input-topics", "--shift-by", 1, "--delete-internal-topic", "absent", status=0)
        delete = ("streams-groups", *B, "--delete-offsets", "--group")
        self.compare(*delete, "{own}", "--input-topic", "in:0", "--input-topic", "absent", status=0)
        self.compare(*delete, "{own}", "--all-input-topics", status=0)
        self.compare(*delete, "alive", "--input-topic", "in", status=0)
        self.compare(*delete, "absent", "--input-topic", "in", status=0)
        self.assertFalse([name for name in self.topics() if name in {f"{own}-by-word-repartition" for own in OWN.values()}])
        self.compare("streams-groups", *B, "--delete", "--delete-all-internal-topics", "--group", "alive", "--group", "absent", "--group", "{own}", status=0,
                     any_order=True)   # one of the topics is gone already
        self.assertFalse(set(OWN.values()) & set(self.ours("streams-groups", *B, "--list").splitlines()))

    def test_topics_of_its_own_go_with_a_group(self):
        for side in ("apache", "ours"):
            with self.subTest(side):
                self.leave(self.member("odd"))
                run = self.run_side(side, "streams-groups", (*B, "--delete", "--group", "odd", "--delete-all-internal-topics"))
                self.assertEqual(("", 0), (run.stderr, run.returncode))
                self.assertEqual("\nError: The internal topic 'odd-store' is not inferred as internal and thus will not be deleted with the group 'odd'.\n"
                                 "Deletion of requested streams groups ('odd') was successful.\n"
                                 "Deletion of associated internal topics of the streams groups ('odd') was successful.\n", run.stdout)
                self.assertTrue(eventually(lambda: "odd-by-word-repartition" not in self.topics()))
                self.assertIn("odd-store", self.topics())
                self.assertNotIn("odd", self.ours("streams-groups", *B, "--list").splitlines())

    def test_what_is_refused(self):
        for words in ((), B, (*B, "--list", "--group", "x"), (*B, "--list", "--members"), (*B, "--list", "--timeout", "soon"), (*B, "--list", "--execute"),
                      (*B, "--describe", "--group", "x", "--members", "--state"), (*B, "--delete", "--group", "x", "--input-topic", "t"),
                      (*B, "--delete-offsets", "--group", "x", "--group", "y", "--all-input-topics"), (*B, "--reset-offsets", "--group", "x"),
                      (*B, "--reset-offsets", "--group", "x", "--dry-run", "--delete-all-internal-topics"),
                      (*B, "--delete", "--group", "x", "--delete-internal-topic", "t")):
            with self.subTest(words):
                self.compare("streams-groups", *words, status=1)
        self.compare("streams-groups", "--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--timeout", 1500, "--list", status=1)
