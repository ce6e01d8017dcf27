"""millrace completion: what the shell offers."""

import subprocess
import unittest

from support.broker import BINARY


def offered(*words):
    """What bash offers for the last word."""
    script = subprocess.run([BINARY, "completion", "bash"], capture_output=True, text=True, check=True).stdout
    line = ["millrace", *words]
    asked = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _millrace; printf "%s\\n" "${COMPREPLY[@]}"'
    ended = subprocess.run(["bash", "--norc", "-c", script + asked, "bash", *line], capture_output=True, text=True, check=True)
    return ended.stdout.split()


class Completion(unittest.TestCase):
    def test_commands_options_and_choices_are_offered(self):
        self.assertEqual(["topic"], offered("to"))
        self.assertEqual(["describe", "delete", "delete-records"], offered("topic", "de"))
        self.assertEqual(["--partitions"], offered("topic", "create", "name", "--parti"))
        self.assertEqual(["table", "json"], offered("topic", "list", "-o", ""))
        self.assertEqual(["--output"], offered("topic", "list", "-b", "localhost:9092", "--ou"))
        self.assertEqual([], offered("topic", "nothing-of-the-kind"))

    def test_what_is_no_shell_is_refused(self):
        ended = subprocess.run([BINARY, "completion", "tcsh"], capture_output=True, text=True)
        self.assertEqual((2, ""), (ended.returncode, ended.stdout))
        self.assertIn("bash, zsh and fish", ended.stderr)


if __name__ == "__main__":
    unittest.main()
