"""millrace's commands about clusters, against three nodes of Apache Kafka."""

import unittest

from cluster.commands import Commands
from support.cluster import APACHE, ClusterTest


class CommandsAgainstApacheKafka(Commands, ClusterTest):
    kind = APACHE


if __name__ == "__main__":
    unittest.main()
