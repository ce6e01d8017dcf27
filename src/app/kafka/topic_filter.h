// Topics by regular expression, as the scripts have it: Java's syntax as far as ECMAScript's goes
// along, the whole name, commas for alternatives.
#pragma once

#include <regex>
#include <string>
#include <string_view>

#include "app/kafka/ending.h"

namespace millrace::app::kafka {

class TopicFilter {
 public:
  static Attempt<TopicFilter> parse(std::string_view text);
  bool allows(const std::string& topic) const { return std::regex_match(topic, regex_); }

 private:
  std::regex regex_;
};

}  // namespace millrace::app::kafka
