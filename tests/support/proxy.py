"""Links between nodes of a cluster that a test can hurt: cut one way or both, delay, reset, and requests sent twice.

Each listener that other nodes use has a proxy of its own, and that is what the node advertises. Who is at the other end of a connection is
asked of the kernel (which process owns the socket), so one proxy serves all nodes, whatever they are written in. While a node is down its
proxies do not listen either: connections to it are refused, as its own ports would.
Everything runs on one thread with an event loop; the methods may be called from any."""

import asyncio
import contextlib
import os
import socket
import struct
import threading

from .broker import free_ports

REQUEST_LIMIT = 1 << 26


def socket_inode(port, peer_port):
    """Of the socket on 127.0.0.1 from `port` to `peer_port`; none: it is gone. Java's are of IPv6 and hold the address within."""
    for table, prefix in (("tcp", ""), ("tcp6", "0000000000000000FFFF0000")):
        wanted = [f"{prefix}0100007F:{port:04X}", f"{prefix}0100007F:{peer_port:04X}"]
        with open(f"/proc/net/{table}") as lines:
            for line in lines:
                words = line.split()
                if words[1:3] == wanted:
                    return words[9]
    return None


def owns(pid, inode):
    name = f"socket:[{inode}]"
    with contextlib.suppress(OSError):
        for each in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(each.path) == name:
                    return True
    return False


class Weather:
    """What happens to bytes on the way from one node to another."""

    def __init__(self):
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0
        self.replays = 0      # requests still to be sent twice


class Links:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.nodes = {}       # by id
        self.ports = {}       # by (node id, listener)
        self.servers = {}     # by (node id, listener), while they listen
        self.behind = {}      # the port that a node listens on, by (node id, listener)
        self.weather = {}     # by (from, to)
        self.pairs = {}       # (from, to) by the connection's two writers
        self.thread = threading.Thread(target=self.loop.run_forever, name="links", daemon=True)
        self.thread.start()

    def close(self):
        if not self.thread.is_alive():
            return
        self.call(self.shut())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def shut(self):
        for server in self.servers.values():
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What a test does

    def add(self, node, listener, port):
        """`port` is where the node listens."""
        self.nodes[node.id] = node
        self.behind[node.id, listener] = port
        self.call(self.listen(node.id, listener))

    def port_of(self, node_id, listener):
        return self.ports[node_id, listener]

    def close_ports(self, node_id):
        """The node is about to go down."""
        self.call(self.unlisten(node_id))

    def open_ports(self, node_id):
        for id, listener in self.behind:
            if id == node_id and (id, listener) not in self.servers:
                self.call(self.listen(id, listener))

    def cut(self, source, target):
        """Bytes from one node to the other wait; the other way they flow. Connections stay open, as when a cable is pulled."""
        self.call(self.change(source, target, lambda weather: weather.open.clear()))

    def heal(self, source=None, target=None):
        """Of all, or of one direction. What waited is delivered, late."""
        self.call(self.change(source, target, self.clear))

    def isolate(self, node_id):
        """Both ways, from all others."""
        for other in self.nodes:
            if other != node_id:
                self.cut(node_id, other)
                self.cut(other, node_id)

    def delay(self, source, target, seconds):
        self.call(self.change(source, target, lambda weather: setattr(weather, "delay", seconds)))

    def reset(self, source, target):
        """Every connection that one node made to the other is reset; how many there were."""
        return self.call(self.reset_all(source, target))

    def replay(self, source, target, count=1):
        """The next requests are sent twice, and the second answer is dropped: as a network that delivers twice would."""
        self.call(self.change(source, target, lambda weather: setattr(weather, "replays", count)))

    # What runs on the loop

    @staticmethod
    def clear(weather):
        weather.open.set()
        weather.delay = 0.0
        weather.replays = 0

    def between(self, source, target):
        if (source, target) not in self.weather:
            self.weather[source, target] = Weather()
        return self.weather[source, target]

    async def change(self, source, target, what):
        pairs = [(source, target)] if source is not None else list(self.weather)
        for pair in pairs:
            what(self.between(*pair))

    async def reset_all(self, source, target):
        found = [writers for writers, pair in self.pairs.items() if pair == (source, target)]
        for writers in found:
            for writer in writers:
                hard = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    hard.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        return len(found)

    async def listen(self, node_id, listener):
        """At the same port each time."""
        behind = self.behind[node_id, listener]
        port = self.ports.get((node_id, listener)) or free_ports(1)[0]
        server = await asyncio.start_server(lambda r, w: self.serve(node_id, behind, r, w), "127.0.0.1", port)
        self.servers[node_id, listener] = server
        self.ports[node_id, listener] = server.sockets[0].getsockname()[1]

    async def unlisten(self, node_id):
        for key in [key for key in self.servers if key[0] == node_id]:
            self.servers.pop(key).close()

    def who(self, writer):
        """The id of the node at the other end; -1: none of ours."""
        peer, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        inode = socket_inode(peer[1], own[1]) if peer else None
        for node in self.nodes.values():
            if inode and node.process and owns(node.process.pid, inode):
                return node.id
        return -1

    async def serve(self, target, port, reader, writer):
        with contextlib.suppress(asyncio.CancelledError):   # only when the links are closed
            await self.carry(target, port, reader, writer)

    async def carry(self, target, port, reader, writer):
        source = self.who(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        writers = (writer, far_writer)
        self.pairs[writers] = (source, target)
        second_answers = set()   # correlation ids of requests that were sent twice
        tasks = [asyncio.ensure_future(self.carry_requests(self.between(source, target), reader, far_writer, second_answers)),
                 asyncio.ensure_future(self.carry_answers(self.between(target, source), far_reader, writer, second_answers))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in writers:
                each.transport.abort()
            self.pairs.pop(writers, None)

    async def carry_requests(self, weather, reader, writer, second_answers):
        while True:
            frame = await self.read_frame(reader)
            await self.wait(weather)
            writer.write(frame)
            if weather.replays:
                weather.replays -= 1
                second_answers.add(frame[8:12])
                writer.write(frame)
            await writer.drain()

    async def carry_answers(self, weather, reader, writer, second_answers):
        seen = set()
        while True:
            frame = await self.read_frame(reader)
            await self.wait(weather)
            correlation = frame[4:8]
            if correlation in second_answers:
                if correlation in seen:
                    seen.discard(correlation)
                    second_answers.discard(correlation)
                    continue
                seen.add(correlation)
            writer.write(frame)
            await writer.drain()

    @staticmethod
    async def wait(weather):
        if weather.delay:
            await asyncio.sleep(weather.delay)
        await weather.open.wait()

    @staticmethod
    async def read_frame(reader):
        size = await reader.readexactly(4)
        length = struct.unpack(">i", size)[0]
        if not 0 <= length <= REQUEST_LIMIT:
            raise ConnectionError(f"a frame of {length} bytes")
        return size + await reader.readexactly(length)
