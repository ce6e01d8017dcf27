"""Formatted by kafka-storage.sh of Apache Kafka and by ours, a directory has the same files with the same bytes, and the same is refused."""

import base64
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from interop import apache
from support.broker import BINARY

CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
VOTERS = "1@127.0.0.1:9093:JEXY6aqzQY-32P5TStzaFg,2@b.example:9193:MvDxzVmcRsaTz33bUuRU6A,3@[::1]:9293:07R5amHmR32VDA6jHkGbTA"
CONTROLLER, BROKER = "CONTROLLER://127.0.0.1:9093", "PLAINTEXT://127.0.0.1:9092"
BOTH = {"process.roles": "broker,controller", "listeners": f"{BROKER},{CONTROLLER}"}
ALONE = {"process.roles": "controller", "listeners": CONTROLLER}
ONLY_BROKER = {"process.roles": "broker", "listeners": BROKER}
SHOWN = {**BOTH, "advertised.listeners": "PLAINTEXT://127.0.0.1:9092,CONTROLLER://c.example:19093"}
STATIC = {"controller.quorum.voters": "1@127.0.0.1:9093,2@127.0.0.1:9193"}


def without_times(data, directory_id, since):
    """Snapshots hold the time in many places, and a random directory id."""
    out = bytearray(data)
    at = 0
    while at + 61 <= len(out):
        out[at + 17:at + 21] = bytes(4)   # the checksum
        at += 12 + struct.unpack_from(">i", out, at + 8)[0]
    earliest, latest = (since - 60) * 1000, (time.time() + 60) * 1000
    for place in range(len(out) - 7):
        if earliest < struct.unpack_from(">q", out, place)[0] < latest:
            out[place:place + 8] = b"\xee" * 8
    data = bytes(out).replace(base64.urlsafe_b64decode(directory_id + "=="), b"\xdd" * 16).hex()
    return [data[place:place + 64] for place in range(0, len(data), 64)]


class Format(unittest.TestCase):
    maxDiff = None

    def run_both(self, properties, *arguments):
        """[(exit status, what it said, {file: bytes})] of Apache Kafka's and ours."""
        results = []
        for words in (apache.command_line("kafka.tools.StorageTool"), [BINARY]):
            with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
                file, data = Path(folder, "server.properties"), Path(folder, "data")
                lines = {"node.id": 1, "controller.listener.names": "CONTROLLER", "log.dirs": data,
                         "controller.quorum.bootstrap.servers": "127.0.0.1:9093", **properties}
                file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
                if words == [BINARY]:
                    link = Path(folder, "kafka-storage.sh")
                    link.symlink_to(BINARY)
                    words = [link]
                since = time.time()
                done = subprocess.run([*words, "format", "-t", CLUSTER, "-c", file, *arguments], capture_output=True, text=True, timeout=60)
                said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("Bootstrap metadata")]
                results.append((done.returncode, "\n".join(said).replace(folder, "F"), self.files(data, since)))
        return results

    def files(self, data, since):
        found = {}
        meta = data / "meta.properties"
        if not meta.exists():
            return found
        identity = dict(line.split("=") for line in meta.read_text().splitlines() if "=" in line)
        for path in data.rglob("*"):
            if path.is_file():
                found[str(path.relative_to(data))] = without_times(path.read_bytes(), identity["directory.id"], since)
        found["meta.properties"] = {name: value for name, value in identity.items() if name != "directory.id" or value in VOTERS}
        return found

    def test_the_same_files(self):
        for properties, *arguments in (
                (BOTH, "--standalone"), (ALONE, "--standalone"), (SHOWN, "--standalone"), (BOTH, "--no-initial-controllers"),
                (ONLY_BROKER,), (ONLY_BROKER, "--no-initial-controllers"), ({**BOTH, **STATIC},), ({**BOTH, **STATIC}, "-N"),
                (BOTH, "--initial-controllers", VOTERS), (ALONE, "-I", VOTERS), (ONLY_BROKER, "-I", VOTERS[VOTERS.index("2@"):]),
                (BOTH, "-I", VOTERS[VOTERS.index("2@"):]), (BOTH, "-s", "-r", "4.0"), (BOTH, "-s", "-f", "kraft.version=1")):
            with self.subTest(properties=properties, arguments=arguments):
                theirs, ours = self.run_both(properties, *arguments)
                self.assertEqual(0, theirs[0], theirs[1])
                self.assertEqual(theirs, ours)

    def test_the_same_refusals(self):
        """With the same words; Apache Kafka throws some of them as exceptions, and ours shows what they are about."""
        directory = "JEXY6aqzQY-32P5TStzaFg"
        for properties, *arguments in (
                (BOTH,), (ALONE,), (ONLY_BROKER, "-s"), ({**BOTH, **STATIC}, "-s"), ({**BOTH, **STATIC}, "-I", VOTERS),
                (BOTH, "-s", "-f", "kraft.version=0"), ({**BOTH, **STATIC}, "-f", "kraft.version=1"),
                (BOTH, "-I", ""), (BOTH, "-I", f"a:9:{directory}"), (BOTH, "-I", f"x@a:9:{directory}"), (BOTH, "-I", "1@a:9"),
                (BOTH, "-I", f"1@a:x:{directory}"), (BOTH, "-I", f"1@a:99999:{directory}"), (BOTH, "-I", "1@a:9:zz"),
                (BOTH, "-I", f"1@a:9:{directory},1@b:9:{directory}"), (BOTH, "-I", "1@a")):
            with self.subTest(properties=properties, arguments=arguments):
                (status, theirs, none), (our_status, ours, also_none) = self.run_both(properties, *arguments)
                self.assertEqual((1, {}, 1, {}), (status, none, our_status, also_none))
                self.assertIn(theirs.splitlines()[0].split("IllegalArgumentException: ")[-1], ours)


if __name__ == "__main__":
    unittest.main()
