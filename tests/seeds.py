#!/usr/bin/env python3
"""tests/seeds.py FOLDER: writes FOLDER/NAME/*, what each fuzz target begins with, made of the golden vectors: bytes that Apache Kafka made."""

import gzip
import hashlib
import json
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tools" / "codegen"))
import schema  # noqa: E402
from support.kafka import batch, string  # noqa: E402

MESSAGES = schema.load(ROOT / "schema" / "messages")
SEGMENT, INDEX, SECOND_SEGMENT, EPOCHS, PUT_RIGHT = 0, 1, 4, 9, 0x80


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


def log_directories():
    """As src/storage/log_fuzz.cc reads them: flags, recovery point, files."""
    first, second = batch([b"a", b"b", b"c", b"d", b"e"]), batch([b"f"])
    second = struct.pack(">q", 5) + second[8:]

    def file(which, data):
        return struct.pack(">BH", which, len(data)) + data
    epochs = file(EPOCHS, b"0\n1\n0 0\n")
    yield b"\0\0" + file(SEGMENT, first + second) + epochs
    yield b"\x80\x06" + file(SEGMENT, first) + file(SECOND_SEGMENT, second) + epochs
    yield b"\0\5" + file(SEGMENT, first) + file(INDEX, struct.pack(">ii", 4, 0)) + file(SECOND_SEGMENT, second[:-3])
    for each in golden("batches")[:60]:
        data = bytes.fromhex(each["hex"])[:60000]
        yield b"\0\0" + file(SEGMENT | PUT_RIGHT, struct.pack(">q", 0) + data[8:])


TARGETS = {
    "requests_fuzz": lambda: of_messages(lambda name: name.endswith("Request")),
    "responses_fuzz": lambda: of_messages(lambda name: name.endswith("Response")),
    "records_fuzz": lambda: of_messages(lambda name: not name.endswith(("Request", "Response"))),
    "connection_fuzz": frames,
    "log_fuzz": log_directories,
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
