"""Go modules' own tests, run from a writable copy of the module as Go's proxy gives it."""

import functools
import json
import re
import shutil
from pathlib import Path

from support.cache import CACHE, installed_once
from support.protocol import Asker

from suites.suite import VERSIONS, Result, Suite, must, run


@functools.cache
def go():
    """A Go that is new enough: the machine's, or the one that is pinned."""
    pinned = VERSIONS["toolchain"]
    wanted = tuple(map(int, re.search(r"go(\d+)\.(\d+)", pinned["version"]).groups()))
    if tuple(map(int, re.search(r"go(\d+)\.(\d+)", must(["go", "version"])).groups())) >= wanted:
        return "go"
    return installed_once(f"go-{pinned['version']}", lambda folder: install_go(pinned, folder)) / "bin/go"


def install_go(pinned, folder):
    copy_module(pinned, folder, "go")
    for program in [*folder.glob("bin/*"), *folder.glob("pkg/tool/*/*")]:
        program.chmod(0o755)


def copy_module(pinned, folder, program):
    found = json.loads(must([program, "mod", "download", "-json", f"{pinned['module']}@{pinned['version']}"], CACHE,
                            {"GOFLAGS": "-mod=mod"}))
    shutil.copytree(found["Dir"], folder, dirs_exist_ok=True)
    must(["chmod", "-R", "u+w", folder])


class GoSuite(Suite):
    packages = ["."]
    tags = ""
    seconds = 600
    environment = {}
    constant = {"GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}  # not every module's go.mod is tidy

    def install(self, folder):
        copy_module(VERSIONS[self.source], folder, go())

    def run(self, target, tests):
        """Runs the top level tests that have one of `tests` in them; the parts of them that are not asked for run too."""
        tops = sorted({test.split("/")[0] for test in tests})
        command = [go(), "test", "-json", "-vet=off", "-count=1", f"-timeout={self.seconds}s", f"-tags={self.tags}", "-run", f"^({'|'.join(tops)})$"]
        environment = {name: value.format(address=target.address, copies=self.nodes) for name, value in self.environment.items()}
        _, output = run(command + self.packages, self.installed(), self.constant | environment, self.seconds + 60)
        return results_of(output)


def results_of(output):
    """Of `go test -json`."""
    results, told, built = [], {}, ""
    for line in output.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            built += line + "\n"
            continue
        test, action = event.get("Test"), event["Action"]
        if action in ("output", "build-output"):
            told[test] = told.get(test, "") + event["Output"]
        elif test and action in ("pass", "fail", "skip"):
            results.append(Result(test, action == "pass", event.get("Elapsed", 0), told.get(test, "")[-600:]))
    if not results:
        raise SystemExit((built + told.get(None, ""))[-4000:])
    return results


class FranzGo(GoSuite):
    name = source = "franz-go"
    nodes = 3
    packages = ["./pkg/kgo"]
    properties = {"message.max.bytes": "200000000", "socket.request.max.bytes": "210000000",
                  "offsets.topic.num.partitions": "4", "group.initial.rebalance.delay.ms": "0",
                  "group.consumer.min.heartbeat.interval.ms": "1000", "group.consumer.heartbeat.interval.ms": "1000"}
    cluster_properties = {"min.insync.replicas": "2"}
    environment = {"KGO_SEEDS": "{address}", "KGO_LOG_LEVEL": "error", "KGO_TEST_RF": "{copies}", "KGO_TEST_RECORDS": "20000"}


class KafkaGo(GoSuite):
    """The address of its broker, localhost:9092, and its node id are written into the tests."""

    name = source = "kafka-go"
    port = 9092
    packages = [".", "./topics"]
    properties = FranzGo.properties | {"advertised.listeners": "PLAINTEXT://localhost:9092"}
    environment = {"KAFKA_VERSION": "3.7.0", "KAFKA_SKIP_NETTEST": "1"}
    # It gives two topics a second to be gone, of which the broker has three quarters; a disk that is busy with others has kept a flush that long.
    races = {"TestConn/test_delete_topics": r"bad DeleteTopics: .*(Request Timed Out|i/o timeout)"}


class ConfluentKafkaGo(GoSuite):
    """Its client is librdkafka, which comes with the module as a library."""

    name = source = "confluent-kafka-go"
    packages = ["./kafka"]
    properties = {"node.id": "0", "num.partitions": "3", "group.initial.rebalance.delay.ms": "100"}   # replicas are assigned to node 0
    constant = {**GoSuite.constant, "CGO_ENABLED": "1"}
    # Its Flush(-1) does not wait: all records must be delivered by the time that the offsets are sent, and librdkafka itself keeps them for 5 ms.
    races = {"TestTransactionalProducer": r"Flush\(\) failed: \d+ messages still not delivered"}

    def run(self, target, tests):
        asker = Asker(target.address)
        asker.create_topic("test", 1)
        asker.socket.close()
        (self.installed() / "kafka/testconf.json").write_text(json.dumps(
            {"Brokers": target.address, "TopicName": "test", "GroupID": "testgroup", "PerfMsgCount": 10_000, "PerfMsgSize": 100}))
        return super().run(target, tests)
