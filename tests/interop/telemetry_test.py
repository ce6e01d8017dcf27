"""Client telemetry (KIP-714) with Apache Kafka's own client and tool: what a consumer pushes is on the page of metrics."""

import subprocess
import time
import unittest
import urllib.request

from interop import apache
from support.broker import BrokerTest, free_ports


class Telemetry(BrokerTest):
    def test_a_consumer_pushes_what_is_subscribed_to(self):
        [port] = free_ports(1)
        node = self.broker({"millrace.http.listener": f"localhost:{port}"}).start()
        bootstrap = ("--bootstrap-server", node.address)
        apache.tool("client-metrics", *bootstrap, "--alter", "--name", "basics", "--metrics", "org.apache.kafka.consumer.", "--interval", 200,
                    "--match", "client_software_name=apache-kafka-java,client_id=watched")
        self.assertIn("basics", apache.tool("client-metrics", *bootstrap, "--list"))
        apache.tool("topics", *bootstrap, "--create", "--topic", "t")
        consumer = subprocess.Popen([*apache.command_line("console-consumer"), *bootstrap, "--topic", "t", "--command-property", "client.id=watched"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.addCleanup(consumer.wait)
        self.addCleanup(consumer.kill)
        deadline = time.monotonic() + 60
        page = ""
        while 'kafka_client_consumer_coordinator_assigned_partitions{client_id="watched"' not in page:
            self.assertLess(time.monotonic(), deadline, page)
            time.sleep(0.2)
            with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=20) as answer:
                page = answer.read().decode()
        self.assertNotIn("kafka_client_producer", page)
        self.assertIn("kafka_server_client_metrics_plugin_error_count 0\n", page)


if __name__ == "__main__":
    unittest.main()
