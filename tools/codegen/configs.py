#!/usr/bin/env python3
"""configs.py SCHEMA_DIR OUT_DIR: turns schema/configs/*.txt into one table, OUT_DIR/definitions_table.cc."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

SCOPES = {"topic": "kTopic", "broker": "kBroker", "group": "kGroup", "client_metrics": "kClientMetrics"}


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bounds(valid):
    """'[1,...,9]_or_-1' -> the least and most value of a number, whether there are any, and the one beside them."""
    match = re.match(r"\[(-?[\d.]+),\.\.\.(?:,(-?[\d.]+))?\](?:_or_(-?\d+))?$", valid)
    if not match:
        return "0", "0", "false", ""
    return repr(float(match[1])), repr(float(match[2])) if match[2] else "9.3e18", "true", match[3] or ""


def allowed(valid):
    """The words that a string or the items of a list may be."""
    match = re.match(r"\[([A-Za-z].*)\]$", valid)
    return match[1].replace("_", "") if match and "..." not in valid and ":" not in valid else ""


@dataclass
class Config:
    scope: str
    name: str
    kind: str
    default: str | None
    valid: str
    update: str
    broker: str
    effect: bool
    internal: bool
    documentation: str = ""

    def row(self):
        least, most, bounded, besides = bounds(self.valid)
        words = allowed(self.valid) if self.kind in ("STRING", "LIST") else ""
        if "read_" in self.valid:
            words = "read_committed,read_uncommitted"
        values = [f"Scope::{SCOPES[self.scope]}", quoted(self.name), f"Type::k{self.kind.capitalize()}",
                  "nullptr" if self.default is None else quoted(self.default), least, most, bounded, quoted(besides),
                  quoted(words), quoted(self.update), quoted(self.broker), str(self.effect).lower(),
                  str(self.internal).lower(), quoted(self.documentation)]
        return f"    {{{', '.join(values)}}},"


def parse(scope, line):
    words = line.split()
    options = dict(w.split(":", 1) for w in words[3:] if ":" in w)
    default = words[2][1:]
    return Config(scope, words[0], words[1], None if default == "~" else default, options.get("valid", ""),
                  options.get("update", "read-only"), options.get("broker", ""), "effect" in words, "internal" in words)


def load(folder):
    """All configs: a line each, and below it, indented, what it means."""
    configs = []
    for scope in SCOPES:
        for line in (Path(folder) / f"{scope}.txt").read_text().splitlines():
            if line.startswith("  "):
                configs[-1].documentation = (configs[-1].documentation + " " + line.strip()).strip()
            elif line and not line.startswith("#"):
                configs.append(parse(scope, line))
    return configs


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    rows = [config.row() for config in load(folder)]
    text = "\n".join(["// Generated from schema/configs by tools/codegen/configs.py.", '#include "config/definition.h"', "",
                      "namespace millrace::config {", "namespace {", "", "constexpr Definition kDefinitions[] = {", *rows,
                      "};", "", "}  // namespace", "",
                      "std::span<const Definition> all_definitions() { return kDefinitions; }", "",
                      "}  // namespace millrace::config", ""])
    out.mkdir(parents=True, exist_ok=True)
    path = out / "definitions_table.cc"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    main()
