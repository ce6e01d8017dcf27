"""A client of a whole cluster: asks any broker, or the one that leads a partition or coordinates a group, and looks again where it moved.

Not here: what is on one connection (support/protocol.py), retries without end (a test says how long it waits)."""

import contextlib
import time

from . import kafka
from .protocol import ERRORS, Asker

METADATA_TOPIC = "__cluster_metadata"
STALE = {"NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PARTITION", "FENCED_LEADER_EPOCH", "KAFKA_STORAGE_ERROR",
         "UNKNOWN_LEADER_EPOCH", "UNKNOWN_TOPIC_ID", "OFFSET_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE"}
COORDINATOR_MOVES = {"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "UNKNOWN_TOPIC_OR_PARTITION"}


class Refused(AssertionError):
    """A broker's answer that is an error, by name."""

    def __init__(self, what, code, message=None):
        self.name = ERRORS[code]
        super().__init__(f"{what}: {self.name}{': ' + message if message else ''}")


def check(what, answer):
    if answer["ErrorCode"]:
        raise Refused(what, answer["ErrorCode"], answer.get("ErrorMessage"))
    return answer


class ClusterClient:
    """`addresses` to begin with, between commas. Connections are made when they are needed; one thread."""

    def __init__(self, addresses, seconds=20):
        self.bootstrap = addresses.split(",")
        self.seconds = seconds
        self.connections = {}   # by address
        self.addresses = {}     # by node id
        self.leaders = {}       # node id by (topic, partition)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections.values():
            connection.socket.close()
        self.connections.clear()

    def connection(self, address):
        if address not in self.connections:
            self.connections[address] = Asker(address, self.seconds)
        return self.connections[address]

    def drop(self, address):
        with contextlib.suppress(KeyError):
            self.connections.pop(address).socket.close()

    def at(self, address, work):
        """work(connection); a connection that failed is not used again."""
        try:
            return work(self.connection(address))
        except OSError:
            self.drop(address)
            raise

    def ask_at(self, address, api, version, **values):
        return self.at(address, lambda connection: connection.ask(api, version, **values))

    def ask(self, api, version, **values):
        """Of any broker that answers; one that does not is asked last the next time."""
        failure = None
        for address in list(self.bootstrap):
            try:
                return self.ask_at(address, api, version, **values)
            except OSError as error:
                failure = error
                self.bootstrap.remove(address)
                self.bootstrap.append(address)
        raise failure

    def address_of(self, node):
        if node not in self.addresses:
            self.refresh()
        if node not in self.addresses:
            raise ConnectionError(f"node {node} is not in the metadata")
        return self.addresses[node]

    # What there is

    def metadata(self, *topics):
        wanted = [{"Name": name} for name in topics]
        return self.ask("Metadata", 12, Topics=wanted, AllowAutoTopicCreation=False)

    def refresh(self, *topics):
        answer = self.metadata(*topics)
        self.addresses = {each["NodeId"]: f"{each['Host']}:{each['Port']}" for each in answer["Brokers"]}
        for topic in answer["Topics"]:
            for each in topic["Partitions"]:
                self.leaders[topic["Name"], each["PartitionIndex"]] = each["LeaderId"]
        return answer

    def leader(self, topic, partition=0, anew=False):
        """A node id; -1: none now."""
        if anew or self.leaders.get((topic, partition), -1) < 0:
            self.leaders.pop((topic, partition), None)
            self.refresh(topic)
        return self.leaders.get((topic, partition), -1)

    def describe(self, fenced=False):
        """DescribeCluster."""
        return check("DescribeCluster", self.ask("DescribeCluster", 2, IncludeFencedBrokers=fenced))

    def quorum(self):
        """DescribeQuorum's one partition."""
        answer = check("DescribeQuorum", self.ask("DescribeQuorum", 2, Topics=[
            {"TopicName": METADATA_TOPIC, "Partitions": [{"PartitionIndex": 0}]}]))
        return check("DescribeQuorum", answer["Topics"][0]["Partitions"][0])

    def partitions(self, *topics):
        """{(topic, partition): its fields} of DescribeTopicPartitions."""
        answer = self.ask("DescribeTopicPartitions", 0, Topics=[{"Name": name} for name in topics])
        return {(topic["Name"], each["PartitionIndex"]): each
                for topic in answer["Topics"] for each in check(f"topic {topic['Name']}", topic)["Partitions"]}

    def in_sync(self, topic, partition=0):
        return set(self.partitions(topic)[topic, partition]["IsrNodes"])

    def is_whole(self, *topics):
        """Every partition has a leader and every replica is in sync: whoever dies next has a successor."""
        return all(each["LeaderId"] >= 0 and set(each["IsrNodes"]) == set(each["ReplicaNodes"]) for each in self.partitions(*topics).values())

    # Changes

    def create_topic(self, name, partitions=1, replication=-1, configs=None, assignment=None, seconds=20):
        """`assignment`: replicas, a list for each partition. Waits until every partition has a leader, for so many seconds."""
        topic = {"Name": name, "NumPartitions": -1 if assignment else partitions, "ReplicationFactor": -1 if assignment else replication,
                 "Assignments": [{"PartitionIndex": i, "BrokerIds": ids} for i, ids in enumerate(assignment or [])],
                 "Configs": [{"Name": key, "Value": str(value)} for key, value in (configs or {}).items()]}
        answer = self.ask("CreateTopics", 7, Topics=[topic], timeoutMs=1000 * seconds)
        check(f"create {name}", answer["Topics"][0])
        self.wait_for_leaders(name, seconds)

    def wait_for_leaders(self, topic, seconds=20):
        deadline = time.monotonic() + seconds
        while True:
            found = self.refresh(topic)["Topics"][0]
            if found["Partitions"] and not found["ErrorCode"] and all(each["LeaderId"] >= 0 for each in found["Partitions"]):
                return
            assert time.monotonic() < deadline, f"no leaders: {found}"
            time.sleep(0.05)

    def elect_leaders(self, topic, partitions, unclean=False):
        """{partition: error name}"""
        answer = check("ElectLeaders", self.ask("ElectLeaders", 2, ElectionType=int(unclean), TopicPartitions=[
            {"Topic": topic, "Partitions": list(partitions)}]))
        return {each["PartitionId"]: ERRORS[each["ErrorCode"]]
                for result in answer["ReplicaElectionResults"] for each in result["PartitionResult"]}

    def reassign(self, topic, replicas):
        """`replicas`: {partition: node ids, or None to cancel}; {partition: error name}"""
        answer = check("AlterPartitionReassignments", self.ask("AlterPartitionReassignments", 1, Topics=[{"Name": topic, "Partitions": [
            {"PartitionIndex": partition, "Replicas": ids} for partition, ids in replicas.items()]}]))
        return {each["PartitionIndex"]: ERRORS[each["ErrorCode"]] for response in answer["Responses"] for each in response["Partitions"]}

    def reassignments(self):
        """{(topic, partition): its fields} of those that go on."""
        answer = check("ListPartitionReassignments", self.ask("ListPartitionReassignments", 0))
        return {(topic["Name"], each["PartitionIndex"]): each for topic in answer["Topics"] for each in topic["Partitions"]}

    # Records

    def at_leader(self, topic, partition, work):
        """work(connection to the leader); ConnectionError where there is none."""
        leader = self.leader(topic, partition)
        if leader < 0:
            raise ConnectionError(f"{topic}-{partition} has no leader")
        try:
            return self.at(self.address_of(leader), work)
        except OSError:
            self.leaders.pop((topic, partition), None)
            self.addresses.pop(leader, None)
            raise

    def led(self, topic, partition, work):
        """The same where work gives (error code, ...): an error that tells of another leader is noted."""
        answer = self.at_leader(topic, partition, work)
        if ERRORS[answer[0]] in STALE:
            self.leaders.pop((topic, partition), None)
        return answer

    def produce(self, topic, values, partition=0, acks=-1, producer=(-1, -1, -1)):
        """(error code, base offset)"""
        batch = kafka.batch(values, producer=producer)
        return self.led(topic, partition, lambda connection: connection.produce(topic, batch, partition, acks))

    def write(self, topic, values, partition=0, seconds=30):
        """Until it is acknowledged: the base offset. A batch without an answer may be there twice."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                error, base = self.produce(topic, values, partition)
                if not error:
                    return base
                failure = ERRORS[error]
            except OSError as broken:
                failure = str(broken)
            assert time.monotonic() < deadline, f"cannot write to {topic}-{partition}: {failure}"
            time.sleep(0.05)

    def end(self, topic, partition=0):
        """The offset behind the last record that consumers may read."""
        error, offset = self.led(topic, partition, lambda connection: connection.list_offset(topic, -1, partition))
        assert not error, ERRORS[error]
        return offset

    def read_all(self, topic, partition=0, seconds=30):
        """[(offset, value)] of a partition; asks again where the leader moved."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.at_leader(topic, partition, lambda connection: connection.read_all(topic, partition))
            except (OSError, AssertionError):
                self.leaders.pop((topic, partition), None)
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def producer_id(self, seconds=20):
        """(producer id, epoch)"""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.ask("InitProducerId", 4, TransactionalId=None, TransactionTimeoutMs=60000)
            if not answer["ErrorCode"]:
                return answer["ProducerId"], answer["ProducerEpoch"]
            if time.monotonic() > deadline:
                check("InitProducerId", answer)
            time.sleep(0.05)

    # Groups

    def coordinator(self, group, seconds=20):
        """The node id."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.ask("FindCoordinator", 4, CoordinatorKeys=[group])["Coordinators"][0]
            if not answer["ErrorCode"]:
                self.addresses[answer["NodeId"]] = f"{answer['Host']}:{answer['Port']}"
                return answer["NodeId"]
            if time.monotonic() > deadline:
                check(f"the coordinator of {group}", answer)
            time.sleep(0.05)

    def at_coordinator(self, group, work, seconds=30):
        """work(connection) gives (error code, ...); asked again while the coordinator moves or loads."""
        deadline = time.monotonic() + seconds
        while True:
            failure = ""
            try:
                answer = self.at(self.address_of(self.coordinator(group)), work)
                if ERRORS[answer[0]] not in COORDINATOR_MOVES:
                    return answer
                failure = ERRORS[answer[0]]
            except OSError as broken:
                failure = str(broken)
            assert time.monotonic() < deadline, f"the coordinator of {group}: {failure}"
            time.sleep(0.05)

    def commit(self, group, topic, partition, offset):
        """Without a member: a group that has none takes it."""
        error, = self.at_coordinator(group, lambda c: (c.commit_offset(group, -1, "", topic, partition, offset),))
        assert not error, ERRORS[error]

    def committed(self, group, topic, partition=0):
        error, offset = self.at_coordinator(group, lambda c: c.committed_offset(group, topic, partition))
        assert not error, ERRORS[error]
        return offset
