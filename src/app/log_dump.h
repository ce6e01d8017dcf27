// `millrace log dump`: what the files of a log directory hold, Apache Kafka's or ours.
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_log_commands(Command& root);

}  // namespace millrace::app
