"""Any request of the protocol at any version, as dictionaries: the codec reads schema/messages itself, so it owes nothing to the C++
that is made of them. Names are the schema's (`TopicName`); what a request leaves out has its default."""

import struct
import sys
import uuid
from pathlib import Path

from .kafka import Client, read_uvarint

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "codegen"))
import schema  # noqa: E402

MESSAGES = {m.name: m for m in schema.load(ROOT / "schema" / "messages")}
ERRORS = {}
for line in (ROOT / "schema" / "errors.txt").read_text().splitlines():
    words = line.split()
    if len(words) >= 2 and words[0].lstrip("-").isdigit():
        ERRORS[int(words[0])] = words[1]
NUMBERS = {"bool": "?", "int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "float64": "d"}


def within(version, versions):
    return versions[0] <= version <= versions[1]


def uvarint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


class Codec:
    """One message at one version."""

    def __init__(self, name, version):
        self.message = MESSAGES[name]
        assert within(version, self.message.versions), f"{name} has no version {version}"
        self.version = version
        self.flexible = within(version, self.message.flexible)
        self.structs = {s.name: s.fields for s in self.message.structs}

    def encode(self, values):
        return self.write_fields(self.message.fields, values)

    def decode(self, data):
        self.data, self.at = data, 0
        return self.read_fields(self.message.fields)

    # Writing

    def write_fields(self, fields, values):
        unknown = set(values) - {f.name for f in fields}
        assert not unknown, f"no fields {unknown}"
        out, tags = b"", {}
        for f in fields:
            if not within(self.version, f.versions):
                continue
            value = values.get(f.name, self.default(f))
            if f.tag is not None and within(self.version, f.tagged):
                if f.name in values:
                    tags[f.tag] = self.write(f, value)
            else:
                out += self.write(f, value)
        if self.flexible:
            out += uvarint(len(tags))
            out += b"".join(uvarint(tag) + uvarint(len(data)) + data for tag, data in sorted(tags.items()))
        return out

    def default(self, f):
        if f.default == "null":
            return None
        if f.is_array:
            return []
        if f.type in self.structs:
            return {}
        if f.type == "bool":
            return f.default == "true"
        if f.type in NUMBERS:
            return int(f.default or "0", 0)
        return {"string": f.default or "", "uuid": uuid.UUID(int=0)}.get(f.type, b"")

    def write(self, f, value):
        if f.is_array:
            if value is None:
                return self.length(None, 4)
            return self.length(len(value), 4) + b"".join(self.write_one(f.element, each) for each in value)
        if self.is_nullable_struct(f):
            return b"\xff" if value is None else b"\x01" + self.write_one(f.type, value)
        return self.write_one(f.type, value)

    def is_nullable_struct(self, f):
        return f.type in self.structs and within(self.version, f.nullable)

    def write_one(self, kind, value):
        if kind in self.structs:
            return self.write_fields(self.structs[kind], value)
        if kind in NUMBERS:
            return struct.pack(">" + NUMBERS[kind], value)
        if kind == "uuid":
            return value.bytes
        data = value.encode() if isinstance(value, str) else value
        return self.length(None if data is None else len(data), 2 if kind == "string" else 4) + (data or b"")

    def length(self, count, size):
        if self.flexible:
            return uvarint(0 if count is None else count + 1)
        return struct.pack(">h" if size == 2 else ">i", -1 if count is None else count)

    # Reading

    def take(self, form):
        value = struct.unpack_from(">" + form, self.data, self.at)[0]
        self.at += struct.calcsize(">" + form)
        return value

    def take_uvarint(self):
        return read_uvarint(self)

    def take_length(self, size):
        return self.take_uvarint() - 1 if self.flexible else self.take("h" if size == 2 else "i")

    def read_fields(self, fields):
        values, tagged = {}, {}
        for f in fields:
            if not within(self.version, f.versions):
                continue
            if f.tag is not None and within(self.version, f.tagged):
                tagged[f.tag] = f
                values[f.name] = self.default(f)
            else:
                values[f.name] = self.read(f)
        for _ in range(self.take_uvarint() if self.flexible else 0):
            tag, size = self.take_uvarint(), self.take_uvarint()
            end = self.at + size
            if tag in tagged:
                values[tagged[tag].name] = self.read(tagged[tag])
                assert self.at == end, f"tag {tag} is {size} bytes long"
            self.at = end
        return values

    def read(self, f):
        if self.is_nullable_struct(f) and self.take("b") < 0:   # a nullable struct is behind a byte
            return None
        if not f.is_array:
            return self.read_one(f.type)
        count = self.take_length(4)
        return None if count < 0 else [self.read_one(f.element) for _ in range(count)]

    def read_one(self, kind):
        if kind in self.structs:
            return self.read_fields(self.structs[kind])
        if kind in NUMBERS:
            return self.take(NUMBERS[kind])
        size = 16 if kind == "uuid" else self.take_length(2 if kind == "string" else 4)
        if size < 0:
            return None
        data = bytes(self.data[self.at:self.at + size])
        assert len(data) == size, "the answer ends within a field"
        self.at += size
        return uuid.UUID(bytes=data) if kind == "uuid" else data.decode() if kind == "string" else data


class Asker(Client):
    """A connection that asks by name: asker.ask("Metadata", 12, Topics=[...]) gives the response as a dictionary."""

    def ask(self, api, version, **values):
        return self.send(api, version, **values)()

    def send(self, api, version, **values):
        """What it returns, called, waits for the response. Responses come in the order of the requests."""
        self.correlation += 1
        correlation = self.correlation
        self.send_raw(self.frame(api, version, correlation, values))

        def receive():
            answer = self.read_frame()
            assert struct.unpack_from(">i", answer)[0] == correlation, "an answer out of order"
            response = Codec(api + "Response", version)
            begin = 5 if response.flexible and api != "ApiVersions" else 4
            values = response.decode(answer[begin:])
            assert response.at == len(answer) - begin, f"{len(answer) - begin - response.at} bytes behind the answer"
            return values
        return receive

    @staticmethod
    def frame(api, version, correlation, values):
        codec = Codec(api + "Request", version)
        header = b"\0" if codec.flexible else b""   # no tagged fields, before and after
        frame = struct.pack(">hhi", codec.message.key, version, correlation) + struct.pack(">h", 5) + b"tests"
        frame += header + codec.encode(values)
        return struct.pack(">i", len(frame)) + frame

    def alter(self, kind, name, *changes, validate_only=False):
        """IncrementalAlterConfigs of one resource, changes (name, operation, value): (error, message)."""
        configs = [{"Name": n, "ConfigOperation": o, "Value": v} for n, o, v in changes]
        answer = self.ask("IncrementalAlterConfigs", 1, ValidateOnly=validate_only, Resources=[
            {"ResourceType": kind, "ResourceName": name, "Configs": configs}])["Responses"][0]
        return ERRORS[answer["ErrorCode"]], answer["ErrorMessage"]

    def describe(self, kind, name, *keys, documentation=False):
        """DescribeConfigs of one resource: {config name: its fields}; an error is raised by name."""
        resource = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": list(keys) or None}
        answer = self.ask("DescribeConfigs", 4, Resources=[resource], IncludeSynonyms=True,
                          IncludeDocumentation=documentation)["Results"][0]
        if answer["ErrorCode"]:
            raise LookupError(ERRORS[answer["ErrorCode"]], answer["ErrorMessage"])
        return {each["Name"]: each for each in answer["Configs"]}
