#include "app/kafka/topic_filter.h"

#include <algorithm>

namespace millrace::app::kafka {
namespace {

bool is_quote(char c) { return c == '"' || c == '\''; }

}  // namespace

Attempt<TopicFilter> TopicFilter::parse(std::string_view text) {
  std::string pattern(text);
  std::ranges::replace(pattern, ',', '|');
  std::erase(pattern, ' ');
  while (!pattern.empty() && is_quote(pattern.front())) pattern.erase(0, 1);
  while (!pattern.empty() && is_quote(pattern.back())) pattern.pop_back();
  TopicFilter filter;
  try {
    filter.regex_.assign(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error&) {
    return thrown("java.lang.RuntimeException", pattern + " is an invalid regex.");
  }
  return filter;
}

}  // namespace millrace::app::kafka
