"""Apache Kafka's command line tools, in one order: a step uses what the steps before it left.

Each step says what the tool has to print; it was tried against Apache Kafka's own broker.
"""

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from interop.apache import command_line
from suites.suite import Result, Suite

SECONDS = 90
TOOLS = {
    "api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "consumer-perf": "org.apache.kafka.tools.ConsumerPerformance",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf": "org.apache.kafka.tools.ProducerPerformance",
    "share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}


@dataclass
class Step:
    name: str
    command: str           # the tool and its arguments; {b} is the broker's address, {file} a file that holds `input`
    says: tuple = ()       # regular expressions, all to be found in what it prints
    input: str = ""
    lacks: tuple = ()      # none of these is
    fails: bool = False    # its exit status is not 0
    tries: int = 1         # of what may become true a moment later


TO = "--bootstrap-server {b}"
TOPICS, CONFIGS, GROUPS = f"topics {TO}", f"configs {TO}", f"consumer-groups {TO}"
SHARE_GROUPS, SHARE = f"share-groups {TO}", f"console-share-consumer {TO} --topic one --group shared --max-messages 20 --timeout-ms 20000"
READ = f"console-consumer {TO} --from-beginning --timeout-ms 10000"
PAIRS = "".join(f"key{i % 4}={i}\n" for i in range(20))

STEPS = [
    Step("api-versions", f"api-versions {TO}",
         (r"Produce\(0\): 0 to 13", r"Fetch\(1\): 4 to 18", r"OffsetCommit\(8\): 2 to 10", r"JoinGroup\(11\): 0 to 9")),
    Step("cluster-id", f"cluster cluster-id {TO}", (r"Cluster ID: \S{22}\n",)),
    Step("cluster-endpoints", f"cluster list-endpoints {TO}", (r"(?m)^1\s+127\.0\.0\.1\s+\d+\s",)),
    Step("features", f"features {TO} describe", (r"metadata\.version.*FinalizedVersionLevel: \S+", r"group\.version")),
    Step("quorum-status", f"metadata-quorum {TO} describe --status", (r"LeaderId:\s+1\b", r"CurrentVoters:.*\b1\b")),
    Step("quorum-replication", f"metadata-quorum {TO} describe --replication", (r"(?m)^1\s.*\bLeader\b",)),
    Step("topic-create", f"{TOPICS} --create --topic one --partitions 2 --replication-factor 1 --config retention.ms=7200000",
         (r"Created topic one\.",)),
    Step("topic-create-twice", f"{TOPICS} --create --topic one", ("Topic 'one' already exists",), fails=True),
    Step("topic-create-if-not-exists", f"{TOPICS} --create --topic one --if-not-exists"),
    Step("topic-create-name", f"{TOPICS} --create --topic not/a/name", ("[Ii]llegal|invalid",), fails=True),
    Step("topic-create-factor", f"{TOPICS} --create --topic far --replication-factor 3", ("InvalidReplicationFactor",), fails=True),
    Step("topic-create-config", f"{TOPICS} --create --topic odd --config segment.bytes=many", ("[Ii]nvalid",), fails=True),
    Step("topic-list", f"{TOPICS} --list", (r"(?m)^one$",), lacks=(r"(?m)^(far|odd)$",)),
    Step("topic-describe", f"{TOPICS} --describe --topic one",
         (r"PartitionCount: 2\s+ReplicationFactor: 1\s+Configs:.*retention\.ms=7200000", r"Partition: 1\s+Leader: 1\s+Replicas: 1\s+Isr: 1")),
    Step("topic-grow", f"{TOPICS} --alter --topic one --partitions 3"),
    Step("topic-shrink", f"{TOPICS} --alter --topic one --partitions 1", ("InvalidPartitionsException",), fails=True),
    Step("topic-describe-grown", f"{TOPICS} --describe --topic one", ("PartitionCount: 3",), tries=3),
    Step("produce", f"console-producer {TO} --topic one --reader-property parse.key=true --reader-property key.separator==",
         input=PAIRS, lacks=("ERROR",)),
    Step("consume", f"{READ} --topic one --max-messages 20 --formatter-property print.key=true",
         ("Processed a total of 20 messages", r"(?m)^key3\t19$")),
    Step("consume-in-a-group", f"{READ} --topic one --max-messages 20 --group readers", ("Processed a total of 20 messages",)),
    Step("consume-with-an-assignor",
         f"{READ} --topic one --max-messages 20 --group cooperative --consumer-property "
         "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
         ("Processed a total of 20 messages",)),
    Step("consume-by-the-consumer-protocol", f"{READ} --topic one --max-messages 20 --group modern --consumer-property group.protocol=consumer",
         ("Processed a total of 20 messages",)),
    Step("consume-as-a-static-member", f"{READ} --topic one --max-messages 20 --group fixed --consumer-property group.instance.id=a",
         ("Processed a total of 20 messages",)),
    Step("offsets", f"get-offsets {TO} --topic one", (r"(?m)^one:0:\d+$", r"(?m)^one:2:\d+$")),
    Step("offsets-earliest", f"get-offsets {TO} --topic one --time earliest", (r"(?m)^one:0:0$",)),
    Step("offsets-of-the-newest-time", f"get-offsets {TO} --topic one --time max-timestamp", (r"(?m)^one:\d:\d+$",)),
    Step("groups", f"groups {TO} --list", (r"(?m)^readers\s+Classic\s+consumer", r"(?m)^modern\s+Consumer\s+consumer")),
    Step("group-of-the-consumer-protocol", f"{GROUPS} --describe --group modern --state", (r"modern\s+.*uniform\s+Empty\s+0",)),
    Step("group-list", f"{GROUPS} --list --state", (r"(?m)^readers\s+Empty",)),
    Step("group-describe", f"{GROUPS} --describe --group readers", (r"(?m)^readers\s+one\s+2\s+\d+\s+\d+\s+0\s",)),
    Step("group-state", f"{GROUPS} --describe --group readers --state", (r"readers\s+.*Empty\s+0",)),
    Step("group-reset", f"{GROUPS} --group readers --topic one --reset-offsets --to-earliest --execute", (r"(?m)^readers\s+one\s+1\s+0\s*$",)),
    Step("group-describe-reset", f"{GROUPS} --describe --group readers", (r"(?m)^readers\s+one\s+1\s+0\s+(\d+)\s+\1\s",)),
    Step("group-delete-offsets", f"{GROUPS} --group cooperative --topic one --delete-offsets", (r"(?m)^one\s+0\s+Successful",)),
    Step("group-delete", f"{GROUPS} --group readers --delete", (r"'readers'\) was successful",)),
    Step("group-delete-unknown", f"{GROUPS} --group nobody --delete", ("GroupIdNotFoundException|not found",)),
    Step("share-group-unknown", f"{SHARE_GROUPS} --describe --group shared", ("Group shared not found",)),
    Step("share-from-the-beginning", f"{CONFIGS} --alter --entity-type groups --entity-name shared --add-config share.auto.offset.reset=earliest",
         ("Completed updating config for group shared",)),
    Step("share-consume", SHARE, ("Processed a total of 20 messages",)),
    Step("share-list", f"{SHARE_GROUPS} --list --state", (r"(?m)^shared\s+Empty",)),
    Step("share-list-with-all-groups", f"groups {TO} --list", (r"(?m)^shared\s+Share\s+share",)),
    Step("share-members", f"{SHARE_GROUPS} --describe --group shared --members --verbose", ("Share group 'shared' has no active members",)),
    Step("share-state", f"{SHARE_GROUPS} --describe --group shared --state --verbose", (r"(?m)^shared\s+.*\s+Empty\s+\d+\s+\d+\s+0\s*$",)),
    Step("share-offsets-to-latest", f"{SHARE_GROUPS} --reset-offsets --group shared --topic one --to-latest --execute",
         (r"(?m)^shared\s+one\s+0\s+\d+", r"(?m)^shared\s+one\s+2\s+\d+")),
    Step("share-describe", f"{SHARE_GROUPS} --describe --group shared --offsets --verbose", (r"(?m)^shared\s+one\s+0\s+0\s+\d+\s+0\s*$",), tries=3),
    Step("share-offsets-dry-run", f"{SHARE_GROUPS} --reset-offsets --group shared --all-topics --to-datetime 2020-01-01T00:00:00.000 --dry-run",
         (r"(?m)^shared\s+one\s+1\s+0\s*$",)),
    Step("share-describe-the-same", f"{SHARE_GROUPS} --describe --group shared", (r"(?m)^shared\s+one\s+0\s+\d+\s+0\s*$",)),
    Step("share-offsets-to-earliest", f"{SHARE_GROUPS} --reset-offsets --group shared --topic one --to-earliest --execute", (r"(?m)^shared\s+one\s+1\s+0\s*$",)),
    Step("share-consume-again", SHARE, ("Processed a total of 20 messages",)),
    Step("share-delete-offsets", f"{SHARE_GROUPS} --delete-offsets --group shared --topic one", (r"(?m)^one\s+Successful",)),
    Step("share-delete", f"{SHARE_GROUPS} --delete --group shared", (r"'shared'.* was successful|was successful",)),
    Step("share-gone", f"{SHARE_GROUPS} --list", lacks=("(?m)^shared",)),
    Step("config-alter", f"{CONFIGS} --alter --entity-type topics --entity-name one --add-config cleanup.policy=[compact,delete],max.message.bytes=90000",
         ("Completed updating config for topic one",)),
    Step("config-describe", f"{CONFIGS} --describe --entity-type topics --entity-name one",
         (r"max\.message\.bytes=90000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:max\.message\.bytes=90000,", "cleanup.policy=compact,delete")),
    Step("config-delete", f"{CONFIGS} --alter --entity-type topics --entity-name one --delete-config max.message.bytes", ("Completed",)),
    Step("config-unknown", f"{CONFIGS} --alter --entity-type topics --entity-name one --add-config no.such=1",
         (r"Unknown topic config name: no\.such",), fails=True),
    Step("config-of-the-broker", f"{CONFIGS} --alter --entity-type brokers --entity-name 1 --add-config log.cleaner.threads=2", ("Completed",)),
    Step("config-of-the-broker-describe", f"{CONFIGS} --describe --entity-type brokers --entity-name 1",
         ("log.cleaner.threads=2 sensitive=false",), tries=3),
    Step("config-of-the-broker-read-only", f"{CONFIGS} --alter --entity-type brokers --entity-name 1 --add-config node.id=7",
         ("[Cc]annot|InvalidRequest|InvalidConfig",), fails=True),
    Step("quota-of-a-user-and-client", f"{CONFIGS} --alter --entity-type users --entity-name u --entity-type clients --entity-name c "
         "--add-config producer_byte_rate=1024,consumer_byte_rate=2048", ("Completed updating config for user",)),
    Step("quota-of-any-user", f"{CONFIGS} --alter --entity-type users --entity-default --add-config request_percentage=150.5,controller_mutation_rate=10",
         ("Completed updating default config for users",)),
    Step("quota-of-an-address", f"{CONFIGS} --alter --entity-type ips --entity-name 192.0.2.1 --add-config connection_creation_rate=7", ("Completed",)),
    Step("quota-describe", f"{CONFIGS} --describe --entity-type users --entity-name u --entity-type clients --entity-name c",
         (r"Quota configs for user-principal 'u', client-id 'c' are .*producer_byte_rate=1024\.0",), tries=3),
    Step("quota-describe-default", f"{CONFIGS} --describe --entity-type users --entity-default",
         (r"Quota configs for the default user-principal are .*request_percentage=150\.5",), tries=3),
    Step("quota-describe-address", f"{CONFIGS} --describe --entity-type ips --entity-name 192.0.2.1", (r"connection_creation_rate=7\.0",), tries=3),
    Step("quota-wrong", f"{CONFIGS} --alter --entity-type clients --entity-name c --add-config producer_byte_rate=0", ("must be greater than 0",), fails=True),
    Step("quota-delete", f"{CONFIGS} --alter --entity-type users --entity-default --delete-config request_percentage,controller_mutation_rate", ("Completed",)),
    Step("quota-delete-address", f"{CONFIGS} --alter --entity-type ips --entity-name 192.0.2.1 --delete-config connection_creation_rate", ("Completed",)),
    Step("log-dirs", f"log-dirs {TO} --describe --topic-list one", ('"partition":"one-0"', '"isFuture":false')),
    Step("delete-records", f"delete-records {TO} --offset-json-file {{file}}", (r"partition: one-0\s+low_watermark: \d+",),
         input='{"version": 1, "partitions": [{"topic": "one", "partition": 0, "offset": -1}]}'),
    Step("producer-perf", "producer-perf --topic fast --num-records 30000 --record-size 120 --throughput -1 --command-property bootstrap.servers={b}",
         ("30000 records sent",)),
    Step("consumer-perf", f"consumer-perf {TO} --topic fast --num-records 30000 --timeout 20000", (r"(?m), 30000, ",)),
    Step("producer-perf-in-transactions", "producer-perf --topic fast --num-records 10000 --record-size 100 --throughput -1 --transactional-id perf "
         "--transaction-duration-ms 50 --command-property bootstrap.servers={b}", ("10000 records sent",)),
    Step("consume-what-is-committed", f"{READ} --topic fast --isolation-level read_committed --max-messages 40000",
         ("Processed a total of 40000 messages",)),
    Step("transaction-list", f"transactions {TO} list", (r"(?m)^perf\s+1\s+\d+\s+CompleteCommit",)),
    Step("transaction-describe", f"transactions {TO} describe --transactional-id perf", (r"(?m)^1\s+perf\s+\d+\s+\d+\s+CompleteCommit",)),
    Step("transaction-describe-unknown", f"transactions {TO} describe --transactional-id nobody", ("the ID could not be found",), fails=True),
    Step("producers", f"transactions {TO} describe-producers --topic fast --partition 0", (r"ProducerId\s+ProducerEpoch", r"(?m)^\d+\s+\d+\s")),
    Step("no-hanging-transactions", f"transactions {TO} find-hanging --broker-id 1"),
    Step("verifiable-producer", f"verifiable-producer {TO} --topic counted --max-messages 3000 --throughput -1 --acks -1",
         (r'"sent":3000,"acked":3000|"acked":3000,"sent":3000',)),
    Step("verifiable-consumer-of-the-consumer-protocol",
         f"verifiable-consumer {TO} --topic counted --group-id modern-counters --group-protocol consumer --max-messages 3000",
         (r"records_consumed", r"shutdown_complete")),
    Step("verifiable-consumer", f"verifiable-consumer {TO} --topic counted --group-id counters --group-protocol classic --max-messages 3000",
         ("records_consumed", "shutdown_complete")),
    Step("topic-delete", f"{TOPICS} --delete --topic one"),
    Step("topic-delete-unknown", f"{TOPICS} --delete --topic never", ("does not exist",), fails=True),
    Step("topic-gone", f"{TOPICS} --list", lacks=(r"(?m)^one$",), tries=3),
    Step("group-of-a-topic-that-is-gone", f"{GROUPS} --describe --group fixed", lacks=(r"(?m)^fixed\s+one",), tries=3),
]


class Tools(Suite):
    name = source = "tools"
    properties = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4"}

    def installed(self):
        command_line("topics")  # fetches the jars

    def run(self, target, tests):
        with tempfile.TemporaryDirectory() as scratch:
            return [play(step, target.address, Path(scratch, "input")) for step in STEPS if step.name in tests]


def play(step, address, file):
    begun = time.monotonic()
    for attempt in range(step.tries):
        time.sleep(0.5 * bool(attempt))
        wrong = play_once(step, address, file)
        if not wrong:
            break
    return Result(step.name, not wrong, time.monotonic() - begun, wrong)


def play_once(step, address, file):
    """What is wrong with what the tool did, or nothing."""
    file.write_text(step.input)
    tool, *arguments = step.command.format(b=address, file=file).split()
    try:
        done = subprocess.run(command_line(TOOLS.get(tool, tool)) + arguments, input=step.input, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"no end after {SECONDS} s"
    said = done.stdout[-800:]
    if (done.returncode != 0) != step.fails:
        return f"exit status {done.returncode}: {said}"
    for pattern in step.says:
        if not re.search(pattern, done.stdout):
            return f"no {pattern!r} in: {said}"
    for pattern in step.lacks:
        if re.search(pattern, done.stdout):
            return f"{pattern!r} in: {said}"
    return ""
