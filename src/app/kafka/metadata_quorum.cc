// kafka-metadata-quorum: who votes for controllers, who follows them, and changes of the voters
// (KIP-595, KIP-836, KIP-853).
#include <fmt/format.h>

#include <chrono>

#include "app/cluster_voters.h"
#include "app/kafka/admin.h"
#include "app/kafka/commands.h"
#include "app/kafka/scripts.h"
#include "app/kafka/uuid_argument.h"

namespace millrace::app::kafka {
namespace {

using Takes = Argument::Takes;
using wire::describe_quorum_response::PartitionData;
using wire::describe_quorum_response::ReplicaState;

constexpr std::string_view kTerse = "org.apache.kafka.tools.TerseException";

constexpr Argument kConnection[] = {
    {.name = "--bootstrap-server",
     .help = "Brokers to begin with: HOST:PORT, several between commas.",
     .connects = true},
    {.name = "--bootstrap-controller",
     .help = "Controllers to begin with: HOST:PORT, several between commas.",
     .connects = true},
    {.name = "--command-config",
     .help = "Properties file of the client; for add-controller that of the controller."},
};
constexpr Argument kDescribe[] = {
    {.name = "--status", .help = "In short.", .takes = Takes::kNothing},
    {.name = "--replication", .help = "Each replica.", .takes = Takes::kNothing},
    {.name = "--human-readable", .help = "Times as so long ago.", .takes = Takes::kNothing},
};
constexpr Argument kDryRun{
    .name = "--dry-run", .help = "Only says what would be done.", .takes = Takes::kNothing};
constexpr Argument kAdd[] = {kDryRun};
constexpr Argument kRemove[] = {
    {.name = "--controller-id",
     .brief = "-i",
     .help = "The id of the controller.",
     .takes = Takes::kInteger,
     .required = true},
    {.name = "--controller-directory-id",
     .brief = "-d",
     .help = "The id of its log directory.",
     .required = true},
    kDryRun,
};
constexpr CommandWords kCommands[] = {
    {"describe", "Shows the quorum.", kDescribe},
    {"add-controller", "Makes a controller a voter.", kAdd},
    {"remove-controller", "Takes the vote from a controller.", kRemove},
};
constexpr Program kProgram = {.name = "kafka-metadata-quorum",
                              .about = "Shows the quorum of controllers, and changes it.",
                              .arguments = kConnection,
                              .commands = kCommands,
                              .must_connect = true};

struct Quorum {
  PartitionData partition;
  std::vector<wire::describe_quorum_response::Node> nodes;

  const ReplicaState* leader() const {
    for (const auto& each : partition.current_voters)
      if (each.replica_id == partition.leader_id) return &each;
    return nullptr;
  }
};

Attempt<Quorum> quorum_of(Admin& admin) {
  wire::DescribeQuorumRequest request;
  request.topics.push_back({.topic_name = "__cluster_metadata", .partitions = {{0}}});
  auto response = admin.call("describeMetadataQuorum", std::move(request));
  if (!response) return std::unexpected(executed(response.error()));
  const bool whole = !response->topics.empty() && !response->topics[0].partitions.empty();
  int16_t code = response->error_code;
  if (code == 0 && whole) code = response->topics[0].partitions[0].error_code;
  if (code == 0 && !whole) code = wire::code_of(wire::ErrorCode::kUnknownServerError);
  if (code != 0) return std::unexpected(executed(exception_of(code, response->error_message)));
  Quorum quorum{.partition = std::move(response->topics[0].partitions[0]),
                .nodes = std::move(response->nodes)};
  if (quorum.leader() == nullptr)
    return thrown("java.util.NoSuchElementException", "No value present");
  return quorum;
}

std::string endpoint_text(const std::string& name, const std::string& host, uint16_t port) {
  return fmt::format("{}://{}{}{}:{}", name, host.contains(':') ? "[" : "", host,
                     host.contains(':') ? "]" : "", port);
}

std::string replicas_text(const Quorum& quorum, const std::vector<ReplicaState>& replicas) {
  std::vector<std::string> texts;
  for (const auto& each : replicas) {
    std::string text = fmt::format("{{\"id\": {}", each.replica_id);
    if (!each.replica_directory_id.is_zero())
      text += fmt::format(", \"directoryId\": \"{}\"", each.replica_directory_id);
    std::vector<std::string> endpoints;
    for (const auto& node : quorum.nodes)
      if (node.node_id == each.replica_id)
        for (const auto& at : node.listeners)
          endpoints.push_back(fmt::format("\"{}\"", endpoint_text(at.name, at.host, at.port)));
    if (!endpoints.empty())
      text += fmt::format(", \"endpoints\": [{}]", fmt::join(endpoints, ", "));
    texts.push_back(text + "}");
  }
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

Attempt<> describe_status(Admin& admin) {
  auto cluster = admin.call("describeCluster", wire::DescribeClusterRequest{});
  if (!cluster) return std::unexpected(executed(cluster.error()));
  ASSIGN_OR_RETURN(const auto quorum, quorum_of(admin));
  const auto& partition = quorum.partition;
  const ReplicaState& leader = *quorum.leader();
  const ReplicaState& last =
      *std::ranges::min_element(partition.current_voters, {}, &ReplicaState::log_end_offset);
  int64_t lag_ms = -1;
  if (last.replica_id == leader.replica_id)
    lag_ms = 0;
  else if (leader.last_caught_up_timestamp >= 0 && last.last_caught_up_timestamp >= 0)
    lag_ms = leader.last_caught_up_timestamp - last.last_caught_up_timestamp;
  fmt::print("ClusterId:              {}\nLeaderId:               {}\n", cluster->cluster_id,
             partition.leader_id);
  fmt::print("LeaderEpoch:            {}\nHighWatermark:          {}\n", partition.leader_epoch,
             partition.high_watermark);
  fmt::print("MaxFollowerLag:         {}\nMaxFollowerLagTimeMs:   {}\n",
             leader.log_end_offset - last.log_end_offset, lag_ms);
  fmt::print("CurrentVoters:          {}\nCurrentObservers:       {}\n",
             replicas_text(quorum, partition.current_voters),
             replicas_text(quorum, partition.observers));
  return {};
}

std::string time_text(int64_t timestamp, bool for_people) {
  if (timestamp < 0) return "-1";
  if (!for_people) return std::to_string(timestamp);
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  return fmt::format("{} ms ago", std::max<int64_t>(0, now.count() - timestamp));
}

Attempt<> describe_replication(Admin& admin, bool for_people) {
  ASSIGN_OR_RETURN(const auto quorum, quorum_of(admin));
  std::vector<std::vector<std::string>> rows{{"NodeId", "DirectoryId", "LogEndOffset", "Lag",
                                              "LastFetchTimestamp", "LastCaughtUpTimestamp",
                                              "Status"}};
  const ReplicaState& leader = *quorum.leader();
  const auto add = [&](const ReplicaState& each, const std::string& status) {
    rows.push_back({std::to_string(each.replica_id), each.replica_directory_id.to_string(),
                    std::to_string(each.log_end_offset),
                    std::to_string(leader.log_end_offset - each.log_end_offset),
                    time_text(each.last_fetch_timestamp, for_people),
                    time_text(each.last_caught_up_timestamp, for_people), status});
  };
  add(leader, "Leader");
  for (const auto& each : quorum.partition.current_voters)
    if (each.replica_id != leader.replica_id) add(each, "Follower");
  for (const auto& each : quorum.partition.observers) add(each, "Observer");
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) fmt::print("{:<{}}\t", row[i], widths[i]);
    fmt::print("\n");
  }
  return {};
}

Attempt<> describe(Admin& admin, const Parsed& words) {
  const bool status = words.has("--status"), replication = words.has("--replication");
  if (status && replication)
    return thrown(kTerse,
                  "Only one of --status or --replication should be specified with describe "
                  "sub-command");
  if (replication) return describe_replication(admin, words.has("--human-readable"));
  if (!status)
    return thrown(kTerse,
                  "One of --status or --replication must be specified with describe sub-command");
  if (words.has("--human-readable"))
    return thrown(kTerse, "The option --human-readable is only supported along with --replication");
  return describe_status(admin);
}

Attempt<> add_controller(Admin& admin, const Parsed& words) {
  const auto file = words.value("--command-config");
  if (!file)
    return thrown(kTerse,
                  "You must supply the configuration file of the controller you are adding when "
                  "using add-controller.");
  auto voter = voter_in(*file, admin.session().disk());
  if (!voter) return thrown(kTerse, voter.error().message);
  const wire::AddRaftVoterRequest request = *voter;
  if (!words.has("--dry-run")) {
    auto response = admin.call("addRaftVoter", std::move(*voter));
    if (!response) return std::unexpected(executed(response.error()));
    if (response->error_code != 0)
      return std::unexpected(executed(exception_of(response->error_code, response->error_message)));
  }
  std::vector<std::string> endpoints;
  for (const auto& each : request.listeners)
    endpoints.push_back(endpoint_text(each.name, each.host, each.port));
  fmt::print("{} controller {} with directory id {} and endpoints: {}\n",
             words.has("--dry-run") ? "DRY RUN of adding" : "Added", request.voter_id,
             request.voter_directory_id, fmt::join(endpoints, ", "));
  return {};
}

Attempt<> remove_controller(Admin& admin, const Parsed& words) {
  const auto id = static_cast<int32_t>(*words.number("--controller-id"));
  const std::string text = *words.value("--controller-directory-id");
  if (id < 0) return thrown(kTerse, fmt::format("Invalid negative --controller-id: {}", id));
  const auto directory = parse_uuid(text);
  if (!directory)
    return thrown(kTerse,
                  "Failed to parse --controller-directory-id: " + directory.error().message);
  if (!words.has("--dry-run")) {
    auto response =
        admin.call("removeRaftVoter",
                   wire::RemoveRaftVoterRequest{.voter_id = id, .voter_directory_id = *directory});
    if (!response) return std::unexpected(executed(response.error()));
    if (response->error_code != 0)
      return std::unexpected(executed(exception_of(response->error_code, response->error_message)));
  }
  fmt::print("{} KRaft controller {} with directory id {}\n",
             words.has("--dry-run") ? "DRY RUN of removing " : "Removed ", id, *directory);
  return {};
}

Attempt<> act(const Words& all) {
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  Properties properties;
  if (const auto path = words.value("--command-config")) {
    auto loaded = load_properties(*path);
    if (!loaded) return thrown(kTerse, fmt::format("Properties file {} does not exists!", *path));
    properties = std::move(*loaded);
  }
  const auto brokers = words.value("--bootstrap-server");
  properties.insert_or_assign(brokers ? "bootstrap.servers" : "bootstrap.controllers",
                              brokers ? *brokers : *words.value("--bootstrap-controller"));
  ASSIGN_OR_RETURN(const auto admin, Admin::open(properties));
  if (words.command() == "describe") return describe(*admin, words);
  if (words.command() == "add-controller") return add_controller(*admin, words);
  return remove_controller(*admin, words);
}

}  // namespace

int metadata_quorum(const Words& words) {
  const auto done = act(words);
  std::fflush(stdout);
  if (done) return 0;
  const Ending& ending = done.error();
  if (ending.kind == Ending::Kind::kExit) return ending.status;
  if (is_argument_error(ending)) return tell_argument_error(kProgram, ending);
  if (!ending.is("TerseException")) return tell_message_and_stack(ending);
  fmt::print(stderr, "{}\n", ending.message);
  return 1;
}

}  // namespace millrace::app::kafka
