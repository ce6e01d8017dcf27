"""A tiny Kafka client over raw frames: just enough to ask a broker a few things, and to send it what no client would."""

import gzip
import socket
import struct
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS = 0, 1, 2, 3, 18, 19
OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 8, 9, 10, 11, 12, 13, 14
GZIP = 1


def _crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC32C = tuple(_crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def record(index, value):
    body = b"\0" + varint(0) + varint(index) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def blob(data):
    return struct.pack(">i", len(data)) + data


def batch(values=(), records=None, count=None, codec=0, producer=(-1, -1, -1), timestamp=None):
    """A record batch (magic 2) of `values`, or around `records`, bytes that may be anything."""
    if records is None:
        records = b"".join(record(i, value) for i, value in enumerate(values))
        if codec == GZIP:
            records = gzip.compress(records)
    count = len(values) if count is None else count
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    checked = struct.pack(">hiqqqhii", codec, count - 1, timestamp, timestamp, *producer, count) + records
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


def request(api, version, body, correlation=1, client="tests"):
    frame = struct.pack(">hhi", api, version, correlation) + string(client) + body
    return struct.pack(">i", len(frame)) + frame


class Answer:
    """Reads an answer's fields in order."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def bytes(self, size):
        self.at += max(size, 0)
        return self.data[self.at - max(size, 0):self.at]

    def nullable(self, size):
        return self.bytes(size) if size >= 0 else None

    def string(self):
        return self.bytes(self.take("h")).decode()


class Client:
    """One connection. Methods raise ConnectionError when the broker closes it."""

    def __init__(self, address, seconds=20):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def is_closed_by_peer(self):
        """Waits for the broker to close the connection; False when it sends something instead, or nothing in time."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def read_exactly(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise ConnectionError("closed by the broker")
            data += piece
        return bytes(data)

    def read_frame(self):
        return self.read_exactly(struct.unpack(">i", self.read_exactly(4))[0])

    def call(self, api, version, body):
        self.correlation += 1
        self.send_raw(request(api, version, body, self.correlation))
        answer = Answer(self.read_frame())
        assert answer.take("i") == self.correlation, "an answer out of order"
        return answer

    def api_versions(self):
        """{api key: (least version, most)}"""
        answer = self.call(API_VERSIONS, 0, b"")
        error, count = answer.take("hi")
        assert error == 0, f"ApiVersions: error {error}"
        return {key: (least, most) for key, least, most in (answer.take("hhh") for _ in range(count))}

    def create_topic(self, name, partitions=1, configs=None):
        """The error code."""
        configs = configs or {}
        body = struct.pack(">i", 1) + string(name) + struct.pack(">ihi", partitions, 1, 0)
        body += struct.pack(">i", len(configs)) + b"".join(string(k) + string(v) for k, v in configs.items())
        answer = self.call(CREATE_TOPICS, 2, body + struct.pack(">ib", 10000, 0))
        answer.take("ii")
        answer.string()
        return answer.take("h")

    def produce(self, topic, data, partition=0, acks=-1):
        """(error code, base offset)"""
        body = struct.pack(">hhii", -1, acks, 10000, 1) + string(topic)
        answer = self.call(PRODUCE, 3, body + struct.pack(">iii", 1, partition, len(data)) + data)
        answer.take("i")
        answer.string()
        _, _, error, base = answer.take("iihq")
        return error, base

    def list_offset(self, topic, timestamp, partition=0):
        """(error code, offset); timestamp -1: the log end, -2: the log start."""
        body = struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">iiq", 1, partition, timestamp)
        answer = self.call(LIST_OFFSETS, 1, body)
        answer.take("i")
        answer.string()
        _, _, error, _, offset = answer.take("iihqq")
        return error, offset

    def fetch(self, topic, offset, partition=0, most=1 << 20, wait_ms=100):
        """(error code, high watermark, bytes of batches)"""
        body = struct.pack(">iiiibi", -1, wait_ms, 1, most, 0, 1) + string(topic)
        answer = self.call(FETCH, 4, body + struct.pack(">iiqi", 1, partition, offset, most))
        answer.take("ii")
        answer.string()
        _, _, error, high_watermark, _ = answer.take("iihqq")
        aborted = answer.take("i")
        for _ in range(max(aborted, 0)):
            answer.take("qq")
        return error, high_watermark, answer.bytes(answer.take("i"))

    def read_all(self, topic, partition=0):
        """[(offset, value)] from the log start to the high watermark; batches without compression only."""
        _, at = self.list_offset(topic, -2, partition)
        found = []
        while True:
            error, high_watermark, data = self.fetch(topic, at, partition)
            assert error == 0, f"Fetch at {at}: error {error}"
            for offset, value in records_of(data):
                if offset >= at:
                    found.append((offset, value))
            if not data or at >= high_watermark:
                return found
            at = found[-1][0] + 1

    def find_coordinator(self, group):
        """The error code."""
        return self.call(FIND_COORDINATOR, 0, string(group)).take("h")

    def join_group(self, group, member_id, session_ms=10000, rebalance_ms=2000):
        """(error code, generation, leader, own member id, members if it leads)"""
        body = string(group) + struct.pack(">ii", session_ms, rebalance_ms) + string(member_id) + string("consumer")
        answer = self.call(JOIN_GROUP, 2, body + struct.pack(">i", 1) + string("range") + blob(b""))
        _, error, generation = answer.take("ihi")
        answer.string()
        leader, own = answer.string(), answer.string()
        members = []
        for _ in range(answer.take("i")):
            members.append(answer.string())
            answer.bytes(answer.take("i"))
        return error, generation, leader, own, members

    def sync_group(self, group, generation, member_id, assignments):
        """(error code, own assignment); `assignments` are bytes by member."""
        body = string(group) + struct.pack(">i", generation) + string(member_id) + struct.pack(">i", len(assignments))
        body += b"".join(string(member) + blob(assignment) for member, assignment in assignments.items())
        answer = self.call(SYNC_GROUP, 1, body)
        _, error = answer.take("ih")
        return error, answer.bytes(answer.take("i"))

    def heartbeat(self, group, generation, member_id):
        """The error code."""
        return self.call(HEARTBEAT, 1, string(group) + struct.pack(">i", generation) + string(member_id)).take("ih")[1]

    def leave_group(self, group, member_id):
        """The error code."""
        return self.call(LEAVE_GROUP, 1, string(group) + string(member_id)).take("ih")[1]

    def commit_offset(self, group, generation, member_id, topic, partition, offset):
        """The error code."""
        body = string(group) + struct.pack(">i", generation) + string(member_id) + struct.pack(">qi", -1, 1)
        body += string(topic) + struct.pack(">iiq", 1, partition, offset) + string("")
        answer = self.call(OFFSET_COMMIT, 2, body)
        answer.take("i")
        answer.string()
        return answer.take("iih")[2]

    def committed_offset(self, group, topic, partition):
        """(error code, offset); -1: none."""
        body = string(group) + struct.pack(">i", 1) + string(topic) + struct.pack(">ii", 1, partition)
        answer = self.call(OFFSET_FETCH, 1, body)
        answer.take("i")
        answer.string()
        _, _, offset = answer.take("iiq")
        answer.string()
        return answer.take("h"), offset


def records_of(data):
    """(offset, value) of every record of whole uncompressed batches; checks their CRC."""
    for offset, _, value in keyed_records_of(data):
        yield offset, value or b""


def keyed_records_of(data):
    """(offset, key, value), as records_of; None where there is no key or no value."""
    answer = Answer(data)
    while len(data) - answer.at >= 12:
        begin = answer.at
        base, size = answer.take("qi")
        if len(data) - answer.at < size:
            return
        _, _, crc = answer.take("ibI")
        assert crc == crc32c(data[answer.at:begin + 12 + size]), f"wrong CRC at offset {base}"
        count = answer.take("hiqqqhii")[-1]
        for _ in range(count):
            _read_varint(answer)
            answer.take("b")
            _read_varint(answer)
            delta = _read_varint(answer)
            key, value = (answer.nullable(_read_varint(answer)) for _ in range(2))
            for _ in range(_read_varint(answer)):
                answer.bytes(_read_varint(answer))
                answer.bytes(_read_varint(answer))
            yield base + delta, key, value
        answer.at = begin + 12 + size


def read_uvarint(source):
    value = shift = 0
    while True:
        byte = source.take("B")
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value


def _read_varint(source):
    value = read_uvarint(source)
    return value >> 1 ^ -(value & 1)
