"""A member of a share group (KIP-932) over the wire."""

import time
import uuid

from support.kafka import records_of
from support.protocol import ERRORS

ACCEPT, RELEASE, REJECT = 1, 2, 3
BATCH_OPTIMIZED, RECORD_LIMIT = 0, 1


class ShareMember:
    """One that has a session with the broker of `asker` for partition 0 of `topic`."""

    def __init__(self, asker, group, topic):
        self.asker, self.group, self.topic, self.id = asker, group, topic, str(uuid.uuid4())
        self.epoch = self.session = 0
        self.assigned = set()

    def ask(self, api, version, **values):
        answer = self.asker.ask(api, version, GroupId=self.group, MemberId=self.id, **values)
        return answer | {"ErrorCode": ERRORS[answer["ErrorCode"]]}

    def beat(self):
        answer = self.ask("ShareGroupHeartbeat", 1, MemberEpoch=self.epoch, SubscribedTopicNames=[self.topic] if self.epoch == 0 else None)
        if answer["ErrorCode"] == "NONE":
            self.epoch = answer["MemberEpoch"]
        if answer["Assignment"]:
            self.assigned = {(each["TopicId"], index) for each in answer["Assignment"]["TopicPartitions"] for index in each["Partitions"]}
        return answer["ErrorCode"]

    def join(self, seconds=20):
        """Until it is assigned the partition: one that nobody read before needs a state first."""
        deadline = time.monotonic() + seconds
        while not self.assigned:
            error = self.beat()
            assert time.monotonic() < deadline, error
            time.sleep(0.02)
        return self

    def partition(self, *said):
        """What it says of records: (first, last, type)."""
        [(topic, index)] = self.assigned
        batches = [{"FirstOffset": first, "LastOffset": last, "AcknowledgeTypes": [type]} for first, last, type in said]
        return [{"TopicId": topic, "Partitions": [{"PartitionIndex": index, "AcknowledgementBatches": batches}]}]

    def acquire(self, *said, most=500, wait_ms=500, mode=BATCH_OPTIMIZED):
        """(bytes of record batches, what it has of them: (first, last, delivery count))."""
        answer = self.ask("ShareFetch", 2, ShareSessionEpoch=self.session, MaxWaitMs=wait_ms, MinBytes=1, MaxBytes=1 << 20, MaxRecords=most,
                          BatchSize=most, ShareAcquireMode=mode, Topics=self.partition(*said) if self.session == 0 or said else [],
                          ForgottenTopicsData=[])
        assert answer["ErrorCode"] == "NONE", answer
        self.session += 1
        data, acquired = b"", []
        for each in (partition for topic in answer["Responses"] for partition in topic["Partitions"]):
            assert each["ErrorCode"] == each["AcknowledgeErrorCode"] == 0, each
            data += each["Records"] or b""
            acquired += [(r["FirstOffset"], r["LastOffset"], r["DeliveryCount"]) for r in each["AcquiredRecords"]]
        return data, acquired

    def fetch(self, *said, **options):
        """(the values that it was given, what it has)."""
        data, acquired = self.acquire(*said, **options)
        values = dict(records_of(data))
        return [values[offset] for first, last, _ in acquired for offset in range(first, last + 1)], acquired

    def say(self, *said):
        """The error of each partition."""
        answer = self.ask("ShareAcknowledge", 2, ShareSessionEpoch=self.session, Topics=self.partition(*said))
        assert answer["ErrorCode"] == "NONE", answer
        self.session += 1
        return [ERRORS[partition["ErrorCode"]] for topic in answer["Responses"] for partition in topic["Partitions"]]

    def close(self):
        """Its session: what it has is free."""
        self.ask("ShareFetch", 2, ShareSessionEpoch=-1, MaxWaitMs=0, MinBytes=1, MaxBytes=1, MaxRecords=1, BatchSize=1, Topics=[],
                 ForgottenTopicsData=[])

    def leave(self):
        self.close()
        self.ask("ShareGroupHeartbeat", 1, MemberEpoch=-1)
