"""The rows of what clients say to coordinators: transactions, offset commits, heartbeats, share groups. The broker's CPU clock is read at both ends: how
slow the client is does not matter."""

import os
import socket
import time
import uuid
from statistics import quantiles

import brokers
from rows import Row, generate
from support.kafka import batch, crc32c, record
from support.protocol import ERRORS, Asker
from support.share import ACCEPT, ShareMember
from support.transactional import TRANSACTIONAL, Producer, settled

RECORD = b"x" * 100
PROPERTIES = {"message.max.bytes": "2097152"}    # 10,000 records are a batch
CONNECTIONS = 16           # of the rows of one request, a request under way on each
SETTLED_SECONDS = 2        # a group's epoch that is the same for so long stays so
SHARED_AT_ONCE = 500
SHARED_BATCHES = 40        # of that many records, produced before they are consumed

ROWS = [
    Row("txn-1", "transaction (KIP-890) of 1 record of 100 B: CPU", "us", ">= 4x", None, 4),
    Row("txn-100", "the same of 100 records in a batch", "us", ">= 4x", None, 4),
    Row("txn-10k", "the same of 10,000 records in a batch", "us", ">= 4x", None, 4),
    Row("end-txn-p50", "EndTxn p50, of transactions of 1 record", "ms", ""),
    Row("end-txn-p99", "EndTxn p99", "ms", ""),
    Row("offset-commit", f"offset commit, one partition, {CONNECTIONS} connections: CPU", "us", ">= 4x", None, 4),
    Row("beat", f"heartbeat of a consumer group's member (KIP-848), {CONNECTIONS} connections: CPU", "us", ">= 4x", None, 4, True),
    Row("share", f"share group, {SHARED_AT_ONCE} records of 100 B given and accepted: CPU", "us", ">= 4x", None, 4),
]
BY_KEY = {row.key: row for row in ROWS}


def cpu_seconds(server):
    """Of all its threads: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~server.process.pid << 3) | 2)


def cpu_each(server, plan, step):
    """us of the broker's CPU a call of `step`."""
    until = time.monotonic() + plan.warm_up(server)
    while time.monotonic() < until:
        step()
    count, begun = 0, cpu_seconds(server)
    until = time.monotonic() + plan.seconds
    while time.monotonic() < until:
        step()
        count += 1
    return (cpu_seconds(server) - begun) / count * 1e6


# A CRC of two pieces is linear in those of the pieces, so that a batch of 1 MB need not be read again when only its header changes.

def times(matrix, vector):
    product = 0
    for row in matrix:
        if vector & 1:
            product ^= row
        vector >>= 1
    return product


def zeros(count):
    """What `count` bytes of zeros behind it do to a CRC-32C, as a matrix."""
    power = [0x82F63B78] + [1 << i for i in range(31)]    # a bit of zero
    for _ in range(3):
        power = [times(power, row) for row in power]
    matrix = [1 << i for i in range(32)]
    while count:
        if count & 1:
            matrix = [times(power, row) for row in matrix]
        power = [times(power, row) for row in power]
        count >>= 1
    return matrix


class Records:
    def __init__(self, count):
        self.count = count
        self.body = b"".join(record(i, RECORD) for i in range(count))
        self.crc, self.behind = crc32c(self.body), zeros(len(self.body))

    def batch(self, producer, attributes=TRANSACTIONAL):
        now = int(time.time() * 1000)
        head = struct.pack(">hiqqqhii", attributes, self.count - 1, now, now, *producer, self.count)
        crc = times(self.behind, crc32c(head)) ^ self.crc
        return struct.pack(">qiibI", 0, len(head) + len(self.body) + 9, -1, 2, crc) + head + self.body


class Transactions(Producer):
    def __init__(self, server, topic):
        super().__init__(f"127.0.0.1:{server.port}", topic)
        self.topic = topic
        check(self.init())

    def run(self, records):
        """The seconds that its end took."""
        sequence = self.sequences.get(self.topic, 0)
        data = records.batch((self.id, self.epoch, sequence))
        answer = self.asker.ask("Produce", 12, TransactionalId=self.name, Acks=-1, TimeoutMs=10000, TopicData=[
            {"Name": self.topic, "PartitionData": [{"Index": 0, "Records": data}]}])
        check(ERRORS[answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"]])
        self.sequences[self.topic] = sequence + records.count
        begun = time.perf_counter()
        check(self.end(True))
        return time.perf_counter() - begun


def check(error):
    if error != "NONE":
        raise brokers.Failed(error)


def transactions(server, plan, topic):
    producer = Transactions(server, topic)
    ends = []
    for key, count in (("txn-1", 1), ("txn-100", 100), ("txn-10k", 10_000)):
        records = Records(count)
        took = cpu_each(server, plan, lambda: ends.append(producer.run(records)))
        BY_KEY[key].add(server, took)
        if count == 1:
            cuts = quantiles(ends[len(ends) // 2:], n=100)    # the others warmed it up
            BY_KEY["end-txn-p50"].add(server, cuts[49] * 1000)
            BY_KEY["end-txn-p99"].add(server, cuts[98] * 1000)


def cpu_of_one(server, plan, api, version, values):
    """us of a request that is answered alike each time, from several connections, each of which asks again when it is answered."""
    frame = Asker.frame(api, version, 1, values)
    with socket.create_connection(("127.0.0.1", server.port)) as asker:
        asker.sendall(frame)
        answer = asker.recv(1 << 16)    # it is small
    measured = generate("ask", server, frame=frame.hex(), answer=answer.hex(), connections=CONNECTIONS, warm_up_seconds=plan.warm_up(server),
                        seconds=plan.seconds)
    return measured["broker_cpu_seconds"] / measured["requests"] * 1e6


def offset_commits(server, plan, topic):
    asker = Asker(f"127.0.0.1:{server.port}")
    check(settled(lambda: ERRORS[asker.find_coordinator(topic)]))
    values = {"GroupId": topic, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
        {"Name": topic, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 7}]}]}
    check(settled(lambda: ERRORS[asker.ask("OffsetCommit", 8, **values)["Topics"][0]["Partitions"][0]["ErrorCode"]]))
    BY_KEY["offset-commit"].add(server, cpu_of_one(server, plan, "OffsetCommit", 8, values))


def heartbeats(server, plan, topic):
    member = {"GroupId": f"{topic}-beats", "MemberId": str(uuid.uuid4()), "MemberEpoch": 0}
    if server.speaks_kafka:
        settle_member(server, topic, member)
    quiet = {**member, "RebalanceTimeoutMs": -1, "SubscribedTopicNames": None, "TopicPartitions": None}
    BY_KEY["beat"].add(server, cpu_of_one(server, plan, "ConsumerGroupHeartbeat", 1, quiet))


def settle_member(server, topic, member):
    """It joins, and beats until its epoch, which is written into it, changes no more."""
    asker = Asker(f"127.0.0.1:{server.port}")
    check(settled(lambda: ERRORS[asker.find_coordinator(member["GroupId"])]))

    def beat(**values):
        answer = {}

        def ask():
            answer.update(asker.ask("ConsumerGroupHeartbeat", 1, **member, **values))
            return ERRORS[answer["ErrorCode"]]
        check(settled(ask))
        owned = answer["Assignment"]
        return answer["MemberEpoch"], [] if owned is None else owned["TopicPartitions"]

    epoch, owned = beat(RebalanceTimeoutMs=60000, SubscribedTopicNames=[topic], TopicPartitions=[])
    since = time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        if epoch != member["MemberEpoch"]:
            since, member["MemberEpoch"] = time.monotonic(), epoch
        epoch, more = beat(TopicPartitions=owned)
        owned = more or owned
        time.sleep(0.05)


def share_groups(server, plan, topic):
    asker = Asker(f"127.0.0.1:{server.port}")
    asker.alter(32, topic, ("share.auto.offset.reset", 0, "earliest"))
    check(settled(lambda: ERRORS[asker.find_coordinator(topic)]))
    member = ShareMember(asker, topic, topic).join()
    data = batch([RECORD] * SHARED_AT_ONCE)
    has, given, cpu = [], 0, 0.0

    def consume(count):
        nonlocal has, given
        before = given
        while given - before < count:
            _, has = member.acquire(*((first, last, ACCEPT) for first, last, _ in has), most=SHARED_AT_ONCE, wait_ms=1000)
            given += sum(last - first + 1 for first, last, _ in has)

    until = time.monotonic() + plan.warm_up(server) + plan.seconds
    measures_from = until - plan.seconds
    measured = 0
    while time.monotonic() < until:
        for _ in range(SHARED_BATCHES):
            asker.produce(topic, data)
        begun = cpu_seconds(server)
        consume(SHARED_BATCHES * SHARED_AT_ONCE)
        if time.monotonic() > measures_from:
            cpu += cpu_seconds(server) - begun
            measured += SHARED_BATCHES
    BY_KEY["share"].add(server, cpu / measured * 1e6)


MEASUREMENTS = (    # the floor server knows heartbeats only
    ({"txn-1", "txn-100", "txn-10k", "end-txn-p50", "end-txn-p99"}, transactions),
    ({"offset-commit"}, offset_commits),
    ({"beat"}, heartbeats),
    ({"share"}, share_groups),
)


def measure(servers, keys, plan, say):
    """`servers` run; ABBA."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {brokers.GENERATOR_CORE})
    for of, what in MEASUREMENTS:
        for number in range(2 * plan.pairs if of & keys else 0):
            for server in servers if number % 2 == 0 else reversed(servers):
                if not server.speaks_kafka and what is not heartbeats:
                    continue
                say(f"{what.__name__}, round {number + 1}: {server.name}")
                topic = f"talk-{what.__name__}-{number}"
                server.create_topic(topic, 1)
                server.await_leaders(topic, 1)
                what(server, plan, topic)
                server.delete_topic(topic)
    os.sched_setaffinity(0, cores)
