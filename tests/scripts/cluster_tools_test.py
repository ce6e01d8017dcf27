"""kafka-groups, kafka-delete-records, kafka-log-dirs, kafka-leader-election and kafka-broker-api-versions, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")


class ClusterTools(ScriptsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ours("topics", *B, "--create", "--topic", "three", "--partitions", 3)
        for partition in range(3):
            cls.millrace("produce", "three", "-p", partition, "-q", send="a\nb\nc\n")
        cls.millrace("consume", "three", "--group", "readers", "-e")
        for name, text in (("delete.json", '{"partitions": [{"topic": "three", "partition": 0, "offset": 1}, {"topic": "three", "partition": 2, "offset": -1}], '
                                           '"version": 1}'),
                           ("absent.json", '{"partitions": [{"topic": "absent", "partition": 0, "offset": 1}]}'),
                           ("beyond.json", '{"partitions": [{"topic": "three", "partition": 1, "offset": 99}]}'),
                           ("twice.json", '{"partitions": [{"topic": "t", "partition": 1, "offset": 9}, {"topic": "t", "partition": 1, "offset": 8}]}'),
                           ("version.json", '{"partitions": [], "version": 2}'), ("none.json", "{}"), ("broken.json", "{"),
                           ("elect.json", '{"partitions": [{"topic": "three", "partition": 0}, {"topic": "three", "partition": 1}]}'),
                           ("elect-twice.json", '{"partitions": [{"topic": "three", "partition": 0}, {"topic": "three", "partition": 0}]}')):
            (cls.folder / name).write_text(text)

    def test_groups(self):
        for words in ((), ("--consumer",), ("--share",), ("--streams",), ("--group-type", "classic"), ("--protocol", "consumer"), ("--group-type", "share")):
            with self.subTest(words):
                self.compare("groups", *B, "--list", *words, status=0)
        for words in ((), ("--help",), B, ("--list",), (*B, "--list", "--group-type", "odd"), (*B, "--list", "--share", "--consumer"), (*B, "--no-such"),
                      ("--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--list")):
            with self.subTest(words):
                self.compare("groups", *words, status=1)

    def test_delete_records(self):
        self.compare("delete-records", *B, "--offset-json-file", "{folder}/delete.json", status=0, any_order=True)
        self.compare("get-offsets", *B, "--topic", "three", "--time", "earliest")
        self.compare("delete-records", *B, "--offset-json-file", "{folder}/beyond.json", status=0)
        for name in ("twice", "version", "none", "broken", "no-such-file"):
            with self.subTest(name):
                self.compare("delete-records", *B, "--offset-json-file", f"{{folder}}/{name}.json", status=1)
        for words in ((), B, ("--no-such",)):
            with self.subTest(words):
                self.compare("delete-records", *words, status=1)

    def test_log_dirs(self):
        for words in ((), ("--topic-list", "three"), ("--topic-list", "absent"), ("--broker-list", 1)):
            with self.subTest(words):
                self.compare("log-dirs", *B, "--describe", *words, status=0)
        for words in ((*B, "--describe", "--broker-list", 7), (*B, "--describe", "--broker-list", "x"), B, ("--describe",), ()):
            with self.subTest(words):
                self.compare("log-dirs", *words, status=1)

    def test_leader_election(self):
        for words in (("--topic", "three", "--partition", 0), ("--all-topic-partitions",), ("--path-to-json-file", "{folder}/elect.json")):
            with self.subTest(words):
                self.compare("leader-election", *B, "--election-type", "preferred", *words, status=0)
        for words in (("--election-type", "preferred", "--topic", "absent", "--partition", 0), ("--election-type", "unclean", "--topic", "three"),
                      ("--election-type", "odd", "--all-topic-partitions"), ("--election-type", "preferred"), ("--all-topic-partitions",),
                      ("--election-type", "preferred", "--partition", 0, "--all-topic-partitions"),
                      ("--election-type", "preferred", "--path-to-json-file", "{folder}/elect-twice.json")):
            with self.subTest(words):
                self.compare("leader-election", *B, *words, status=1)

    def test_broker_api_versions(self):
        self.compare("broker-api-versions", *B, status=0)
        self.compare("broker-api-versions", status=1)
