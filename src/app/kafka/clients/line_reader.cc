#include "app/kafka/clients/line_reader.h"

#include <fmt/format.h>

#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

constexpr std::string_view kKafkaException = "org.apache.kafka.common.KafkaException";

std::unexpected<Ending> kafka_exception(std::string message) {
  return thrown(kKafkaException, std::move(message));
}

bool is_true(const std::string& text) { return lower_case(trimmed(text)) == "true"; }

}  // namespace

Attempt<LineReader> LineReader::configure(const Properties& properties) {
  LineReader reader;
  const auto take = [&](std::string_view name, auto use) {
    if (const auto found = properties.find(name); found != properties.end()) use(found->second);
  };
  take("parse.key", [&](const auto& text) { reader.parse_key_ = is_true(text); });
  take("key.separator", [&](const auto& text) { reader.key_separator_ = text; });
  take("parse.headers", [&](const auto& text) { reader.parse_headers_ = is_true(text); });
  take("headers.delimiter", [&](const auto& text) { reader.headers_delimiter_ = text; });
  take("headers.separator", [&](const auto& text) { reader.headers_separator_ = text; });
  take("headers.key.separator", [&](const auto& text) { reader.header_key_separator_ = text; });
  take("ignore.error", [&](const auto& text) { reader.ignore_error_ = is_true(text); });
  take("null.marker", [&](const auto& text) { reader.null_marker_ = text; });
  if (reader.headers_delimiter_ == reader.headers_separator_)
    return kafka_exception("headers.delimiter and headers.separator may not be equal");
  if (reader.headers_delimiter_ == reader.header_key_separator_)
    return kafka_exception("headers.delimiter and headers.key.separator may not be equal");
  if (reader.headers_separator_ == reader.header_key_separator_)
    return kafka_exception("headers.separator and headers.key.separator may not be equal");
  if (reader.is_null(reader.key_separator_))
    return kafka_exception("null.marker and key.separator may not be equal");
  if (reader.is_null(reader.headers_separator_))
    return kafka_exception("null.marker and headers.separator may not be equal");
  if (reader.is_null(reader.headers_delimiter_))
    return kafka_exception("null.marker and headers.delimiter may not be equal");
  if (reader.is_null(reader.header_key_separator_))
    return kafka_exception("null.marker and headers.key.separator may not be equal");
  return reader;
}

std::optional<ByteBuffer> LineReader::bytes_of(std::string_view text) const {
  if (is_null(text)) return std::nullopt;
  return copy_of(as_bytes(text));
}

Attempt<LineReader::Part> LineReader::take(
    bool parsed, std::string_view line, size_t begin,
    const std::pair<std::string, std::string_view>& separator) const {
  if (!parsed) return Part{.text = std::nullopt, .next = begin};
  const size_t at = line.find(separator.first, begin);
  if (at != std::string_view::npos)
    return Part{.text = line.substr(begin, at - begin), .next = at + separator.first.size()};
  if (ignore_error_) return Part{.text = std::nullopt, .next = begin};
  return kafka_exception(
      fmt::format("No {} found on line number {}: '{}'", separator.second, line_number_, line));
}

Attempt<> LineReader::add_headers(std::string_view text,
                                  client::core::OutgoingRecord& record) const {
  while (!text.empty()) {
    const size_t end = text.find(headers_separator_);
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size()
                                                     : end + headers_separator_.size());
    const size_t at = pair.find(header_key_separator_);
    if (at == std::string_view::npos) {
      if (!ignore_error_)
        return kafka_exception(fmt::format(
            "No header key separator found in pair '{}' on line number {}", pair, line_number_));
      record.headers.push_back({std::string(pair), std::nullopt});
      continue;
    }
    const std::string_view key = pair.substr(0, at);
    if (is_null(key))
      return kafka_exception(
          fmt::format("Header keys should not be equal to the null marker '{}' as they can't be "
                      "null",
                      *null_marker_));
    record.headers.push_back(
        {std::string(key), bytes_of(pair.substr(at + header_key_separator_.size()))});
  }
  return {};
}

Attempt<client::core::OutgoingRecord> LineReader::read(std::string_view line) {
  ++line_number_;
  client::core::OutgoingRecord record{.tag = line_number_};
  ASSIGN_OR_RETURN(const auto headers,
                   take(parse_headers_, line, 0, {headers_delimiter_, "headers delimiter"}));
  ASSIGN_OR_RETURN(const auto key,
                   take(parse_key_, line, headers.next, {key_separator_, "key separator"}));
  if (key.text) record.key = bytes_of(*key.text);
  record.value = bytes_of(line.substr(key.next));
  if (headers.text && !is_null(*headers.text)) RETURN_IF_ERROR(add_headers(*headers.text, record));
  return record;
}

}  // namespace millrace::app::kafka::clients
