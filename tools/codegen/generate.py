#!/usr/bin/env python3
"""generate.py SCHEMA_DIR OUT_DIR [--list]: writes the C++ of all messages into OUT_DIR; --list only names the files."""

import itertools
import sys
from pathlib import Path

import cpp
import schema
import tables

UNITS = 12   # translation units for the messages: enough for two cores, few enough to share their includes


def split_in_units(files):
    """Deals the files out so that the units are about equally large."""
    units = [[] for _ in range(UNITS)]
    weights = [0] * UNITS
    for name, messages in sorted(files, key=lambda f: -weight(f[1])):
        lightest = weights.index(min(weights))
        units[lightest].append((name, messages))
        weights[lightest] += weight(messages)
    return [sorted(unit) for unit in units]


def weight(messages):
    return sum(len(m.fields) + sum(len(s.fields) for s in m.structs) for m in messages)


def test_table(messages):
    """A table of decode, encode and to_json of every message by name, for the golden tests."""
    names = sorted({m.file for m in messages})
    out = ["// Generated: every message by name.", "#pragma once", ""]
    out += [f'#include "wire/{name}.h"' for name in names]
    out += ["", "#define MILLRACE_FOR_EACH_MESSAGE(X) \\"]
    out += [f"  X({m.name}) \\" for m in messages]
    return out + ["", ""]


def outputs(folder):
    messages = schema.load(folder / "messages")
    files = [(name, list(group)) for name, group in itertools.groupby(messages, key=lambda m: m.file)]
    metadata = [m for m in messages if m.file == "metadata_records"]
    result = {f"{name}.h": cpp.header(group) for name, group in files}
    for number, unit in enumerate(split_in_units(files)):
        result[f"messages_{number}.cc"] = cpp.source(unit)
    result["errors.h"] = tables.errors_header(folder / "errors.txt")
    result["errors.cc"] = tables.errors_source(folder / "errors.txt")
    result["api_table.h"] = tables.apis_header(folder / "apis.txt")
    result["api_table.cc"] = tables.apis_source(folder / "apis.txt", messages)
    result["metadata_record.h"] = tables.metadata_variant_header(metadata)
    result["metadata_record.cc"] = tables.metadata_variant_source(metadata)
    result["all_messages.h"] = test_table(messages)
    return result


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    files = outputs(folder)
    if "--list" in sys.argv:
        print(";".join(str(out / name) for name in files))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        path, text = out / name, "\n".join(lines)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main()
