"""Apache Kafka's scripts and ours with the same words against the same broker of ours: exit status, standard output, standard error.

What differs by nature is made the same first: names that each side has for itself (`{own}` in a word), ids, times, stacks of Java, the form of
log lines, the help behind a refusal, whose sentences are our own.
"""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from interop import apache
from support.broker import BINARY, Broker

OWN = {"apache": "ownjava", "ours": "ownmill"}   # of one length: columns are as wide as names
SECONDS = 120


def plain(text):
    """Output without what is never the same twice."""
    for own in OWN.values():
        text = text.replace(own, "OWN")
    text = re.sub(r"\b(TopicId: |topic id )[A-Za-z0-9_-]{22}", r"\1ID", text)
    text = re.sub(r"\b(CreateTime|LogAppendTime):\d+", r"\1:TIME", text)
    text = re.sub(r"[^\s\",]*/disk-\w+", "DISK", text)                       # log directories of which each topic has its own
    return re.sub(r"(?m)^\s+at .*\n|^Caused by: .*\n|^\s+\.\.\. \d+ more\n", "", text)


def plain_errors(text):
    """Standard error: the lines for people. Help ends it; warnings of clients, and stacks, are left out."""
    text = re.split(r"(?m)^Option(?: \(\* = required\))? +Description", text)[0]
    text = re.sub(r"(?s)^usage: .*?:\s+error:\s+(.*)", lambda m: "error: " + re.sub(r"\s", "", m[1]), text)   # argparse4j breaks lines, and spaces them out
    text = re.sub(r"(?<=these options: ).*", lambda m: ", ".join(sorted(m[0].split(", "))), text)         # of a Set
    lines = []
    for line in plain(text).splitlines():
        if re.match(r"\s+at |\s+\.\.\. \d+ more|Caused by: |\s+Suppressed: |\[[^]]*\] (WARN|INFO) |\[[^]]*\] ERROR \S+ - \[AdminClient ", line) or not line.strip():
            continue
        line = re.sub(r"^\[[^]]*\] (ERROR) \S+ - ", r"\1 ", line)             # slf4j-simple
        line = re.sub(r"^\[[^]]*\] (ERROR) (.*?)(?: \([\w.$]+\))?$", r"\1 \2", line)   # log4j, as in the distribution
        line = re.sub(r"^\([\w.$]+\)$| \([\w.$]*[a-z]\.[A-Z]\w+\)$", "", line)
        if line.strip():
            lines.append(line.rstrip())
    return lines


class ScriptsTest(unittest.TestCase):
    """A broker for all tests of a class, and `compare`."""

    PROPERTIES = {"group.initial.rebalance.delay.ms": "0"}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="millrace-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.node = Broker(cls.folder, cls.PROPERTIES)
        cls.addClassCleanup(lambda: cls.node.kill())
        cls.node.start()
        cls.quick = cls.folder / "quick.properties"   # gives up soon
        cls.quick.write_text("request.timeout.ms=1000\ndefault.api.timeout.ms=2000\n")

    @classmethod
    def link(cls, script):
        link = cls.folder / f"kafka-{script}.sh"
        if not link.exists():
            link.symlink_to(BINARY)
        return link

    @classmethod
    def words(cls, side, words):
        where = {"broker": cls.node.address, "own": OWN[side], "quick": cls.quick, "folder": cls.folder}
        return [re.sub(r"\{(\w+)\}", lambda m: str(where.get(m[1], m[0])), str(word)) for word in words]

    @classmethod
    def run_side(cls, side, script, words, send=""):
        words = cls.words(side, words)
        if side == "apache":
            return apache.run(script, words, send, SECONDS)
        return subprocess.run([cls.link(script), *words], input=send, capture_output=True, text=True, timeout=SECONDS, env=apache.UTC)

    @classmethod
    def ours(cls, script, *words, send=""):
        """Prepares something; a failure is one of the test's."""
        run = cls.run_side("ours", script, words, send)
        if run.returncode != 0:
            raise AssertionError(f"{script} {words}: {run.returncode}\n{run.stdout}{run.stderr}")
        return run.stdout

    @classmethod
    def millrace(cls, *words, send=""):
        """One of our own commands, to prepare something."""
        run = subprocess.run([BINARY, *map(str, words), "-b", cls.node.address], input=send, capture_output=True, text=True, timeout=SECONDS)
        if run.returncode != 0:
            raise AssertionError(f"{words}: {run.returncode}\n{run.stdout}{run.stderr}")
        return run.stdout

    def compare(self, script, *words, send="", any_order=False, errors=True, status=None):
        """Runs both and holds ours to Apache Kafka's; gives what ours printed. With `any_order` the order of lines is left out: Java's
        is that of its hash tables."""
        theirs, ours = (self.run_side(side, script, words, send) for side in ("apache", "ours"))
        said = f"\n{script} {' '.join(map(str, words))}\n--- Apache Kafka\n{theirs.stdout}{theirs.stderr}\n--- ours\n{ours.stdout}{ours.stderr}"
        lines = sorted if any_order else list
        self.assertEqual(lines(plain(theirs.stdout).splitlines()), lines(plain(ours.stdout).splitlines()), said)
        if errors:
            self.assertEqual(plain_errors(theirs.stderr), plain_errors(ours.stderr), said)
        self.assertEqual(theirs.returncode, ours.returncode, said)
        if status is not None:
            self.assertEqual(status, ours.returncode, said)
        return ours.stdout
