// `kafka-storage.sh format`: gives the log directories of a node their meta.properties and
// bootstrap.checkpoint, and that of the metadata log the snapshot that names its first voter.
#pragma once

#include <string>

namespace millrace::app {

struct FormatOptions {
  std::string cluster_id;
  std::string properties_file;
  bool ignore_formatted = false;
};

// Returns the process's exit status; prints what it formatted, or why it could not.
int format(const FormatOptions& options);

}  // namespace millrace::app
