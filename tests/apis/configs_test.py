"""Configs over the wire: DescribeConfigs, IncrementalAlterConfigs, AlterConfigs (KIP-133, 226, 339, 412, 525, 569), and that what is
changed while the broker runs takes effect."""

import time
import unittest

from support.broker import BrokerTest
from support.kafka import batch
from support.protocol import ERRORS, Asker

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND = 0, 1, 2
DYNAMIC_TOPIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT, STATIC, DEFAULT = 1, 2, 3, 4, 5
MESSAGE_TOO_LARGE = 10


def chain(entry):
    return [(s["Name"], s["Value"], s["Source"]) for s in entry["Synonyms"]]


class Configs(BrokerTest):
    def setUp(self):
        super().setUp()
        self.node = self.broker({"message.max.bytes": "2000000", "log.retention.hours": "100"}).start()
        self.asker = Asker(self.node.address)
        self.addCleanup(self.asker.socket.close)

    def fine(self, *arguments, **options):
        self.assertEqual(("NONE", None), self.asker.alter(*arguments, **options))

    def test_every_level_that_gives_a_value_is_told_the_one_that_wins_first(self):
        self.asker.create_topic("t")
        self.fine(BROKER, "", ("message.max.bytes", SET, "2500000"))
        self.fine(BROKER, "1", ("message.max.bytes", SET, "3000000"))
        entry = self.asker.describe(TOPIC, "t", "max.message.bytes")["max.message.bytes"]
        self.assertEqual(("3000000", DYNAMIC_BROKER), (entry["Value"], entry["ConfigSource"]))
        self.fine(TOPIC, "t", ("max.message.bytes", SET, "1234"))
        entry = self.asker.describe(TOPIC, "t", "max.message.bytes")["max.message.bytes"]
        self.assertEqual([("max.message.bytes", "1234", DYNAMIC_TOPIC), ("message.max.bytes", "3000000", DYNAMIC_BROKER),
                          ("message.max.bytes", "2500000", DYNAMIC_DEFAULT), ("message.max.bytes", "2000000", STATIC),
                          ("message.max.bytes", "1048588", DEFAULT)], chain(entry))

    def test_names_that_mean_the_same_are_synonyms(self):
        retention = self.asker.describe(BROKER, "1", "log.retention.hours", "log.retention.ms")
        self.assertEqual([("log.retention.hours", "100", STATIC), ("log.retention.hours", "168", DEFAULT)],
                         chain(retention["log.retention.hours"]))
        self.assertEqual([], chain(retention["log.retention.ms"]))
        self.asker.create_topic("t")
        self.assertEqual("360000000", self.asker.describe(TOPIC, "t")["retention.ms"]["Value"])

    def test_secrets_and_unknown_names_are_not_shown(self):
        self.fine(BROKER, "1", ("no.such.config", SET, "secret"))
        broker = self.asker.describe(BROKER, "1")
        for name in ("ssl.keystore.password", "no.such.config"):
            self.assertIsNone(broker[name]["Value"])
            self.assertTrue(broker[name]["IsSensitive"])

    def test_documentation_comes_when_it_is_asked_for(self):
        for wanted in (False, True):
            entry = self.asker.describe(BROKER, "1", "log.segment.bytes", documentation=wanted)["log.segment.bytes"]
            self.assertEqual(wanted, entry["Documentation"] is not None)
        self.asker.create_topic("t")
        self.fine(GROUP, "g", ("consumer.session.timeout.ms", SET, "46000"))
        self.fine(METRICS, "m", ("interval.ms", SET, "1000"))
        for kind, name in ((BROKER, "1"), (TOPIC, "t"), (GROUP, "g"), (METRICS, "m")):
            described = self.asker.describe(kind, name, documentation=True)
            self.assertEqual([], [config for config, entry in described.items() if not entry["Documentation"]])

    def test_producers_that_fell_silent_are_forgotten(self):
        """producer.id.expiration.ms, which may change while the broker runs (KIP-854)."""
        node = self.broker({"producer.id.expiration.check.interval.ms": "50"}).start()
        with Asker(node.address) as asker:
            def known():
                topics = [{"Name": "t", "PartitionIndexes": [0]}]
                partition = asker.ask("DescribeProducers", 0, Topics=topics)["Topics"][0]["Partitions"][0]
                return [each["ProducerId"] for each in partition["ActiveProducers"]]
            asker.create_topic("t")
            self.assertEqual((0, 0), asker.produce("t", batch([b"a"], producer=(5, 0, 0))))
            time.sleep(0.2)
            self.assertEqual([5], known())
            self.assertEqual(("NONE", None), asker.alter(BROKER, "", ("producer.id.expiration.ms", SET, "100")))
            until = time.monotonic() + 10
            while known() and time.monotonic() < until:
                time.sleep(0.02)
            self.assertEqual([], known())

    def test_min_insync_replicas_asks_for_no_more_replicas_than_there_are(self):
        """As Apache Kafka 4.3.1 answers it: its bound is the lesser of the config and the partition's replicas."""
        self.asker.create_topic("t", configs={"min.insync.replicas": "2"})
        self.assertEqual((0, 0), self.asker.produce("t", batch([b"a"])))

    def test_the_cluster_has_only_what_was_set_for_it(self):
        self.assertEqual(["min.insync.replicas"], list(self.asker.describe(BROKER, "")), "with eligible leader replicas (KIP-966)")
        self.fine(BROKER, "", ("log.retention.ms", SET, "5000"))
        self.assertEqual(["log.retention.ms", "min.insync.replicas"], list(self.asker.describe(BROKER, "")))

    def test_resources_that_are_not_here_are_refused(self):
        for kind, name, code, message in (
                (TOPIC, "nope", "UNKNOWN_TOPIC_OR_PARTITION", ""),
                (TOPIC, "", "INVALID_TOPIC_EXCEPTION", "Topic name is invalid: the empty string is not allowed"),
                (BROKER, "2", "INVALID_REQUEST", "Unexpected broker id, expected 1 or empty string, but received 2"),
                (BROKER, "x", "INVALID_REQUEST", "Broker id must be an integer, but it is: x"),
                (LOGGER, "", "INVALID_REQUEST", "Broker id must not be empty"),
                (GROUP, "", "INVALID_REQUEST", "Group name must not be empty")):
            with self.assertRaises(LookupError) as caught:
                self.asker.describe(kind, name)
            self.assertEqual((code, message), caught.exception.args)
        self.assertEqual(("INVALID_REQUEST", "Unexpected broker id, expected 1, but received 2"),
                         self.asker.alter(BROKER, "2", ("message.max.bytes", SET, "1")))

    def test_groups_and_client_metrics_have_configs(self):
        self.fine(GROUP, "g", ("consumer.session.timeout.ms", SET, "46000"))
        entry = self.asker.describe(GROUP, "g")["consumer.session.timeout.ms"]
        self.assertEqual([("consumer.session.timeout.ms", "46000", 8), ("group.consumer.session.timeout.ms", "45000", DEFAULT)],
                         chain(entry))
        self.fine(METRICS, "m", ("interval.ms", SET, "1000"))
        self.assertEqual(("1000", 7), tuple(self.asker.describe(METRICS, "m")["interval.ms"][k] for k in ("Value", "ConfigSource")))

    def test_validating_changes_nothing(self):
        self.asker.create_topic("t")
        self.fine(TOPIC, "t", ("retention.ms", SET, "5"), validate_only=True)
        self.assertNotEqual("5", self.asker.describe(TOPIC, "t")["retention.ms"]["Value"])

    def test_the_old_call_replaces_and_checks_at_every_version(self):
        self.asker.create_topic("t", configs={"segment.ms": "60000"})
        for version in (0, 1, 2):
            answer = self.asker.ask("AlterConfigs", version, Resources=[
                {"ResourceType": TOPIC, "ResourceName": "t", "Configs": [{"Name": "retention.ms", "Value": str(version)}]}])
            self.assertEqual("NONE", ERRORS[answer["Responses"][0]["ErrorCode"]])
            own = {n: e["Value"] for n, e in self.asker.describe(TOPIC, "t").items() if e["ConfigSource"] == DYNAMIC_TOPIC}
            self.assertEqual({"retention.ms": str(version)}, own)

    def test_the_level_of_the_log_changes_at_once(self):
        self.assertEqual("INFO", self.asker.describe(LOGGER, "1")["root"]["Value"])
        self.fine(LOGGER, "1", ("root", SET, "DEBUG"))
        self.assertEqual("DEBUG", self.asker.describe(LOGGER, "1")["root"]["Value"])
        for change, code in ((("root", DELETE, None), "INVALID_REQUEST"), (("root", APPEND, "INFO"), "INVALID_REQUEST"),
                             (("root", SET, "LOUD"), "INVALID_CONFIG"),
                             (("root", SET, None), "INVALID_REQUEST"), (("other", SET, "INFO"), "INVALID_CONFIG")):
            self.assertEqual(code, self.asker.alter(LOGGER, "1", change)[0])

    def test_no_config_is_named_twice(self):
        for kind, name, config in ((LOGGER, "1", "root"), (TOPIC, "t", "retention.ms")):
            self.assertEqual(("INVALID_REQUEST", "Error due to duplicate config keys"),
                             self.asker.alter(kind, name, (config, SET, "INFO"), (config, SET, "WARN")))

    def test_a_name_that_no_topic_can_have(self):
        why = "Topic name is invalid: 'b d' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        self.assertEqual(("INVALID_TOPIC_EXCEPTION", why), self.asker.alter(TOPIC, "b d", ("retention.ms", SET, "5")))

    def test_a_brokers_new_limit_holds_for_topics_that_have_none_of_their_own(self):
        self.asker.create_topic("t")
        self.asker.create_topic("own", configs={"max.message.bytes": "100000"})
        large = batch([b"x" * 10_000])
        self.assertEqual(0, self.asker.produce("t", large)[0])
        self.fine(BROKER, "", ("message.max.bytes", SET, "5000"))
        self.assertEqual(MESSAGE_TOO_LARGE, self.asker.produce("t", large)[0])
        self.assertEqual(0, self.asker.produce("own", large)[0])
        self.fine(BROKER, "1", ("message.max.bytes", SET, "50000"))
        self.assertEqual(0, self.asker.produce("t", large)[0])
        self.node.stop()
        self.node.start()
        with Asker(self.node.address) as again:
            self.assertEqual("50000", again.describe(TOPIC, "t")["max.message.bytes"]["Value"], "it outlives a restart")
            again.alter(BROKER, "1", ("message.max.bytes", DELETE, None))
            self.assertEqual(MESSAGE_TOO_LARGE, again.produce("t", large)[0])


class Environment(BrokerTest):
    """KAFKA_* as container images have it: over the file, under the command line."""

    def test_the_environment_goes_over_the_file(self):
        node = self.broker({"num.partitions": "2", "log.retention.hours": "5"},
                           environment={"KAFKA_NUM_PARTITIONS": "3", "KAFKA_HEAP_OPTS": "-Xmx1g", "KAFKA_NO__SUCH": "1"}).start()
        with Asker(node.address) as asker:
            broker = asker.describe(BROKER, "1", "num.partitions", "log.retention.hours")
            self.assertEqual(("3", STATIC), (broker["num.partitions"]["Value"], broker["num.partitions"]["ConfigSource"]))
            self.assertEqual("5", broker["log.retention.hours"]["Value"])
        self.wait_for_log(node, "WARN .*no_such is not known")
        self.assertNotIn("heap.opts", node.log())

    def test_a_wrong_value_of_the_environment_is_named(self):
        said = self.broker(environment={"KAFKA_NUM_PARTITIONS": "many"}).refusal()
        self.assertIn("Invalid value many for configuration num.partitions: Not a number of type INT", said)

    def test_what_is_known_and_has_no_effect_is_said_once(self):
        node = self.broker({"num.io.threads": "4"}).start()
        self.wait_for_log(node, "INFO .*without effect here: .*num.io.threads")


if __name__ == "__main__":
    unittest.main()
