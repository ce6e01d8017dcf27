"""The rows of what a broker remembers of many: groups with an offset each, transactional ids, producers of a partition. Memory for each of them, and how
long a restarted broker takes to know them all again."""

import os
import time

import brokers
from conversations import Records, check
from rows import Row
from support.protocol import ERRORS, Asker
from support.transactional import settled

GROUPS, IDS = 1_000_000, 100_000
PARTITIONS = 50            # of __consumer_offsets and __transaction_state
WINDOW = 500               # requests under way at once
LOAD_SECONDS = 300

ROWS = [
    Row("groups-1m-memory", f"memory of a group with an offset, of {GROUPS:,}", "B", ""),
    Row("groups-1m-load", f"restart until {GROUPS:,} groups' coordinators answer", "ms", "<= 2,000 ms", 2000),
    Row("txn-ids-memory", f"memory of a transactional id, of {IDS:,}", "B", ""),
    Row("txn-ids-load", f"restart until {IDS:,} transactional ids' coordinators answer", "ms", "", None),
    Row("producers-memory", f"memory of an idempotent producer of a partition, of {IDS:,}", "B", ""),
]
BY_KEY = {row.key: row for row in ROWS}


def java_hash(text):
    value = 0
    for octet in text.encode():
        value = (31 * value + octet) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


def one_a_partition(names):
    return list({java_hash(name) % PARTITIONS: name for name in names}.values())


def stream(server, frames, is_good):
    """Sends them all on one connection; each answer has to be good."""
    asker, window = Asker(f"127.0.0.1:{server.port}"), []

    def turn():
        asker.send_raw(b"".join(window))
        for _ in window:
            answer = asker.read_frame()
            if not is_good(answer):
                raise brokers.Failed(f"{server.name} answers {answer[:60]}")
        window.clear()

    for frame in frames:
        window.append(frame)
        if len(window) == WINDOW:
            turn()
    turn()
    asker.socket.close()


def resident(server):
    return server.resident_mb() * (1 << 20)


def restarted(server, ask, names):
    """Milliseconds from exec until `ask(asker, name)` is NONE for all."""
    server.stop()
    begun = time.perf_counter()
    server.start()
    asker, left = Asker(f"127.0.0.1:{server.port}"), list(names)
    while left:
        if ask(asker, left[-1]) == "NONE":
            left.pop()
            continue
        if time.perf_counter() - begun > LOAD_SECONDS:
            raise brokers.Failed(f"{server.name}: {len(left)} coordinators do not answer")
        time.sleep(0.005)
    asker.socket.close()
    return (time.perf_counter() - begun) * 1000


def commit_of(group):
    return {"GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
        {"Name": "crowd", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 7}]}]}


def commit(asker, group):
    answer = asker.ask("OffsetCommit", 8, **commit_of(group))
    return ERRORS[answer["Topics"][0]["Partitions"][0]["ErrorCode"]]


def committed(asker, group):
    return "NONE" if asker.committed_offset(group, "crowd", 0) == (0, 7) else "not yet"


def groups(server):
    names = [f"group-{number:07}" for number in range(GROUPS)]
    asker = Asker(f"127.0.0.1:{server.port}")
    check(settled(lambda: ERRORS[asker.find_coordinator(names[0])]))
    for name in one_a_partition(names[:2000]):
        check(settled(lambda: commit(asker, name)))
    template = asker.frame("OffsetCommit", 8, 1, commit_of(names[0]))
    asker.send_raw(template)
    expected = asker.read_frame()
    before = resident(server)
    stream(server, (template.replace(b"group-0000000", name.encode()) for name in names), lambda answer: answer == expected)
    BY_KEY["groups-1m-memory"].add(server, (resident(server) - before) / GROUPS)
    BY_KEY["groups-1m-load"].add(server, restarted(server, committed, one_a_partition(names[-2000:])))


def init(asker, name):
    answer = asker.ask("InitProducerId", 4, TransactionalId=name, TransactionTimeoutMs=60000)
    return ERRORS[answer["ErrorCode"]]


def transactional_ids(server):
    names = [f"id-{number:06}" for number in range(IDS)]
    asker = Asker(f"127.0.0.1:{server.port}")
    check(settled(lambda: ERRORS[asker.ask("FindCoordinator", 4, KeyType=1, CoordinatorKeys=[names[0]])["Coordinators"][0]["ErrorCode"]]))
    for name in one_a_partition(names[:2000]):
        check(settled(lambda: init(asker, name)))
    template = asker.frame("InitProducerId", 4, 1, {"TransactionalId": names[0], "TransactionTimeoutMs": 60000})
    before = resident(server)
    stream(server, (template.replace(b"id-000000", name.encode()) for name in names), lambda answer: answer[9:11] == b"\0\0")
    BY_KEY["txn-ids-memory"].add(server, (resident(server) - before) / IDS)
    BY_KEY["txn-ids-load"].add(server, restarted(server, init, one_a_partition(names[-2000:])))


def producers(server):
    asker, records = Asker(f"127.0.0.1:{server.port}"), Records(1)

    def frame(id):
        return asker.frame("Produce", 8, 1, {"Acks": 1, "TimeoutMs": 10000, "TopicData": [
            {"Name": "crowd", "PartitionData": [{"Index": 0, "Records": records.batch((id, 0, 0), attributes=0)}]}]})

    before = resident(server)
    stream(server, (frame(1_000_000 + number) for number in range(IDS)), lambda answer: answer[23:25] == b"\0\0")
    BY_KEY["producers-memory"].add(server, (resident(server) - before) / IDS)


MEASUREMENTS = (
    ({"groups-1m-memory", "groups-1m-load"}, groups),
    ({"txn-ids-memory", "txn-ids-load"}, transactional_ids),
    ({"producers-memory"}, producers),
)


def measure(new, end, keys, say):
    """`new()` makes a server of each kind."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {brokers.GENERATOR_CORE})
    for of, what in MEASUREMENTS:
        for server in new() if of & keys else ():
            say(f"{what.__name__}: {server.name}")
            server.start()
            server.create_topic("crowd", 1)
            server.await_leaders("crowd", 1)
            what(server)
            end(server)
    os.sched_setaffinity(0, cores)
