// kafka-storage.sh: `format` gives the log directories of a node their meta.properties and
// bootstrap.checkpoint, and that of the metadata log the snapshot that names the first voters, if
// this node is told them; `info` says what they are.
// Not here: what a start does to a directory that is not formatted (storage/log_directory, node).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command.h"

namespace millrace::app {

struct FormatOptions {
  std::string cluster_id;
  std::string properties_file;
  bool ignore_formatted = false;
  // Who the first voters of a quorum are that controller.quorum.voters does not name: one of the
  // three. Kafka's script wants controllers to be told; `millrace format` takes the node itself.
  bool voters_must_be_told = true;
  bool standalone = false;
  bool no_initial_controllers = false;             // they are known elsewhere: it joins them
  std::optional<std::string> initial_controllers;  // app/initial_controllers
  std::string release_version;                     // of the first metadata.version
  std::vector<std::string> features;               // NAME=LEVEL, of a new cluster
  std::vector<std::string> scram;
};

// Returns the process's exit status; prints what it formatted, or why it could not.
int format(const FormatOptions& options);

// `millrace format`.
void add_format_command(Command& root);
// What kafka-storage.sh has: format, info, random-uuid.
void add_storage_commands(Command& root);

}  // namespace millrace::app
