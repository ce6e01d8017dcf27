#include "app/format.h"

#include <fmt/format.h>

#include <chrono>

#include "app/listeners.h"
#include "app/start.h"
#include "config/directories.h"
#include "controller/controller.h"
#include "node/metadata_snapshot.h"
#include "node/random_uuid.h"
#include "runtime/host.h"
#include "storage/log_directory.h"

namespace millrace::app {
namespace {

TimestampMs wall_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return TimestampMs(std::chrono::duration_cast<milliseconds>(now).count());
}

// What is to become of one of the log directories.
struct DirectoryPlan {
  std::string kind;  // in Kafka's words
  bool ignore_formatted = false;
  std::optional<metadata::Endpoint> first_voter;  // of the metadata log's directory
};

// A dynamic quorum's first voter is the node itself: the snapshot that says so makes it one.
Result<> write_first_voter(env::Disk& disk, const std::string& log_dir,
                           const storage::MetaProperties& identity,
                           const metadata::Endpoint& endpoint) {
  const std::string directory = log_dir + "/__cluster_metadata-0";
  RETURN_IF_ERROR(disk.make_directories(directory));
  raft::VoterSet voters;
  voters.voters[identity.node_id] = {
      .directory_id = *identity.directory_id,
      .endpoints = {{endpoint.listener, endpoint.host, endpoint.port}}};
  return node::write_snapshot_file(disk, directory + "/" + raft::snapshot_name({}),
                                   node::first_snapshot(std::move(voters), wall_now()));
}

Result<> format_directory(env::Disk& disk, const std::string& path,
                          const storage::MetaProperties& identity, const DirectoryPlan& plan) {
  auto found = storage::LogDirectory::read_identity(disk, path);
  if (found && !plan.ignore_formatted)
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
  RETURN_IF_ERROR(node::write_snapshot_file(
      disk, path + "/bootstrap.checkpoint",
      node::bootstrap_checkpoint(controller::Controller::bootstrap_records(), wall_now())));
  if (plan.first_voter) RETURN_IF_ERROR(write_first_voter(disk, path, identity, *plan.first_voter));
  fmt::print("Formatting {} {} with metadata.version 4.3-IV0.\n", plan.kind, path);
  return {};
}

// Where voters are configured they are not written down: controller.quorum.voters says them at each
// start.
DirectoryPlan plan_for(const config::NodeProperties& properties, bool has_metadata_log,
                       const metadata::Endpoint& controller) {
  if (!has_metadata_log) return {.kind = "data directory"};
  if (!properties.list("controller.quorum.voters").empty()) return {.kind = "metadata directory"};
  return {.kind = "dynamic metadata voter directory", .first_voter = controller};
}

Result<> format_all(const FormatOptions& options) {
  ASSIGN_OR_RETURN(auto properties, load_properties({.properties_file = options.properties_file}));
  RETURN_IF_ERROR(Uuid::parse(options.cluster_id));
  ASSIGN_OR_RETURN(const auto listeners, read_listeners(properties));
  runtime::PosixDisk disk;
  runtime::SystemRandom random;
  const std::string metadata_path = config::metadata_directory(properties);
  for (const std::string& path : config::all_directories(properties)) {
    DirectoryPlan plan =
        plan_for(properties, path == metadata_path, listeners.controller_endpoint());
    plan.ignore_formatted = options.ignore_formatted;
    RETURN_IF_ERROR(
        format_directory(disk, path,
                         {.cluster_id = options.cluster_id,
                          .node_id = NodeId(static_cast<int32_t>(properties.number("node.id"))),
                          .directory_id = node::random_uuid(random)},
                         plan));
  }
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
