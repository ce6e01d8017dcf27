"""Turns messages into C++: a struct, a reader, a writer and a JSON writer each. No templates, no virtual calls."""

from schema import NEVER, snake

PRIMITIVES = {  # schema type -> (C++ type, reader/writer method)
    "bool": ("bool", "boolean"), "int8": ("int8_t", "int8"), "int16": ("int16_t", "int16"),
    "uint16": ("uint16_t", "uint16"), "int32": ("int32_t", "int32"),
    "uint32": ("uint32_t", "uint32"), "int64": ("int64_t", "int64"), "float64": ("double", "float64"),
    "uuid": ("Uuid", "uuid"),
}


def contains(outer, inner):
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def intersect(a, b):
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else NEVER


def condition(versions, within):
    """The C++ test for `version` being in `versions`, given that it is in `within`: 'true', 'false' or an expression."""
    versions = intersect(versions, within)
    if versions == NEVER:
        return "false"
    if contains(versions, within):
        return "true"
    tests = []
    if versions[0] > within[0]:
        tests.append(f"version >= {versions[0]}")
    if versions[1] < within[1]:
        tests.append(f"version <= {versions[1]}")
    return " && ".join(tests)


def element_type(f):
    if f.element in PRIMITIVES:
        return PRIMITIVES[f.element][0]
    return {"string": "std::string", "bytes": "ByteBuffer", "records": "Records"}.get(f.element, f.element)


def is_struct(f):
    return f.element not in PRIMITIVES and f.element not in ("string", "bytes", "records")


def is_optional(f):
    return f.nullable != NEVER and f.element != "records" or f.nullable != NEVER and f.is_array


def cpp_type(f):
    inner = element_type(f)
    if f.is_array:
        inner = f"std::vector<{inner}>"
    return f"std::optional<{inner}>" if is_optional(f) else inner


def default_value(f):
    """The initialiser of the member; '{}' for empty."""
    if f.default is None or f.default in ("", "null"):
        if is_optional(f) and f.default != "null":
            return "std::in_place"
        return ""
    if f.type == "bool":
        return f.default
    value = int(f.default, 0)
    if value == -9223372036854775808:
        return "INT64_MIN"
    if value == -2147483648:
        return "INT32_MIN"
    return str(value)


def member(f):
    init = default_value(f)
    declared = cpp_type(f)
    if init == "std::in_place":
        return f"  {declared} {f.cpp_name} = {declared}(std::in_place);"
    if init:
        return f"  {declared} {f.cpp_name} = {init};"
    return f"  {declared} {f.cpp_name}" + ("{};" if f.element in PRIMITIVES and not f.is_array else ";")


def has_value_test(f):
    """The C++ test for the field differing from its default."""
    name = f"value.{f.cpp_name}"
    if is_optional(f):
        if f.default == "null":
            return f"{name}.has_value()"
        return f"!{name}.has_value() || !({name} == decltype({name})(std::in_place))"
    if f.is_array or f.element in ("string", "bytes"):
        return f"!{name}.empty()"
    if f.element == "records":
        return f"!{name}.null"
    if f.type in PRIMITIVES:
        default = default_value(f)
        if f.type == "uuid":
            return f"!{name}.is_zero()"
        return f"{name} != {default or PRIMITIVES[f.type][0] + '{}'}"
    return f"!({name} == decltype({name}){{}})"


class Coder:
    """Emits the three functions of one struct."""

    def __init__(self, message, struct_name, fields, is_top):
        self.message, self.fields, self.is_top = message, fields, is_top
        self.type = message.name if is_top else f"{message.name}::{struct_name}"
        self.versions = message.versions
        self.flexible = condition(message.flexible, message.versions)
        self.tagged = [f for f in fields if f.tag is not None]
        self.plain = [f for f in fields if not contains(f.tagged, f.versions) or f.tag is None]

    def label(self, f):
        return f'"{self.type.replace("::", ".")}.{f.name}"'

    def compact(self, f):
        return "false" if f.inflexible else "compact"

    # -- reading

    def read(self):
        out = [f"{'' if self.is_top else '[[maybe_unused]] static '}void read(Reader& r, int16_t version, {self.type}& value) {{"]
        out.append("  [[maybe_unused]] const bool compact = " + self.flexible + ";")
        if all(self.where(f) == "true" for f in self.fields) and self.flexible in ("true", "false"):
            out[0] = out[0].replace("int16_t version", "[[maybe_unused]] int16_t version")
        for f in self.plain:
            out += self.guarded(self.where(f), self.read_field(f, "  "), "  ")
        if self.flexible != "false":
            out.append("  if (compact) {")
            out.append(f'    for (TagReader tags(r, "{self.type.replace("::", ".")}"); tags.next();) {{')
            if self.tagged:
                out += self.read_tags()
            else:
                out.append("      tags.keep(value.unknown_tags);")
            out += ["    }", "  }"]
        return out + ["}", ""]

    def read_tags(self):
        out = ["      switch (tags.tag()) {"]
        for f in sorted(self.tagged, key=lambda f: f.tag):
            where = condition(intersect(f.tagged, f.versions), intersect(self.message.flexible, self.versions))
            out.append(f"        case {f.tag}:")
            if where == "true":
                out.append("        {")
            else:
                out.append(f"          if (!({where})) {{ tags.keep(value.unknown_tags); break; }}")
                out.append("        {")
            out += self.read_field(f, "          ") + ["          break;", "        }"]
        return out + ["        default: tags.keep(value.unknown_tags);", "      }"]

    def where(self, f):
        """When a plain field is on the wire."""
        return condition(f.versions, self.versions)

    def guarded(self, where, lines, indent):
        if where == "true":
            return lines
        if where == "false":
            return []
        return [f"{indent}if ({where}) {{"] + ["  " + line for line in lines] + [f"{indent}}}"]

    def read_field(self, f, pad):
        target, label, compact = f"value.{f.cpp_name}", self.label(f), self.compact(f)
        null = condition(f.nullable, self.versions)
        if f.is_array:
            return self.read_array(f, pad)
        if f.type in PRIMITIVES:
            return [f"{pad}{target} = r.{PRIMITIVES[f.type][1]}({label});"]
        if f.type == "records":
            return [f"{pad}{target} = r.records({label}, {compact}, {null});"]
        if f.type in ("string", "bytes"):
            if is_optional(f):
                return [f"{pad}{target} = r.nullable_{f.type}({label}, {compact}, {null});"]
            return [f"{pad}{target} = r.{f.type}({label}, {compact});"]
        if is_optional(f):
            # As a tagged field, and only there, a struct has an unsigned varint before it.
            there = f"r.present({label}, {null})" if f.tag is None else f"r.uvarint({label}) != 0"
            return [f"{pad}if ({there}) {{",
                    f"{pad}  read(r, version, {target}.emplace());", f"{pad}}} else {{",
                    f"{pad}  {target}.reset();", f"{pad}}}"]
        return [f"{pad}read(r, version, {target});"]

    def read_array(self, f, pad):
        target, label, compact = f"value.{f.cpp_name}", self.label(f), self.compact(f)
        null = condition(f.nullable, self.versions)
        element = element_type(f) if not is_struct(f) else f"{self.message.name}::{f.element}"
        out = [f"{pad}if (auto count = r.array({label}, {compact}, {null}, sizeof({element}))) {{"]
        vector = target
        if is_optional(f):
            out.append(f"{pad}  auto& items = {target}.emplace();")
            vector = "items"
        out.append(f"{pad}  {vector}.resize(*count);")
        out.append(f"{pad}  for (size_t i = 0; i < *count && r.ok(); ++i)")
        if f.element in PRIMITIVES:
            out.append(f"{pad}    {vector}[i] = r.{PRIMITIVES[f.element][1]}({label});")
        elif f.element in ("string", "bytes"):
            out.append(f"{pad}    {vector}[i] = r.{f.element}({label}, {compact});")
        else:
            out.append(f"{pad}    read(r, version, {vector}[i]);")
        out.append(f"{pad}}}" + (f" else {{ {target}.reset(); }}" if is_optional(f) else ""))
        return out

    # -- writing

    def write(self):
        out = [f"{'' if self.is_top else '[[maybe_unused]] static '}void write(Writer& w, [[maybe_unused]] int16_t version, "
               f"[[maybe_unused]] const {self.type}& value) {{"]
        out.append("  [[maybe_unused]] const bool compact = " + self.flexible + ";")
        for f in self.plain:
            where = self.where(f)
            lines = self.write_field(f, "  ", f"value.{f.cpp_name}")
            out += self.guarded(where, lines, "  ")
            if where != "true" and not f.ignorable:
                absent = "  " if where == "false" else f"  if (!({where})) "
                out.append(f"{absent.rstrip()} if ({has_value_test(f)}) w.no_place_for({self.label(f)});")
        for f in self.tagged:
            where = condition(intersect(f.tagged, f.versions), self.versions)
            if where != "true" and not f.ignorable:
                out.append(f"  if (!({where}) && ({has_value_test(f)})) w.no_place_for({self.label(f)});")
        if self.flexible != "false":
            out.append("  if (compact) {")
            out += self.write_tags() + ["  }"]
        return out + ["}", ""]

    def write_tags(self):
        within = intersect(self.message.flexible, self.versions)
        tagged = sorted(self.tagged, key=lambda f: f.tag)
        out, below = [f"    uint32_t count = static_cast<uint32_t>(value.unknown_tags.size());"], 0
        tests = []
        for f in tagged:
            where = condition(intersect(f.tagged, f.versions), within)
            test = has_value_test(f) if where == "true" else f"({where}) && ({has_value_test(f)})"
            tests.append(test)
            out.append(f"    const bool has_{f.tag} = {test};")
            out.append(f"    count += has_{f.tag};")
        out.append("    w.uvarint(count);")
        for f in tagged:
            out.append(f"    w.unknown_tags(value.unknown_tags, {{{below}, {f.tag}}});")
            out.append(f"    if (has_{f.tag}) {{")
            out.append(f"      const size_t mark = w.begin_tag({f.tag});")
            out += self.write_field(f, "      ", f"value.{f.cpp_name}")
            out += ["      w.end_tag(mark);", "    }"]
            # Below the versions that know the tag it is an unknown one like any other.
            below = f"{f.tag}u + has_{f.tag}"
        out.append(f"    w.unknown_tags(value.unknown_tags, {{{below}, UINT32_MAX}});")
        return out

    def write_field(self, f, pad, source):
        label, compact = self.label(f), self.compact(f)
        null = condition(f.nullable, self.versions)
        if f.is_array:
            return self.write_array(f, pad, source)
        if f.type in PRIMITIVES:
            return [f"{pad}w.{PRIMITIVES[f.type][1]}({source});"]
        if f.type == "records":
            return [f"{pad}w.records({source}, {compact}, {null}, {label});"]
        if f.type in ("string", "bytes"):
            if is_optional(f):
                return [f"{pad}w.nullable_{f.type}({source}, {compact}, {null}, {label});"]
            return [f"{pad}w.{f.type}({source}, {compact});"]
        if is_optional(f):
            there = "w.present()" if f.tag is None else "w.uvarint(1)"
            absent = f"w.null_struct({null}, {label})" if f.tag is None else "w.uvarint(0)"
            return [f"{pad}if ({source}) {{", f"{pad}  {there};",
                    f"{pad}  write(w, version, *{source});", f"{pad}}} else {{",
                    f"{pad}  {absent};", f"{pad}}}"]
        return [f"{pad}write(w, version, {source});"]

    def write_array(self, f, pad, source):
        label, compact = self.label(f), self.compact(f)
        null = condition(f.nullable, self.versions)
        items = f"*{source}" if is_optional(f) else source
        if f.element in PRIMITIVES:
            each = f"w.{PRIMITIVES[f.element][1]}(item);"
        elif f.element in ("string", "bytes"):
            each = f"w.{f.element}(item, {compact});"
        else:
            each = "write(w, version, item);"
        body = [f"{pad}w.array(({items}).size(), {compact});",
                f"{pad}for (const auto& item : {items}) {each}" if f.element != "bool" else
                f"{pad}for (bool item : {items}) {each}"]
        if not is_optional(f):
            return body
        return ([f"{pad}if ({source}) {{"] + ["  " + line for line in body] +
                [f"{pad}}} else {{", f"{pad}  w.null_array({compact}, {null}, {label});", f"{pad}}}"])

    # -- JSON

    def json(self):
        out = [f"[[maybe_unused]] static void json(JsonWriter& j, [[maybe_unused]] int16_t version, "
               f"[[maybe_unused]] const {self.type}& value) {{", "  j.begin_object();"]
        for f in self.fields:
            where = self.where(f)
            if f.tag is not None:
                where = condition(intersect(f.tagged, f.versions), self.versions)
                test = has_value_test(f)
                where = test if where == "true" else "false" if where == "false" else f"({where}) && ({test})"
            out += self.guarded(where, self.json_field(f, "  "), "  ")
        return out + ["  j.end_object();", "}", ""]

    def json_field(self, f, pad):
        source = f"value.{f.cpp_name}"
        out = [f'{pad}j.name("{f.json_name}");']
        inner = f"*{source}" if is_optional(f) else source
        if f.is_array:
            body = ["j.begin_array();",
                    f"for (const auto& item : {inner}) {self.json_value(f, 'item')}", "j.end_array();"]
        else:
            body = [self.json_value(f, inner)]
        if not is_optional(f):
            return out + [pad + line for line in body]
        return (out + [f"{pad}if (!{source}) {{", f"{pad}  j.null();", f"{pad}}} else {{"] +
                [f"{pad}  {line}" for line in body] + [f"{pad}}}"])

    def json_value(self, f, source):
        if is_struct(f):
            return f"json(j, version, {source});"
        if f.element in ("bool", "uuid", "records"):
            return f"j.value({source});"
        if f.element == "float64":
            return f"j.value({source});"
        if f.element == "string":
            return f"j.value(std::string_view({source}));"
        if f.element == "bytes":
            return f"j.value(ByteView({source}));"
        return f"j.value(static_cast<int64_t>({source}));"


def declare_struct(name, fields, flexible, message=None):
    out = [f"struct {name} {{"]
    if message:
        out += [f'  static constexpr const char* kName = "{message.name}";',
                f"  static constexpr int16_t kMinVersion = {message.versions[0]};",
                f"  static constexpr int16_t kMaxVersion = {message.versions[1]};"]
        if message.key is not None:
            out.append(f"  static constexpr int16_t kApiKey = {message.key};")
        out += [f"  using {s.name} = {snake(message.name)}::{s.name};" for s in message.structs]
    out += [member(f) for f in fields]
    if flexible:
        out.append("  UnknownTags unknown_tags;")
    out += [f"  friend bool operator==(const {name}&, const {name}&) = default;", "};", ""]
    return out


def header(messages):
    out = ["// Generated from schema/messages by tools/codegen. The structs, and how they are read and written.",
           "#pragma once", "", "#include <cstdint>", "#include <optional>", "#include <string>",
           "#include <variant>", "#include <vector>", "", '#include "base/bytes.h"', '#include "base/uuid.h"',
           '#include "wire/types.h"', "", "namespace millrace::wire {", "", "class Reader;", "class Writer;", ""]
    for m in messages:
        if m.structs:
            # In a namespace and not inside the message: a nested class with member initialisers is not yet
            # default-constructible while the class around it is incomplete, which std::optional would need.
            out += [f"namespace {snake(m.name)} {{", ""]
            for struct in m.structs:
                out += declare_struct(struct.name, struct.fields, m.flexible != NEVER)
            out += [f"}}  // namespace {snake(m.name)}", ""]
        out += declare_struct(m.name, m.fields, m.flexible != NEVER, m)
        out += [f"void read(Reader& r, int16_t version, {m.name}& value);",
                f"void write(Writer& w, int16_t version, const {m.name}& value);",
                f"std::string to_json(int16_t version, const {m.name}& value);", ""]
    return out + ["}  // namespace millrace::wire", ""]


def source(files):
    """One translation unit for several headers' messages."""
    out = ["// Generated from schema/messages by tools/codegen.", ""]
    out += [f'#include "wire/{name}.h"' for name, _ in files]
    out += ["", '#include "wire/json.h"', '#include "wire/reader.h"', '#include "wire/writer.h"', "",
            "namespace millrace::wire {", ""]
    for _, messages in files:
        for m in messages:
            for struct in m.structs:
                coder = Coder(m, struct.name, struct.fields, False)
                out += coder.read() + coder.write() + coder.json()
            coder = Coder(m, m.name, m.fields, True)
            out += coder.read() + coder.write() + coder.json()
            out += [f"std::string to_json(int16_t version, const {m.name}& value) {{", "  JsonWriter j;",
                    "  json(j, version, value);", "  return std::move(j).take();", "}", ""]
    return out + ["}  // namespace millrace::wire", ""]
