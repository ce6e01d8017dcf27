"""Emits the tables: error codes, APIs, and the variant of all metadata records."""

from schema import parse_range, snake


def lines_of(path):
    return [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def pascal(name):
    return "k" + "".join(word.capitalize() for word in name.split("_"))


def errors_header(path):
    rows = lines_of(path)
    out = ["// Generated from schema/errors.txt. The error codes of the Kafka protocol.", "#pragma once", "",
           "#include <cstdint>", "#include <string_view>", "", "namespace millrace::wire {", "",
           "enum class ErrorCode : int16_t {"]
    out += [f"  {pascal(name)} = {code}," for code, name, *_ in rows]
    out += ["};", "", "constexpr int16_t code_of(ErrorCode code) { return static_cast<int16_t>(code); }",
            "std::string_view error_name(ErrorCode code);   // \"UNKNOWN\" for one we do not know",
            "bool is_retriable(ErrorCode code);", "", "}  // namespace millrace::wire", ""]
    return out


def errors_source(path):
    rows = lines_of(path)
    out = ['#include "wire/errors.h"', "", "namespace millrace::wire {", "",
           "std::string_view error_name(ErrorCode code) {", "  switch (code) {"]
    out += [f'    case ErrorCode::{pascal(name)}: return "{name}";' for _, name, *_ in rows]
    out += ["  }", '  return "UNKNOWN";', "}", "", "bool is_retriable(ErrorCode code) {", "  switch (code) {"]
    out += [f"    case ErrorCode::{pascal(name)}:" for _, name, *flags in rows if "r" in flags]
    out += ["      return true;", "    default:", "      return false;", "  }", "}", "",
            "}  // namespace millrace::wire", ""]
    return out


def api_constant(name):
    return "k" + name


def apis_header(path):
    rows = lines_of(path)
    out = ["// Generated from schema/apis.txt. Every API: its key, its versions, who may serve it.", "#pragma once", "",
           "#include <cstdint>", "#include <span>", "#include <string_view>", "", "namespace millrace::wire {", "",
           "enum class ApiKey : int16_t {"]
    out += [f"  {api_constant(name)} = {key}," for key, name, *_ in rows]
    out += ["};", "", "struct VersionRange {", "  int16_t min = 0;", "  int16_t max = -1;   // below min: not there",
            "  bool empty() const { return max < min; }",
            "  bool contains(int16_t version) const { return min <= version && version <= max; }",
            "  friend bool operator==(const VersionRange&, const VersionRange&) = default;", "};", "",
            "struct ApiInfo {", "  ApiKey key;", "  std::string_view name;",
            "  VersionRange known;          // versions with a codec",
            "  VersionRange on_broker;      // what Apache Kafka advertises on a broker listener",
            "  VersionRange on_controller;  // and on a controller listener",
            "  int16_t first_flexible;      // of the request; 32767: none",
            "  bool forwardable;            // a broker passes it on to the controller",
            "  bool cluster_action;         // between nodes only", "};", "",
            "std::span<const ApiInfo> all_apis();                  // by key",
            "const ApiInfo* find_api(int16_t key);                 // null: no such API",
            "std::string_view api_name(ApiKey key);",
            "int16_t request_header_version(const ApiInfo& api, int16_t version);   // 1, or 2 when flexible",
            "int16_t response_header_version(const ApiInfo& api, int16_t version);  // 0, or 1; ApiVersions: 0",
            "", "}  // namespace millrace::wire", ""]
    return out


def range_text(text):
    first, last = parse_range(text)
    return "{0, -1}" if text == "-" else f"{{{first}, {last}}}"


def apis_source(path, messages):
    flexible = {m.key: m.flexible[0] for m in messages if m.kind == "request"}
    rows = lines_of(path)
    out = ['#include "wire/api_table.h"', "", "namespace millrace::wire {", "namespace {", "",
           "constexpr ApiInfo kApis[] = {"]
    for key, name, known, broker, controller, *flags in rows:
        out.append(f'    {{ApiKey::{api_constant(name)}, "{name}", {range_text(known)}, {range_text(broker)}, '
                   f'{range_text(controller)}, {flexible[int(key)]}, {str("f" in flags).lower()}, '
                   f'{str("c" in flags).lower()}}},')
    out += ["};", "", "}  // namespace", "",
            "std::span<const ApiInfo> all_apis() { return kApis; }", "",
            "const ApiInfo* find_api(int16_t key) {", "  for (const ApiInfo& api : kApis)",
            "    if (static_cast<int16_t>(api.key) == key) return &api;", "  return nullptr;", "}", "",
            "std::string_view api_name(ApiKey key) {",
            "  const ApiInfo* api = find_api(static_cast<int16_t>(key));",
            '  return api ? api->name : "unknown";', "}", "",
            "int16_t request_header_version(const ApiInfo& api, int16_t version) {",
            "  return version >= api.first_flexible ? 2 : 1;", "}", "",
            "int16_t response_header_version(const ApiInfo& api, int16_t version) {",
            "  return api.key != ApiKey::kApiVersions && version >= api.first_flexible ? 1 : 0;", "}", "",
            "}  // namespace millrace::wire", ""]
    return out


def metadata_variant_header(messages):
    names = [m.name for m in messages]
    out = ["// Generated. Any record of __cluster_metadata, in the frame that the log and snapshots use:",
           "// frame version (1), type, version, body.", "#pragma once", "", "#include <variant>", "",
           '#include "base/error.h"', '#include "wire/metadata_records.h"', "", "namespace millrace::wire {", "",
           "// What is dear to compile of a variant of so many is compiled once.",
           "class MetadataRecord : public std::variant<" + ", ".join(names) + "> {", " public:",
           "  using variant::variant;", "  MetadataRecord();", "  MetadataRecord(const MetadataRecord& other);",
           "  MetadataRecord(MetadataRecord&& other) noexcept;",
           "  MetadataRecord& operator=(const MetadataRecord& other);",
           "  MetadataRecord& operator=(MetadataRecord&& other) noexcept;", "  ~MetadataRecord();", "};", "",
           "// kUnsupported for a type or version that we do not know: a node that met one must not go on.",
           "Result<MetadataRecord> decode_metadata_record(ByteView framed);",
           "// `version` is one that the record's type has.",
           "ByteBuffer encode_metadata_record(const MetadataRecord& record, int16_t version);",
           "const char* record_name(const MetadataRecord& record);",
           "std::string to_json(const MetadataRecord& record, int16_t version);", "",
           "}  // namespace millrace::wire", ""]
    return out


def metadata_variant_source(messages):
    out = ['#include "wire/metadata_record.h"', "", "#include <fmt/format.h>", "", '#include "base/assert.h"',
           '#include "wire/reader.h"', '#include "wire/writer.h"', "", "namespace millrace::wire {", "namespace {", "",
           "constexpr uint32_t kFrameVersion = 1;", "",
           "template <class Record>",
           "Result<MetadataRecord> decode_as(Reader& reader, int16_t version) {",
           "  if (version < Record::kMinVersion || version > Record::kMaxVersion)",
           "    return fail(Errc::kUnsupported,",
           '                fmt::format("{} has the unknown version {}", Record::kName, version));',
           "  Record record;", "  read(reader, version, record);", "  RETURN_IF_ERROR(reader.status());",
           "  return MetadataRecord(std::move(record));", "}", "", "}  // namespace", "",
           "MetadataRecord::MetadataRecord() = default;",
           "MetadataRecord::MetadataRecord(const MetadataRecord& other) = default;",
           "MetadataRecord::MetadataRecord(MetadataRecord&& other) noexcept = default;",
           "MetadataRecord& MetadataRecord::operator=(const MetadataRecord& other) = default;",
           "MetadataRecord& MetadataRecord::operator=(MetadataRecord&& other) noexcept = default;",
           "MetadataRecord::~MetadataRecord() = default;", "",
           "Result<MetadataRecord> decode_metadata_record(ByteView framed) {", "  Reader reader(framed);",
           '  const uint32_t frame = reader.uvarint("frame version");',
           '  const uint32_t type = reader.uvarint("type");',
           '  const auto version = static_cast<int16_t>(reader.uvarint("version"));',
           "  RETURN_IF_ERROR(reader.status());", "  if (frame != kFrameVersion)",
           '    return fail(Errc::kUnsupported, fmt::format("metadata frame version {} is unknown", frame));',
           "  switch (type) {"]
    out += [f"    case {m.key}: return decode_as<{m.name}>(reader, version);" for m in messages]
    out += ["  }", '  return fail(Errc::kUnsupported, fmt::format("metadata record type {} is unknown", type));', "}", "",
            "ByteBuffer encode_metadata_record(const MetadataRecord& record, int16_t version) {", "  Writer writer;",
            "  writer.uvarint(kFrameVersion);",
            "  std::visit(", "      [&](const auto& r) {",
            "        writer.uvarint(static_cast<uint32_t>(r.kApiKey));",
            "        writer.uvarint(static_cast<uint32_t>(version));", "        write(writer, version, r);", "      },",
            "      record);",
            '  ASSERT(writer.status().has_value(), "{}: {}", record_name(record), writer.status().error().message);',
            "  return std::move(writer).take();", "}", "",
            "const char* record_name(const MetadataRecord& record) {",
            "  return std::visit([](const auto& r) { return r.kName; }, record);", "}", "",
            "std::string to_json(const MetadataRecord& record, int16_t version) {",
            "  return std::visit([&](const auto& r) { return to_json(version, r); }, record);", "}", "",
            "}  // namespace millrace::wire", ""]
    return out
