"""What stops a start: the message says what, why and what to try, the exit status is 1, and no data is touched."""

import base64
import shutil
import socket
import subprocess
import time
import unittest

from support import kafka
from support.broker import BINARY, BrokerTest
from support.kafka import Client
from support.protocol import Asker


def identity(folder):
    """The meta.properties of a directory."""
    lines = (folder / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


class Start(BrokerTest):
    def test_wrong_property_values_are_named_with_their_name_and_value(self):
        for name, value in (("num.partitions", "many"), ("log.segment.bytes", "-5"), ("node.id", "first"),
                            ("log.cleanup.policy", "sometimes"), ("millrace.durability", "perhaps"),
                            ("listeners", "localhost:9092")):
            with self.subTest(name=name):
                said = self.broker({name: value}).refusal()
                self.assertIn(name, said)
                self.assertIn(value, said)
                self.assertIn("configuration", said)

    def test_missing_node_id_is_named(self):
        node = self.broker()
        del node.properties["node.id"]
        self.assertIn("node.id", node.refusal())

    def test_missing_file_is_named(self):
        missing = self.folder / "no-such.properties"
        ended = subprocess.run([BINARY, "start", missing], capture_output=True, text=True, timeout=20)
        self.assertEqual(1, ended.returncode)
        self.assertIn(str(missing), ended.stderr)
        self.assertIn("No such file", ended.stderr)

    def test_unknown_property_is_only_warned_about(self):
        node = self.broker({"no.such.property": "1"}).start()
        self.wait_for_log(node, "WARN .*no.such.property")
        self.assertEqual(0, node.stop())

    def test_port_taken_is_named(self):
        node = self.broker()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", node.port))
            taken.listen()
            said = node.refusal()
        self.assertIn(str(node.port), said)
        self.assertIn("in use", said)
        self.assertIn("choose another", said)

    def test_second_process_on_one_directory_is_refused(self):
        first = self.broker().start()
        said = self.broker(data=first.data).refusal()
        self.assertIn(str(first.data), said)
        self.assertRegex(said, "lock|in use|another process")
        with Client(first.address) as client:
            self.assertTrue(client.api_versions())

    def test_data_of_another_node_is_refused(self):
        first = self.broker().start()
        self.assertEqual(0, first.stop())
        said = self.broker({"node.id": "2"}, data=first.data).refusal()
        self.assertIn("node 1", said)
        self.assertIn("node.id=2", said)

    def test_directories_of_two_clusters_are_refused(self):
        nodes = [self.broker().start(), self.broker().start()]
        for node in nodes:
            self.assertEqual(0, node.stop())
        self.assertIn("belongs to cluster", self.broker({"log.dirs": f"{nodes[0].data},{nodes[1].data}"}).refusal())

    def test_damaged_meta_properties_is_named(self):
        first = self.broker().start()
        self.assertEqual(0, first.stop())
        (first.data / "meta.properties").write_text("version=7\n")
        self.assertIn("meta.properties", first.refusal())

    def test_one_directory_copied_to_another_is_refused(self):
        node = self.broker().start()
        self.assertEqual(0, node.stop())
        copy = self.folder / "copy"
        copy.mkdir()
        shutil.copy(node.data / "meta.properties", copy)
        said = self.broker({"log.dirs": f"{node.data},{copy}"}).refusal()
        self.assertIn("same directory.id", said)
        self.assertIn(str(copy), said)

    def test_a_metadata_directory_of_its_own_is_told_apart_locked_and_checked(self):
        metadata = self.folder / "metadata"
        node = self.broker({"metadata.log.dir": str(metadata)}).start()
        first, second = (identity(each) for each in (node.data, metadata))
        self.assertEqual(first["cluster.id"], second["cluster.id"])
        self.assertNotEqual(first["directory.id"], second["directory.id"])
        self.assertFalse((node.data / "__cluster_metadata-0").exists())
        with Asker(node.address) as asker:
            quorum = asker.ask("DescribeQuorum", 2, Topics=[{"TopicName": "__cluster_metadata", "Partitions": [{}]}])
            voter = quorum["Topics"][0]["Partitions"][0]["CurrentVoters"][0]["ReplicaDirectoryId"]
            described = asker.ask("DescribeLogDirs", 4, Topics=None)["Results"]
        self.assertEqual(second["directory.id"], base64.urlsafe_b64encode(voter.bytes).decode().rstrip("="))
        self.assertEqual([str(node.data)], [each["LogDir"] for each in described])
        self.assertIn(str(metadata), self.broker({"metadata.log.dir": str(metadata)}).refusal())   # locked
        self.assertEqual(0, node.stop())
        self.assertFalse((metadata / ".kafka_cleanshutdown").exists(), "Apache Kafka writes it to log.dirs alone")
        node.start()
        self.assertEqual(0, node.stop())
        other = self.broker().start()
        self.assertEqual(0, other.stop())
        shutil.copy(other.data / "meta.properties", metadata)
        self.assertIn("belongs to cluster", node.refusal())

    def test_formatting_begins_with_the_metadata_directory(self):
        node = self.broker({"metadata.log.dir": str(self.folder / "metadata")})
        file = self.folder / "format.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in node.properties.items()))
        said = subprocess.run([BINARY, "format", "-t", "JBnGmM1nQnKjv6nDT2mAzQ", "-c", file], check=True, capture_output=True, text=True)
        self.assertEqual(f"Formatting dynamic metadata voter directory {self.folder}/metadata with metadata.version 4.3-IV0.\n"
                         f"Formatting data directory {node.data} with metadata.version 4.3-IV0.\n", said.stdout)
        formatted = {each: identity(each) for each in (node.data, self.folder / "metadata")}
        node.start()
        self.assertEqual(0, node.stop())
        for folder, properties in formatted.items():
            self.assertEqual(properties, identity(folder))
            self.assertEqual("JBnGmM1nQnKjv6nDT2mAzQ", properties["cluster.id"])

    def test_directory_that_cannot_be_written_is_named(self):
        blocked = self.folder / "blocked"
        blocked.write_text("a file where the directory would be")
        said = self.broker(data=blocked / "data").refusal()
        self.assertIn(str(blocked), said)

    def test_sigterm_marks_a_clean_stop_and_a_kill_does_not(self):
        node = self.broker().start()
        self.assertEqual(0, node.stop())
        self.assertTrue((node.data / ".kafka_cleanshutdown").exists())
        node.start()
        self.assertFalse((node.data / ".kafka_cleanshutdown").exists())
        node.kill()
        self.assertFalse((node.data / ".kafka_cleanshutdown").exists())

    def test_records_of_an_hour_ahead_survive_a_clock_set_back(self):
        """The clock goes back between two runs: what was written with the later time stays readable and is added to."""
        later = int(time.time() * 1000) + 3_600_000
        node = self.broker().start()
        with Client(node.address) as client:
            self.assertEqual(0, client.create_topic("clock", configs={"message.timestamp.after.max.ms": "7200000"}))
            self.assertEqual((0, 0), client.produce("clock", kafka.batch([b"later"], timestamp=later)))
        self.assertEqual(0, node.stop())
        node.start()
        with Client(node.address) as client:
            self.assertEqual((0, 1), client.produce("clock", kafka.batch([b"now"])))
            self.assertEqual([(0, b"later"), (1, b"now")], client.read_all("clock"))
            self.assertEqual((0, 0), client.list_offset("clock", later - 10))


if __name__ == "__main__":
    unittest.main()
