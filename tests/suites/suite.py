"""What every foreign suite has: where it is kept, what it runs against, how its programs run, the lists that its results are held to."""

import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from support.broker import Broker
from support.cache import installed_once
from support.cluster import MILLRACE, Cluster, combined

HERE = Path(__file__).resolve().parent
VERSIONS = tomllib.loads((HERE.parent / "versions.toml").read_text())
AGAIN = 3
# CI=true makes some suites leave tests out or wait longer.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "CI"}


@dataclass
class Result:
    test: str
    passed: bool
    seconds: float = 0
    told: str = ""


def run(command, folder=None, environment=None, seconds=900):
    """(exit status, what it printed); 124 when the time was over: then its whole process group is killed."""
    process = subprocess.Popen([str(word) for word in command], cwd=folder, env=ENVIRONMENT | (environment or {}),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        status = 124
    return status, output.decode(errors="replace")


def must(command, folder=None, environment=None, seconds=1800):
    status, output = run(command, folder, environment, seconds)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {status}\n{output[-4000:]}")
    return output


class Suite:
    """`properties` go into every node's server.properties, `cluster_properties` where it is one of several; `port` is fixed for clients that
    have it written into them. `source` names its entry in versions.toml. The tests of `slow` are for the long tier, which has a quiet hour.
    Those of `races` lose a race of their own now and then, whatever the broker does: with what they complain of when they do."""

    name = source = ""
    nodes = 1
    properties = {}
    cluster_properties = {}
    client_ports = {}       # as Cluster's
    port = None
    slow = ()
    races = {}

    def target(self, folder):
        """What it runs against, not started: has `address`, start(), stop() and error_lines(). The nodes of a cluster are in racks of their own."""
        if self.nodes == 1:
            return Broker(folder, self.properties, port=self.port)
        kinds = os.environ.get("CLUSTER_KIND", MILLRACE).split(",")
        plans = combined(self.nodes, kinds=[kinds[i % len(kinds)] for i in range(self.nodes)])
        for plan in plans:
            plan.rack = f"RACK{plan.id}"
        return Cluster(folder, plans, properties=self.properties | self.cluster_properties, client_ports=self.client_ports).format()

    def installed(self):
        """The suite's folder in the cache, made at first use."""
        return installed_once(f"{self.source}-{VERSIONS[self.source]['version']}", self.install)

    def install(self, folder):
        raise NotImplementedError

    def run(self, target, tests):
        """A Result for each of `tests`, in any order; what is not there has failed."""
        raise NotImplementedError

    def run_fairly(self, target, tests):
        """run(), where a test that lost a race of its own runs again."""
        results = {result.test: result for result in self.run(target, tests)}
        for test in sorted(set(self.races).intersection(tests)) * AGAIN:
            result = results.get(test)
            if result and not result.passed and re.search(self.races[test], result.told):
                print(f"{self.name} {test} lost its own race and runs again: {result.told}", flush=True)
                results |= {again.test: again for again in self.run(target, [test])}
        return list(results.values())


def expected(suite):
    lines = (HERE / "expected" / f"{suite}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def absent():
    """{(suite, test): why it is not run}"""
    reasons = {}
    for line in (HERE / "absent.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            suite, test, reason = line.split(None, 2)
            reasons[suite, test] = reason
    return reasons
