"""How a script is called, and how soon it begins."""

import resource
import subprocess

from scripts.comparing import ScriptsTest
from support.broker import BINARY

MOST_CPU_MS = 20   # from begin to end
TRIES = 10


def cpu_ms(run):
    """Of the processor, so that a busy machine changes nothing: what the programs took that `run` waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


class Start(ScriptsTest):
    def test_begins_at_once(self):
        self.assertLess(min(cpu_ms(lambda: self.ours("topics", "--version")) for _ in range(TRIES)), MOST_CPU_MS)

    def test_asks_and_answers_at_once(self):
        self.assertLess(min(cpu_ms(lambda: self.ours("topics", "--bootstrap-server", "{broker}", "--list")) for _ in range(TRIES)), MOST_CPU_MS)

    def test_by_name_and_by_class(self):
        def output(*words):
            return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)

        self.assertEqual("4.3.1\n", output(BINARY, "kafka", "topics", "--version").stdout)
        self.assertEqual("4.3.1\n", output(BINARY, "kafka", "kafka-topics.sh", "--version").stdout)
        for name in ("kafka-topics", "kafka-run-class.sh", "kafka-planets.sh"):
            (self.folder / name).symlink_to(BINARY)
        self.assertEqual("4.3.1\n", output(self.folder / "kafka-topics", "--version").stdout)
        self.assertEqual("4.3.1\n", output(self.folder / "kafka-run-class.sh", "org.apache.kafka.tools.TopicCommand", "--version").stdout)
        self.assertIn("\n  topics\n", output(BINARY, "kafka").stdout)
        absent = output(self.folder / "kafka-planets.sh", "--list")
        self.assertEqual((1, ""), (absent.returncode, absent.stdout))
        self.assertIn("kafka-planets.sh: Millrace has no such script", absent.stderr)
        unknown = output(BINARY, "kafka", "planets")
        self.assertEqual(2, unknown.returncode)
        self.assertIn("there is no script 'planets'", unknown.stderr)
