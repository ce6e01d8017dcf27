#include "app/kafka/json_file.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <sstream>
#include <utility>

#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

namespace json = boost::json;

std::unexpected<Ending> mapping_exception(std::string message) {
  return thrown("com.fasterxml.jackson.databind.JsonMappingException", std::move(message));
}

std::unexpected<Ending> expected(std::string_view what, const json::value& value) {
  return mapping_exception(fmt::format("Expected {}, received {}", what, json::serialize(value)));
}

template <class Number>
Attempt<Number> number_in(const json::value& value, std::string_view java_type) {
  if (value.is_int64() && std::in_range<Number>(value.as_int64()))
    return static_cast<Number>(value.as_int64());
  return expected(fmt::format("`{}` value", java_type), value);
}

void add_text(std::string_view text, std::string& to) {
  to += '"';
  for (const char c : text) {
    switch (c) {
      case '"': to += "\\\""; break;
      case '\\': to += "\\\\"; break;
      case '\b': to += "\\b"; break;
      case '\t': to += "\\t"; break;
      case '\n': to += "\\n"; break;
      case '\f': to += "\\f"; break;
      case '\r': to += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          to += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
        else
          to += c;
    }
  }
  to += '"';
}

void add_json(const boost::json::value& value, std::string& to) {
  if (const auto* object = value.if_object()) {
    to += '{';
    for (const auto& [name, each] : *object) {
      if (to.back() != '{') to += ',';
      add_text(name, to);
      to += ':';
      add_json(each, to);
    }
    to += '}';
  } else if (const auto* array = value.if_array()) {
    to += '[';
    for (const auto& each : *array) {
      if (&each != array->data()) to += ',';
      add_json(each, to);
    }
    to += ']';
  } else if (const auto* text = value.if_string()) {
    add_text(*text, to);
  } else if (value.is_bool()) {
    to += value.as_bool() ? "true" : "false";
  } else if (value.is_double()) {
    to += java_double(value.as_double());
  } else if (value.is_null()) {
    to += "null";
  } else {
    to += value.is_int64() ? std::to_string(value.as_int64()) : std::to_string(value.as_uint64());
  }
}

}  // namespace

std::string java_json(const boost::json::value& value) {
  std::string text;
  add_json(value, text);
  return text;
}

Attempt<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return thrown("java.io.IOException", "Unable to read file " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<json::value> parse_json(std::string_view text) {
  boost::system::error_code failed;
  auto value = json::parse(text, failed);
  if (failed) return std::nullopt;
  return value;
}

std::optional<json::object> parse_json_object(std::string_view text) {
  auto value = parse_json(text);
  if (!value || !value->is_object()) return std::nullopt;
  return std::move(value->as_object());
}

Attempt<const json::object*> object_in(const json::value& value) {
  if (value.is_object()) return &value.as_object();
  return expected("JSON object", value);
}

Attempt<const json::array*> array_in(const json::value& value) {
  if (value.is_array()) return &value.as_array();
  return expected("JSON array", value);
}

Attempt<std::string> text_in(const json::value& value) {
  if (value.is_string()) return std::string(value.as_string());
  return expected("`String` value", value);
}

Attempt<int32_t> int_in(const json::value& value) { return number_in<int32_t>(value, "Integer"); }
Attempt<int64_t> long_in(const json::value& value) { return number_in<int64_t>(value, "Long"); }

Attempt<const json::value*> member_of(const json::value& value, std::string_view name) {
  ASSIGN_OR_RETURN(const auto* object, object_in(value));
  if (const auto* member = object->if_contains(name)) return member;
  return mapping_exception(fmt::format("No such field exists: `{}`", name));
}

Attempt<TopicPartition> partition_of(const json::value& value) {
  ASSIGN_OR_RETURN(const auto* topic, member_of(value, "topic"));
  ASSIGN_OR_RETURN(std::string name, text_in(*topic));
  ASSIGN_OR_RETURN(const auto* index, member_of(value, "partition"));
  ASSIGN_OR_RETURN(const int32_t partition, int_in(*index));
  return TopicPartition{std::move(name), PartitionIndex(partition)};
}

Attempt<> check_version(const json::value& value) {
  ASSIGN_OR_RETURN(const auto* object, object_in(value));
  const auto* member = object->if_contains("version");
  if (member == nullptr) return {};
  ASSIGN_OR_RETURN(const int32_t version, int_in(*member));
  if (version == 1) return {};
  return thrown(kAdminOperationException,
                fmt::format("Not supported version field value {}", version));
}

}  // namespace millrace::app::kafka
