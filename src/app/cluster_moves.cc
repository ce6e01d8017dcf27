#include "app/cluster_moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "app/connect.h"
#include "app/moves.h"
#include "app/partition_list.h"
#include "client/core/rebalance.h"

namespace millrace::app {
namespace {

using client::core::Assignment;
using client::core::Replicas;
using wire::ErrorCode;

struct ElectOptions {
  Target target;
  std::string topic;
  std::vector<int32_t> partitions;
  bool unclean = false;
};

struct ReassignOptions {
  Target target;
  std::string topic;
  std::vector<int32_t> partitions;
  std::vector<int32_t> replicas;
  bool list = false;
  bool cancel = false;
  bool wait = false;
};

struct RebalanceOptions {
  Target target;
  std::vector<std::string> topics;
  std::vector<int32_t> without;
  bool dry_run = false;
  bool wait = false;
};

json::array numbers(const std::vector<int32_t>& values) {
  return json::array(values.begin(), values.end());
}

// --- elect

std::string_view election_result(int16_t code) {
  switch (static_cast<ErrorCode>(code)) {
    case ErrorCode::kNone: return "elected";
    case ErrorCode::kElectionNotNeeded: return "not needed";
    case ErrorCode::kPreferredLeaderNotAvailable: return "the preferred replica is not in sync";
    case ErrorCode::kEligibleLeadersNotAvailable: return "no replica can lead";
    default: return "";
  }
}

json::array rows_of(const wire::ElectLeadersResponse& response) {
  json::array rows;
  for (const auto& topic : response.replica_election_results)
    for (const auto& each : topic.partition_result) {
      std::string result(election_result(each.error_code));
      if (result.empty()) result = reason(each.error_code, each.error_message);
      rows.push_back(json::object{{"topic", topic.topic},
                                  {"partition", each.partition_id},
                                  {"result", std::move(result)},
                                  {"error", each.error_code}});
    }
  return rows;
}

Outcome<wire::ElectLeadersResponse> elect_leaders(Session& session,
                                                  wire::ElectLeadersRequest request) {
  auto response = session.call_any(std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  if (response->error_code != 0)
    return std::unexpected(refusal({"elect leaders", {}, {}}, response->error_code));
  return *response;
}

Outcome<> elect(const ElectOptions& options, Session& session) {
  constexpr int8_t kUnclean = 1;
  wire::ElectLeadersRequest request{.timeout_ms = options.target.connect.timeout_seconds * 1000};
  if (options.unclean) request.election_type = kUnclean;
  request.topic_partitions.reset();
  if (!options.topic.empty()) {
    auto partitions = partitions_of(session, options.topic, options.partitions);
    if (!partitions) return std::unexpected(partitions.error());
    auto& topic = request.topic_partitions.emplace().emplace_back();
    topic.topic = options.topic;
    for (const auto& each : *partitions) topic.partitions.push_back(each.partition.value());
  }
  auto response = elect_leaders(session, std::move(request));
  if (!response) return std::unexpected(response.error());
  const auto rows = rows_of(*response);
  constexpr std::string_view kColumns[] = {"topic", "partition", "result"};
  print_rows(options.target.format(), rows, kColumns);
  const auto refused = std::ranges::count_if(rows, [](const auto& row) {
    const auto code = static_cast<ErrorCode>(row.as_object().at("error").as_int64());
    return code != ErrorCode::kNone && code != ErrorCode::kElectionNotNeeded;
  });
  if (refused == 0) return {};
  return std::unexpected(Failure(fmt::format("{} partitions got no other leader", refused),
                                 "see their replicas with: millrace topic describe"));
}

// --- reassign

// Asks for the moves; the first one that is refused is the failure.
Outcome<> ask_for(const Moves& moves, const Target& target, Session& session) {
  auto response = session.call_any(request_of(moves, target.connect.timeout_seconds * 1000));
  if (!response) return std::unexpected(Failure(response.error()));
  if (response->error_code != 0)
    return std::unexpected(
        refusal({"reassign partitions", {}, {}}, response->error_code, response->error_message));
  for (const auto& topic : response->responses)
    for (const auto& each : topic.partitions)
      if (each.error_code != 0)
        return std::unexpected(
            refusal({fmt::format("reassign {}-{}", topic.name, each.partition_index), topic.name},
                    each.error_code, each.error_message));
  return {};
}

Outcome<wire::ListPartitionReassignmentsResponse> list_moves(Session& session) {
  auto response = session.call_any(wire::ListPartitionReassignmentsRequest{});
  if (!response) return std::unexpected(Failure(response.error()));
  if (response->error_code != 0)
    return std::unexpected(
        refusal({"list reassignments", {}, {}}, response->error_code, response->error_message));
  return *response;
}

Outcome<> show_moves(const ReassignOptions& options, Session& session) {
  auto moves = list_moves(session);
  if (!moves) return std::unexpected(moves.error());
  json::array rows;
  for (const auto& topic : moves->topics)
    for (const auto& each : topic.partitions)
      if (options.topic.empty() || options.topic == topic.name)
        rows.push_back(json::object{{"topic", topic.name},
                                    {"partition", each.partition_index},
                                    {"replicas", numbers(each.replicas)},
                                    {"adding", numbers(each.adding_replicas)},
                                    {"removing", numbers(each.removing_replicas)}});
  constexpr std::string_view kColumns[] = {"topic", "partition", "replicas", "adding", "removing"};
  print_rows(options.target.format(), rows, kColumns);
  return {};
}

// Until none of the partitions moves any more; the preferred of them lead then.
Outcome<> wait_for(const Moves& moves, Session& session) {
  for (bool are_moving = true; are_moving;) {
    auto listed = list_moves(session);
    if (!listed) return std::unexpected(listed.error());
    are_moving = false;
    for (const auto& topic : listed->topics)
      for (const auto& each : topic.partitions)
        are_moving =
            are_moving || moves.contains({topic.name, PartitionIndex(each.partition_index)});
    if (are_moving) Session::pause();
  }
  wire::ElectLeadersRequest request;
  for (const auto& [partition, replicas] : moves) {
    auto& topics = *request.topic_partitions;
    if (topics.empty() || topics.back().topic != partition.topic)
      topics.push_back({.topic = partition.topic});
    topics.back().partitions.push_back(partition.partition.value());
  }
  auto elected = elect_leaders(session, std::move(request));
  if (!elected) return std::unexpected(elected.error());
  return {};
}

Replicas replicas_of(const client::core::MetadataCache& known, const TopicPartition& partition) {
  const auto* topic = known.topic(partition.topic);
  if (topic == nullptr) return {};
  const auto found = topic->partitions.find(partition.partition);
  return found == topic->partitions.end() ? Replicas{} : found->second.replicas;
}

void print_moves(const Moves& moves, const client::core::MetadataCache& known,
                 OutputFormat format) {
  json::array rows;
  for (const auto& [partition, replicas] : moves) {
    json::object row{{"topic", partition.topic},
                     {"partition", partition.partition.value()},
                     {"from", numbers(replicas_of(known, partition))},
                     {"to", nullptr}};
    if (replicas) row["to"] = numbers(*replicas);
    rows.push_back(std::move(row));
  }
  constexpr std::string_view kColumns[] = {"topic", "partition", "from", "to"};
  print_rows(format, rows, kColumns);
}

Outcome<> reassign(const ReassignOptions& options, Session& session) {
  auto partitions = partitions_of(session, options.topic, options.partitions);
  if (!partitions) return std::unexpected(partitions.error());
  auto known = session.look_up({.names = {options.topic}});
  if (!known) return std::unexpected(Failure(known.error()));
  Moves moves;
  for (const auto& each : *partitions)
    moves[each] = options.cancel ? std::nullopt : std::optional(options.replicas);
  if (auto asked = ask_for(moves, options.target, session); !asked) return asked;
  print_moves(moves, *known, options.target.format());
  if (options.wait && !options.cancel) return wait_for(moves, session);
  return {};
}

// --- rebalance

Outcome<client::core::BrokerRacks> brokers_to_use(const RebalanceOptions& options,
                                                  Session& session) {
  auto cluster = session.call_any(wire::DescribeClusterRequest{});
  if (!cluster) return std::unexpected(Failure(cluster.error()));
  client::core::BrokerRacks brokers;
  for (const auto& each : cluster->brokers) brokers[each.broker_id] = each.rack.value_or("");
  for (const int32_t each : options.without) brokers.erase(each);
  if (brokers.empty())
    return std::unexpected(Failure("no broker is left to carry anything",
                                   "see the brokers with: millrace cluster nodes"));
  return brokers;
}

Outcome<Moves> plan(const RebalanceOptions& options, const client::core::MetadataCache& known,
                    const client::core::BrokerRacks& brokers) {
  Assignment now;
  for (const auto& [name, topic] : known.topics()) {
    if (!options.topics.empty() && std::ranges::find(options.topics, name) == options.topics.end())
      continue;
    for (const auto& [index, info] : topic.partitions) {
      if (info.replicas.size() > brokers.size())
        return std::unexpected(
            Failure(fmt::format("{}-{} has {} replicas and {} brokers are left for them", name,
                                index, info.replicas.size(), brokers.size()),
                    "add a broker first, or take replicas away with: millrace cluster reassign"));
      now[{name, index}] = info.replicas;
    }
  }
  Moves moves;
  for (auto& [partition, replicas] : client::core::rebalanced(now, brokers))
    moves[partition] = replicas;
  return moves;
}

Outcome<> rebalance(const RebalanceOptions& options, Session& session) {
  auto brokers = brokers_to_use(options, session);
  if (!brokers) return std::unexpected(brokers.error());
  auto known = session.look_up({.names = {}, .all = true});
  if (!known) return std::unexpected(Failure(known.error()));
  auto moves = plan(options, *known, *brokers);
  if (!moves) return std::unexpected(moves.error());
  print_moves(*moves, *known, options.target.format());
  if (options.dry_run || moves->empty()) return {};
  if (auto asked = ask_for(*moves, options.target, session); !asked) return asked;
  return options.wait ? wait_for(*moves, session) : Outcome<>{};
}

// --- Words

void add_elect(Command& cluster) {
  auto command =
      cluster.add("elect", {"Makes the preferred replicas lead: those that come first. Without a "
                            "topic, of all partitions.",
                            "millrace cluster elect\nmillrace cluster elect --topic orders "
                            "--partition 0"});
  auto options = std::make_shared<ElectOptions>();
  command.option("--topic", options->topic, "Only of this topic", {});
  command.option("--partition", options->partitions, "Only this partition; repeatable");
  command.flag(
      "--unclean", options->unclean,
      "Where no replica in sync lives let another one lead: acknowledged records are lost");
  add_target(command, options->target);
  command.runs([options] {
    if (options->topic.empty() && (!options->partitions.empty() || options->unclean))
      return usage_error("--partition and --unclean need --topic", "cluster elect");
    return with_session(options->target, [&](Session& s) { return elect(*options, s); });
  });
}

void add_reassign(Command& cluster) {
  auto command = cluster.add(
      "reassign", {"Moves partitions to other brokers, shows moves that go on, or cancels them.",
                   "millrace cluster reassign orders --partition 0 --replica 1 --replica 4\n"
                   "millrace cluster reassign --list\nmillrace cluster reassign orders --cancel"});
  auto options = std::make_shared<ReassignOptions>();
  command.argument("TOPIC", options->topic, "Name of the topic", Command::Count::kOptional);
  command.option("--partition", options->partitions, "Partitions, repeatable (without: all)");
  command.option("--replica", options->replicas,
                 "A broker that shall carry them; repeatable, the preferred leader first");
  command.flag("--list", options->list, "Shows what moves");
  command.flag("--cancel", options->cancel, "Goes back to the replicas from before the move");
  command.flag("--wait", options->wait, "Ends when the move has ended");
  add_target(command, options->target);
  command.runs([options] {
    if (options->list)
      return with_session(options->target, [&](Session& s) { return show_moves(*options, s); });
    if (options->topic.empty() || options->replicas.empty() != options->cancel)
      return usage_error("a topic with --replica or --cancel, or --list is needed",
                         "cluster reassign");
    return with_session(options->target, [&](Session& s) { return reassign(*options, s); });
  });
}

void add_rebalance(Command& cluster) {
  auto command = cluster.add(
      "rebalance", {"Spreads replicas and preferred leaders evenly over the brokers, with as few "
                    "moves as possible.",
                    "millrace cluster rebalance --dry-run\nmillrace cluster rebalance --without 3 "
                    "--wait"});
  auto options = std::make_shared<RebalanceOptions>();
  command.option("--without", options->without, "A broker that shall carry nothing; repeatable");
  command.option("--topic", options->topics, "Only this topic; repeatable");
  command.flag("--dry-run", options->dry_run, "Only shows the moves");
  command.flag("--wait", options->wait, "Ends when all moves have ended");
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return rebalance(*options, s); });
  });
}

}  // namespace

void add_move_commands(Command& cluster) {
  add_elect(cluster);
  add_reassign(cluster);
  add_rebalance(cluster);
}

}  // namespace millrace::app
