// The commands of the shell: cat, find, ls and tree, and where somebody types them also cd, exit,
// help, history, man and pwd. What they find and what is wrong with their words goes to standard
// output.
// Not here: where commands come from (app/kafka/metadata_shell.cc).
#pragma once

#include <optional>
#include <string>

#include "app/kafka/ending.h"
#include "app/kafka/options.h"
#include "app/kafka/shell/line.h"
#include "app/kafka/shell/node.h"

namespace millrace::app::kafka::shell {

struct Session {
  const Node& root;
  std::string working_directory = "/";
  const History* history = nullptr;  // null: nobody types commands
  int screen_width = 0;              // 0: entries of a folder go below each other
};

// Errors: exceptions of folders that name what they do not have; exit ends with status 0.
Attempt<> run_command(Session& session, Words words);

}  // namespace millrace::app::kafka::shell
