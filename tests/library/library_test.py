"""The client library as others get it: installed, its examples and checks.cc built by g++ in C++17, and run against the real binary."""

import os
import re
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support.broker import BINARY, ROOT, BrokerTest, free_ports

BUILD = BINARY.resolve().parent
EXAMPLES = ("produce", "consume", "topics", "replay")
PROPERTIES = {"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0",
              "group.consumer.heartbeat.interval.ms": "1000", "group.consumer.min.heartbeat.interval.ms": "500"}
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, seconds=300, environment=None, send=""):
    """The standard output of what has to succeed."""
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=seconds, input=send,
                           env={**os.environ, **(environment or {})})
    if ended.returncode != 0:
        raise AssertionError(f"{command} ends with {ended.returncode}\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}")
    return ended.stdout


class Installed:
    """Below a prefix of its own, once for all tests; programs built with pkg-config."""
    folder = None

    @classmethod
    def prefix(cls):
        if cls.folder is None:
            cls.folder = tempfile.TemporaryDirectory(prefix="millrace-")
            run("cmake", "--install", BUILD, "--component", "library", "--prefix", cls.path() / "prefix")
        return cls.path() / "prefix"

    @classmethod
    def path(cls):
        return Path(cls.folder.name)

    @classmethod
    def flags(cls):
        found = {"PKG_CONFIG_PATH": str(cls.prefix() / "lib/pkgconfig")}
        return run("pkg-config", "--cflags", "--libs", "millrace", environment=found).split()

    @classmethod
    def program(cls, source):
        made = cls.prefix().parent / Path(source).stem
        if not made.exists():
            run("g++", *STRICT, source, "-o", made, "-pthread", *cls.flags(), f"-Wl,-rpath,{cls.prefix() / 'lib'}")
        return made


class Package(unittest.TestCase):
    def test_headers_stand_alone_and_include_nothing_but_their_own_and_the_standards(self):
        headers = sorted((Installed.prefix() / "include/millrace").iterdir())
        self.assertEqual({"admin.h", "config.h", "consumer.h", "error.h", "error_code.h", "export.h", "millrace.h", "producer.h", "record.h",
                          "share_consumer.h"},
                         {each.name for each in headers})
        for header in headers:
            included = re.findall(r'#include [<"](.*)[>"]', header.read_text())
            self.assertEqual([], [each for each in included if not re.fullmatch(r"millrace/\w+\.h|[a-z_]+", each)], header.name)
            run("g++", *STRICT, "-fsyntax-only", "-x", "c++", "-include", header, "/dev/null", *Installed.flags())

    def test_the_shared_object_shows_its_interface_and_nothing_else(self):
        library = Installed.prefix() / "lib/libmillrace.so"
        shown = [line.split(maxsplit=2)[2] for line in run("nm", "-DC", "--defined-only", library).splitlines()]
        self.assertIn("millrace::v0::Producer::flush()", shown)
        self.assertEqual([], [each for each in shown if not re.match(r"(typeinfo (name )?for |vtable for )?millrace::v0::(Admin|Consumer|Error|Producer|ShareConsumer)\b",
                                                                   each) or "Impl" in each])
        self.assertIn("libmillrace.so.0", run("readelf", "-d", library))

    def test_examples_are_built_by_cmake_too(self):
        build = Installed.prefix().parent / "build"
        run("cmake", "-S", ROOT / "examples", "-B", build, f"-DCMAKE_PREFIX_PATH={Installed.prefix()}", "-DCMAKE_CXX_COMPILER=g++")
        run("cmake", "--build", build)
        for example in EXAMPLES:
            ended = subprocess.run([build / example], capture_output=True, text=True, timeout=60)
            self.assertEqual(2, ended.returncode)
            self.assertIn("usage: ", ended.stderr)


class Examples(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker(PROPERTIES).start()

    def example(self, name, *arguments, environment=None, send=""):
        return run(Installed.program(ROOT / "examples" / f"{name}.cc"), self.node.address, *arguments, environment=environment, send=send)

    def refused(self, name, *arguments, send=""):
        ended = subprocess.run([Installed.program(ROOT / "examples" / f"{name}.cc"), *arguments], input=send, capture_output=True, text=True,
                               timeout=60)
        self.assertEqual(1, ended.returncode, ended.stdout + ended.stderr)
        return ended.stderr + ended.stdout

    def committed(self, group):
        lines = run(BINARY, "kafka", "consumer-groups", "--bootstrap-server", self.node.address, "--describe", "--group", group).splitlines()
        return {(words[1], int(words[2])): int(words[3]) for words in map(str.split, lines) if len(words) > 3 and words[0] == group}

    def test_lines_that_are_produced_are_consumed_once_and_committed(self):
        self.assertRegex(self.example("topics", "lines", "3"),
                         r"made lines\nlines \S{22}\n(  partition \d: leader 1, 1 replicas, 1 in sync\n){3}(  .*\n)*  retention.ms=86400000\n")
        self.assertIn("lines is there already", self.example("topics", "lines"))
        self.assertIn("\nlines\n", self.example("topics"))
        sent = [f"{i % 7}\tline {i}" for i in range(2000)]
        self.assertEqual("2000 written, 0 failed\n", self.example("produce", "lines", send="\n".join(sent) + "\n"))
        # Two that run at once share the work; nothing is lost or read twice when one of them is done first.
        program = Installed.program(ROOT / "examples/consume.cc")
        members = [subprocess.Popen([program, self.node.address, "readers", "lines"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    env={**os.environ, "IDLE_SECONDS": "6"}) for _ in range(2)]
        printed = []
        for member in members:
            output, said = member.communicate(timeout=120)
            self.assertEqual(0, member.returncode, said)
            printed += output.splitlines()
        self.assertEqual(sorted(each.split("\t")[1] for each in sent), sorted(line.split(" ", 2)[2] for line in printed))
        offsets = self.committed("readers")
        self.assertEqual({("lines", 0), ("lines", 1), ("lines", 2)} & set(offsets), {(each.split("-")[0], int(each.split("-")[1].split()[0])) for each in printed})
        self.assertEqual(2000, sum(offsets.values()))
        self.assertEqual("", self.example("consume", "readers", "lines", environment={"IDLE_SECONDS": "3"}))

    def test_replay_begins_at_a_time(self):
        self.example("topics", "log", "2")
        self.example("produce", "log", send="a\told\nb\tolder\n")
        time.sleep(6)
        begun = time.monotonic()
        self.example("produce", "log", send="a\tnew\nb\tnewer\n")
        seconds = str(int(time.monotonic() - begun) + 5)   # less than what the old ones are away
        lines = self.example("replay", "log", seconds).splitlines()
        self.assertEqual({"new", "newer"}, {line.split()[2] for line in lines})
        self.assertEqual(4, len(self.example("replay", "log", "3600").splitlines()))
        self.assertEqual("", self.example("replay", "log", "0"))

    def test_the_first_program_of_the_manual(self):
        node = self.broker({"auto.create.topics.enable": "true"}).start()
        program, *_ = re.findall(r"```cpp\n(.*?)```", (ROOT / "docs/run/library.md").read_text(), re.S)
        source = self.folder / "first.cc"
        source.write_text(program.replace("localhost:9092", node.address))
        self.assertEqual("written at offset 0\nhello\n", run(Installed.program(source)))

    def test_what_is_not_there_is_said(self):
        self.assertIn("UNKNOWN_TOPIC_OR_PARTITION: cannot look up topic 'missing'", self.refused("replay", self.node.address, "missing", "1"))
        [port] = free_ports(1)
        self.assertIn("NETWORK_EXCEPTION: no broker can be reached", self.refused("topics", f"127.0.0.1:{port}"))
        self.assertIn("INVALID_CONFIG: Invalid value nowhere:x for configuration bootstrap.servers", self.refused("topics", "nowhere:x"))
        self.assertIn("0 written, 1 failed", self.refused("produce", self.node.address, "missing", send="x\n"))


class Checks(BrokerTest):
    """One of checks.cc each."""

    def check(self, name):
        node = self.broker(PROPERTIES).start()
        run(Installed.program(ROOT / "tests/library/checks.cc"), name, node.address, seconds=150)

    def test_administration(self):
        self.check("administration")

    def test_assigned_commits(self):
        self.check("assigned_commits")

    def test_automatic_commits(self):
        self.check("automatic_commits")

    def test_classic_group(self):
        self.check("classic_group")

    def test_consumer_failures(self):
        self.check("consumer_failures")

    def test_consumer_group(self):
        self.check("consumer_group")

    def test_nobody_there(self):
        [port] = free_ports(1)
        run(Installed.program(ROOT / "tests/library/checks.cc"), "nobody_there", f"127.0.0.1:{port}")

    def test_polls_too_seldom(self):
        self.check("polls_too_seldom")

    def test_process_as_it_was(self):
        self.check("process_as_it_was")

    def test_producer_callbacks(self):
        self.check("producer_callbacks")

    def test_producer_failures(self):
        self.check("producer_failures")

    def test_producer_threads(self):
        self.check("producer_threads")

    def test_seeks(self):
        self.check("seeks")

    def test_share_group(self):
        self.check("share_group")

    def test_transactions(self):
        self.check("transactions")

    def test_wakeup(self):
        self.check("wakeup")
