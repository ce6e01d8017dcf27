"""kafka-metadata-shell, beside Apache Kafka's: snapshots of a node of ours, of Apache Kafka's, and some of our making with every kind of record."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import tarfile
import termios
import unittest
import uuid

from scripts.comparing import ScriptsTest, plain_errors
from scripts.start_test import MOST_CPU_MS, TRIES, cpu_ms
from support.broker import ROOT
from support.kafka import batch, crc32c
from support.protocol import Codec, uvarint
from support.waiting import eventually

B = ("--bootstrap-server", "{broker}")
NOISE = r"Ignoring control record|org\.jline\.|^WARNING: Unable to create a system terminal"   # what Java says of any snapshot, or without a terminal
ONE, TWO, GONE = (uuid.UUID(int=number) for number in (0x3F << 120 | 1, 0xF0 << 120 | 2, 3 << 100))
WRONG_PATHS = ("/no", "no/such", "/image/topics/byName/none", "/image/topics/byId/xyz", "/image/cluster/brokers/7", "/image/cluster/brokers/x", "/local/version/below",
               "/image/no*", "/image/topics/*/none", "/image/configs/TOPICS", "/image/scram/PLAIN", "/image/clientQuotas/user(", "/image/features/finalized")


def framed(name, version=0, **values):
    codec = Codec(name, version)
    return uvarint(1) + uvarint(codec.message.key) + uvarint(version) + codec.encode(values)


def laid_out(*batches, epoch=5):
    """A file of batches, one behind the other, as a log has them."""
    offset, whole = 0, b""
    for each in batches:
        encoded = each if isinstance(each, bytes) else batch(each, timestamp=1_700_000_000_120 + offset)
        whole += struct.pack(">q", offset) + encoded[8:12] + struct.pack(">i", epoch) + encoded[16:]
        offset += struct.unpack_from(">i", encoded, 23)[0] + 1
    return whole


def feature(name, level):
    return framed("FeatureLevelRecord", Name=name, FeatureLevel=level)


def config(kind, resource, name, value):
    return framed("ConfigRecord", ResourceType=kind, ResourceName=resource, Name=name, Value=value)


def quota(key, value, remove=False, **entity):
    parts = [{"EntityType": kind.replace("_", "-"), "EntityName": name} for kind, name in entity.items()]
    return framed("ClientQuotaRecord", Entity=parts, Key=key, Value=value, Remove=remove)


def acl(number, **values):
    return framed("AccessControlEntryRecord", Id=uuid.UUID(int=number), **{
        "ResourceType": 2, "ResourceName": "t", "PatternType": 3, "Principal": "User:a", "Host": "*", "Operation": 3, "PermissionType": 3, **values})


def broker(number, **values):
    endpoints = [{"Name": name, "Host": "h", "Port": 65535, "SecurityProtocol": kind} for kind, name in enumerate(("Z", "PLAIN", "B", "A"))]
    features = [{"Name": name, "MinSupportedVersion": least, "MaxSupportedVersion": most} for name, least, most in (("z", 0, 3), ("a", 1, 1), ("m", 2, 32767))]
    return framed("RegisterBrokerRecord", 4, **{
        "BrokerId": number, "IncarnationId": ONE, "BrokerEpoch": 9, "EndPoints": endpoints, "Features": features, "Rack": "r", "LogDirs": [ONE, TWO], **values})


def partition(topic, number, version=2, **values):
    return framed("PartitionRecord", version, TopicId=topic, PartitionId=number, **{"Replicas": [1, 2], "Isr": [1], "Leader": 1, "LeaderEpoch": 4, "PartitionEpoch": 6, **values})


FIRST = [feature("metadata.version", 30), feature("group.version", 1), feature("share.version", 1)]
RECORDS = [
    *FIRST, feature("transaction.version", 2), feature("share.version", 0), feature("kraft.version", 1),
    broker(1), broker(2, Rack=None, Fenced=False, InControlledShutdown=True, LogDirs=[], CordonedLogDirs=[TWO, ONE], EndPoints=[], Features=[]), broker(3),
    framed("RegisterControllerRecord", ControllerId=3000, IncarnationId=TWO, ZkMigrationReady=False, Features=[], EndPoints=[
        {"Name": "C", "Host": "::1", "Port": 1, "SecurityProtocol": 0}]),
    framed("TopicRecord", Name="a.b", TopicId=ONE), partition(ONE, 0, Directories=[ONE, TWO], RemovingReplicas=[2], AddingReplicas=[3, 4], LeaderRecoveryState=1),
    partition(ONE, 1, Directories=[], EligibleLeaderReplicas=[2], LastKnownElr=[3], Leader=-1, Isr=[]),
    framed("TopicRecord", Name="old", TopicId=TWO), partition(TWO, 0, version=0),
    framed("TopicRecord", Name="gone", TopicId=GONE), partition(GONE, 0), config(2, "gone", "segment.ms", "1"),
    config(2, "a.b", "retention.ms", "1"), config(2, "a.b", "message.format.version", "2.0"), config(2, "old", "no.such", "x"), config(4, "", "log.cleaner.threads", "2"),
    config(4, "2", "anything.at.all", "two\nlines"), config(16, "m", "interval.ms", "9"), config(16, "m", "none", "9"), config(32, "g", "consumer.session.timeout.ms", "5"),
    config(32, "h", "none", "9"), config(8, "1", "root", "INFO"),
    quota("producer_byte_rate", 1024.0, user="u"), quota("request_percentage", 12.5, user="u", client_id="c"), quota("connection_creation_rate", 2e7, ip="10.0.0.1"),
    quota("consumer_byte_rate", 1e-5, user="(a\\b)_c", client_id="x"), quota("controller_mutation_rate", 1.0, user="v"),
    framed("ProducerIdsRecord", BrokerId=1, BrokerEpoch=1, NextProducerId=1 << 40),
    acl(1 << 90), acl(2 << 90, ResourceType=7, PatternType=4, Operation=15, PermissionType=2), acl(3 << 90, ResourceType=77, Operation=-1), acl(4 << 90),
    framed("UserScramCredentialRecord", Name="alice", Mechanism=1, Salt=b"\0\xff", StoredKey=b"key", ServerKey=b"", Iterations=4096),
    framed("UserScramCredentialRecord", Name="bob", Mechanism=2, Salt=b"s", StoredKey=b"k", ServerKey=b"v", Iterations=8192),
    framed("DelegationTokenRecord", Owner="User:a", Requester="User:b", Renewers=["User:c", "User:d"], IssueTimestamp=1, MaxTimestamp=2, ExpirationTimestamp=3, TokenId="t1"),
]
CHANGES = [
    framed("PartitionChangeRecord", 2, TopicId=ONE, PartitionId=1, Leader=2, Isr=[2], EligibleLeaderReplicas=[]),
    framed("BrokerRegistrationChangeRecord", 3, BrokerId=1, BrokerEpoch=9, Fenced=-1, LogDirs=[TWO], CordonedLogDirs=[]),
    framed("FenceBrokerRecord", Id=2, Epoch=9), framed("UnregisterBrokerRecord", BrokerId=3, BrokerEpoch=9), framed("RemoveTopicRecord", TopicId=GONE),
    framed("RemoveAccessControlEntryRecord", Id=uuid.UUID(int=4 << 90)), config(2, "a.b", "retention.ms", None), config(2, "a.b", "segment.ms", "3"),
    quota("controller_mutation_rate", 0.0, remove=True, user="v"), framed("NoOpRecord"),
]


class MetadataShell(ScriptsTest):
    PROPERTIES = {"metadata.log.max.snapshot.interval.ms": "200", "num.partitions": "3"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with tarfile.open(ROOT / "tests" / "golden" / "logs" / "clean.tar.gz") as tar:
            tar.extractall(cls.folder / "left", filter="data")
        cls.metadata = cls.folder / "left" / "__cluster_metadata-0"
        cls.theirs = sorted(cls.metadata.glob("*.checkpoint"))[-1]
        cls.made = cls.file("made", laid_out(RECORDS, CHANGES))
        cls.ours("topics", *B, "--create", "--topic", "tuned", "--partitions", 12, "--config", "retention.ms=1000")
        cls.ours("topics", *B, "--create", "--topic", "plain")
        for words in (("--broker", 1, "--add-config", "log.cleaner.threads=2"), ("--broker-defaults", "--add-config", "log.cleaner.threads=3"),
                      ("--group", "g", "--add-config", "consumer.session.timeout.ms=50000"), ("--client-metrics", "m", "--add-config", "interval.ms=1000"),
                      ("--user", "u", "--add-config", "producer_byte_rate=1024,consumer_byte_rate=20000000"), ("--user", "u", "--client", "c(1)", "--add-config", "request_percentage=0.5"),
                      ("--ip", "127.0.0.9", "--add-config", "connection_creation_rate=10")):
            cls.ours("configs", *B, "--alter", *words)
        for attempt in range(20):    # a node that is alone writes its snapshots as changes come, one of them some time behind the others
            cls.ours("topics", *B, "--create", "--topic", f"the-last-{attempt}")
            if eventually(lambda: b"the-last" in cls.newest_snapshot(), seconds=1):
                break
        content = cls.newest_snapshot()
        assert b"the-last" in content, "no snapshot of all that was done"
        cls.own = cls.file("own", content)

    @classmethod
    def newest_snapshot(cls):
        cls.fresh = max((cls.node.data / "__cluster_metadata-0").glob("*.checkpoint"), default=None)
        return cls.fresh.read_bytes() if cls.fresh else b""

    @classmethod
    def file(cls, name, content):
        path = cls.folder / f"{name}.checkpoint"
        path.write_bytes(content)
        return path

    def shown(self, side, words, send):
        run = self.run_side(side, "metadata-shell", words, send)
        errors = [line for line in plain_errors(run.stderr) if not re.search(NOISE, line)]
        return run.returncode, re.sub(r"\b[0-9a-f]{16}\b", "unknown", run.stdout), errors   # the commit of Apache Kafka's build

    def same(self, snapshot, *words, send="", status=0):
        """What ours prints, being what Apache Kafka's does. Java's shows an empty cluster now and then: its command may come before what was loaded."""
        words = ["--snapshot", snapshot, *words]
        ours = self.shown("ours", words, send)
        for _ in range(3):
            theirs = self.shown("apache", words, send)
            if theirs == ours:
                break
        self.maxDiff = None
        self.assertEqual(theirs, ours, words)
        self.assertEqual(status, ours[0], ours)
        return ours[1]

    def typed(self, snapshot, *lines, **how):
        return self.same(snapshot, send="".join(f"{line}\n" for line in lines), **how)

    def everything(self, snapshot):
        """All of it: as a tree, as paths, every folder and every leaf."""
        found = self.run_side("ours", "metadata-shell", ("-s", snapshot, "find", "/"))
        self.assertEqual((0, ""), (found.returncode, found.stderr))
        quoted = ['"' + path.replace("\\", "\\\\") + '"' for path in found.stdout.splitlines()]
        self.assertGreater(len(quoted), 50)
        return self.typed(snapshot, "tree /", "find", *(f"cat {path}" for path in quoted), *(f"ls {path}" for path in quoted), "tree /image/topics/byName/*")

    def test_of_a_node_of_ours(self):
        shown = self.everything(self.own)
        for line in ("TOPIC:tuned:", "clientId(c\\(1\\))_user(u):", "Optional[4.3-IV0]", "finalized_share.version:", "replicas=[1]", "CLIENT_METRICS:m:", "GROUP:g:"):
            self.assertIn(line, shown)

    def test_of_apache_kafkas(self):
        self.everything(self.theirs)

    def test_every_kind_of_record(self):
        shown = self.everything(self.made)
        for line in ("StandardAcl[resourceType=USER, ", "salt=00ff", "(renewers=User:c User:d, ", "rack=Optional.empty", "1.0E-5", "a: 1, m: 2+, z: 0-3", "cordonedDirectories=[]"):
            self.assertIn(line, shown)
        self.assertNotIn("message.format.version", shown)
        self.typed(self.file("little", laid_out(FIRST)), "tree /")

    def test_a_log(self):
        self.typed(self.metadata / ("0" * 20 + ".log"), "tree /image")

    def test_quotas_of_whoever_has_none(self):
        made = self.file("defaults", laid_out(FIRST + [quota("producer_byte_rate", 1.0, user=None), quota("producer_byte_rate", 2.0, user=None, client_id="c")]))
        self.typed(made, "ls /image/clientQuotas", "tree /image", "cat /image/clientQuotas//producer_byte_rate")
        self.typed(made, "cat /image/clientQuotas/*/*", "pwd", status=1)
        ours, theirs = (self.shown(side, ("-s", made), "find /image\npwd\n") for side in ("ours", "apache"))
        self.assertEqual((1, theirs[2]), ours[::2])
        self.assertEqual(f"{theirs[1]}/image\n/image/acls\n/image/acls/byId\n/image/clientQuotas\n", ours[1])    # Java's leaves out what is in its buffer

    def test_paths(self):
        self.typed(self.own, "ls", "ls / image", "ls /image/topics /image/producerIds", "ls /image/topics/byName/tuned /image/provenance", "ls /image/acls /image/scram",
                   "ls /image/delegationToken", "ls local image/provenance local/version", "pwd", "cd image", "pwd", "ls", "cat provenance", "cd topics/../topics/./byName/",
                   "pwd", "ls", "ls ..", "cat tuned/id", "find plain", "find ../byName/plain", "find .", "cd tuned/name", "cd nowhere", "pwd", "cd ..", "cd", "pwd", "cd ../..",
                   "pwd", "cd //image///topics", "pwd", "cd by*", "pwd", "tree /image/features/metadataVersion", "cat /image/features", "cat /", "cd ''", "pwd", "ls ''",
                   "cat /image/features/finalized_none /image/cluster/brokers/01 /image/cluster/brokers/+1 /image/topics/byName/tuned/01",
                   "cat /image/configs/BROKER:/log.cleaner.threads /image/features/finalized_metadata.version", "tree /image/scram /image/acls")

    def test_globs(self):
        self.typed(self.own, "ls /image/*", "ls /image/topics/byName/*", "cat /image/topics/byName/*/name", "cat /image/topics/byName/tuned/1?", "cat /image/topics/byName/tuned/{1,11}",
                   "cat /image/topics/byName/{tun,pla}*/{id,name}", "cat /image/topics/byName/{*ned,?lain}/name", "find /image/topics/byName/p*", "ls /*/*Version",
                   "cat /image/{a,{b}}", "cat /image/{a", "cat /image/a}", "cat '/image/topics/byName/tu\\\\ned/id'", "cat '/image/topics/byName/tu\\\\ne*/id'", "cat '/image/*\\\\'",
                   "cat /image/features/finalized_*.version", "cat /image/features/*_group?version", "ls '/image/clientQuotas/clientId(*'", "cat '/image/clientQuotas/*(u)/*'",
                   "ls '/image/clientQuotas/clientId(c\\\\(1\\\\))_user(u)'", "tree /image/{,}cluster", "cat /image/topics/*/plain/name", "cat /local/{version,commitId}")

    def test_wrong_paths(self):
        self.typed(self.own, *(f"{command} {path}" for command in ("cat", "cd", "find", "ls", "tree") for path in WRONG_PATHS))

    def test_typed_words(self):
        self.typed(self.own, "l", "lss", "c", "h", "bogus", "BOGUS x", "", "   ", "ls --x", "ls -x /", "ls -1", "ls -", "ls -- -x", "ls -- --", "cat", "tree", "man", "man bogus", "man ls cat",
                   "pwd x", "exit x", "exit -x", "cd a b", "history x", "history 1.5", "history 99999999999", "history 1 2", "history -- 1", "-x", "--", "-- ls", "--help", "-5", "'' ls /", "ls ''",
                   'ls "/image" \'/local\'', 'cat "/local/version', "cat /lo\\cal/versi\\on", "ls a\\ b", "ls a'b c'd", "ls 'a b'c", "ls 'a\\'b'", "catt", "hi", "his x", "f /local", "ls --help=x")

    def test_history(self):
        self.typed(self.own, "history", "history", "pwd", "pwd", " pwd", "ls  /image   ", "history", "history 2", "history 0", "history -1", "history 100", "", "history 1")
        self.typed(self.own, *(f"cd a{number}" for number in range(510)), "history")

    def test_ends(self):
        self.typed(self.own, "pwd", "exit", "pwd")
        for send in ("", "pwd", "ls\npwd", "pwd\r\npwd\n"):
            with self.subTest(send):
                self.same(self.own, send=send)

    def test_one_command(self):
        for words in (("ls",), ("ls", "/image", "no"), ("find", "/local"), ("cat", "/image/provenance", "/image"), ("tree", "/image/features"), ("cd", "/image"), ("history",), ("l",),
                      ("", ""), ("", "ls"), ("ls", "", ""), ("--", "cat", "-x"), ("bogus",)):
            with self.subTest(words):
                self.same(self.own, *words)

    def test_words_of_the_command_line(self):
        for words in (("-s",), ("--snapshot",), ("ls",), (), ("--no-such",), ("-s", "{folder}/own.checkpoint", "ls", "-x"), ("--version",), ("--help=1",), ("-s", "--", "ls"), ("-x", "x")):
            with self.subTest(words):
                ours, theirs = (self.shown(side, words, "") for side in ("ours", "apache"))
                self.assertEqual(theirs, ours)
                self.assertEqual(1, ours[0])
        for words in (("ls", "--snap", "{folder}/own.checkpoint", "/image"), ("-s{folder}/own.checkpoint", "ls"), ("--snapshot={folder}/own.checkpoint", "ls")):
            with self.subTest(words):
                self.assertEqual(self.shown("apache", words, ""), self.shown("ours", words, ""))
        for words in (("--help",), ("-s", "x", "ls", "-h")):
            status, said, errors = self.shown("ours", words, "")
            self.assertEqual((1, []), (status, errors))
            self.assertIn("usage: kafka-metadata-shell", said)

    def test_help(self):
        _, said, errors = self.shown("ours", ("-s", self.own), "help\nman ls\nls -h\nman exit\nexit\n")
        self.assertEqual([], errors)
        for line in (">> Welcome to the Apache Kafka metadata shell.", "  history ", ">> ls: ", "usage: ls [PATH...]\n", "usage: exit\n"):
            self.assertIn(line, said)

    def test_files_that_are_not_there_or_not_to_be_read(self):
        self.same(self.folder / "none.checkpoint", "ls", status=1)
        self.same(self.fresh, "ls", status=1)    # a node runs on its directory
        for snapshot, complaint in ((self.file("empty", b""), "has no records of metadata"), (self.folder, "Is a directory"),
                                    (sorted(self.metadata.glob("*.checkpoint"))[0], "has no records of metadata"), (self.file("text", b"not a snapshot" * 9), "has no records of metadata"),
                                    (self.file("zeros", bytes(99)), "zeros.checkpoint: at byte 0: "), (self.file("records", laid_out([b"?"], batch(records=b"?", count=1))), ": at byte "),
                                    (self.file("plain", laid_out([framed("NoOpRecord")] * 2)), "has no metadata.version")):
            with self.subTest(complaint):     # Java's waits for ever, or shows an empty cluster
                status, said, errors = self.shown("ours", ("-s", snapshot, "ls"), "")
                self.assertEqual((1, ""), (status, said))
                self.assertRegex("\n".join(errors), f"(?m)^Unexpected error: .*{complaint}")

    def test_damaged(self):
        whole = laid_out(RECORDS, CHANGES)
        second = len(laid_out(RECORDS))
        torn = self.file("torn", whole[:-1])
        self.assertIn(f"{torn}: the batch at byte {second} is incomplete, and left out", self.damaged(torn))
        changed = self.file("changed", whole.replace(b"User:d", b"User:e"))
        self.assertIn(f"{changed}: the checksum of the batch at byte 0 is wrong", self.damaged(changed))
        strange = self.file("strange", laid_out(FIRST + [uvarint(1) + uvarint(99) + uvarint(0), b"", feature("group.version", 0)], [framed("NoOpRecord")]))
        self.assertIn("unable to read metadata record at offset 3: ", self.damaged(strange))
        early = self.file("early", laid_out(FIRST + [framed("RemoveTopicRecord", TopicId=GONE), feature("group.version", 0)], [framed("NoOpRecord")]))
        self.assertIn("Encountered shell fault: Error loading metadata log record from offset 3: ", self.damaged(early))

    def damaged(self, snapshot):
        """Both show the same of it; what ours complains about."""
        ours, theirs = (self.shown(side, ("-s", snapshot), "tree /\n") for side in ("ours", "apache"))
        self.assertEqual(theirs[:2], ours[:2])
        self.assertEqual(0, ours[0])
        return "\n".join(ours[2])

    def test_transactions(self):
        whole = [framed("BeginTransactionRecord"), feature("group.version", 0), framed("EndTransactionRecord"), framed("NoOpRecord")]
        self.typed(self.file("ended", laid_out(FIRST, whole)), "tree /image")
        self.typed(self.file("aborted", laid_out(FIRST, whole[:2] + [framed("AbortTransactionRecord")])), "tree /image")
        unfinished = self.file("open", laid_out(FIRST + whole[:1], whole[1:2]))   # Java's waits for ever
        status, said, errors = self.shown("ours", ("-s", unfinished), "cat /image/provenance /image/features/finalized_group.version\n")
        self.assertEqual((0, []), (status, errors))
        self.assertIn(">> offset 2, epoch 5, time 2023-11-14T22:13:20.12Z[UTC]\n1\n", said)

    def test_columns_of_a_terminal(self):
        """What Apache Kafka's shows on a terminal of that width, without what it says to the terminal."""
        ours, terminal = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        os.write(ours, b"ls /image\nls /image/features /local\nexit\n")
        with subprocess.Popen([self.link("metadata-shell"), "-s", self.made], stdin=terminal, stdout=terminal) as shell:
            os.close(terminal)
            said = b""
            with contextlib.suppress(OSError):     # the terminal's end
                while piece := os.read(ours, 4096):
                    said += piece
        self.assertEqual(0, shell.returncode)
        self.assertIn("acls          configs          producerIds  topics\n"
                      "clientQuotas  delegationToken  provenance   \n"
                      "cluster       features         scram        \n"
                      ">> features:\n"
                      "finalized_group.version        metadataVersion\n"
                      "finalized_transaction.version  \n"
                      "\n"
                      "local:\n"
                      "commitId  version\n", said.decode().replace("\r", ""))

    def test_begins_at_once(self):
        run = ("--snapshot", self.own, "ls")
        self.assertLess(min(cpu_ms(lambda: self.ours("metadata-shell", *run)) for _ in range(TRIES)), MOST_CPU_MS)


if __name__ == "__main__":
    unittest.main()
