"""librdkafka's own test runner, a process for the tests of a number: a crash costs those. Built from the sources in a package of the npm registry."""

import json
import os
import re
import shlex
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interop.apache import command_line, jars
from suites.suite import VERSIONS, Result, Suite, must, run

AT_ONCE = 6         # they wait more than they work
QUICK = ("0055", "0061", "0113", "0137")  # in full 0113 takes nine minutes, and the others have parts with transactions
CLAIMED = "4.2.0.0"  # the runner leaves out what the broker is too old for, and cannot find out by itself


class Librdkafka(Suite):
    name = source = "librdkafka"
    nodes = 3
    scenario = "default"
    # It times its own consumer, not the broker: each record must be read within 60 ms of the time it is due. Machines with all cores busy do not keep that.
    slow = ("0127_fetch_queue_backoff",)
    races = {
        # The consumer may still create topics when it asks for metadata, and does so now and then right behind the deletion of the test's first
        # half: the expressions of the second half match these as well.
        "0033_regex_subscribe": "got unexpected topic match",
        # It produces eight times and takes for granted that the first answer about the topics comes later: behind it produce() itself refuses the
        # invalid topic, with another error. A loop that is held up for three milliseconds loses.
        "0057_invalid_topic": "Expected Broker: Invalid topic, got ",
        # Of its two consumers the first must be the first to join. When the other one is, it gives partitions back to the first before it is closed,
        # and the commit that the test expects to be refused is a member's like any other. One run in six, with the consumer protocol.
        "0118_commit_rebalance": "commit to fail, but got NO_ERROR",
        # Its loop asks the first group's consumer once, for half a second, before the second group's, and ends when that has all of its records.
        "0170_share_consumer_subscription": "groupA expected 8 records total, got 5",
        # It waits for its second request to be sent by one wait for a signal, which the first request gives as well.
        "0086_purge_remote": "No more than 2 requests should've been sent by now, 1 sent",
    }
    protocol = "classic"  # of the groups
    seconds = 360         # of the tests of a number
    properties = {"broker.rack": "RACK1", "num.partitions": "4", "offsets.topic.num.partitions": "4",
                  "message.max.bytes": "15000000", "group.initial.rebalance.delay.ms": "100",
                  "group.max.session.timeout.ms": "1000000"}
    cluster_properties = {"auto.create.topics.enable": "true", "default.replication.factor": "3", "min.insync.replicas": "2",
                          "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"}

    def install(self, folder):
        pinned = VERSIONS[self.source]
        archive = must(["npm", "pack", "--silent", f"{pinned['npm']}@{pinned['version']}"], folder).split()[-1]
        must(["tar", "xzf", archive, "--strip-components=3", "package/deps/librdkafka"], folder)
        (folder / archive).unlink()
        must(["./configure"], folder)
        jobs = f"-j{os.cpu_count()}"
        must(["make", jobs, "libs"], folder)
        must(["make", jobs, "-C", "tests", "build"], folder)

    def run(self, target, tests):
        numbers = list(dict.fromkeys(test[:4] for test in tests))  # what the runner selects by
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
            kafka = tool_scripts(Path(scratch))
            told = dict(zip(numbers, pool.map(lambda number: self.run_number(kafka, target.address, number), numbers)))
        return [told[test[:4]](test) for test in tests]

    def run_number(self, kafka, address, number):
        """Runs the tests of a number; gives what makes a Result of a test's name."""
        folder = self.installed()
        with tempfile.TemporaryDirectory() as scratch:
            conf, report = Path(scratch, "test.conf"), Path(scratch, "report.json")
            conf.write_text(f"bootstrap.servers={address}\ntest.topic.random=true\ntest.timeout.multiplier=2\n")
            environment = {"RDKAFKA_TEST_CONF": conf, "TESTS": number, "TEST_REPORT": report, "TEST_SCENARIO": self.scenario,
                           "TEST_KAFKA_VERSION": CLAIMED, "TEST_CONSUMER_GROUP_PROTOCOL": self.protocol,
                           "KAFKA_PATH": kafka, "BROKERS": address,
                           "LD_LIBRARY_PATH": f"{folder}/src:{folder}/src-cpp"}
            command = ["./test-runner", "-L", "-K", "-E", "-p1", *(["-Q"] if number in QUICK else [])]
            status, output = run(command, folder / "tests",
                                 {name: str(value) for name, value in environment.items()}, self.seconds)
            try:
                states = json.loads(report.read_text(), strict=False)["tests"]
            except (OSError, ValueError, KeyError):
                states = {}

        def result(test):
            state = states.get(test, {"state": f"exit status {status}", "duration": self.seconds})
            return Result(test, state["state"] == "PASSED", state["duration"], f"{state['state']}: {complaints(output)}")

        return result


class LibrdkafkaConsumers(Librdkafka):
    """The same tests with groups of the consumer protocol (KIP-848)."""

    name = "librdkafka-consumer"
    protocol = "consumer"
    properties = {**Librdkafka.properties, "group.consumer.min.heartbeat.interval.ms": "1000", "group.consumer.heartbeat.interval.ms": "1000"}


class LibrdkafkaShareConsumers(Librdkafka):
    """The tests of share groups (KIP-932)."""

    name = "librdkafka-share"
    slow = ("0174_share_consumer_concurrency",)
    seconds = 1200        # 0174 waits for each record that it produces: five minutes on a quiet machine, beside others more than twice that
    properties = {**Librdkafka.properties, "share.coordinator.state.topic.num.partitions": "4", "group.share.min.record.lock.duration.ms": "1000"}


class LibrdkafkaWithoutAutomaticTopics(Librdkafka):
    """The tests of the runner's other scenario."""

    name = "librdkafka-noautocreate"
    scenario = "noautocreate"
    cluster_properties = {**Librdkafka.cluster_properties, "auto.create.topics.enable": "false"}


def complaints(output):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    lines = re.findall(r"^.*WARN: .*|^.*assertion failed.*|^.*failed at.*\n.*", plain, re.M)   # why is on the line behind it
    return " | ".join(lines)[:1200] or plain[-300:]


def tool_scripts(folder):
    """What some tests call or compile against, laid out as in a distribution of Apache Kafka."""
    (folder / "libs").symlink_to(jars())
    (folder / "bin").mkdir()
    for name, command in (("kafka-topics.sh", shlex.join(command_line("topics"))),
                          ("kafka-run-class.sh", f'java -cp "$CLASSPATH:{jars()}/*"')):
        script = folder / "bin" / name
        script.write_text(f"#!/bin/sh\nexec {command} \"$@\"\n")
        script.chmod(0o755)
    return folder
