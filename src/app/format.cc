#include "app/format.h"

#include <fmt/format.h>

#include "app/start.h"
#include "runtime/host.h"
#include "storage/log_directory.h"

namespace millrace::app {
namespace {

Result<> format_directory(env::Disk& disk, const std::string& path,
                          const storage::MetaProperties& identity, bool ignore_formatted) {
  auto found = storage::LogDirectory::read_identity(disk, path);
  if (found && !ignore_formatted)
    return fail(Errc::kExists,
                fmt::format("Log directory {} is already formatted. Use --ignore-formatted "
                            "to ignore this directory and format the others.",
                            path));
  if (found) {
    fmt::print("All of the log directories are already formatted.\n");
    return {};
  }
  if (found.error().code != Errc::kNotFound) return std::unexpected(std::move(found).error());
  RETURN_IF_ERROR(disk.make_directories(path));
  RETURN_IF_ERROR(env::write_file_atomically(disk, path + "/meta.properties",
                                             as_bytes(storage::print_meta_properties(identity))));
  fmt::print("Formatting metadata directory {} with metadata.version 4.3-IV0.\n", path);
  return {};
}

Result<> format_all(const FormatOptions& options) {
  ASSIGN_OR_RETURN(auto properties, load_properties({.properties_file = options.properties_file}));
  RETURN_IF_ERROR(Uuid::parse(options.cluster_id));
  runtime::PosixDisk disk;
  runtime::SystemRandom random;
  std::vector<std::string> paths = properties.list("log.dirs");
  if (paths.empty()) paths = properties.list("log.dir");
  for (const std::string& path : paths)
    RETURN_IF_ERROR(
        format_directory(disk, path,
                         {.cluster_id = options.cluster_id,
                          .node_id = NodeId(static_cast<int32_t>(properties.number("node.id"))),
                          .directory_id = Uuid::from_random({random.next(), random.next()})},
                         options.ignore_formatted));
  return {};
}

}  // namespace

int format(const FormatOptions& options) {
  if (auto formatted = format_all(options); !formatted) {
    fmt::print(stderr, "{}\n", formatted.error().message);
    return 1;
  }
  return 0;
}

}  // namespace millrace::app
