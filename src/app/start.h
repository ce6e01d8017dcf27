// `millrace start`: reads the configuration, wires runtime, node and server, runs until SIGTERM or
// SIGINT.
#pragma once

#include <map>
#include <string>

#include "app/command.h"
#include "base/error.h"
#include "config/properties.h"

namespace millrace::app {

struct StartOptions {
  std::string properties_file;                   // empty: the embedded default
  std::map<std::string, std::string> overrides;  // --override name=value
  std::string cluster_id;
};

// The configuration: the file (or, without one, the embedded default), over it KAFKA_* of the
// environment (config::parse_environment), over both the overrides.
Result<config::NodeProperties> load_properties(const StartOptions& options);

// Returns the process's exit status.
int start(const StartOptions& options);

void add_start_command(Command& root);
// Its arguments and its action, for a command that does nothing else.
void add_start_arguments(Command& command, Command::Count files);

// Where this program's file is, absolute.
std::string program_path();

}  // namespace millrace::app
