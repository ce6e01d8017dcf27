"""kafka-client-metrics, beside Apache Kafka's."""

import re

from scripts.comparing import ScriptsTest, plain_errors

B = ("--bootstrap-server", "{broker}")


class ClientMetrics(ScriptsTest):
    def client_metrics(self, *words, **options):
        return self.compare("client-metrics", *words, **options)

    def test_a_subscription(self):
        self.client_metrics(*B, "--list", status=0)
        self.client_metrics(*B, "--alter", "--name", "{own}", "--metrics", "org.apache.kafka.producer.,org.apache.kafka.consumer.", "--interval", 15000,
                            "--match", "client_software_name=apache.*,client_id=a b", status=0)
        self.client_metrics(*B, "--describe", "--name", "{own}", status=0)
        self.client_metrics(*B, "--list", status=0, any_order=True)
        self.client_metrics(*B, "--alter", "--name", "{own}", "--interval", "", "--match=", "", status=0)
        self.client_metrics(*B, "--describe", "--name", "{own}", status=0)
        self.client_metrics(*B, "--alter", "--name", "{own}", "--interval", 1, status=1)
        self.client_metrics(*B, "--alter", "--name", "{own}", "--match", "no_such=x", status=1)
        self.client_metrics(*B, "--alter", "--name", "{own}", status=0)
        self.client_metrics(*B, "--describe", status=0, any_order=True)
        self.client_metrics(*B, "--delete", "--name", "{own}", status=0)
        self.client_metrics(*B, "--describe", "--name", "{own}", status=0)
        self.client_metrics(*B, "--delete", "--name", "{own}", status=0)

    def test_a_name_is_made_up(self):
        for side in ("apache", "ours"):
            run = self.run_side(side, "client-metrics", (*B, "--alter", "--generate-name", "--metrics", ""))
            self.assertEqual((0, []), (run.returncode, plain_errors(run.stderr)))
            self.assertRegex(run.stdout, r"\AAltered client metrics config for [\w][\w-]{21}\.\n\Z")
        first, second = (re.search(r"for (.*)\.", self.ours("client-metrics", *B, "--alter", "--generate-name", "--interval", 20000))[1] for _ in range(2))
        self.assertNotEqual(first, second)
        for name in (first, second):
            self.assertIn("interval.ms=20000", self.ours("client-metrics", *B, "--describe", "--name", name))
            self.ours("client-metrics", *B, "--delete", "--name", name)

    def test_refusals(self):
        for words in ((), ("--help",), B, ("--list",), (*B, "--list", "--describe"), (*B, "--list", "--name", "x"), (*B, "--describe", "--interval", 5),
                      (*B, "--delete", "--name", "x", "--metrics", "y"), (*B, "--delete"), (*B, "--alter"), (*B, "--alter", "--name", "x", "--generate-name"),
                      (*B, "--alter", "--name", "x", "--interval", "soon"), (*B, "--no-such"), (*B, "--alter", "--name"),
                      (*B, "--list", "--command-config", "no-such-file"), ("--bootstrap-server", "nowhere", "--list"),
                      ("--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "--list")):
            with self.subTest(words):
                self.client_metrics(*words, status=1)
