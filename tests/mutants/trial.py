"""Tries a mutant: builds it into the simulator and looks for a seed that tells it from the sources as they are.

Only the changed file is compiled, without optimization and debug information, which takes a third of the time; it lies at a place of its own, so
that ccache knows it the next time. The seed that caught a mutant last (caught_by.json) is tried before all others."""

import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mutants.planted import NOT_CAUGHT_YET, OF_A_CLUSTER

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release"
CAUGHT_BY = Path(__file__).with_name("caught_by.json")
MOST_SEEDS = 200
SEED_SECONDS = 300
KINDS = ("brokers", "clusters")
POLITELY = ["nice", "-n", "5"]    # tests that look at clocks run beside these


@dataclass(frozen=True)
class Catch:
    kind: str
    seed: int
    says: str = ""

    def remembered(self):
        return [self.kind, self.seed]


def remembered():
    return {name: Catch(*catch) for name, catch in json.loads(CAUGHT_BY.read_text()).items()}


def remember(catches):
    """Those of these mutants; the others' stay."""
    known = {**remembered(), **catches}
    lines = [f"{json.dumps(name)}: {json.dumps(known[name].remembered())}" for name in sorted(known)]
    CAUGHT_BY.write_text("{\n  " + ",\n  ".join(lines) + "\n}\n")


@cache
def compile_commands():
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    return {Path(entry["file"]): shlex.split(entry["command"]) for entry in entries}


@cache
def link_command():
    lines = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", "-s", "millrace-sim"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    command = next(line for line in reversed(lines) if "-o millrace-sim" in line)
    return tuple(shlex.split(re.sub(r"^: && | && :$", "", command)))


def run_in_build(command):
    environment = {**os.environ, "CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}
    subprocess.run([*POLITELY, *command], check=True, cwd=BUILD, env=environment)


def mutated(mutant):
    text = (ROOT / "src" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise AssertionError(f"{mutant.file} does not hold this text exactly once: {mutant.old}")
    return text.replace(mutant.old, mutant.new)


def compiled(mutant, folder):
    source = ROOT / "src" / mutant.file
    (folder / source.name).write_text(mutated(mutant))
    instead = {"-O2": "-O0", "-g1": "-g0", "-Werror": "-w"}
    command = [instead.get(word, word) for word in compile_commands()[source]]
    command[command.index("-c") + 1] = str((folder / source.name).relative_to(BUILD))
    command[command.index("-o") + 1] = str((folder / "mutant.o").relative_to(BUILD))
    run_in_build(["ccache", *command])
    return folder / "mutant.o"


def built(mutant):
    """The simulator with the mutant in it."""
    folder = BUILD / "mutants" / mutant.name
    folder.mkdir(parents=True, exist_ok=True)
    changed = compiled(mutant, folder)
    command = list(link_command())
    at = command.index("-o")
    command[at + 1] = str(folder / "sim")
    command.insert(at + 2, str(changed))    # before the libraries: it is taken instead of theirs
    run_in_build([*command, "-Wl,--strip-all"])
    return folder / "sim"


def outcome(program, kind, seed):
    """What the simulator says of a seed that fails; None: it does not fail."""
    run = subprocess.run([*POLITELY, str(program), f"--{kind}", "--seed", str(seed)], capture_output=True, text=True, timeout=SEED_SECONDS)
    if run.returncode == 0:
        return None
    said = [line for line in (run.stderr + run.stdout).splitlines() if "FAILED: " in line or "ASSERT" in line or "aborted" in line]
    return "; ".join(said) or f"died with status {run.returncode}"


def is_blamed(mutant, says):
    """What fails is what the mutant breaks, not what its other course of events happens to lead to."""
    return any(re.search(rf"\b{re.escape(each)}\b", says) for each in mutant.invariants())


def candidates(mutant):
    for kind in KINDS[1:] if mutant in OF_A_CLUSTER + NOT_CAUGHT_YET else KINDS:    # what one broker does a node of a cluster does too
        for seed in range(1, MOST_SEEDS + 1):
            yield Catch(kind, seed)


def tried(program, candidate):
    """The candidate with what is said of it, if it fails and the sources as they are survive it; else None."""
    says = outcome(program, candidate.kind, candidate.seed)
    if says is None or outcome(BUILD / "millrace-sim", candidate.kind, candidate.seed):
        return None
    return replace(candidate, says=says)


def caught(mutant):
    """The seed that is remembered, if it still does; else the first that says what the mutant breaks, or at least fails. None: there is none."""
    program = built(mutant)
    try:
        known = remembered().get(mutant.name)
        if known and (catch := tried(program, known)):
            return catch
        other = None
        for candidate in candidates(mutant):
            catch = tried(program, candidate)
            if catch and is_blamed(mutant, catch.says):
                return catch
            other = other or catch
        return other
    finally:
        program.unlink()
