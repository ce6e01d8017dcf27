"""Planted bugs: each mutant changes one place of the sources, is built into the simulator, and must be caught by it.

A mutant that no seed catches means a checker or a fault is missing; one whose text is no longer found has to be adapted.
"""

import os
import unittest
from concurrent.futures import ThreadPoolExecutor

from mutants import trial
from mutants.planted import MUTANTS


class Mutants(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """All are tried at once, in the order in which they are asked for; a test waits for its own."""
        cls.pool = ThreadPoolExecutor(os.cpu_count())
        cls.trials = {each: cls.pool.submit(trial.caught, each) for each in sorted(MUTANTS, key=lambda each: each.name)}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown(cancel_futures=True)

    def check(self, mutant):
        self.assertIsNotNone(self.trials[mutant].result(), f"no seed of {trial.MOST_SEEDS} of either kind catches it")


def add(mutant):
    setattr(Mutants, f"test_{mutant.name}_is_caught", lambda self: self.check(mutant))


for each in MUTANTS:
    add(each)

if __name__ == "__main__":
    unittest.main()
