// `millrace produce`: lines of standard input become records.
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_produce_command(Command& root);

}  // namespace millrace::app
