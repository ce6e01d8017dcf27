#include "app/kafka/groups/csv.h"

#include <algorithm>

namespace millrace::app::kafka::groups {

std::string csv_line(const std::vector<std::string>& cells) {
  constexpr size_t kLongestPlain = 24;
  std::string line;
  for (const auto& cell : cells) {
    if (!line.empty()) line += ',';
    const bool plain = cell.size() <= kLongestPlain &&
                       std::ranges::none_of(cell, [](char c) { return c >= 0 && c < '-'; });
    if (plain) {
      line += cell;
      continue;
    }
    line += '"';
    for (const char c : cell) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  return line + "\n";
}

std::vector<std::string> parse_csv_line(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    if (c == '"') {
      const bool doubled = quoted && at + 1 < line.size() && line[at + 1] == '"';
      if (doubled) cells.back() += line[++at];
      if (!doubled) quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back() += c;
    }
  }
  return cells;
}

}  // namespace millrace::app::kafka::groups
