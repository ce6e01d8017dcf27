#!/usr/bin/env python3
"""configs.py SCHEMA_DIR OUT_DIR: turns schema/configs/*.txt into one table, OUT_DIR/definitions_table.cc."""

import re
import sys
from pathlib import Path

SCOPES = {"topic": "kTopic", "broker": "kBroker", "group": "kGroup", "client_metrics": "kClientMetrics"}


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bounds(valid):
    """'[1,...,9]_or_-1' -> the least and most value of a number, as C++ text."""
    match = re.match(r"\[(-?[\d.]+),\.\.\.(?:,(-?[\d.]+))?\](?:_or_(-?\d+))?$", valid)
    if not match:
        return "0", "0", "false"
    least = min(float(match[1]), float(match[3])) if match[3] else float(match[1])
    return repr(least), repr(float(match[2])) if match[2] else "9.3e18", "true"


def allowed(valid):
    """The words that a string or the items of a list may be."""
    match = re.match(r"\[([A-Za-z].*)\]$", valid)
    return match[1].replace("_", "") if match and "..." not in valid and ":" not in valid else ""


def row(scope, line):
    words = line.split()
    name, kind, default = words[0], words[1], words[2][1:]
    options = dict(w.split(":", 1) for w in words[3:] if ":" in w)
    valid = options.get("valid", "")
    least, most, bounded = bounds(valid)
    words_allowed = allowed(valid) if kind in ("STRING", "LIST") else ""
    if "read_" in valid:
        words_allowed = "read_committed,read_uncommitted"
    return (f"    {{Scope::{SCOPES[scope]}, {quoted(name)}, Type::k{kind.capitalize()}, "
            f"{'nullptr' if default == '~' else quoted(default)}, {least}, {most}, {bounded}, "
            f"{quoted(words_allowed)}, {quoted(options.get('update', 'read-only'))}, "
            f"{quoted(options.get('broker', ''))}}},")


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    rows = []
    for scope in SCOPES:
        lines = (folder / f"{scope}.txt").read_text().splitlines()
        rows += [row(scope, line) for line in lines if line and not line.startswith("#")]
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
