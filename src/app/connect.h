// The options that every command which talks to a cluster has: where it is, how long to wait, how
// to print.
#pragma once

#include "app/command.h"
#include "app/output.h"
#include "app/session.h"

namespace millrace::app {

struct Target {
  Connect connect;
  std::string output = "table";
  OutputFormat format() const {
    return output == "json" ? OutputFormat::kJson : OutputFormat::kTable;
  }
};

void add_target(Command& command, Target& target);

// Runs `work` with a session to the target; the exit status.
template <class Work>
int with_session(const Target& target, Work work) {
  auto session = Session::open(target.connect);
  if (!session) return exit_status(std::unexpected(session.error()));
  return exit_status(work(**session));
}

}  // namespace millrace::app
