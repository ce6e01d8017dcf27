"""Parses schema/messages/*.txt, schema/errors.txt and schema/apis.txt (see docs/format/wire.md)."""

import re
from dataclasses import dataclass, field
from pathlib import Path

NEVER = (32767, -1)
CPP_KEYWORDS = {"default", "namespace", "operator", "class", "register", "delete", "new"}


def snake(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return name + "_" if name in CPP_KEYWORDS else name


def parse_range(text):
    """'3-13', '9+', '0', 'none' -> (first, last)."""
    if text in ("none", "-"):
        return NEVER
    if text.endswith("+"):
        return int(text[:-1]), 32767
    first, _, last = text.partition("-")
    return int(first), int(last or first)


@dataclass
class Field:
    name: str
    type: str
    versions: tuple
    nullable: tuple = NEVER
    default: str | None = None
    tag: int | None = None
    tagged: tuple = NEVER
    ignorable: bool = False
    inflexible: bool = False
    fields: list = field(default_factory=list)

    @property
    def cpp_name(self):
        return snake(self.name)

    @property
    def json_name(self):
        return self.name[0].lower() + self.name[1:]

    @property
    def is_array(self):
        return self.type.startswith("[]")

    @property
    def element(self):
        return self.type[2:] if self.is_array else self.type


@dataclass
class Struct:
    name: str
    fields: list


@dataclass
class Message:
    kind: str
    name: str
    file: str
    key: int | None
    versions: tuple
    flexible: tuple
    structs: list
    fields: list


def parse_field(words):
    result = Field(words[0], words[1], parse_range(words[2]))
    for word in words[3:]:
        if word.startswith("null:"):
            result.nullable = parse_range(word[5:])
        elif word.startswith("="):
            result.default = word[1:]
        elif word.startswith("tag:"):
            tag, versions = word[4:].split("@")
            result.tag, result.tagged = int(tag), parse_range(versions)
        elif word == "ignorable":
            result.ignorable = True
        elif word == "inflexible":
            result.inflexible = True
        elif word != "key" and not word.startswith("is:"):
            raise ValueError(f"unknown attribute {word!r}")
    return result


def collect_structs(fields, structs):
    """Structs in the order in which C++ wants them: inner before outer."""
    for f in fields:
        if f.fields:
            collect_structs(f.fields, structs)
            structs.append(Struct(f.element, f.fields))


def finish(message, shared):
    ordered = []
    for struct in shared:
        inner = []
        collect_structs(struct.fields, inner)
        ordered += inner + [struct]
    message.structs = sort_by_use(ordered)
    inner = []
    collect_structs(message.fields, inner)
    message.structs = sort_by_use(message.structs + inner)
    return message


def sort_by_use(structs):
    by_name = {s.name: s for s in structs}
    done, result = set(), []

    def visit(struct):
        if struct.name in done:
            return
        done.add(struct.name)
        for f in struct.fields:
            if f.element in by_name:
                visit(by_name[f.element])
        result.append(struct)

    for struct in structs:
        visit(struct)
    return result


def parse_messages(path):
    """All messages of one file."""
    messages, message, shared, stack = [], None, [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        words = line.split()
        try:
            if depth == 0:
                if message:
                    messages.append(finish(message, shared))
                options = dict(w.split(":", 1) for w in words[2:] if ":" in w)
                key = options.get("key")
                message = Message(words[0], words[1], path.stem, int(key) if key else None,
                                  parse_range(options["versions"]),
                                  parse_range(options["flexible"]), [], [])
                shared, stack = [], [(0, message.fields)]
                continue
            while len(stack) > 1 and stack[-1][0] >= depth:
                stack.pop()
            if words[0] == "struct":
                shared.append(Struct(words[1], []))
                stack.append((depth, shared[-1].fields))
                continue
            item = parse_field(words)
            stack[-1][1].append(item)
            stack.append((depth, item.fields))
        except (ValueError, KeyError, IndexError) as error:
            raise SystemExit(f"{path}:{number}: {error}") from error
    messages.append(finish(message, shared))
    return messages


def load(folder):
    return [m for path in sorted(Path(folder).glob("*.txt")) for m in parse_messages(path)]
