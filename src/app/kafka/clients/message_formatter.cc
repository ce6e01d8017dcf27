#include "app/kafka/clients/message_formatter.h"

#include <fmt/format.h>

#include <bit>

#include "app/kafka/text.h"
#include "base/bytes.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::ConsumedRecord;
using Decode = std::function<std::string(ByteView)>;

constexpr std::string_view kFormatters = "org.apache.kafka.tools.consumer.";
constexpr std::string_view kDeserializers = "org.apache.kafka.common.serialization.";

std::string raw(ByteView bytes) { return std::string(as_text(bytes)); }

template <class T>
std::string big_endian(ByteView bytes) {
  // Java's deserializers refuse other sizes; what cannot be read is shown as it is.
  return bytes.size() == sizeof(T) ? fmt::format("{}", load_big<T>(bytes.data())) : raw(bytes);
}

std::string decoded_double(ByteView bytes) {
  if (bytes.size() != sizeof(uint64_t)) return raw(bytes);
  return java_double(std::bit_cast<double>(load_big<uint64_t>(bytes.data())));
}

std::string decoded_bool(ByteView bytes) {
  if (bytes.size() != 1) return raw(bytes);
  return bytes[0] != 0 ? "true" : "false";
}

// Nothing: there is no such deserializer; it is told, and bytes are shown as they are.
Decode deserializer(const Properties& properties, std::string_view name) {
  const auto found = properties.find(name);
  if (found == properties.end()) return raw;
  std::string_view type = found->second;
  if (type.starts_with(kDeserializers)) type.remove_prefix(kDeserializers.size());
  if (type == "StringDeserializer") return raw;
  if (type == "IntegerDeserializer") return big_endian<int32_t>;
  if (type == "LongDeserializer") return big_endian<int64_t>;
  if (type == "ShortDeserializer") return big_endian<int16_t>;
  if (type == "DoubleDeserializer") return decoded_double;
  if (type == "BooleanDeserializer") return decoded_bool;
  log_line("ERROR", fmt::format("Unable to instantiate a deserializer from {}", found->second),
           "org.apache.kafka.tools.consumer.DefaultMessageFormatter");
  return raw;
}

class DefaultFormatter {
 public:
  explicit DefaultFormatter(const Properties& properties)
      : timestamp_(is_set(properties, "print.timestamp")),
        key_(is_set(properties, "print.key")),
        value_(!properties.contains("print.value") || is_set(properties, "print.value")),
        partition_(is_set(properties, "print.partition")),
        offset_(is_set(properties, "print.offset")),
        delivery_(is_set(properties, "print.delivery")),
        epoch_(is_set(properties, "print.epoch")),
        headers_(is_set(properties, "print.headers")),
        key_separator_(text(properties, "key.separator", "\t")),
        line_separator_(text(properties, "line.separator", "\n")),
        headers_separator_(text(properties, "headers.separator", ",")),
        null_(text(properties, "null.literal", "null")),
        decode_key_(deserializer(properties, "key.deserializer")),
        decode_value_(deserializer(properties, "value.deserializer")),
        decode_headers_(deserializer(properties, "headers.deserializer")) {}

  void operator()(const ConsumedRecord& record, std::string& out) const {
    std::vector<std::string> columns;
    if (timestamp_)
      columns.push_back(record.timestamp == kNoTimestamp
                            ? "NO_TIMESTAMP"
                            : fmt::format("{}:{}",
                                          record.is_append_time ? "LogAppendTime" : "CreateTime",
                                          record.timestamp));
    if (partition_) columns.push_back(fmt::format("Partition:{}", record.partition.partition));
    if (offset_) columns.push_back(fmt::format("Offset:{}", record.offset));
    if (delivery_)
      columns.push_back(record.delivery_count ? fmt::format("Delivery:{}", *record.delivery_count)
                                              : "Delivery:NOT_PRESENT");
    if (epoch_) columns.emplace_back("Epoch:NOT_PRESENT");
    if (headers_) columns.push_back(headers_of(record));
    if (key_) columns.push_back(decoded(record.key, decode_key_));
    if (value_) columns.push_back(decoded(record.value, decode_value_));
    out += fmt::format("{}", fmt::join(columns, key_separator_));
    if (!columns.empty()) out += line_separator_;
  }

 private:
  static bool is_set(const Properties& properties, std::string_view name) {
    const auto found = properties.find(name);
    return found != properties.end() && lower_case(trimmed(found->second)) == "true";
  }
  static std::string text(const Properties& properties, std::string_view name,
                          std::string_view otherwise) {
    const auto found = properties.find(name);
    return found == properties.end() ? std::string(otherwise) : found->second;
  }

  std::string decoded(const std::optional<ByteBuffer>& bytes, const Decode& decode) const {
    return decode(bytes ? ByteView(*bytes) : as_bytes(null_));
  }

  std::string headers_of(const ConsumedRecord& record) const {
    if (record.headers.empty()) return "NO_HEADERS";
    std::vector<std::string> headers;
    for (const auto& header : record.headers)
      headers.push_back(fmt::format("{}:{}", header.key, decoded(header.value, decode_headers_)));
    return fmt::format("{}", fmt::join(headers, headers_separator_));
  }

  bool timestamp_, key_, value_, partition_, offset_, delivery_, epoch_, headers_;
  std::string key_separator_, line_separator_, headers_separator_, null_;
  Decode decode_key_, decode_value_, decode_headers_;
};

void log_record(const ConsumedRecord& record) {
  const auto time =
      record.timestamp == kNoTimestamp
          ? ""
          : fmt::format("{}:{}, ", record.is_append_time ? "LogAppendTime" : "CreateTime",
                        record.timestamp);
  log_line("INFO",
           fmt::format("{}key:{}value:{}", time,
                       record.key ? fmt::format("{}, ", as_text(*record.key)) : "null ",
                       record.value ? as_text(*record.value) : "null"),
           "org.apache.kafka.tools.consumer.LoggingMessageFormatter");
}

}  // namespace

Attempt<MessageFormatter> make_formatter(const std::string& name, const Properties& properties) {
  std::string_view type = name;
  if (type.starts_with(kFormatters)) type.remove_prefix(kFormatters.size());
  if (type == "DefaultMessageFormatter") return DefaultFormatter(properties);
  if (type == "LoggingMessageFormatter")
    return [plain = DefaultFormatter(properties)](const ConsumedRecord& record, std::string& out) {
      plain(record, out);
      log_record(record);
    };
  if (type == "NoOpMessageFormatter") return [](const ConsumedRecord&, std::string&) {};
  return thrown("java.lang.ClassNotFoundException", name);
}

}  // namespace millrace::app::kafka::clients
