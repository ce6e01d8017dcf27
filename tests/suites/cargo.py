"""Rust crates' own tests, run from a writable copy of the crate as Cargo's registry gives it."""

import os
import re
import shutil
from pathlib import Path

from suites.suite import VERSIONS, Result, Suite, must, run


class RustRdkafka(Suite):
    """Its client is librdkafka, built from the sources that come with it. Some of its tests have localhost:9092 written into them."""

    name = source = "rust-rdkafka"
    port = 9092
    properties = {"node.id": "0", "num.partitions": "3", "group.initial.rebalance.delay.ms": "100",   # replicas are assigned to node 0
                  "advertised.listeners": "PLAINTEXT://localhost:9092"}
    seconds = 900

    def install(self, folder):
        pinned = VERSIONS[self.source]
        must(["cargo", "init", "-q", "--name", "fetch", folder / "fetch"])
        must(["cargo", "add", "-q", f"{pinned['crate']}@={pinned['version']}"], folder / "fetch")
        must(["cargo", "fetch", "-q"], folder / "fetch")
        home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
        shutil.copytree(next(home.glob(f"registry/src/*/{pinned['crate']}-{pinned['version']}")), folder / "crate")
        must(["cargo", "test", "-q", "--no-run", "--tests"], folder / "crate")

    def run(self, target, tests):
        """Runs the programs that the tests are of."""
        programs = [word for program in sorted({test.split("::")[0] for test in tests}) for word in ("--test", program)]
        environment = {"KAFKA_HOST": target.address, "KAFKA_VERSION": "4.0.0", "RUST_BACKTRACE": "0"}
        _, output = run(["cargo", "test", "--no-fail-fast", *programs, "--", "--test-threads=2"], self.installed() / "crate", environment, self.seconds)
        return results_of(output)


def results_of(output):
    """Of the lines of Rust's test runner; a test is named after its program."""
    told = {name: why.strip() for name, why in re.findall(r"(?ms)^---- (\S+) stdout ----$(.*?)(?=^----|^failures:)", output)}
    results, program = [], ""
    for line in output.splitlines():
        if running := re.search(r"Running (?:unittests )?(\S+)", line):
            program = Path(running[1]).stem
        if verdict := re.search(r"^test (\S+) \.\.\. .*?(ok|FAILED)$", line):
            results.append(Result(f"{program}::{verdict[1]}", verdict[2] == "ok", 0, told.get(verdict[1], "")[-600:]))
    if not results:
        raise SystemExit(output[-4000:])
    return results
