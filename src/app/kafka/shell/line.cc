#include "app/kafka/shell/line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "app/kafka/text.h"

namespace millrace::app::kafka::shell {

Words split_line(std::string_view line) {
  Words words;
  std::string word;
  char quote = '\0';
  bool quoted_word = false;  // the quotes are none of the word's
  bool escapes = false;
  for (const char c : line) {
    const bool escaped = std::exchange(escapes, !escapes && c == '\\');
    if (quote == '\0' && !escaped && (c == '"' || c == '\'')) {
      quote = c;
      quoted_word = word.empty();
      if (!quoted_word) word += c;
    } else if (quote == c && !escaped) {
      if (!quoted_word) word += c;
      quote = '\0';
    } else if (quote == '\0' && !escaped && std::isspace(static_cast<unsigned char>(c))) {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else if (!escapes) {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::optional<std::string> read_line(std::FILE* input) {
  std::string line;
  for (int c = std::getc(input); c != EOF; c = std::getc(input)) {
    if (c == '\n' || c == '\r') return line;
    line += static_cast<char>(c);
  }
  return std::nullopt;
}

void History::add(std::string_view line) {
  constexpr size_t kMost = 500;
  if (line.empty() || line.front() == ' ') return;
  std::string kept = trimmed(line);
  if (!lines_.empty() && lines_.back() == kept) return;
  lines_.push_back(std::move(kept));
  if (lines_.size() <= kMost) return;
  lines_.pop_front();
  ++first_;
}

void History::print(int64_t newest) const {
  const auto there = static_cast<int64_t>(lines_.size());
  for (int64_t i = there - std::clamp<int64_t>(newest, 0, there); i < there; ++i)
    fmt::print("{: 5d}  {}\n", first_ + i, lines_[static_cast<size_t>(i)]);
}

}  // namespace millrace::app::kafka::shell
