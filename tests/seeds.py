#!/usr/bin/env python3
"""tests/seeds.py FOLDER: writes FOLDER/NAME/*, what each fuzz target begins with, made of the golden vectors: bytes that Apache Kafka made."""

import gzip
import hashlib
import json
import struct
import sys
import tarfile
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support.kafka import GZIP, batch, string  # noqa: E402
from support.protocol import MESSAGES as MESSAGES_BY_NAME  # noqa: E402
from support.protocol import Codec, uvarint  # noqa: E402

MESSAGES = list(MESSAGES_BY_NAME.values())
SEGMENT, INDEX, SECOND_SEGMENT, EPOCHS, PUT_RIGHT = 0, 1, 4, 9, 0x80
LONGEST_FILE = 60000


def golden(name):
    with gzip.open(ROOT / "tests" / "golden" / f"{name}.jsonl.gz", "rt", encoding="utf-8", errors="surrogatepass") as lines:
        return [json.loads(line) for line in lines]


def vectors():
    """The golden messages, those of one name and version once: a corpus need not be large."""
    seen = set()
    for name in ("wire", "metadata", "raft", "group", "transaction", "share", "storage"):
        for each in golden(f"messages/{name}"):
            key = (each["name"], each["version"], each["case"])
            if key not in seen and len(each["hex"]) < 4000:
                seen.add(key)
                yield each


def of_messages(belongs):
    """As src/wire/testing/fuzz_messages.h reads them: which message of the family, version above the least, body."""
    family = [m for m in MESSAGES if belongs(m.name)]
    places = {m.name: (place, m.versions[0]) for place, m in enumerate(family)}
    for each in vectors():
        if each["name"] in places:
            place, least = places[each["name"]]
            yield struct.pack(">HB", place, each["version"] - least) + bytes.fromhex(each["hex"])


def frames():
    """Requests as a client sends them."""
    flexible = {m.name: m.flexible[0] for m in MESSAGES}
    for each in vectors():
        if each["type"] != "request" or each["case"] == "edge":
            continue
        header = struct.pack(">hhi", each["key"], each["version"], 1) + string("seed")
        header += b"\0" if each["version"] >= flexible[each["name"]] else b""
        frame = header + bytes.fromhex(each["hex"])
        yield struct.pack(">i", len(frame)) + frame


def file(which, data):
    """As src/storage/testing/fuzzed_files.h reads a file: which of the target's names, length, bytes."""
    return struct.pack(">BH", which, len(data)) + data


def logs():
    """As src/storage/log_fuzz.cc reads them: flags, recovery point, files."""
    first, second = batch([b"a", b"b", b"c", b"d", b"e"]), batch([b"f"])
    second = struct.pack(">q", 5) + second[8:]
    epochs = file(EPOCHS, b"0\n1\n0 0\n")
    yield b"\0\0" + file(SEGMENT, first + second) + epochs
    yield b"\x80\x06" + file(SEGMENT, first) + file(SECOND_SEGMENT, second) + epochs
    yield b"\0\5" + file(SEGMENT, first) + file(INDEX, struct.pack(">ii", 4, 0)) + file(SECOND_SEGMENT, second[:-3])
    for each in golden("batches")[:60]:
        data = bytes.fromhex(each["hex"])[:LONGEST_FILE]
        yield b"\0\0" + file(SEGMENT | PUT_RIGHT, struct.pack(">q", 0) + data[8:])


def log_directories():
    """A directory that Apache Kafka stopped in, with one of its partitions: files by their place in src/storage/log_directory_fuzz.cc."""
    small = ("meta.properties", "recovery-point-offset-checkpoint", "log-start-offset-checkpoint",
             "replication-offset-checkpoint", ".kafka_cleanshutdown")
    of_partition = ("partition.metadata", "leader-epoch-checkpoint", "00000000000000000000.log")
    doubtful, partition = 5, 6
    with tarfile.open(ROOT / "tests" / "golden" / "logs" / "clean.tar.gz") as archive:
        files = {member.name.removeprefix("./"): archive.extractfile(member).read() for member in archive if member.isfile()}
    whole = b"".join(file(place, files[name]) for place, name in enumerate(small))
    whole += b"".join(file(partition + place, files[f"empty-0/{name}"]) for place, name in enumerate(of_partition))
    yield whole
    ours = file(0, b"#\nnode.id=1\nversion=1\ncluster.id=c\n")
    yield ours + whole[len(file(0, files[small[0]])):]
    yield ours + file(1, b"0\n1\nt 0 1\n") + file(doubtful, b"") + file(partition + 2, batch([b"a", b"b"]))


def metadata_logs():
    """What Apache Kafka left behind: files by their place in src/node/metadata_log_fuzz.cc."""
    names = ("00000000000000000000.log", "00000000000000000000-0000000000.checkpoint", "quorum-state")
    files = [(ROOT / "src" / "node" / "testdata" / name).read_bytes()[:LONGEST_FILE] for name in names]
    first, checkpoint, election = (file(place | (PUT_RIGHT if place < 2 else 0), data) for place, data in enumerate(files))
    yield checkpoint
    yield checkpoint + election
    for size in (1000, 4000, 20000, LONGEST_FILE):
        yield checkpoint + election + file(PUT_RIGHT, files[0][:size])
    yield first + checkpoint + election
    yield checkpoint + election + file(PUT_RIGHT, batch(list(small_cluster())))


def small_cluster():
    """The metadata records of a broker and a topic, in their frames."""
    def framed(name, **values):
        codec = Codec(name, MESSAGES_BY_NAME[name].versions[0])
        return bytes([1]) + uvarint(codec.message.key) + uvarint(codec.version) + codec.encode(values)
    topic = uuid.UUID(int=7)
    partition = {"PartitionId": 0, "TopicId": topic, "Replicas": [1], "Isr": [1], "Leader": 1}
    yield framed("FeatureLevelRecord", Name="metadata.version", FeatureLevel=30)
    yield framed("RegisterBrokerRecord", BrokerId=1, BrokerEpoch=1)
    yield framed("TopicRecord", Name="t", TopicId=topic)
    yield framed("PartitionRecord", **partition)
    yield framed("PartitionChangeRecord", PartitionId=0, TopicId=topic, Leader=-1)
    yield framed("ConfigRecord", ResourceType=2, ResourceName="t", Name="retention.ms", Value="1")
    yield framed("ProducerIdsRecord", BrokerId=1, BrokerEpoch=1, NextProducerId=1000)
    yield framed("TopicRecord", Name="u", TopicId=uuid.UUID(int=8))
    yield framed("RemoveTopicRecord", TopicId=topic)


def coordinator_records(name):
    """As src/group/group_records_fuzz.cc and src/share/coordinator_records_fuzz.cc read them: 2 (a key and a value), key, value, each behind its
    length."""
    vectors = [each for each in golden(f"messages/{name}") if "framed" in each and len(each["framed"]) < 510]
    keys = [each for each in vectors if each["type"] == "coordinator-key"]
    for value in vectors:
        for key in keys:
            if value["type"] == "coordinator-value" and value["key"] == key["key"] and value["case"] == key["case"]:
                yield b"\2" + b"".join(bytes([len(data)]) + data for data in (bytes.fromhex(each["framed"]) for each in (key, value)))


def compressed():
    """The codec and the records of batches, as src/record/compression_fuzz.cc reads them."""
    codec_at, records_at = 22, 61
    for each in golden("batches"):
        data = bytes.fromhex(each["hex"])
        if len(each["batches"]) == 1 and each["batches"][0]["magic"] == 2 and len(data) < LONGEST_FILE:
            yield bytes([data[codec_at] & 7]) + data[records_at:]


def conversations():
    """A client's day as src/client/core/client_core_fuzz.cc reads it: how old the broker is, then what it answers in the order of the
    calls, what else it sends, and how many 100 ms pass."""
    answer, stream, time, lost = range(4)
    newest = {m.name.removesuffix("Response"): m.versions[1] for m in MESSAGES if m.name.endswith("Response")}
    newest |= {"OffsetFetch": 9, "OffsetCommit": 9}
    ids = {"t": uuid.UUID(int=7), "u": uuid.UUID(int=8)}

    def step(kind, data=b""):
        return struct.pack(">BH", kind, len(data)) + data

    def said(name, **values):
        return step(answer, Codec(name + "Response", newest[name]).encode(values))

    def each(topics, **values):
        """The partitions of some topics, all with these values."""
        place = "Index" if "BaseOffset" in values else "PartitionIndex"
        return [(name, [{place: index} | values for index in range(2 if name == "t" else 1)]) for name in topics]
    node = {"NodeId": 1, "Host": "localhost", "Port": 9092}
    described = each("tu", LeaderId=1, ReplicaNodes=[1], IsrNodes=[1])
    cluster = said("Metadata", Brokers=[node], Topics=[{"Name": n, "TopicId": ids[n], "Partitions": p} for n, p in described])
    numbers = struct.Struct(">i").pack
    subscription = b"\0\0" + numbers(1) + string("t") + numbers(-1)
    assignment = b"\0\0" + numbers(1) + string("t") + numbers(2) + numbers(0) + numbers(1) + numbers(-1)
    found, identified = said("FindCoordinator", Coordinators=[{"Key": "g"} | node]), said("InitProducerId", ProducerId=5)
    begun = cluster + found + identified
    produced = said("Produce", Responses=[{"TopicId": ids[n], "PartitionResponses": p} for n, p in each("tu", BaseOffset=3)])
    joined = said("JoinGroup", GenerationId=1, ProtocolType="consumer", ProtocolName="range", Leader="m", MemberId="m",
                  Members=[{"MemberId": "m", "Metadata": subscription}])
    yield b"\x40" + cluster + found + found + identified + joined + produced + said("EndTxn", ProducerId=5, ProducerEpoch=1)
    day = b"\0" + begun + joined
    day += produced
    yield day
    day += said("SyncGroup", Assignment=assignment)
    committed = [{"Name": n, "Partitions": p} for n, p in each("t", CommittedOffset=-1)]
    fetched_offsets = said("OffsetFetch", Groups=[{"GroupId": "g", "Topics": committed}])
    day += fetched_offsets

    def listed(name):
        return said("ListOffsets", Topics=[{"Name": n, "Partitions": p} for n, p in each(name, Offset=0)])

    def fetched(name, records):
        answers = each(name, HighWatermark=2, LastStableOffset=2, Records=records)
        return said("Fetch", Responses=[{"TopicId": ids[n], "Partitions": p} for n, p in answers])
    taken = said("OffsetCommit", Topics=[{"Name": n, "Partitions": p} for n, p in each("t")])
    day += listed("t") + step(time, bytes(2)) + fetched("t", batch([b"a", b"b"])) + listed("u") + taken + fetched("t", b"")
    yield day
    day += fetched("tu", batch([b"a", b"b"], codec=GZIP)) + step(time, bytes(3)) + taken
    yield day + step(time, bytes(40)) + step(lost)
    yield b"\0" + cluster + step(lost) + step(stream, b"HTTP/1.1 400 Bad Request\r\n") + cluster
    for older in (1, 3, 7):
        yield bytes([older]) + day[1:]

    def beaten(epoch, *partitions, **values):
        assigned = {"TopicPartitions": [{"TopicId": ids["t"], "Partitions": list(partitions)}]} if partitions else None
        return said("ConsumerGroupHeartbeat", **{"MemberId": "m", "MemberEpoch": epoch, "HeartbeatIntervalMs": 100, "Assignment": assigned} | values)
    modern = b"\x80" + begun + beaten(1, 0, 1) + produced + fetched_offsets + beaten(1)
    yield modern
    modern += listed("t") + step(time, bytes(2)) + fetched("t", batch([b"a", b"b"])) + taken
    yield modern + step(time, bytes(1)) + taken + beaten(2, 1) + taken + beaten(2) + beaten(2, 0, 1) + fetched_offsets + beaten(3)
    yield modern + step(time, bytes(1)) + taken + beaten(0, ErrorCode=110) + beaten(4, 1) + fetched_offsets + beaten(4)


TARGETS = {
    "requests_fuzz": lambda: of_messages(lambda name: name.endswith("Request")),
    "responses_fuzz": lambda: of_messages(lambda name: name.endswith("Response")),
    "records_fuzz": lambda: of_messages(lambda name: not name.endswith(("Request", "Response"))),
    "connection_fuzz": frames,
    "log_fuzz": logs,
    "log_directory_fuzz": log_directories,
    "metadata_log_fuzz": metadata_logs,
    "group_records_fuzz": lambda: coordinator_records("group"),
    "coordinator_records_fuzz": lambda: coordinator_records("share"),
    "compression_fuzz": compressed,
    "client_core_fuzz": conversations,
    "batch_fuzz": lambda: (bytes.fromhex(each["hex"]) for each in golden("batches") if len(each["hex"]) < 200_000),
}


def write(folder, target):
    """The folder of the target's seeds, or nothing when it has none."""
    if target not in TARGETS:
        return None
    to = Path(folder) / target
    to.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[target]():
        (to / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    return to


if __name__ == "__main__":
    for name in TARGETS:
        made = write(sys.argv[1], name)
        print(f"{name}: {sum(1 for _ in made.iterdir())} seeds")
