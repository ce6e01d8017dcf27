"""Power losses and full disks of real nodes. Power: they are killed, and of every file only what was synced stays (power.c, preloaded, notes how
much that is).

Files that were there before the node first ran, and those that were never synced, are treated alike: nothing of what is not in the table
stays, except what formatting wrote (it is listed when the node is first prepared)."""

import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("power.c")
ROW = struct.Struct("=QQQ")
FULL = struct.Struct("=Q")
FULL_AT = 16    # the size in the first row


def library(folder):
    """Compiled at first use."""
    built = Path(folder) / "power.so"
    if not built.exists():
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", built, SOURCE, "-ldl", "-lpthread"], check=True, capture_output=True)
    return built


class Power:
    """Of one node. Made after it was formatted and before it starts."""

    def __init__(self, node, folder):
        self.node = node
        self.table = Path(folder) / f"power-{node.id}"
        self.from_before = {self.key(path): path.stat().st_size for path in self.files()}
        node.environment |= {"LD_PRELOAD": str(library(folder)), "POWER_TABLE": str(self.table)}

    def files(self):
        return [path for path in self.node.data.rglob("*") if path.is_file()]

    @staticmethod
    def key(path):
        stat = path.stat()
        return stat.st_dev, stat.st_ino

    def durable(self):
        """{(device, inode): bytes}"""
        sizes = dict(self.from_before)
        if self.table.exists():
            for device, inode, size in ROW.iter_unpack(self.table.read_bytes()[ROW.size:]):
                if inode:
                    sizes[device, inode] = size
        return sizes

    def fill(self, full):
        """Of a node that has started: from now on its disk is full, or is so no more."""
        with open(self.table, "r+b") as table:
            table.seek(FULL_AT)
            table.write(FULL.pack(full))

    def lose(self):
        """After the kill: cuts every file to what is durable; the number of bytes that are gone."""
        sizes, lost = self.durable(), 0
        for path in self.files():
            durable = sizes.get(self.key(path), 0)
            size = path.stat().st_size
            if size > durable:
                lost += size - durable
                os.chmod(path, 0o644)
                os.truncate(path, durable)
        # An inode may be used again for another file: what is durable now is what is there.
        self.from_before = {self.key(path): path.stat().st_size for path in self.files()}
        self.table.unlink(missing_ok=True)
        return lost
