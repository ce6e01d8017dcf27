"""kafka-dump-log, beside Apache Kafka's: the files of a directory that Apache Kafka left, of one of ours, and files that are broken."""

import struct
import tarfile
import uuid

from scripts.comparing import ScriptsTest, plain_errors
from support.broker import ROOT
from support.kafka import batch, crc32c, varint
from support.protocol import Codec
from support.transactional import PROPERTIES, Producer

B = ("--bootstrap-server", "{broker}")
ZEROS = "0" * 20
ID = uuid.UUID(int=7)
SEGMENT = {"TopicIdPartition": {"Name": "t", "Id": ID, "Partition": 3}, "Id": uuid.UUID(int=1 << 90)}


def keyed(key, value):
    """A batch of one record."""
    body = b"\0" + varint(0) + varint(0)
    for part in (key, value):
        body += varint(-1) if part is None else varint(len(part)) + part
    body += varint(0)
    return batch(records=varint(len(body)) + body, count=1)


def at(offset, encoded):
    """A batch with another base offset."""
    return struct.pack(">q", offset) + encoded[8:]


def coordinator(kind, name, key, value, version=0):
    return keyed(struct.pack(">h", kind) + Codec(f"{name}Key", 0).encode(key),
                 None if value is None else struct.pack(">h", version) + Codec(f"{name}Value", version).encode(value))


def remote(kind, name, values):
    return keyed(None, bytes([1, kind, 0]) + Codec(name, 0).encode(values))


class DumpLog(ScriptsTest):
    PROPERTIES = PROPERTIES

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.left = cls.folder / "left"
        with tarfile.open(ROOT / "tests" / "golden" / "logs" / "clean.tar.gz") as tar:
            tar.extractall(cls.left, filter="data")
        cls.ours("topics", *B, "--create", "--topic", "made", "--partitions", 2)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            cls.millrace("produce", "made", "-p", 0, "-f", "%k:%h:%v", "-z", codec, "-q", send="k:a=1,b=2:one\nl::two\n")
        cls.millrace("consume", "made", "--group", "readers", "-e")
        producer = Producer(cls.node.address, "writer")
        cls.addClassCleanup(producer.asker.socket.close)
        producer.init()
        for commit in (True, False):
            producer.write("made", "x", partition=1)
            producer.end(commit)
        producer.write("made", "open", partition=1)
        if cls.node.stop() != 0:    # its indexes are written then
            raise AssertionError(cls.node.log())
        cls.broken = cls.folder / "broken-0"
        cls.broken.mkdir()

    def files(self, *patterns, under=None):
        found = [path for pattern in patterns for path in sorted((under or self.left).glob(pattern))]
        self.assertTrue(found, patterns)
        return ",".join(map(str, found))

    def dump(self, files, *words, status=0, **how):
        return self.compare("dump-log", "--files", files, *words, status=status, **how)

    def made(self, name, *parts):
        """A file of our making, by its path."""
        (self.broken / name).write_bytes(b"".join(parts))
        return f"{self.broken / name}"

    def test_logs_that_apache_kafka_left(self):
        logs = self.files("*/*.log")
        self.dump(logs)
        self.dump(logs, "--deep-iteration")
        self.assertIn("endTxnMarker: COMMIT coordinatorEpoch: 0", self.dump(logs, "--print-data-log"))
        self.dump(logs, "--print-data-log", "--skip-record-metadata")
        self.dump(self.files("codecs-0/*.log"), "--max-bytes", 1000, "--print-data-log")

    def test_logs_of_ours(self):
        for words in ((), ("--print-data-log",)):
            self.dump(self.files("made-*/*.log", "__cluster_metadata-0/*.log", under=self.node.data), *words)
        self.assertIn('{"type":"1","data":{"group":"readers"', self.dump(self.files("__consumer_offsets-*/*.log", under=self.node.data), "--offsets-decoder"))
        self.dump(self.files("__transaction_state-*/*.log", under=self.node.data), "--transaction-log-decoder")
        self.dump(self.files("__cluster_metadata-0/*.log", "bootstrap.checkpoint", under=self.node.data), "--cluster-metadata-decoder")

    def test_what_kafka_writes_itself(self):
        self.dump(self.files("__consumer_offsets-*/*.log"), "--offsets-decoder")
        self.dump(self.files("__consumer_offsets-*/*.log"), "--offsets-decoder", "--skip-record-metadata")
        self.dump(self.files("__transaction_state-*/*.log"), "--transaction-log-decoder")
        self.assertIn('"type":"REGISTER_BROKER_RECORD"',
                      self.dump(self.files("__cluster_metadata-0/*.log", "__cluster_metadata-0/*.checkpoint", "*.checkpoint"), "--cluster-metadata-decoder"))
        key = {"GroupId": "g", "TopicId": ID, "Partition": 1}
        state = {"SnapshotEpoch": 1, "StateEpoch": 2, "LeaderEpoch": 3, "StartOffset": 4, "StateBatches": [
            {"FirstOffset": 5, "LastOffset": 6, "DeliveryState": 2, "DeliveryCount": 1}]}
        share = self.made(f"{ZEROS}.log", coordinator(0, "ShareSnapshot", key, state), at(1, coordinator(1, "ShareUpdate", key, {name: state[name] for name in ("SnapshotEpoch", "LeaderEpoch", "StateBatches")})),
                          at(2, coordinator(0, "ShareSnapshot", key, None)), at(3, keyed(struct.pack(">h", 77), b"")))
        self.assertIn("Unknown record type 77 at offset 3, skipping.", self.dump(share, "--share-group-state-decoder"))
        self.dump(self.made(f"{ZEROS}.log", keyed(None, b"no key")), "--offsets-decoder", status=1)

    def test_remote_log_metadata(self):
        told = {"StartOffset": 1, "EndOffset": 2, "BrokerId": 3, "MaxTimestampMs": 4, "EventTimestampMs": 5, "SegmentSizeInBytes": 6, "SegmentLeaderEpochs": [
            {"LeaderEpoch": 9, "Offset": 1}, {"LeaderEpoch": 0, "Offset": 0}], "RemoteLogSegmentState": 1}
        log = self.made(f"{ZEROS}.log", remote(0, "RemoteLogSegmentMetadataRecord", told | {"RemoteLogSegmentId": SEGMENT, "CustomMetadata": b"abc"}),
                        at(1, remote(1, "RemoteLogSegmentMetadataUpdateRecord", {
                            "RemoteLogSegmentId": SEGMENT, "BrokerId": 3, "EventTimestampMs": 5, "RemoteLogSegmentState": 3})),
                        at(2, remote(2, "RemotePartitionDeleteMetadataRecord", {
                            "TopicIdPartition": SEGMENT["TopicIdPartition"], "BrokerId": 3, "EventTimestampMs": 5, "RemotePartitionDeleteState": 2})),
                        at(3, remote(3, "RemoteLogSegmentMetadataSnapshotRecord", told | {"SegmentId": ID, "TxnIndexEmpty": True})))
        self.assertIn("state=DELETE_PARTITION_FINISHED", self.dump(log, "--remote-log-metadata-decoder"))

    def test_decoders(self):
        numbers = self.made(f"{ZEROS}.log", keyed(struct.pack(">i", -5), struct.pack(">q", 1 << 40)), at(1, keyed(b"", None)))
        package = "org.apache.kafka.tools.api."
        self.dump(numbers, "--key-decoder-class", f"{package}IntegerDecoder", "--value-decoder-class", f"{package}LongDecoder", status=1)
        self.dump(self.made(f"{ZEROS}.log", keyed(b"text", struct.pack(">q", 7))), "--value-decoder-class", f"{package}LongDecoder", "--key-decoder-class")
        self.dump(numbers, "--value-decoder-class", "no.such.Decoder", status=1)

    def test_indexes_and_snapshots(self):
        others = self.files("*/*.index", "*/*.timeindex", "*/*.txnindex", "*/*.snapshot")
        for words in ((), ("--verify-index-only",), ("--index-sanity-check",)):
            self.dump(others, *words)
        self.dump(self.files("made-*/*.txnindex", "made-*/*.timeindex", under=self.node.data))

    def test_batches_that_are_broken(self):
        whole = batch([b"a", b"b"], timestamp=1000)
        torn = self.made(f"{ZEROS}.log", whole, at(9, batch([b"c"])), at(5, batch([b"d"]))[:-3])
        self.assertIn("Found 66 invalid bytes at the end", self.dump(torn, "--print-data-log"))
        self.dump(torn, "--max-bytes", len(whole), "--deep-iteration")
        self.dump(torn, "--max-bytes", -1, status=1)
        self.dump(self.made(f"{ZEROS}.log", whole[:-1] + b"?"))
        self.dump(self.made(f"{ZEROS}.log", whole, bytes(100)), status=1, errors=False)
        self.dump(self.made("first.log", whole), status=1)
        self.dump(self.made("00000000000000000005-0000000003.checkpoint", whole), "--cluster-metadata-decoder")

    def test_indexes_that_are_broken(self):
        log = batch([b"a", b"b"], timestamp=1000) + at(2, batch([b"c"], timestamp=2000))
        second = len(batch([b"a", b"b"]))
        self.made(f"{ZEROS}.log", log)
        index = self.made(f"{ZEROS}.index", struct.pack(">iiii", 1, 0, 3, second), bytes(16))
        self.dump(index)
        self.dump(index, "--verify-index-only")
        times = self.made(f"{ZEROS}.timeindex", struct.pack(">qi", 1000, 1), struct.pack(">qi", 900, 2), struct.pack(">qi", 3000, 0), bytes(12))
        self.dump(times)
        self.made(f"{ZEROS}.timeindex", struct.pack(">qi", 1000, 1), struct.pack(">qi", 3000, 1), struct.pack(">qi", 2000, 7), struct.pack(">qi", 1, 2))
        self.dump(times, "--verify-index-only")
        self.dump(f"{index},{times}", "--index-sanity-check", status=1)
        for side in ("apache", "ours"):    # Apache Kafka's cuts it to whole entries
            done = self.run_side(side, "dump-log", ("--files", self.made(f"{ZEROS}.index", bytes(9)), "--index-sanity-check"))
            self.assertEqual((1, [f'Exception in thread "main" org.apache.kafka.storage.internals.log.CorruptIndexException: Index file {index} is corrupt, '
                                  "found 9 bytes which is neither positive nor a multiple of 8"]), (done.returncode, plain_errors(done.stderr)))
        self.dump(self.made(f"{ZEROS}.index", struct.pack(">ii", 1, 9999)), status=1)
        self.dump(self.made(f"{ZEROS}.index", struct.pack(">ii", 1, 0)), "--max-message-size", 20, status=1)
        self.dump(self.made(f"{ZEROS}.index"))
        self.dump(self.made("00000000000000000009.index", bytes(8)), status=1)
        entries = struct.pack(">i", 0)
        self.dump(self.made("00000000000000000009.snapshot", struct.pack(">hI", 1, crc32c(entries) ^ 1), entries))
        self.dump(self.made("00000000000000000009.snapshot", struct.pack(">hI", 9, 0), entries))

    def test_words(self):
        log = self.files("txn-0/*.log")
        for words in ((), ("--help",), ("--deep-iteration",), ("--files",), ("--files", log, "--no-such"), ("--files", log, "--max-bytes", "x"),
                      ("--files", log, "--files", log), ("--files", "/no/such/" + ZEROS + ".log")):
            with self.subTest(words):
                self.compare("dump-log", *words, status=1)
        self.compare("dump-log", "--version", status=0)
        self.dump(f"/a//b/,{self.left}/meta.properties,{self.left}/cleaner-offset-checkpoint,x.txt")
