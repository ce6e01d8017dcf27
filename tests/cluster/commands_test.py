"""millrace's commands about clusters, against its own nodes."""

import unittest

from cluster.commands import Commands
from support.cluster import MILLRACE, ClusterTest


class CommandsAgainstMillrace(Commands, ClusterTest):
    kind = MILLRACE


if __name__ == "__main__":
    unittest.main()
