"""A bank: tellers (bank.c, by librdkafka) move money between accounts, which are partitions, in transactions, while brokers and tellers are killed
(kill -9) and brokers stand still. In the end each transfer has both of its records for readers of committed records or neither, what a teller was
told is so, and no money was made."""

import os
import random
import subprocess
import time
import unittest
from collections import defaultdict

from chaos.foreign import compiled
from chaos.killable import Killable
from support.cluster import ClusterTest, combined

SECONDS = int(os.environ.get("BANK_SECONDS", 30))
PARTITIONS = 4
TELLERS = 3
ENOUGH = 100            # transfers, for a day to be over
PATIENCE_SECONDS = 150  # for so many, on a slow machine
ENDS_SECONDS = 60       # until transactions that their tellers left open are aborted
READ_SECONDS = 60


class Teller:
    """One transactional id, and the processes that have it one after the other."""

    def __init__(self, program, nodes, name):
        self.words, self.log = [program, nodes.bootstrap, "accounts", PARTITIONS, name], nodes.folder / f"{name}.log"
        self.lives = 0

    def live(self):
        self.lives += 1
        self.process = Killable([str(word) for word in (*self.words, self.lives)], self.log).start()

    def said(self):
        """{transfer: the last that was said of it}"""
        lines = [line.split() for line in self.log.read_text(errors="replace").splitlines()]
        return {words[1]: words[0] for words in lines if len(words) == 2 and words[0] in ("begun", "committed", "aborted")}

    def complaints(self):
        return "\n".join([line for line in self.log.read_text(errors="replace").splitlines() if ": " in line][-8:])


class Bank(ClusterTest):
    def setUp(self):
        super().setUp()
        self.nodes = self.cluster(combined(3), properties={"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}).start()
        self.client = self.nodes.client()
        self.addCleanup(self.client.__exit__)
        self.client.create_topic("accounts", PARTITIONS, 3, {"min.insync.replicas": 2})
        program = compiled("bank", self.nodes.folder)
        self.tellers = [Teller(program, self.nodes, f"teller-{number}") for number in range(TELLERS)]
        for teller in self.tellers:
            teller.live()
            self.addCleanup(lambda teller=teller: teller.process.kill())

    def is_whole(self):
        try:
            return self.client.is_whole("accounts", "__transaction_state")
        except (OSError, AssertionError):
            return False

    def hurt(self, chance):
        """Kills a broker, and now and then a teller; another broker may stand still meanwhile, for longer than tellers wait."""
        victim, other = chance.sample(list(self.nodes.nodes.values()), 2)
        stands_still = chance.random() < 0.3
        if stands_still:
            other.pause()
        victim.kill()
        if chance.random() < 0.4:
            chance.choice(self.tellers).process.kill()
        time.sleep(chance.uniform(1, 8) if stands_still else chance.uniform(0.1, 1.5))
        if stands_still:
            other.resume()
        victim.start()
        self.revive()
        self.wait_for(self.is_whole, 60)

    def revive(self):
        for teller in self.tellers:
            if not teller.process.is_running:
                teller.live()

    def committed(self):
        return sum(outcome == "committed" for teller in self.tellers for outcome in teller.said().values())

    def read(self):
        """{transfer: its amounts} of what readers of committed records see, up to the end."""
        read = subprocess.run(["kcat", "-q", "-b", self.nodes.bootstrap, "-C", "-t", "accounts", "-o", "beginning", "-e", "-X", "isolation.level=read_committed"],
                              capture_output=True, text=True, timeout=READ_SECONDS)
        found = defaultdict(list)
        for transfer, amount in (line.split() for line in read.stdout.splitlines()):
            found[transfer].append(int(amount))
        return found

    def test_no_transfer_is_half_done_and_no_money_is_made(self):
        chance, begun, hurts = random.Random(11), time.monotonic(), 0
        while (lasted := time.monotonic() - begun) < SECONDS or self.committed() < ENOUGH:
            self.assertLess(lasted, SECONDS + PATIENCE_SECONDS, f"{self.committed()} transfers\n" + "\n".join(each.complaints() for each in self.tellers))
            time.sleep(chance.uniform(1, 3))
            self.hurt(chance)
            hurts += 1
        for teller in self.tellers:
            teller.process.process.terminate()
        for teller in self.tellers:
            self.assertIn(teller.process.process.wait(60), (0, 3, -15))
        said = {transfer: outcome for teller in self.tellers for transfer, outcome in teller.said().items()}
        outcomes = list(said.values())
        print(f"{hurts} brokers killed, {sum(teller.lives for teller in self.tellers)} lives of tellers, " + ", ".join(
            f"{outcomes.count(each)} {each}" for each in ("committed", "aborted", "begun")), flush=True)
        wrong = {}

        def all_is_right():   # what is decided reaches one partition after the other
            wrong.clear()
            wrong.update(faults(said, self.read()))
            return not wrong
        self.wait_for(all_is_right, ENDS_SECONDS, lambda: str(wrong))
        self.assertGreater(outcomes.count("aborted"), 0)
        self.assertGreater(hurts, 2)


def faults(said, entries):
    """What is not as it must be, by kind, with the first of each."""
    wrong = {
        "half done": {transfer: amounts for transfer, amounts in entries.items() if len(amounts) != 2 or sum(amounts) != 0},
        "committed, and not there": {each for each, outcome in said.items() if outcome == "committed" and each not in entries},
        "aborted, and there": {each for each, outcome in said.items() if outcome == "aborted" and each in entries},
        "begun by nobody": set(entries) - set(said),
    }
    return {kind: (len(which), sorted(which.items() if isinstance(which, dict) else which)[:5]) for kind, which in wrong.items() if which}


if __name__ == "__main__":
    unittest.main()
