#include "app/record_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace millrace::app {
namespace {

using client::core::ConsumedRecord;
using client::core::Header;
using client::core::OutgoingRecord;

constexpr std::string_view kFields = "tpokvshTKS";
constexpr std::string_view kReadable = "pkvshT";

std::string_view text_of(const std::optional<ByteBuffer>& bytes) {
  return bytes ? as_text(*bytes) : std::string_view();
}

// The character that `\x..` and its like stand for; moves `at` behind it.
Result<char> unescape(std::string_view text, size_t& at) {
  const char c = at < text.size() ? text[at++] : '\0';
  switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case '0': return '\0';
    case '\\': return '\\';
    case 'x': {
      uint8_t value = 0;
      const size_t digits = std::min<size_t>(2, text.size() - at);
      const char* begin = text.data() + at;
      const auto [end, failed] = std::from_chars(begin, begin + digits, value, 16);
      if (failed != std::errc{} || end != begin + 2)
        return fail(Errc::kInvalid, "\\x is followed by two hexadecimal digits");
      at += 2;
      return static_cast<char>(value);
    }
    default:
      return fail(Errc::kInvalid, fmt::format("\\{} is no escape; there are \\n \\t \\r \\0 \\\\ "
                                              "\\xHH, and \\c at the end",
                                              c));
  }
}

void print_headers(const std::vector<Header>& headers, std::string& out) {
  for (size_t i = 0; i < headers.size(); ++i) {
    if (i > 0) out += ',';
    out += headers[i].key;
    if (!headers[i].value) continue;
    out += '=';
    out += text_of(headers[i].value);
  }
}

void print_field(char field, const ConsumedRecord& record, std::string& out) {
  switch (field) {
    case 't': out += record.partition.topic; break;
    case 'p': out += std::to_string(record.partition.partition.value()); break;
    case 'o': out += std::to_string(record.offset.value()); break;
    case 'k': out += text_of(record.key); break;
    case 'h': print_headers(record.headers, out); break;
    case 'T': out += std::to_string(record.timestamp.value()); break;
    case 'K': out += record.key ? std::to_string(record.key->size()) : "-1"; break;
    case 'S': out += record.value ? std::to_string(record.value->size()) : "-1"; break;
    default: out += text_of(record.value);
  }
}

template <class T>
Result<T> number(std::string_view text, std::string_view what) {
  T value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size())
    return fail(Errc::kInvalid, fmt::format("'{}' is no {}", text, what));
  return value;
}

Result<> read_field(char field, std::string_view text, OutgoingRecord& record) {
  if (field == 'k') {
    record.key = copy_of(as_bytes(text));
  } else if (field == 'p') {
    ASSIGN_OR_RETURN(const auto index, number<int32_t>(text, "partition"));
    record.partition = PartitionIndex(index);
  } else if (field == 'T') {
    ASSIGN_OR_RETURN(const auto timestamp, number<int64_t>(text, "timestamp in milliseconds"));
    record.timestamp = TimestampMs(timestamp);
  } else if (field == 'h') {
    while (!text.empty()) {
      const size_t comma = text.find(',');
      record.headers.push_back(parse_header(text.substr(0, comma)));
      text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    }
  } else {
    record.value = copy_of(as_bytes(text));
  }
  return {};
}

}  // namespace

Header parse_header(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {std::string(text), std::nullopt};
  return {std::string(text.substr(0, equals)), copy_of(as_bytes(text.substr(equals + 1)))};
}

Result<RecordFormat> RecordFormat::parse(std::string_view text) {
  RecordFormat format;
  auto add_text = [&](char c) {
    if (format.pieces_.empty() || format.pieces_.back().field != 0) format.pieces_.emplace_back();
    format.pieces_.back().text += c;
  };
  if (text.ends_with("\\c")) {
    format.newline_ = false;
    text.remove_suffix(2);
  }
  for (size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c == '\\') {
      ASSIGN_OR_RETURN(const char meant, unescape(text, at));
      add_text(meant);
    } else if (c != '%') {
      add_text(c);
    } else if (at < text.size() && text[at] == '%') {
      add_text(text[at++]);
    } else if (at < text.size() && kFields.contains(text[at])) {
      format.pieces_.push_back({.field = text[at++], .text = {}});
    } else {
      return fail(Errc::kInvalid,
                  fmt::format("%{} is no field; there are %t %p %o %k %v %s %h %T %K %S and %%",
                              text.substr(at, 1)));
    }
  }
  if (!format.pieces_.empty() && format.pieces_.back().text.ends_with('\n'))
    format.newline_ = false;
  return format;
}

void RecordFormat::print(const ConsumedRecord& record, std::string& out) const {
  for (const Piece& piece : pieces_)
    if (piece.field == 0)
      out += piece.text;
    else
      print_field(piece.field, record, out);
  if (newline_) out += '\n';
}

Result<> RecordFormat::check_readable() const {
  std::string seen;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const char field = pieces_[i].field;
    if (field == 0) continue;
    if (!kReadable.contains(field))
      return fail(Errc::kInvalid, fmt::format("%{} cannot be produced", field));
    if (seen.contains(field)) return fail(Errc::kInvalid, fmt::format("%{} is there twice", field));
    if (i > 0 && pieces_[i - 1].field != 0)
      return fail(Errc::kInvalid,
                  fmt::format("nothing separates %{} from %{}", pieces_[i - 1].field, field));
    seen += field;
  }
  return {};
}

Result<> RecordFormat::read(std::string_view line, OutgoingRecord& record) const {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    if (piece.field == 0) {
      if (!line.starts_with(piece.text))
        return fail(Errc::kInvalid, fmt::format("'{}' does not follow", piece.text));
      line.remove_prefix(piece.text.size());
      continue;
    }
    const bool last = i + 1 == pieces_.size();
    const size_t end = last ? line.size() : line.find(pieces_[i + 1].text);
    if (end == std::string_view::npos)
      return fail(Errc::kInvalid,
                  fmt::format("no '{}' ends %{}", pieces_[i + 1].text, piece.field));
    RETURN_IF_ERROR(read_field(piece.field, line.substr(0, end), record));
    line.remove_prefix(end);
  }
  if (!line.empty()) return fail(Errc::kInvalid, fmt::format("'{}' is left over", line));
  return {};
}

}  // namespace millrace::app
