"""Planted bugs: each mutant changes one place of the sources, is built into the simulator, and must be caught by it.

A mutant that no seed catches means a checker or a fault is missing; one whose text is no longer found has to be adapted.
"""

import os
import unittest
from concurrent.futures import ThreadPoolExecutor

from mutants import trial
from mutants.planted import MUTANTS


class Mutants:
    """All of a class are tried at once, in the order in which they are asked for; a test waits for its own."""

    mutants = ()

    @classmethod
    def setUpClass(cls):
        cls.pool = ThreadPoolExecutor(os.cpu_count())
        cls.trials = {each: cls.pool.submit(trial.caught, each) for each in sorted(cls.mutants, key=lambda each: each.name)}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown(cancel_futures=True)

    def check(self, mutant):
        self.assertIsNotNone(self.trials[mutant].result(), f"no seed of {trial.MOST_SEEDS} of either kind catches it")


class OneForEachInvariant(Mutants, unittest.TestCase):
    mutants = tuple({each.invariants()[0]: each for each in reversed(MUTANTS)}.values())


class MoreOfThem(Mutants, unittest.TestCase):
    mutants = tuple(each for each in MUTANTS if each not in OneForEachInvariant.mutants)


def add(kind, mutant):
    setattr(kind, f"test_{mutant.name}_is_caught", lambda self: self.check(mutant))


for kind in (OneForEachInvariant, MoreOfThem):
    for each in kind.mutants:
        add(kind, each)

if __name__ == "__main__":
    unittest.main()
