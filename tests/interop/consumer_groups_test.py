"""Consumer groups of the new protocol (KIP-848) with Apache Kafka's own consumer and tools; and a group with a member in it that goes from
Millrace to Apache Kafka's broker and back."""

import re
import subprocess

from groups.consumer_test import Member, OneBroker
from interop.apache import ApacheBroker, command_line, tool
from interop.interop_test import kcat
from support.protocol import ERRORS
from support.waiting import eventually

CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
MODERN = ("--command-property", "group.protocol=consumer")
EARLIEST = ("--command-property", "auto.offset.reset=earliest")


class JavaConsumers(OneBroker):
    def setUp(self):
        super().setUp()
        self.start()
        kcat(self.node, "-P", "-t", "t", stdin="".join(f"{i}\n" for i in range(300)))
        self.at = ("--bootstrap-server", self.node.address)

    def consume(self, *arguments):
        consumer = subprocess.Popen([*command_line(CONSUMER), *self.at, "--group", "g", *EARLIEST, *arguments],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(consumer.wait)
        self.addCleanup(consumer.kill)
        self.addCleanup(consumer.stdout.close)
        return consumer

    def members(self):
        return tool("consumer-groups", *self.at, "--describe", "--group", "g", "--members", "--verbose")

    def test_the_java_consumer_reads_all_and_its_tools_describe_the_group(self):
        self.assertIn("Processed a total of 300 messages", self.consume("--topic", "t", *MODERN, "--max-messages", "300").communicate()[0])
        by_name, by_pattern = self.consume("--topic", "t", *MODERN), self.consume("--include", "t+", *MODERN)
        self.assertTrue(eventually(lambda: len(re.findall(r"(?m)^g .*\st:\S+", self.members())) == 2, 40))
        self.assertIn("uniform", tool("consumer-groups", *self.at, "--describe", "--group", "g", "--state"))
        self.assertRegex(tool("consumer-groups", *self.at, "--describe", "--group", "g"), r"(?m)^g\s+t\s+0\s+\d+\s+\d+\s+0\s")
        self.assertRegex(tool("consumer-groups", *self.at, "--list", "--type"), r"g\s+Consumer")
        by_name.kill()
        by_pattern.kill()

    def test_classic_members_and_new_ones_share_a_group(self):
        classic = self.consume("--topic", "t", "--command-property", "group.protocol=classic")
        self.assertTrue(eventually(lambda: self.asker.ask("DescribeGroups", 5, Groups=["g"])["Groups"][0]["GroupState"] == "Stable", 40))
        self.consume("--topic", "t", *MODERN)
        self.assertTrue(eventually(lambda: {member["MemberType"] for member in self.described()["Members"]} == {0, 1}
                                   and self.described()["GroupState"] == "Stable", 60))
        self.assertEqual([2, 2], [sum(len(topic["Partitions"]) for topic in member["Assignment"]["TopicPartitions"])
                                  for member in self.described()["Members"]])
        classic.terminate()
        self.assertTrue(eventually(lambda: len(self.described()["Members"]) == 1, 40))

    def test_a_group_goes_to_apache_kafka_with_its_member_and_comes_back(self):
        member = Member(self)
        member.join()
        before = self.described()
        self.assertEqual(0, self.node.stop())
        apache = ApacheBroker(self.node).start()
        self.addCleanup(apache.kill)
        self.connect()
        self.assertTrue(eventually(lambda: self.described()["ErrorCode"] == 0, 30))
        self.assertEqual(before, self.described())
        self.assertEqual("NONE", ERRORS[member.own()["ErrorCode"]])
        apache.stop()
        self.node.start()
        self.connect()
        self.assertTrue(eventually(lambda: self.described()["ErrorCode"] == 0))
        self.assertEqual(before, self.described())
        self.assertEqual("NONE", ERRORS[member.own()["ErrorCode"]])
