"""The configs that are said to take effect are those that the sources read, and docs/run/configs.md says what schema/configs says."""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "codegen"))
import config_docs  # noqa: E402
import configs  # noqa: E402

# A name in a source that is only compared, refused or described.
NOT_READ = {f"src/config/{name}.cc" for name in ("describe", "node_rules", "properties", "rules")}


def names_in_sources():
    names = set()
    for path in sorted(ROOT.glob("src/*/**/*.cc")) + sorted(ROOT.glob("src/*/**/*.h")):
        if str(path.relative_to(ROOT)) in NOT_READ or path.name.endswith(("_test.cc", "_fuzz.cc")) or path.match("src/client/**"):
            continue
        names |= set(re.findall(r'"([a-z][a-z0-9]*(?:\.[a-z0-9]+)*)"', path.read_text()))
    return names


class Configs(unittest.TestCase):
    def setUp(self):
        self.configs = configs.load(ROOT / "schema" / "configs")

    def test_the_page_is_what_the_schema_says(self):
        self.assertEqual(config_docs.page(), config_docs.PAGE.read_text(),
                         "docs/run/configs.md is out of date: run python3 tools/codegen/config_docs.py")

    def test_what_takes_effect_is_read_and_what_is_read_takes_effect(self):
        read = names_in_sources()
        topics = {c.name: c for c in self.configs if c.scope == "topic"}
        behind = {name for c in topics.values() if c.effect for name in c.broker.split(",")}
        # The broker's value and bounds of a group's config are found by its name (config/group_configs).
        behind |= {c.name for c in self.configs if re.sub(r"^group\.(\w+\.)(?:(?:min|max)\.)?", r"\1", c.name) in read}
        for c in self.configs:
            if c.scope == "broker" and c.effect:
                self.assertTrue(c.name in read or c.name in behind or c.name in CHECKED, f"{c.name} is read nowhere")
            elif c.scope == "topic" and c.effect:
                self.assertTrue(c.name in read or c.name in CHECKED, f"{c.name} is read nowhere")
            elif c.scope == "broker" and c.name in read and c.name not in topics:
                self.fail(f"{c.name} is read: mark it with `effect` in schema/configs")

    def test_every_config_is_documented(self):
        self.assertEqual([], [c.name for c in self.configs if not c.documentation])


# Read by the rules alone: they bound what may be set.
CHECKED = {"broker.id", "listener.security.protocol.map", "remote.log.storage.system.enable", "remote.storage.enable",
           "controller.quorum.voters", "controller.quorum.bootstrap.servers", "process.roles",
           "group.share.assignors",
           "max.connections.per.ip.overrides", "max.connections.per.ip"}

if __name__ == "__main__":
    unittest.main()
