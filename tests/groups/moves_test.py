"""Three nodes: what the controller decides is decided whichever broker is asked, and a group goes on when its coordinator's node is gone."""

import unittest

from support.cluster import ClusterTest, separate
from support.protocol import ERRORS


def member(client, group, member_id=""):
    """(error name, generation, member id) of a JoinGroup of one."""
    asked = {"GroupId": group, "SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 10000, "MemberId": member_id, "ProtocolType": "consumer",
             "Protocols": [{"Name": "range", "Metadata": b""}]}
    answer = client.at(client.address_of(client.coordinator(group)), lambda c: c.ask("JoinGroup", 5, **asked))
    return ERRORS[answer["ErrorCode"]], answer["GenerationId"], answer["MemberId"]


def heartbeat(client, group, generation, member_id):
    answer = client.at(client.address_of(client.coordinator(group)),
                       lambda c: c.ask("Heartbeat", 3, GroupId=group, GenerationId=generation, MemberId=member_id))
    return ERRORS[answer["ErrorCode"]]


class Moves(ClusterTest):
    def test_every_broker_takes_what_the_controller_decides(self):
        cluster = self.cluster().start()
        with cluster.client() as client:
            leader = cluster.quorum_leader()
            for node in cluster.brokers:
                name = f"by-{node.id}"
                created = client.ask_at(node.address, "CreateTopics", 7, timeoutMs=10000, Topics=[
                    {"Name": name, "NumPartitions": 3, "ReplicationFactor": 3, "Assignments": [], "Configs": []}])["Topics"][0]
                self.assertEqual(("NONE", 3), (ERRORS[created["ErrorCode"]], created["ReplicationFactor"]), node.id)
                again = client.ask_at(node.address, "CreateTopics", 7, timeoutMs=10000, Topics=[
                    {"Name": name, "NumPartitions": 3, "ReplicationFactor": 3, "Assignments": [], "Configs": []}])["Topics"][0]
                self.assertEqual("TOPIC_ALREADY_EXISTS", ERRORS[again["ErrorCode"]])
                # One resource for the controller, one that this broker answers itself.
                answers = client.ask_at(node.address, "IncrementalAlterConfigs", 1, Resources=[
                    {"ResourceType": 2, "ResourceName": name, "Configs": [{"Name": "retention.ms", "ConfigOperation": 0, "Value": "5000"}]},
                    {"ResourceType": 4, "ResourceName": "77", "Configs": [{"Name": "retention.ms", "ConfigOperation": 0, "Value": "1"}]},
                ])["Responses"]
                self.assertEqual({name: "NONE", "77": "INVALID_REQUEST"}, {each["ResourceName"]: ERRORS[each["ErrorCode"]] for each in answers})
                quorum = client.ask_at(node.address, "DescribeQuorum", 2, Topics=[
                    {"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}])["Topics"][0]["Partitions"][0]
                self.assertEqual((0, leader.id), (quorum["ErrorCode"], quorum["LeaderId"]))
                self.wait_for(lambda name=name: all(
                    not client.ask_at(other.address, "Metadata", 12, Topics=[{"Name": name}], AllowAutoTopicCreation=False)["Topics"][0]["ErrorCode"]
                    for other in cluster.brokers))

    def test_brokers_that_are_no_controllers_ask_one(self):
        cluster = self.cluster(separate(controllers=1, brokers=2)).start()
        with cluster.client() as client:
            client.create_topic("t", replication=2)
            client.write("t", [b"a"])
            client.commit("g", "t", 0, 1)
            self.assertEqual(1, client.committed("g", "t"))
            ids = {client.ask_at(node.address, "InitProducerId", 4, TransactionalId=None, TransactionTimeoutMs=60000)["ProducerId"]
                   for node in cluster.brokers}
            self.assertEqual(2, len(ids))

    def test_a_controller_that_is_not_active_says_so_to_tools(self):
        cluster = self.cluster().start()
        leader = cluster.quorum_leader()
        other = next(node for node in cluster.controllers if node is not leader)
        with cluster.client() as client:
            topic = {"Name": "t", "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": []}
            refused = client.ask_at(other.controller_address, "CreateTopics", 7, Topics=[topic], timeoutMs=10000)["Topics"][0]
            self.assertEqual(("NOT_CONTROLLER", f"The active controller appears to be node {leader.id}."),
                             (ERRORS[refused["ErrorCode"]], refused["ErrorMessage"]))
            described = client.ask_at(other.controller_address, "DescribeCluster", 2, EndpointType=2)
            self.assertEqual((leader.id, 3), (described["ControllerId"], len(described["Brokers"])))

    def test_a_request_waits_for_the_next_controller(self):
        cluster = self.cluster().start()
        leader = cluster.quorum_leader()
        asked = next(node for node in cluster.brokers if node is not leader)
        leader.kill()
        with cluster.client() as client:
            created = client.ask_at(asked.address, "CreateTopics", 7, timeoutMs=15000, Topics=[
                {"Name": "after", "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": []}])["Topics"][0]
            self.assertEqual("NONE", ERRORS[created["ErrorCode"]])

    def test_a_group_goes_on_with_another_coordinator(self):
        cluster = self.cluster().start()
        with cluster.client() as client:
            client.create_topic("t", replication=3)
            client.commit("offsets", "t", 0, 42)
            self.wait_for(lambda: all(len(each["IsrNodes"]) == 3 for each in client.partitions("__consumer_offsets").values()))
            error, _, id_given = member(client, "g")
            self.assertEqual("MEMBER_ID_REQUIRED", error)
            error, generation, id_given = member(client, "g", id_given)
            self.assertEqual("NONE", error)
            client.at(client.address_of(client.coordinator("g")),
                      lambda c: c.ask("SyncGroup", 3, GroupId="g", GenerationId=generation, MemberId=id_given,
                                      Assignments=[{"MemberId": id_given, "Assignment": b"a"}]))
            former = client.coordinator("g")
            cluster.nodes[former].kill()
            self.wait_for(lambda: client.coordinator("g") != former)
            self.wait_for(lambda: heartbeat(client, "g", generation, id_given) == "NONE")
            self.assertEqual(42, client.committed("offsets", "t"))
            client.commit("offsets", "t", 0, 43)
            cluster.nodes[former].start()
            cluster.wait_until_ready()
            self.assertEqual(43, client.committed("offsets", "t"))
        with cluster.client() as client:
            coordinator = client.coordinator("g")
            for node in cluster.brokers:    # whoever is asked names the same one
                self.wait_for(lambda node=node: client.ask_at(
                    node.address, "FindCoordinator", 4, CoordinatorKeys=["g"])["Coordinators"][0]["NodeId"] == coordinator)


if __name__ == "__main__":
    unittest.main()
