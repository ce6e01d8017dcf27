"""kafka-share-groups, beside Apache Kafka's."""

from scripts.comparing import OWN, ScriptsTest
from support.protocol import Asker
from support.share import ACCEPT, RECORD_LIMIT, ShareMember
from support.waiting import eventually

B = ("--bootstrap-server", "{broker}")
GROUP = 32   # a config resource


class ShareGroups(ScriptsTest):
    PROPERTIES = {**ScriptsTest.PROPERTIES, "group.share.assignment.interval.ms": "0", "group.share.session.timeout.ms": "600000",
                  "group.share.max.session.timeout.ms": "600000"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "shared")
        cls.ours("topics", *B, "--create", "--topic", "a-topic-with-a-long-name", "--partitions", 2)
        cls.millrace("produce", "shared", "-f", "%T %v", "-q", send="".join(f"{1000 + i} {i}\n" for i in range(5)))
        cls.millrace("produce", "a-topic-with-a-long-name", "-p", 1, "-q", send="x\n")
        cls.asker = Asker(cls.node.address)
        cls.addClassCleanup(cls.asker.socket.close)
        for group in ("readers", "fresh", "alive", *OWN.values()):
            cls.asker.alter(GROUP, group, ("share.auto.offset.reset", 0, "earliest"))
        for group in ("readers", *OWN.values()):
            cls.empty(group)
        cls.alive = cls.member("alive")
        cls.alive.fetch(most=2, mode=RECORD_LIMIT)

    @classmethod
    def member(cls, group):
        if not eventually(lambda: cls.asker.find_coordinator(group) == 0):
            raise AssertionError("no coordinator")
        return ShareMember(cls.asker, group, "shared").join()

    @classmethod
    def empty(cls, group):
        """One whose member left, behind two records."""
        member = cls.member(group)
        _, acquired = member.fetch(most=2, mode=RECORD_LIMIT)
        member.say(*((first, last, ACCEPT) for first, last, _ in acquired))
        member.leave()

    def test_list(self):
        self.compare("share-groups", *B, "--list", status=0, any_order=True)
        self.compare("share-groups", *B, "--list", "--state", status=0, any_order=True)
        self.compare("share-groups", *B, "--list", "--state", " stable,DEAD", status=0)
        self.compare("share-groups", *B, "--list", "--state", "Reconciling", status=1, errors=False)   # names states in the order of a Set

    def test_describe(self):
        for words in ((), ("--offsets", "--verbose"), ("--state", "--verbose"), ("--members",)):
            with self.subTest(words):
                self.compare("share-groups", *B, "--describe", "--group", "readers", *words, status=0)
        for words in (("--members",), ("--members", "--verbose"), ("--state",)):
            with self.subTest(words):
                self.compare("share-groups", *B, "--describe", "--group", "alive", *words, status=0)
        self.compare("share-groups", *B, "--describe", "--group", "absent", status=0)

    def test_reset_dry_run(self):
        reset = ("share-groups", *B, "--reset-offsets", "--dry-run", "--group")
        for words in (("readers", "--topic", "shared", "--to-earliest"), ("readers", "--all-topics", "--to-latest"),
                      ("readers", "--topic", "shared", "--topic", "a-topic-with-a-long-name:1", "--to-datetime", "1970-01-01T00:00:01.002"),
                      ("absent", "--topic", "shared", "--to-latest")):
            with self.subTest(words):
                self.compare(*reset, *words, status=0)
        for words in (("readers", "--topic", "absent", "--to-earliest"), ("readers", "--topic", "shared:9", "--to-earliest"),
                      ("readers", "--topic", "shared:x", "--to-earliest"), ("alive", "--topic", "shared", "--to-earliest"),
                      ("readers", "--group", "alive", "--all-topics", "--to-earliest")):
            with self.subTest(words):
                self.compare(*reset, *words)

    def test_what_changes_a_group(self):
        reset = ("share-groups", *B, "--reset-offsets", "--execute", "--group", "{own}")
        self.compare(*reset, "--topic", "shared", "--to-datetime", "1970-01-01T00:00:01.003", status=0)
        self.compare(*reset, "--topic", "a-topic-with-a-long-name", "--to-latest", status=0)
        self.compare("share-groups", *B, "--describe", "--group", "{own}", status=0)
        delete = ("share-groups", *B, "--delete-offsets", "--group")
        self.compare(*delete, "{own}", "--topic", "shared", "--topic", "absent", status=0)
        self.compare(*delete, "alive", "--topic", "shared")
        self.compare(*delete, "absent", "--topic", "shared")
        self.assertNotIn("shared", self.ours("share-groups", *B, "--describe", "--group", OWN["ours"]))
        self.compare("share-groups", *B, "--delete", "--group", "alive", "--group", "absent", "--group", "{own}", status=0, any_order=True)
        self.assertNotIn(OWN["ours"], self.ours("share-groups", *B, "--list"))
        self.assertNotIn(OWN["apache"], self.ours("share-groups", *B, "--list"))

    def test_what_is_refused(self):
        for words in ((), B, (*B, "--list", "--group", "x"), (*B, "--list", "--members"), (*B, "--list", "--to-offset", 3),
                      (*B, "--describe", "--group", "x", "--state", "Stable"), (*B, "--delete", "--group", "x", "--all-groups"),
                      (*B, "--delete-offsets", "--group", "x"), (*B, "--reset-offsets", "--group", "x"),
                      (*B, "--reset-offsets", "--group", "x", "--dry-run", "--all-topics")):
            with self.subTest(words):
                self.compare("share-groups", *words, status=1)
        self.compare("share-groups", *B, "--list", "--timeout", "soon")
        self.compare("share-groups", "--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--timeout", 1500, "--list")
