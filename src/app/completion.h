// `millrace completion bash|zsh|fish`: a script for the shell, made of the tree of commands, which
// completes their names, options and choices.
#pragma once

#include "app/command.h"

namespace millrace::app {

// `root` outlives what its commands do.
void add_completion_command(Command& root);

}  // namespace millrace::app
