"""kafka-configs, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")


class Configs(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "plain")
        cls.ours("topics", *B, "--create", "--topic", "tuned", "--config", "retention.ms=1000", "--config", "cleanup.policy=compact,delete")
        (cls.folder / "add.properties").write_text("retention.ms=7000\nsegment.ms=9000\n")

    def test_describe_topics(self):
        for words in (("--topic", "tuned"), ("--topic", "plain"), ("--topic", "tuned", "--all"), ("--topic", "absent"), ("--entity-type", "topics"),
                      ("--entity-type", "topics", "--entity-name", "tuned"), ("--entity-type", "topics", "--all")):
            with self.subTest(words):
                self.compare("configs", *B, "--describe", *words, status=0)
        self.compare("configs", *B, "--describe", "--topic", "a b", status=1)

    def test_describe_brokers_and_others(self):
        for words in (("--broker", 1), ("--broker-defaults",), ("--entity-type", "brokers"), ("--entity-type", "brokers", "--entity-default"),
                      ("--broker", 7), ("--entity-type", "groups"), ("--group", "absent"), ("--entity-type", "client-metrics"),
                      ("--client-metrics", "absent"), ("--entity-type", "users"), ("--entity-type", "clients"), ("--entity-type", "ips"),
                      ("--user-defaults",)):
            with self.subTest(words):
                self.compare("configs", *B, "--describe", *words)

    def test_alter_topics(self):
        self.compare("topics", *B, "--create", "--topic", "{own}", status=0)
        self.compare("configs", *B, "--alter", "--topic", "{own}", "--add-config", "retention.ms=5000,cleanup.policy=[compact,delete]", status=0)
        self.compare("configs", *B, "--describe", "--topic", "{own}")
        self.compare("configs", *B, "--alter", "--entity-type", "topics", "--entity-name", "{own}", "--delete-config", "retention.ms,cleanup.policy")
        self.compare("configs", *B, "--alter", "--topic", "{own}", "--add-config-file", "{folder}/add.properties", status=0)
        self.compare("configs", *B, "--describe", "--topic", "{own}")

    def test_alter_brokers_and_groups(self):
        self.compare("configs", *B, "--alter", "--broker", 1, "--add-config", "log.cleaner.threads=2", status=0)
        self.compare("configs", *B, "--describe", "--broker", 1)
        self.compare("configs", *B, "--alter", "--broker-defaults", "--add-config", "log.cleaner.threads=3", status=0)
        self.compare("configs", *B, "--describe", "--entity-type", "brokers")
        self.compare("configs", *B, "--alter", "--broker", 1, "--delete-config", "log.cleaner.threads", status=0)
        self.compare("configs", *B, "--alter", "--entity-type", "brokers", "--entity-default", "--delete-config", "log.cleaner.threads", status=0)
        self.compare("configs", *B, "--alter", "--group", "{own}", "--add-config", "consumer.session.timeout.ms=50000", status=0)
        self.compare("configs", *B, "--describe", "--group", "{own}")

    def test_quotas(self):
        for entity in (("--user", "{own}"), ("--client", "{own}"), ("--user", "{own}", "--client", "{own}"), ("--user-defaults",),
                       ("--client-defaults",), ("--user", "{own}", "--client-defaults")):
            with self.subTest(entity):
                self.compare("configs", *B, "--alter", *entity, "--add-config", "producer_byte_rate=1024,consumer_byte_rate=20000000", status=0)
                self.compare("configs", *B, "--describe", *entity)
        self.compare("configs", *B, "--alter", "--user", "{own}", "--delete-config", "producer_byte_rate", status=0)
        self.compare("configs", *B, "--alter", "--user", "{own}", "--delete-config", "request_percentage", status=1)
        self.compare("configs", *B, "--alter", "--user", "{own}", "--add-config", "producer_byte_rate=fast", status=1)
        self.compare("configs", *B, "--alter", "--user", "{own}", "--add-config", "retention.ms=1", status=1)
        self.compare("configs", *B, "--alter", "--ip", "127.0.0.9", "--add-config", "connection_creation_rate=10", status=0)
        self.compare("configs", *B, "--describe", "--ip", "127.0.0.9")
        self.compare("configs", *B, "--alter", "--ip", "127.0.0.9", "--add-config", "producer_byte_rate=10", status=1)

    def test_what_is_refused(self):
        for words in ((), ("--help",), (*B, "--describe"), ("--describe", "--topic", "x"), (*B, "--topic", "x"), (*B, "--alter", "--topic", "plain"),
                      (*B, "--describe", "--alter", "--topic", "x"), (*B, "--describe", "--entity-type", "planets"), (*B, "--no-such"),
                      (*B, "--describe", "--topic", "x", "--broker", 1), (*B, "--describe", "--entity-type", "topics", "--topic", "x"),
                      (*B, "--alter", "--entity-type", "topics", "--add-config", "a=b"), (*B, "--alter", "--user", "x"),
                      (*B, "--describe", "--broker", "one"), (*B, "--describe", "--topic", "x", "--add-config", "a=b"),
                      (*B, "--alter", "--topic", "plain", "--add-config", "retention.ms"), (*B, "--alter", "--topic", "plain", "--add-config", "a b=c"),
                      (*B, "--alter", "--topic", "plain", "--add-config", "no.such=1"), (*B, "--alter", "--topic", "plain", "--add-config", "retention.ms=soon"),
                      (*B, "--alter", "--topic", "absent", "--add-config", "retention.ms=1"),
                      (*B, "--alter", "--topic", "plain", "--add-config", "a=b", "--add-config-file", "{folder}/add.properties")):
            with self.subTest(words):
                self.compare("configs", *words, status=1)
        self.compare("configs", "--version", status=0)
