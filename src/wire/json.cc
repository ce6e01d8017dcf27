#include "wire/json.h"

#include <fmt/format.h>

namespace millrace::wire {

std::string to_base64(ByteView bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t left = bytes.size() - at;
    uint32_t word = static_cast<uint32_t>(bytes[at]) << 16;
    if (left > 1) word |= static_cast<uint32_t>(bytes[at + 1]) << 8;
    if (left > 2) word |= bytes[at + 2];
    text.push_back(kDigits[word >> 18]);
    text.push_back(kDigits[(word >> 12) & 63]);
    text.push_back(left > 1 ? kDigits[(word >> 6) & 63] : '=');
    text.push_back(left > 2 ? kDigits[word & 63] : '=');
  }
  return text;
}

void JsonWriter::separate() {
  if (needs_comma_) text_.push_back(',');
  needs_comma_ = true;
}

void JsonWriter::open(char bracket) {
  separate();
  text_.push_back(bracket);
  needs_comma_ = false;
}

void JsonWriter::close(char bracket) {
  text_.push_back(bracket);
  needs_comma_ = true;
}

void JsonWriter::name(std::string_view name) {
  value(name);
  text_.push_back(':');
  needs_comma_ = false;
}

void JsonWriter::value(int64_t number) {
  separate();
  text_ += fmt::format("{}", number);
}

void JsonWriter::value(double number) {
  separate();
  const std::string text = fmt::format("{}", number);
  text_ += text;
  if (text.find_first_of(".en") == std::string::npos) text_ += ".0";  // no integer
}

void JsonWriter::value(bool truth) {
  separate();
  text_ += truth ? "true" : "false";
}

void JsonWriter::value(std::string_view text) {
  separate();
  text_.push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\')
      text_ += fmt::format("\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20)
      text_ += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      text_.push_back(c);
  }
  text_.push_back('"');
}

void JsonWriter::value(ByteView bytes) { value(std::string_view(to_base64(bytes))); }

void JsonWriter::value(const Records& records) {
  if (records.null) return null();
  value(records.bytes);
}

void JsonWriter::null() {
  separate();
  text_ += "null";
}

}  // namespace millrace::wire
