#!/usr/bin/env python3
"""config_docs.py: writes docs/run/configs.md from schema/configs; --print writes it to the standard output instead."""

import sys
from pathlib import Path

import configs

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "run" / "configs.md"

INTRODUCTION = """# Configs

Generated from `schema/configs` by `tools/codegen/config_docs.py`; a test holds this page against it, and against what the sources read.

Millrace takes Apache Kafka's `server.properties` with its names, types and defaults. A name that Kafka does not have is warned about at the start; a
wrong value stops it and says the name, the value and what is allowed. Where a value comes from, the one that wins last:

1. Kafka's default
2. the file that `millrace start` is given (without one: a single node on localhost)
3. the environment: `KAFKA_LOG_DIRS` is `log.dirs`; `__` stands for an underscore, `___` for a hyphen
4. `--override NAME=VALUE`
5. for the configs marked *cluster* and *broker* below: what was set for all brokers, then for this one, while the cluster runs (IncrementalAlterConfigs); at once,
   and for good

Topics have configs of their own, which win over the broker's.
"""
EFFECT = """
## {title}

| name | type | default | allowed | changes | meaning |
|---|---|---|---|---|---|
"""
WITHOUT = """
## Known to Apache Kafka, without effect here

They may be set: they are checked, kept and shown, and nothing acts on them (yet, or because Millrace is built otherwise).

| name | of | type | default | meaning |
|---|---|---|---|---|
"""
CHANGES = {"read-only": "at start", "per-broker": "broker", "cluster-wide": "cluster, broker"}
TITLES = {"broker": "Of a node", "topic": "Of a topic", "group": "Of a group", "client_metrics": "Of a client metrics subscription"}


def shown_default(config):
    return "-" if config.default is None else f"`{config.default}`" if config.default else "empty"


def shown_valid(config):
    return config.valid.replace("_", " ").replace("|", "\\|") if config.valid else ""


def changes(config):
    return CHANGES[config.update] if config.scope == "broker" else "at once"


def page():
    known = configs.load(ROOT / "schema" / "configs")
    out = INTRODUCTION
    for scope, title in TITLES.items():
        rows = [c for c in known if c.scope == scope and c.effect]
        if not rows:
            continue
        out += EFFECT.format(title=title)
        for c in rows:
            out += (f"| `{c.name}` | {c.kind.lower()} | {shown_default(c)} | {shown_valid(c)} | {changes(c)} | "
                    f"{c.documentation} |\n")
    out += WITHOUT
    for c in known:
        if not c.effect and not c.internal:
            out += f"| `{c.name}` | {c.scope.replace('_', ' ')} | {c.kind.lower()} | {shown_default(c)} | {c.documentation} |\n"
    return out


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(page(), end="")
    else:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page())
