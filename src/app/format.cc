#include "app/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "app/first_features.h"
#include "app/initial_controllers.h"
#include "app/listeners.h"
#include "app/random_id.h"
#include "app/start.h"
#include "config/directories.h"
#include "config/node_rules.h"
#include "node/metadata_snapshot.h"
#include "runtime/host.h"
#include "storage/log_directory.h"

namespace millrace::app {
namespace {

TimestampMs wall_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return TimestampMs(std::chrono::duration_cast<milliseconds>(now).count());
}

// What is to become of the log directories.
struct Plan {
  std::string cluster_id;
  NodeId node_id = kNoNode;
  bool ignore_formatted = false;
  std::string metadata_directory;
  std::optional<raft::VoterSet> voters;  // what the first snapshot of a dynamic quorum names
  FirstFeatures features;

  bool is_voter() const { return voters && voters->contains(node_id); }
  std::string_view kind_of(const std::string& path) const {  // in Kafka's words
    if (path != metadata_directory) return "data directory";
    if (!voters) return "metadata directory";
    return is_voter() ? "dynamic metadata voter directory" : "dynamic metadata directory";
  }
  // A voter's directory is the one that the snapshot names.
  Uuid directory_id(const std::string& path) const {
    const bool is_named = path == metadata_directory && is_voter();
    return is_named ? voters->voters.at(node_id).directory_id : random_id();
  }
};

Result<> write_first_snapshot(env::Disk& disk, const std::string& log_dir,
                              const raft::VoterSet& voters) {
  const std::string directory = log_dir + "/__cluster_metadata-0";
  RETURN_IF_ERROR(disk.make_directories(directory));
  return node::write_snapshot_file(disk, directory + "/" + raft::snapshot_name({}),
                                   node::first_snapshot(voters, wall_now()));
}

Result<> format_directory(env::Disk& disk, const std::string& path, const Plan& plan) {
  const storage::MetaProperties identity{.cluster_id = plan.cluster_id,
                                         .node_id = plan.node_id,
                                         .directory_id = plan.directory_id(path)};
  RETURN_IF_ERROR(disk.make_directories(path));
  RETURN_IF_ERROR(env::write_file_atomically(disk, path + "/meta.properties",
                                             as_bytes(storage::print_meta_properties(identity))));
  RETURN_IF_ERROR(
      node::write_snapshot_file(disk, path + "/bootstrap.checkpoint",
                                node::bootstrap_checkpoint(plan.features.records(), wall_now())));
  if (plan.voters && path == plan.metadata_directory)
    RETURN_IF_ERROR(write_first_snapshot(disk, path, *plan.voters));
  fmt::print("Formatting {} {} with metadata.version {}.\n", plan.kind_of(path), path,
             plan.features.release_name());
  return {};
}

Result<> check_told(const FormatOptions& options, const config::NodeProperties& properties) {
  const bool are_configured = !properties.list("controller.quorum.voters").empty();
  const bool are_given = options.standalone || options.initial_controllers;
  const bool is_controller = config::has_role(properties, "controller");
  if (are_given + options.no_initial_controllers > 1 ||
      (options.standalone && options.initial_controllers))
    return fail(Errc::kInvalid,
                "--standalone, --initial-controllers and --no-initial-controllers: only one of "
                "them can be given.");
  if (are_configured && are_given)
    return fail(Errc::kInvalid,
                "You cannot specify controller.quorum.voters and format the node with "
                "--initial-controllers or --standalone. If you want to use dynamic quorum, please "
                "remove controller.quorum.voters and specify controller.quorum.bootstrap.servers "
                "instead.");
  if (options.standalone && !is_controller)
    return fail(Errc::kInvalid, "You can only use --standalone on a controller.");
  if (!options.scram.empty())
    return fail(Errc::kUnsupported, "This version has no SASL: --add-scram cannot be used.");
  if (is_controller && !are_configured && !are_given && !options.no_initial_controllers &&
      options.voters_must_be_told)
    return fail(Errc::kInvalid,
                "Because controller.quorum.voters is not set on this controller, you must specify "
                "one of the following: --standalone, --initial-controllers, or "
                "--no-initial-controllers.");
  return {};
}

Result<> check_kraft_version(const FirstFeatures& features, bool is_dynamic) {
  const auto asked = features.kraft_version();
  if (!asked) return {};
  if (*asked == 0 && is_dynamic)
    return fail(Errc::kInvalid,
                "Cannot set kraft.version to 0 if controller.quorum.voters is empty and one of the "
                "flags --standalone, --initial-controllers, or --no-initial-controllers is used. "
                "For dynamic controllers support, try removing the --feature flag for "
                "kraft.version.");
  if (*asked != 0 && !is_dynamic)
    return fail(
        Errc::kInvalid,
        fmt::format("Cannot set kraft.version to {} unless controller.quorum.voters is empty and "
                    "one of the flags --standalone, --initial-controllers, or "
                    "--no-initial-controllers is used. For dynamic controllers support, try using "
                    "one of --standalone, --initial-controllers, or --no-initial-controllers and "
                    "removing controller.quorum.voters.",
                    *asked));
  return {};
}

// The voters that the node is told; nothing: they are configured, or it shall ask for them.
Result<std::optional<raft::VoterSet>> first_voters(const FormatOptions& options,
                                                   const config::NodeProperties& properties) {
  if (options.initial_controllers)
    return parse_initial_controllers(*options.initial_controllers,
                                     properties.list("controller.listener.names").front());
  const bool is_alone =
      options.standalone || (!options.voters_must_be_told && !options.no_initial_controllers &&
                             config::has_role(properties, "controller") &&
                             properties.list("controller.quorum.voters").empty());
  if (!is_alone) return std::nullopt;
  ASSIGN_OR_RETURN(const auto listeners, read_listeners(properties));
  const auto endpoint = listeners.controller_endpoint();
  raft::VoterSet alone;
  alone.voters[NodeId(static_cast<int32_t>(properties.number("node.id")))] = {
      .directory_id = random_id(),
      .endpoints = {{endpoint.listener, endpoint.host, endpoint.port}}};
  return alone;
}

// Formatting goes on with what is there only if it is of the same node and cluster.
Result<> check_identity(const std::string& path, const storage::MetaProperties& found,
                        const Plan& plan) {
  if (found.cluster_id != plan.cluster_id)
    return fail(Errc::kInvalid,
                fmt::format("Invalid cluster.id in: {}/meta.properties. Expected {}, but read {}",
                            path, plan.cluster_id, found.cluster_id));
  if (found.node_id != plan.node_id)
    return fail(Errc::kInvalid,
                fmt::format("Invalid node.id in: {}/meta.properties. Expected {}, but read {}",
                            path, plan.node_id, found.node_id));
  return {};
}

// The directories that are not formatted yet.
Result<std::vector<std::string>> unformatted(env::Disk& disk, std::vector<std::string> paths,
                                             const Plan& plan) {
  std::vector<std::string> result;
  std::string formatted;
  for (const std::string& path : paths) {
    const auto found = storage::LogDirectory::read_identity(disk, path);
    if (found) {
      RETURN_IF_ERROR(check_identity(path, *found, plan));
      if (formatted.empty()) formatted = path;
    } else if (found.error().code == Errc::kNotFound) {
      result.push_back(path);
    } else {
      return std::unexpected(found.error());
    }
  }
  if (!formatted.empty() && !plan.ignore_formatted)
    return fail(Errc::kExists,
                fmt::format("Log directory {} is already formatted. Use --ignore-formatted "
                            "to ignore this directory and format the others.",
                            formatted));
  return result;
}

Result<> format_all(const FormatOptions& options) {
  ASSIGN_OR_RETURN(auto properties, load_properties({.properties_file = options.properties_file}));
  RETURN_IF_ERROR(check_told(options, properties));
  ASSIGN_OR_RETURN(auto features, FirstFeatures::of(options.release_version, options.features));
  RETURN_IF_ERROR(
      check_kraft_version(features, properties.list("controller.quorum.voters").empty()));
  ASSIGN_OR_RETURN(auto voters, first_voters(options, properties));
  const Plan plan{.cluster_id = options.cluster_id,
                  .node_id = NodeId(static_cast<int32_t>(properties.number("node.id"))),
                  .ignore_formatted = options.ignore_formatted,
                  .metadata_directory = config::metadata_directory(properties),
                  .voters = std::move(voters),
                  .features = std::move(features)};
  runtime::PosixDisk disk;
  ASSIGN_OR_RETURN(const auto paths, unformatted(disk, config::all_directories(properties), plan));
  if (paths.empty()) fmt::print("All of the log directories are already formatted.\n");
  for (const std::string& path : paths) RETURN_IF_ERROR(format_directory(disk, path, plan));
  return {};
}

int exit_status_of(const Result<>& outcome) {
  if (outcome) return kExitOk;
  fmt::print(stderr, "{}\n", outcome.error().message);
  return kExitFailed;
}

// --- info

// What was found in the directories, in the order in which it is told.
struct Findings {
  std::vector<std::string> directories;
  std::optional<storage::MetaProperties> identity;
  std::vector<std::string> problems;
};

void look_at(env::Disk& disk, const std::string& path, Findings& findings) {
  if (!disk.exists(path)) return findings.problems.push_back(path + " does not exist");
  if (!disk.list(path)) return findings.problems.push_back(path + " is not a directory");
  findings.directories.push_back(path);
  auto found = storage::LogDirectory::read_identity(disk, path);
  if (!found && found.error().code == Errc::kNotFound)
    return findings.problems.push_back(path + " is not formatted.");
  if (!found)
    return findings.problems.push_back(
        fmt::format("Error loading {}/meta.properties: {}", path, found.error().message));
  if (!findings.identity)
    findings.identity = std::move(*found);
  else if (findings.identity->cluster_id != found->cluster_id)
    findings.problems.emplace_back("Mismatched cluster IDs between storage directories.");
  else if (findings.identity->node_id != found->node_id)
    findings.problems.emplace_back("Mismatched node IDs between storage directories.");
}

void print_list(std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  fmt::print("{}:\n", title);
  for (const auto& line : lines) fmt::print("  {}\n", line);
  fmt::print("\n");
}

Result<Findings> look_at_all(const std::string& properties_file) {
  ASSIGN_OR_RETURN(auto properties, load_properties({.properties_file = properties_file}));
  runtime::PosixDisk disk;
  Findings findings;
  for (const auto& path : config::all_directories(properties)) look_at(disk, path, findings);
  return findings;
}

int info(const std::string& properties_file) {
  const auto findings = look_at_all(properties_file);
  if (!findings) return exit_status_of(std::unexpected(findings.error()));
  print_list(findings->directories.size() == 1 ? "Found log directory" : "Found log directories",
             findings->directories);
  if (const auto& found = findings->identity) {
    const std::string directory_id =
        found->directory_id ? fmt::format("directory.id={}, ", *found->directory_id) : "";
    fmt::print("Found metadata: {{cluster.id={}, {}node.id={}, version=1}}\n\n", found->cluster_id,
               directory_id, found->node_id);
  }
  print_list(findings->problems.size() == 1 ? "Found problem" : "Found problems",
             findings->problems);
  return findings->problems.empty() ? kExitOk : kExitFailed;
}

// --- Words

void add_format_options(Command& command, FormatOptions& options) {
  command.option("-t,--cluster-id", options.cluster_id, "The id of the cluster: 22 characters");
  command.option("-c,--config", options.properties_file, "The server.properties");
  command.require("--cluster-id");
  command.require("--config");
  command.flag("-g,--ignore-formatted", options.ignore_formatted,
               "Leaves directories alone that are formatted already");
  command.flag("-s,--standalone", options.standalone, "A quorum of this node alone");
  command.option("-I,--initial-controllers", options.initial_controllers,
                 "The first voters, the same for every node: ID@HOST:PORT:DIRECTORY-ID between "
                 "commas");
  command.flag("-N,--no-initial-controllers", options.no_initial_controllers,
               "A node that joins a quorum which is there already");
  command.option("-r,--release-version", options.release_version,
                 "The release whose features the cluster begins with, such as 4.3-IV0");
  command.option("-f,--feature", options.features,
                 "NAME=LEVEL of a feature that the cluster begins with; repeatable");
}

}  // namespace

int format(const FormatOptions& options) { return exit_status_of(format_all(options)); }

void add_format_command(Command& root) {
  auto command = root.add(
      "format",
      {"Gives log directories their meta.properties, as kafka-storage.sh format does. A start of a "
       "node that is a quorum by itself does it, with a new cluster id, when there is none.",
       "millrace format -t MkU3OEVBNTcwNTJENDM2Qk -c server.properties\n"
       "millrace format -t MkU3OEVBNTcwNTJENDM2Qk -c server.properties --initial-controllers "
       "1@a:9093:JEXY6aqzQY-32P5TStzaFg,2@b:9093:MvDxzVmcRsaTz33bUuRU6A,"
       "3@c:9093:07R5amHmR32VDA6jHkGbTA"});
  auto options = std::make_shared<FormatOptions>();
  options->voters_must_be_told = false;
  add_format_options(command, *options);
  command.runs([options] { return format(*options); });
}

void add_storage_commands(Command& root) {
  auto format_command = root.add("format", {"Formats the log directories of a node.", ""});
  auto options = std::make_shared<FormatOptions>();
  add_format_options(format_command, *options);
  format_command.option("-S,--add-scram", options->scram, "Not served: this version has no SASL");
  format_command.runs([options] { return format(*options); });

  auto info_command = root.add("info", {"Says what the log directories of a node are.", ""});
  auto file = std::make_shared<std::string>();
  info_command.option("-c,--config", *file, "The server.properties");
  info_command.require("--config");
  info_command.runs([file] { return info(*file); });

  root.add("random-uuid", {"Prints a new id, for a cluster or a directory.", ""}).runs([] {
    fmt::print("{}\n", random_id().to_string());
    return kExitOk;
  });
}

}  // namespace millrace::app
