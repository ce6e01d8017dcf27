"""Planted bugs: each mutant changes one place of the sources, is built into the simulator, and must be caught by it.

A mutant that no seed catches means a checker or a fault is missing; one whose text is no longer found has to be adapted.
"""

import json
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

from mutants.planted import MUTANTS

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release"
MOST_SEEDS = 300
JOBS = 1    # another step runs beside this one


def compile_command(source):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if Path(entry["file"]) == source:
            return shlex.split(entry["command"])
    raise AssertionError(f"{source} is not built")


def link_command():
    lines = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", "-s", "millrace-sim"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    command = next(line for line in reversed(lines) if "-o millrace-sim" in line)
    return shlex.split(re.sub(r"^: && | && :$", "", command))


class Mutants(unittest.TestCase):
    def build(self, mutant, folder):
        source = ROOT / "src" / mutant.file
        text = source.read_text()
        self.assertEqual(text.count(mutant.old), 1, f"{mutant.file} does not hold this text exactly once: {mutant.old}")
        mutated = folder / source.name
        mutated.write_text(text.replace(mutant.old, mutant.new))
        command = compile_command(source)
        command[command.index("-c") + 1] = str(mutated)
        command[command.index("-o") + 1] = str(folder / "mutant.o")
        command.remove("-Werror")
        subprocess.run(command, check=True, cwd=BUILD, capture_output=True)
        command = link_command()
        at = command.index("-o")
        command[at + 1] = str(folder / "sim")
        command.insert(at + 2, str(folder / "mutant.o"))    # before the libraries: it is taken instead of theirs
        subprocess.run(command, check=True, cwd=BUILD, capture_output=True)
        return folder / "sim"

    def check(self, mutant):
        with tempfile.TemporaryDirectory() as folder:
            program = self.build(mutant, Path(folder))
            run = subprocess.run([str(program), "--seeds", str(MOST_SEEDS), "--jobs", str(JOBS), "--stop-early"],
                                 capture_output=True, text=True, timeout=600)
            self.assertNotEqual(run.returncode, 0, f"no seed of {MOST_SEEDS} catches it")


def add(mutant):
    setattr(Mutants, f"test_{mutant.name}_is_caught", lambda self: self.check(mutant))


for each in MUTANTS:
    add(each)

if __name__ == "__main__":
    unittest.main()
