// `millrace config ...`: configs of topics, brokers and groups.
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_config_commands(Command& root);

}  // namespace millrace::app
