// `millrace topic ...`: topics, their partitions and what is in them.
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_topic_commands(Command& root);

// "name=value" taken apart, as --config of several commands takes it.
struct Setting {
  std::string name;
  std::string value;
};
std::optional<Setting> parse_setting(std::string_view text);

}  // namespace millrace::app
