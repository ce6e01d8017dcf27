"""The rules of tidy. Each takes text and gives findings: `path:line: rule: what to do`."""

import re

FORBIDDEN_NAMES = ("util", "helper", "common", "misc")
MAX_COLUMNS, MAX_SOURCE, MAX_HEADER, MAX_FUNCTION, MAX_PARAMETERS = 100, 800, 400, 70, 4
OUTSIDE_WORLD = ("thread", "mutex", "shared_mutex", "atomic", "condition_variable", "random", "filesystem", "fstream",
                 "iostream", "boost/asio", "sys/", "netinet/", "arpa/", "unistd.h", "fcntl.h", "poll.h")
LOCKS = ("mutex", "shared_mutex", "atomic", "thread", "condition_variable")
# Beside the runtime and the partitions: what every shard reads or goes on with, each for a named reason in its header.
MAY_LOCK = ("src/node/partition", "src/node/published_image", "src/server/fetch_session_cache",
            "src/server/connection_quota", "src/server/connection_rates", "src/server/client_telemetry", "src/node/client_quotas", "src/node/share_partitions", "src/base/log.cc", "src/runtime/", "src/sim/", "src/node/controller_host",
            "src/node/broker_lifecycle")
MACHINE_PATH = r"(^|[\s\"'`(=])/(home|work|root|Users)/"
MAX_ARCHITECTURE = 400
INTEGERS = r"(?:u?int(?:8|16|32|64)_t|size_t|int|long)"


def parse_layers(text):
    """layers.txt -> {module: (kind, allowed modules)}."""
    layers = {}
    for line in text.splitlines():
        match = re.match(r"([a-z_/]+)\s+\d+\s+([a-z]+):(.*)", line)
        if match:
            layers[match[1]] = (match[2], set(match[3].split()))
    return layers


def module_of(path, layers):
    """The innermost module that a path below src/ lies in; a folder that is none belongs to the one around it."""
    parts = path.split("/")[:-1]
    inner = ["/".join(parts[:length]) for length in range(len(parts), 1, -1)]
    return next((name for name in inner if name in layers), parts[0] if parts else None)


def check_source(path, text, layers):
    lines = text.splitlines()
    yield from check_includes(path, lines, layers)
    yield from check_public_includes(path, lines)
    yield from check_sizes(path, lines)
    yield from check_functions(path, lines)
    yield from check_text(path, lines)


def check_includes(path, lines, layers):
    if not path.startswith("src/") or path.count("/") < 2:
        return
    module = module_of(path.removeprefix("src/"), layers)
    if module not in layers:
        yield f"{path}:1: layers: module {module} is not in layers.txt; list it with its kind and edges"
        return
    kind, allowed = layers[module]
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not match:
            continue
        target = match[2]
        if match[1] == '"':
            to = module_of(target, layers)
            if to != module and to not in allowed:
                yield f"{path}:{number}: layers: {module} may not include {to}; see layers.txt"
        elif path.endswith("_test.cc") or kind in ("adapter", "app"):
            continue
        elif target.startswith(OUTSIDE_WORLD):
            if target in LOCKS and path.startswith(MAY_LOCK):
                continue
            yield f"{path}:{number}: kind: a {kind} module may not include <{target}>; go through env"


def check_public_includes(path, lines):
    """What others compile has nothing but itself and the standard library."""
    if not path.startswith("include/"):
        return
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match and not re.fullmatch(r'"millrace/\w+\.h|<\w+', match[1] + match[2]):
            yield f"{path}:{number}: public: a public header may not include {match[2]}"


def check_sizes(path, lines):
    limit = MAX_HEADER if path.endswith(".h") else MAX_SOURCE
    if len(lines) > limit:
        yield f"{path}:1: size: {len(lines)} lines, at most {limit}; split the file"
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            yield f"{path}:{number}: columns: {len(line)}, at most {MAX_COLUMNS}"


def strip_line(line):
    """The line without strings, character literals and comments."""
    line = re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
    line = re.sub(r"'(?:\\.|[^'\\])'", "' '", line)
    return line.split("//")[0]


def check_functions(path, lines):
    """A function is what opens a brace behind `)` at the outermost indentation of its scope and closes on its own line."""
    start, indent = None, None
    for number, line in enumerate(lines, 1):
        code = strip_line(line).rstrip()
        if start is None:
            match = re.match(r"( *)[A-Za-z_~\[].*\)(?: const| override| noexcept| final|->.*| \w+)* \{$", code)
            opens = match and not re.match(r" *(if|for|while|switch|else|do|namespace|struct|class|enum)\b", code)
            if opens and len(match[1]) <= 4:
                start, indent = number, match[1]
        elif line.startswith(indent + "}") or (indent and line.startswith("}")):
            if number - start + 1 > MAX_FUNCTION:
                yield f"{path}:{start}: function: {number - start + 1} lines, at most {MAX_FUNCTION}; split it"
            start = None
    yield from check_parameters(path, lines)


def check_parameters(path, lines):
    if not path.endswith(".h"):
        return
    text = "\n".join(strip_line(line) for line in lines)
    for match in re.finditer(r"\b(\w+)\(([^(){};]*)\)\s*(?:const|override|noexcept|= 0|;|\{)", text):
        if match[1].isupper() or match[1] in ("if", "for", "while", "switch", "return", "static_assert", "sizeof"):
            continue
        parameters = split_parameters(match[2])
        number = text.count("\n", 0, match.start()) + 1
        if len(parameters) > MAX_PARAMETERS:
            yield f"{path}:{number}: parameters: {match[1]} takes {len(parameters)}; use an options struct"
        kinds = [re.match(rf"(?:const )?({INTEGERS})\s+\w+", p) for p in parameters]
        for left, right in zip(kinds, kinds[1:]):
            if left and right and left[1] == right[1]:
                yield (f"{path}:{number}: parameters: {match[1]} has two adjacent {left[1]}; "
                       "use strong types or a struct")


def split_parameters(text):
    parts, depth, current = [], 0, ""
    for c in text:
        depth += (c in "<[") - (c in ">]")
        if c == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += c
    if current.strip():
        parts.append(current.strip())
    return parts


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            yield f"{path}:{number}: unfinished: do it, or say so in the issue tracker"
        if re.search(MACHINE_PATH, line):
            yield f"{path}:{number}: path: a path of one machine"
        match = re.match(r"\s*(?:class|struct|namespace)\s+(\w+)", line)
        if match and any(word in match[1].lower() for word in FORBIDDEN_NAMES):
            yield f"{path}:{number}: name: {match[1]} says nothing; name what it does"


def check_names(paths):
    for path in paths:
        stem = path.split("/")[-1].split(".")[0].lower()
        if path.startswith("src/") and any(word in stem.split("_") for word in FORBIDDEN_NAMES):
            yield f"{path}:1: name: {stem} says nothing; name what it does"


def check_document(path, text):
    """What holds for Markdown and scripts."""
    lines = text.splitlines()
    if path == "ARCHITECTURE.md" and len(lines) > MAX_ARCHITECTURE:
        yield f"{path}:1: size: {len(lines)} lines, at most {MAX_ARCHITECTURE}; move detail into docs/"
    for number, line in enumerate(lines, 1):
        if re.search(MACHINE_PATH, line):
            yield f"{path}:{number}: path: a path of one machine"
