"""What transactional producers ask, rightly and wrongly, of Apache Kafka and of Millrace: the answers must be the same."""

import time
import unittest

from interop.differential_test import BothSides
from support.kafka import batch
from support.protocol import ERRORS
from support.transactional import COORDINATOR_COMES, TRANSACTIONAL

STATES = ("Empty", "Ongoing", "CompleteCommit", "CompleteAbort")
TIMEOUT_MS = 60_000
END_OF = {False: 4, True: 5}        # EndTxn of clients without and with an epoch for each transaction
PRODUCE_OF = {False: 11, True: 12}


def errors_in(value):
    """Names, wherever they are."""
    if isinstance(value, list):
        return [name for each in value for name in errors_in(each)]
    if not isinstance(value, dict):
        return []
    own = [each if isinstance(each, str) else ERRORS[each] for key, each in value.items() if key in ("ErrorCode", "PartitionErrorCode")]
    return own + [name for each in value.values() for name in errors_in(each)]


class TransactionsDifferential(BothSides):
    def setUp(self):
        super().setUp()
        self.on_both(lambda side: side.create("t", 2))
        self.known = [{}, {}]       # of each side: (producer id, epoch) by transactional id
        self.names = iter(f"tx-{i}" for i in range(10_000))
        self.at_same_offsets = True

    def ask(self, api, version, values, retries=True):
        """Of both, and compares; `values` of the producers that a side knows. The answers. What passes by itself is asked again."""
        def of_side(index):
            deadline = time.monotonic() + 20
            while True:
                answer = self.sides[index].asker.ask(api, version, **values(self.known[index]))
                if not retries or not COORDINATOR_COMES & set(errors_in(answer)) or time.monotonic() > deadline:
                    return answer
                time.sleep(0.01)
        answers = [of_side(index) for index in range(2)]
        plain = [side.plain(answer) for side, answer in zip(self.sides, answers)]
        if api == "Produce" and not self.at_same_offsets:
            for each in plain:
                found = each["Responses"][0]["PartitionResponses"][0]
                found["BaseOffset"] = min(found["BaseOffset"], 0)
        self.assertEqual(plain[0], plain[1], (api, version))
        return answers

    def init(self, name, version=5, **more):
        self.ask("FindCoordinator", 4, lambda _: {"KeyType": 1, "CoordinatorKeys": [name]})
        answers = self.ask("InitProducerId", version,
                           lambda _: {"TransactionalId": name, "TransactionTimeoutMs": TIMEOUT_MS, "ProducerId": -1, "ProducerEpoch": -1, **more})
        self.note(name, answers)

    def note(self, name, answers):
        for known, answer in zip(self.known, answers):
            if not answer["ErrorCode"] and answer.get("ProducerId", -1) >= 0:
                known[name] = answer["ProducerId"], answer["ProducerEpoch"]

    def end(self, name, modern, commit, other_id=0, older=0):
        answers = self.ask("EndTxn", END_OF[modern], lambda known: {
            "TransactionalId": name, "ProducerId": known[name][0] + other_id, "ProducerEpoch": known[name][1] - older, "Committed": commit})
        return answers

    def write(self, name, modern, sequence=0, older=0, partition=0, transactional=TRANSACTIONAL, version=None):
        def values(known):
            producer = (known[name][0], known[name][1] - older, sequence)
            return {"TransactionalId": name, "Acks": -1, "TimeoutMs": 10000, "TopicData": [{"Name": "t", "PartitionData": [
                {"Index": partition, "Records": batch([b"x"], codec=transactional, producer=producer)}]}]}
        return self.ask("Produce", version or PRODUCE_OF[modern], values)

    def add(self, name, *topics, version=3, older=0, other_id=0):
        return self.ask("AddPartitionsToTxn", version, lambda known: {
            "V3AndBelowTransactionalId": name, "V3AndBelowProducerId": known[name][0] + other_id, "V3AndBelowProducerEpoch": known[name][1] - older,
            "V3AndBelowTopics": [{"Name": topic, "Partitions": partitions} for topic, partitions in topics]})

    def begin(self, name, modern):
        if not modern:
            self.add(name, ("t", [0]))
        self.write(name, modern)

    def bring_to(self, name, state, modern):
        self.init(name)
        if state == "Empty":
            return
        self.begin(name, modern)
        if state != "Ongoing":
            self.note(name, self.end(name, modern, state == "CompleteCommit"))
            self.settle(name, state)

    def settle(self, name, state):
        """The markers are written."""
        for side in self.sides:
            deadline = time.monotonic() + 20
            while side.asker.ask("DescribeTransactions", 0, TransactionalIds=[name])["TransactionStates"][0]["TransactionState"] != state:
                self.assertLess(time.monotonic(), deadline, state)
                time.sleep(0.01)

    def test_ends_are_answered_alike_in_every_state(self):
        self.at_same_offsets = False    # a marker may come behind the next transaction's first batch
        for modern in (False, True):
            for state in STATES:
                for commit in (False, True):
                    for other_id, older in ((0, 0), (0, 1), (0, 2), (0, -1), (1, 0)):
                        with self.subTest(modern=modern, state=state, commit=commit, other_id=other_id, older=older):
                            name = next(self.names)
                            self.bring_to(name, state, modern)
                            self.end(name, modern, commit, other_id, older)

    def test_producers_are_made_alike_in_every_state(self):
        """Apache Kafka aborts an open transaction also for a producer that was fenced; here that one is only told so."""
        self.at_same_offsets = False
        for version in (3, 4, 5):
            for state in STATES:
                for who in ((0, 0), (0, 1), (0, 2), (0, -1), (1, 0), None):
                    if who == (0, -1) and state == "Ongoing":
                        continue    # an epoch that nobody has: to Apache Kafka it is that of the abort
                    with self.subTest(version=version, state=state, who=who):
                        name = next(self.names)
                        self.bring_to(name, state, True)
                        self.ask("InitProducerId", version, lambda known, who=who, name=name: {
                            "TransactionalId": name, "TransactionTimeoutMs": TIMEOUT_MS,
                            "ProducerId": known[name][0] + who[0] if who else -1, "ProducerEpoch": known[name][1] - who[1] if who else -1})
        for wrong in ({"TransactionTimeoutMs": 0}, {"TransactionTimeoutMs": -1}, {"TransactionTimeoutMs": 900_001}, {"TransactionalId": ""},
                      {"ProducerId": 5}, {"ProducerEpoch": 5}, {"ProducerId": 5, "ProducerEpoch": 5}):
            with self.subTest(wrong):
                self.ask("InitProducerId", 5, lambda _, wrong=wrong: {
                    "TransactionalId": "new", "TransactionTimeoutMs": TIMEOUT_MS, "ProducerId": -1, "ProducerEpoch": -1, **wrong})

    def test_partitions_are_added_alike(self):
        self.known = [{**known, "unknown": (9999, 0)} for known in self.known]
        for version in range(4):
            for state in STATES:
                name = next(self.names)
                self.bring_to(name, state, False)
                for topics in ([("t", [0])], [("t", [0, 1])], [("nope", [0]), ("t", [0])], [("t", [9])], []):
                    with self.subTest(version=version, state=state, topics=topics):
                        self.add(name, *topics, version=version)
                for older, other_id in ((1, 0), (-1, 0), (0, 1)):
                    with self.subTest(version=version, state=state, older=older, other_id=other_id):
                        self.add(name, ("t", [0]), version=version, older=older, other_id=other_id)
            self.add("unknown", ("t", [0]), version=version)
        for version in (4, 5):
            for verify in (True, False):
                for state in STATES:
                    name = next(self.names)
                    self.bring_to(name, state, False)
                    for older in (0, 1, -1):
                        with self.subTest(version=version, verify=verify, state=state, older=older):
                            self.ask("AddPartitionsToTxn", version, lambda known, name=name, verify=verify, older=older: {"Transactions": [
                                {"TransactionalId": name, "ProducerId": known[name][0], "ProducerEpoch": known[name][1] - older,
                                 "VerifyOnly": verify, "Topics": [{"Name": "t", "Partitions": [0, 1]}]}]})

    def test_batches_are_taken_alike(self):
        for version in range(9, 13):
            modern = version >= 12
            for state in STATES:
                for what in ({}, {"sequence": 7}, {"older": 1}, {"older": -1}, {"partition": 1}, {"partition": 9}, {"transactional": 0}):
                    with self.subTest(version=version, state=state, what=what):
                        name = next(self.names)
                        self.bring_to(name, state, modern)
                        self.write(name, modern, version=version, **what)

    def test_offsets_are_committed_alike(self):
        for version in range(6):
            for state in STATES:
                for member in ({}, {"GenerationId": 1, "MemberId": "m"}):
                    with self.subTest(version=version, state=state, member=member):
                        name = next(self.names)
                        self.bring_to(name, state, version == 5)
                        self.sides[0].asker.find_coordinator(name), self.sides[1].asker.find_coordinator(name)
                        values = lambda known, name=name, member=member: {  # noqa: E731
                            "TransactionalId": name, "GroupId": name, "ProducerId": known[name][0], "ProducerEpoch": known[name][1],
                            **(member if version >= 3 else {}), "Topics": [
                                {"Name": "t", "Partitions": [{"PartitionIndex": p, "CommittedOffset": 7} for p in (0, 9)]},
                                {"Name": "nope", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 7}]}]}
                        self.ask("TxnOffsetCommit", version, values)
                        self.ask("AddOffsetsToTxn", min(version, 4), lambda known, name=name: {
                            "TransactionalId": name, "GroupId": name, "ProducerId": known[name][0], "ProducerEpoch": known[name][1]})
                        self.ask("TxnOffsetCommit", version, values)
        self.known = [{"": (1, 0), "unknown": (9999, 0)} for _ in self.known]
        for name, group in (("", "g"), ("unknown", "g"), ("unknown", ""), ("", "")):
            self.ask("AddOffsetsToTxn", 4, lambda known, name=name, group=group: {
                "TransactionalId": name, "GroupId": group, "ProducerId": known[name][0], "ProducerEpoch": known[name][1]})
            self.ask("TxnOffsetCommit", 5, lambda known, name=name, group=group: {
                "TransactionalId": name, "GroupId": group, "ProducerId": known[name][0], "ProducerEpoch": known[name][1],
                "Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 7}]}]})

    def test_what_there_is_is_shown_alike(self):
        names = {state: next(self.names) for state in STATES}
        for state, name in names.items():
            self.bring_to(name, state, True)
        self.ask("DescribeProducers", 0, lambda _: {"Topics": [{"Name": "t", "PartitionIndexes": [0, 1, 9]}, {"Name": "nope", "PartitionIndexes": [0]}]})
        for filters in ({}, {"StateFilters": ["Ongoing", "nope"]}, {"StateFilters": ["nope"]}, {"ProducerIdFilters": [99999]}, {"DurationFilter": 0},
                        {"DurationFilter": 100_000}, {"TransactionalIdPattern": "tx-[01]"}, {"TransactionalIdPattern": "x-"},
                        {"TransactionalIdPattern": "(["}, {"TransactionalIdPattern": ""}):
            for version in range(3):
                if version < (2 if "TransactionalIdPattern" in filters else 1 if "DurationFilter" in filters else 0):
                    continue
                with self.subTest(filters=filters, version=version):
                    shown = [side.asker.ask("ListTransactions", version, **filters) for side in self.sides]
                    plain = [side.plain(each) for side, each in zip(self.sides, shown)]
                    for each in plain:
                        each["TransactionStates"].sort(key=lambda one: one["TransactionalId"])
                    self.assertEqual(plain[0], plain[1])
        for name in [*names.values(), "unknown", ""]:
            with self.subTest(described=name):
                shown = [side.plain(side.asker.ask("DescribeTransactions", 0, TransactionalIds=[name])) for side in self.sides]
                for each in shown:
                    start = each["TransactionStates"][0].pop("TransactionStartTimeMs")
                    each["started"] = start >= 0
                self.assertEqual(shown[0], shown[1])

    def test_what_is_stable_is_read_alike(self):
        for state in ("CompleteAbort", "CompleteCommit", "CompleteAbort", "Ongoing"):
            self.bring_to(next(self.names), state, True)
        for version in range(4, 13):
            for isolation in (0, 1):
                for offset in (0, 1, 3, 5, 6):
                    with self.subTest(version=version, isolation=isolation, offset=offset):
                        both = [side.plain(side.asker.ask("Fetch", version, MaxWaitMs=0, MinBytes=0, MaxBytes=1 << 20, IsolationLevel=isolation, Topics=[
                            {"Topic": "t", "Partitions": [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}]}])) for side in self.sides]
                        for answer in both:
                            found = answer["Responses"][0]["Partitions"][0]
                            found["Records"] = len(found["Records"])    # they have times
                        self.assertEqual(both[0], both[1])
        for version in range(2, 9):
            for isolation in (0, 1):
                for timestamp in (-1, -2, -3, 0):
                    with self.subTest(version=version, isolation=isolation, timestamp=timestamp):
                        both = [side.plain(side.asker.ask("ListOffsets", version, ReplicaId=-1, IsolationLevel=isolation, Topics=[
                            {"Name": "t", "Partitions": [{"PartitionIndex": 0, "Timestamp": timestamp}]}])) for side in self.sides]
                        for answer in both:
                            found = answer["Topics"][0]["Partitions"][0]
                            found["Timestamp"] = min(found["Timestamp"], 0)
                        self.assertEqual(both[0], both[1])

    def test_markers_are_taken_alike(self):
        """Apache Kafka writes one of version 2 that comes again a second time, and for a negative epoch refuses also what is not there."""
        self.at_same_offsets = False
        for version in (1, 2):
            for state in STATES:
                for older, coordinator in ((0, 0), (1, 0), (-1, 0), (0, 5), (0, -1)):
                    if older == 1 and state in ("Empty", "Ongoing"):
                        continue
                    with self.subTest(version=version, state=state, older=older, coordinator=coordinator):
                        name = next(self.names)
                        self.bring_to(name, state, True)
                        self.ask("WriteTxnMarkers", version, lambda known, name=name, older=older, coordinator=coordinator: {"Markers": [
                            {"ProducerId": known[name][0], "ProducerEpoch": known[name][1] - older, "TransactionResult": False,
                             "CoordinatorEpoch": coordinator, **({"TransactionVersion": 2} if version == 2 else {}),
                             "Topics": [{"Name": "t", "PartitionIndexes": [0, 9]}, {"Name": "nope", "PartitionIndexes": [0]}]}]})


if __name__ == "__main__":
    unittest.main()
