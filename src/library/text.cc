#include "library/text.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace millrace::library {
namespace {

// How many characters have to be added, left out or replaced (Levenshtein).
size_t distance(std::string_view left, std::string_view right) {
  std::vector<size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < left.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < right.size(); ++j) {
      const size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// Names are told apart by letters and digits: "group_id" is near "group.id".
std::string plain(std::string_view name) {
  std::string text = lower_case(name);
  std::ranges::replace_if(text, [](unsigned char c) { return std::isalnum(c) == 0; }, '.');
  return text;
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  while (parts.size() > 1 && parts.back().empty()) parts.pop_back();
  return parts;
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::string nearest(std::string_view word, const std::vector<std::string_view>& words) {
  const std::string wanted = plain(word);
  size_t least = 1 + std::max<size_t>(1, word.size() / 4);  // farther is another word
  std::string_view best;
  for (const auto each : words)
    if (const size_t far = distance(wanted, plain(each)); far < least) {
      least = far;
      best = each;
    }
  return std::string(best);
}

}  // namespace millrace::library
