#include "app/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <vector>

#include "wire/json.h"

namespace millrace::app {
namespace {

std::string title_of(std::string_view key) {
  std::string title(key);
  std::ranges::transform(title, title.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::toupper(c));
  });
  return title;
}

std::string cell_of(const json::value& value) {
  if (value.is_null()) return "-";
  if (value.is_bool()) return value.as_bool() ? "yes" : "no";
  if (value.is_string()) return value.as_string().empty() ? "-" : std::string(value.as_string());
  if (!value.is_array()) return json::serialize(value);
  std::string cell;
  for (const auto& each : value.as_array()) cell += (cell.empty() ? "" : ",") + cell_of(each);
  return cell.empty() ? "-" : cell;
}

std::string cell_of(const json::object& row, std::string_view key) {
  const json::value* value = row.if_contains(key);
  return value == nullptr ? "-" : cell_of(*value);
}

// Characters, not bytes, as far as UTF-8 goes.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

using Line = std::vector<std::string>;

void print_aligned(const std::vector<Line>& lines) {
  std::vector<size_t> widths;
  for (const Line& line : lines)
    for (size_t i = 0; i < line.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], width_of(line[i]));
    }
  for (const Line& line : lines) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text.append(widths[i] - width_of(line[i]) + 2, ' ');
    }
    fmt::print("{}\n", text);
  }
}

bool is_table(const json::value& value) {
  return value.is_object() ||
         (value.is_array() && !value.as_array().empty() && value.as_array()[0].is_object());
}

// The number of bytes of the character that begins at `at`, 0: it is not one.
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const uint8_t first = byte(at);
  const size_t length = first < 0x80                     ? 1
                        : first >= 0xC2 && first <= 0xDF ? 2
                        : (first & 0xF0) == 0xE0         ? 3
                        : first >= 0xF0 && first <= 0xF4 ? 4
                                                         : 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  const uint8_t second = byte(at + 1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool beyond = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || beyond ? 0 : length;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

}  // namespace

void print_rows(OutputFormat format, const json::array& rows, Columns columns) {
  if (format == OutputFormat::kJson) {
    fmt::print("[");
    for (size_t i = 0; i < rows.size(); ++i)
      fmt::print("{}\n  {}", i == 0 ? "" : ",", json::serialize(rows[i]));
    fmt::print("{}]\n", rows.empty() ? "" : "\n");
    return;
  }
  std::vector<Line> lines(1);
  for (std::string_view key : columns) lines[0].push_back(title_of(key));
  for (const auto& row : rows) {
    Line& line = lines.emplace_back();
    for (std::string_view key : columns) line.push_back(cell_of(row.as_object(), key));
  }
  print_aligned(lines);
}

void print_object(OutputFormat format, const json::object& object) {
  if (format == OutputFormat::kJson) return print_line(object);
  std::vector<Line> lines;
  for (const auto& [key, value] : object)
    if (!is_table(value)) lines.push_back({title_of(key), cell_of(value)});
  print_aligned(lines);
}

void print_line(const json::value& value) { fmt::print("{}\n", json::serialize(value)); }

JsonText json_text(std::string_view bytes) {
  if (is_utf8(bytes)) return {std::string(bytes), false};
  return {wire::to_base64(as_bytes(bytes)), true};
}

}  // namespace millrace::app
