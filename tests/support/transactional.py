"""A transactional producer over the wire, by either protocol (KIP-98, KIP-890), and a reader of committed records."""

import time

from support.kafka import batch, records_of
from support.protocol import ERRORS, Asker

TRANSACTIONAL = 16  # in a batch's attributes
PROPERTIES = {"transaction.state.log.num.partitions": "3", "offsets.topic.num.partitions": "3"}
COORDINATOR_COMES = {"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "CONCURRENT_TRANSACTIONS",
                     "NOT_ENOUGH_REPLICAS", "NOT_LEADER_OR_FOLLOWER"}    # Apache Kafka says that it has started before it leads


def settled(ask, seconds=20):
    """Asks until the answer is none of those that clients retry."""
    deadline = time.monotonic() + seconds
    while True:
        error = ask()
        if error not in COORDINATOR_COMES or time.monotonic() > deadline:
            return error
        time.sleep(0.01)


class Producer:
    """A transactional producer. `modern`: it has an epoch for each transaction (transaction.version 2)."""

    def __init__(self, address, name, modern=True, timeout_ms=60000):
        self.asker, self.name, self.modern, self.timeout_ms = Asker(address), name, modern, timeout_ms
        self.id = self.epoch = -1
        self.sequences = {}

    def init(self, again=False):
        def ask():
            self.asker.ask("FindCoordinator", 4, KeyType=1, CoordinatorKeys=[self.name])
            answer = self.asker.ask("InitProducerId", 4, TransactionalId=self.name, TransactionTimeoutMs=self.timeout_ms,
                                    ProducerId=self.id if again else -1, ProducerEpoch=self.epoch if again else -1)
            if not answer["ErrorCode"]:
                self.took(answer)
            return ERRORS[answer["ErrorCode"]]
        return settled(ask)

    def took(self, answer):
        if (self.id, self.epoch) != (answer["ProducerId"], answer["ProducerEpoch"]):
            self.id, self.epoch, self.sequences = answer["ProducerId"], answer["ProducerEpoch"], {}

    def add(self, topic, partition=0):
        def ask():
            answer = self.asker.ask("AddPartitionsToTxn", 3, V3AndBelowTransactionalId=self.name, V3AndBelowProducerId=self.id,
                                    V3AndBelowProducerEpoch=self.epoch, V3AndBelowTopics=[{"Name": topic, "Partitions": [partition]}])
            return ERRORS[answer["ResultsByTopicV3AndBelow"][0]["ResultsByPartition"][0]["PartitionErrorCode"]]
        return settled(ask)

    def produce(self, topic, *values, partition=0, transactional=TRANSACTIONAL):
        sequence = self.sequences.get((topic, partition), 0)
        data = batch([value.encode() for value in values], codec=transactional, producer=(self.id, self.epoch, sequence))

        def ask():
            answer = self.asker.ask("Produce", 12 if self.modern else 11, TransactionalId=self.name, Acks=-1, TimeoutMs=10000, TopicData=[
                {"Name": topic, "PartitionData": [{"Index": partition, "Records": data}]}])
            return ERRORS[answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"]]
        error = settled(ask)
        if error == "NONE":
            self.sequences[topic, partition] = sequence + len(values)
        return error

    def write(self, topic, *values, partition=0):
        added = "NONE" if self.modern else self.add(topic, partition)
        return self.produce(topic, *values, partition=partition) if added == "NONE" else added

    def commit_offset(self, group, topic, offset, **member):
        def add():
            answer = self.asker.ask("AddOffsetsToTxn", 3, TransactionalId=self.name, ProducerId=self.id, ProducerEpoch=self.epoch, GroupId=group)
            return ERRORS[answer["ErrorCode"]]

        def commit():
            self.asker.find_coordinator(group)
            answer = self.asker.ask("TxnOffsetCommit", 5 if self.modern else 3, TransactionalId=self.name, GroupId=group, ProducerId=self.id,
                                    ProducerEpoch=self.epoch, **{"GenerationId": -1, "MemberId": ""} | member,
                                    Topics=[{"Name": topic, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": offset}]}])
            return ERRORS[answer["Topics"][0]["Partitions"][0]["ErrorCode"]]
        added = "NONE" if self.modern else settled(add)
        return settled(commit) if added == "NONE" else added

    def end(self, commit):
        def ask():
            answer = self.asker.ask("EndTxn", 5 if self.modern else 4, TransactionalId=self.name, ProducerId=self.id, ProducerEpoch=self.epoch,
                                    Committed=commit)
            if not answer["ErrorCode"] and self.modern:
                self.took(answer)
            return ERRORS[answer["ErrorCode"]]
        return settled(ask)


def fetch(asker, topic, partition=0, committed=True, offset=0):
    answer = asker.ask("Fetch", 12, ReplicaId=-1, MaxWaitMs=0, MinBytes=1, MaxBytes=1 << 20, IsolationLevel=int(committed), SessionId=0,
                       SessionEpoch=-1, RackId="", ForgottenTopicsData=[], Topics=[
                           {"Topic": topic, "Partitions": [{"Partition": partition, "CurrentLeaderEpoch": -1, "FetchOffset": offset,
                                                            "LastFetchedEpoch": -1, "LogStartOffset": -1, "PartitionMaxBytes": 1 << 20}]}])
    return answer["Responses"][0]["Partitions"][0]


def committed(asker, topic, partition=0, seconds=10):
    """The values that a read_committed consumer sees, once nothing is open any more."""
    deadline = time.monotonic() + seconds
    data = fetch(asker, topic, partition)
    while data["LastStableOffset"] != data["HighWatermark"] and time.monotonic() < deadline:
        time.sleep(0.01)
        data = fetch(asker, topic, partition)
    values, stable = [], data["LastStableOffset"]
    while batches := list(batches_of(data["Records"] or b"")):
        values += visible(data)
        end = batches[-1][0] + int.from_bytes(batches[-1][3][23:27], "big") + 1
        if end >= stable:
            break
        data = fetch(asker, topic, partition, offset=end)
    return values


def visible(data):
    """What of one answer is committed."""
    aborted = sorted((each["FirstOffset"], each["ProducerId"]) for each in data["AbortedTransactions"] or [])
    values, gone = [], set()
    for base, producer, attributes, batch_data in batches_of(data["Records"] or b""):
        if base >= data["LastStableOffset"]:
            continue
        while aborted and aborted[0][0] <= base:
            gone.add(aborted.pop(0)[1])
        if attributes & 32:
            gone.discard(producer)
        elif not (attributes & TRANSACTIONAL and producer in gone):
            values += [value.decode() for _, value in records_of(batch_data)]
    return values


def batches_of(data):
    """(base offset, producer id, attributes, bytes) of whole batches."""
    at = 0
    while len(data) - at >= 61:
        base = int.from_bytes(data[at:at + 8], "big", signed=True)
        size = int.from_bytes(data[at + 8:at + 12], "big") + 12
        if len(data) - at < size:
            return
        attributes = int.from_bytes(data[at + 21:at + 23], "big")
        producer = int.from_bytes(data[at + 43:at + 51], "big", signed=True)
        yield base, producer, attributes, data[at:at + size]
        at += size
