// kafka-reassign-partitions: moves partitions between brokers and log directories (KIP-455, 113).
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <random>

#include "app/kafka/java_order.h"
#include "app/kafka/json_file.h"
#include "app/kafka/reassignment_status.h"
#include "app/kafka/reassignment_throttles.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"
#include "controller/placement.h"

namespace millrace::app::kafka {
namespace {

using controller::PlaceableBroker;
using controller::ReplicaPlacer;

constexpr std::string_view kTerse = "org.apache.kafka.server.common.TerseException";

constexpr Option kOptions[] = {
    {.name = "bootstrap-server",
     .takes = Option::Takes::kOptionalText,
     .help = "Brokers to begin with: HOST:PORT, several between commas."},
    {.name = "bootstrap-controller",
     .takes = Option::Takes::kOptionalText,
     .help = "Controllers to begin with, instead of brokers; with --cancel and --list."},
    text("command-config", "Properties file of the client."),
    flag("generate", "Proposes an assignment, and prints it with the one that there is."),
    flag("execute", "Begins the reassignment of --reassignment-json-file."),
    flag("verify", "Tells how far it has come; ends its throttles when it is done."),
    flag("cancel", "Ends it where it is still under way."),
    flag("list", "Lists the partitions that are moving."),
    text("reassignment-json-file",
         "File with replicas: {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, "
         "\"replicas\": [1,2,3], \"log_dirs\": [\"/a\",\"/b\",\"any\"]}], \"version\": 1}; "
         "log_dirs may be left out."),
    text("topics-to-move-json-file",
         "File with topics for --generate: {\"topics\": [{\"topic\": \"foo\"}], \"version\": 1}."),
    text("broker-list", "Brokers for --generate: 0,1,2."),
    flag("disable-rack-aware", "Proposes without regard to racks."),
    number("throttle", "Bytes per second between brokers, at most.", "-1"),
    number("replica-alter-log-dirs-throttle", "Bytes per second between log directories, at most.",
           "-1"),
    number("timeout", "Milliseconds to wait for moves between log directories to begin.", "10000"),
    flag("additional", "Beside reassignments that are under way; changes their throttle, too."),
    flag("preserve-throttles", "Leaves throttles as they are."),
    flag("disallow-replication-factor-change", "Refuses another number of replicas."),
};

struct Action {
  std::string_view name;
  std::vector<std::string_view> required;
  std::vector<std::string_view> permitted;
};

const Action kActions[] = {
    {"generate",
     {"topics-to-move-json-file", "broker-list"},
     {"bootstrap-server", "command-config", "disable-rack-aware"}},
    {"execute",
     {"reassignment-json-file"},
     {"additional", "bootstrap-server", "command-config", "throttle",
      "replica-alter-log-dirs-throttle", "timeout", "disallow-replication-factor-change"}},
    {"verify",
     {"reassignment-json-file"},
     {"bootstrap-server", "command-config", "preserve-throttles"}},
    {"cancel",
     {"reassignment-json-file"},
     {"bootstrap-server", "bootstrap-controller", "command-config", "preserve-throttles",
      "timeout"}},
    {"list", {}, {"bootstrap-server", "bootstrap-controller", "command-config"}},
};

Attempt<const Action*> action_of(const Options& options) {
  const Action* action = nullptr;
  std::vector<std::string> names;
  size_t count = 0;
  for (const auto& each : kActions) {
    names.push_back(fmt::format("--{}", each.name));
    if (!options.has(each.name)) continue;
    ++count;
    action = &each;
  }
  if (count == 1) return action;
  return usage(fmt::format("Command must include exactly one action: {}", fmt::join(names, ", ")));
}

Attempt<> check(const Options& options, const Action& action) {
  if (options.has("bootstrap-server") && options.has("bootstrap-controller"))
    return usage("Please don't specify both --bootstrap-server and --bootstrap-controller");
  if (!options.has("bootstrap-server") && !options.has("bootstrap-controller"))
    return usage("Please specify either --bootstrap-server or --bootstrap-controller");
  for (const auto name : action.required) RETURN_IF_ERROR(options.require({name}));
  for (const auto& each : options.given()) {
    const auto name = each.option->name;
    if (name != action.name && !is_in(action.required, name) && !is_in(action.permitted, name))
      return usage(
          fmt::format("Option \"[{}]\" can't be used with action \"[{}]\"", name, action.name));
  }
  return {};
}

Attempt<ReassignmentPlan> plan_of(const Options& options) {
  ASSIGN_OR_RETURN(const auto text, read_file(*options.value("reassignment-json-file")));
  return parse_reassignments(text);
}

std::unexpected<Ending> not_found(std::string message) {
  return std::unexpected(
      executed(Ending{.type = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException",
                      .message = std::move(message)}));
}

// The replicas of all partitions of the topics, which are there.
Attempt<Assignment> current_assignment(Admin& admin, const std::set<std::string>& topics) {
  ASSIGN_OR_RETURN(const auto described, as_executed(admin.describe_each(topics)));
  Assignment assignment;
  for (const auto& [name, topic] : described) {
    if (!topic && topic.error().is("UnknownTopicOrPartitionException"))
      return not_found(fmt::format("Topic {} not found.", name));
    if (!topic) return std::unexpected(executed(topic.error()));
    for (const auto& [index, replicas] : topic->partitions)
      assignment[{name, PartitionIndex(index)}] = replicas.replicas;
  }
  return assignment;
}

// Where replicas lie that can be asked for.
Attempt<DirectoryMoves> directories_now(Admin& admin, const Assignment& assignment) {
  ASSIGN_OR_RETURN(const auto there, as_executed(admin.brokers()));
  std::set<BrokerReplica> replicas;
  for (const auto& [partition, brokers] : assignment)
    for (const int32_t each : brokers)
      if (there.contains(NodeId(each))) replicas.insert({each, partition});
  ASSIGN_OR_RETURN(const auto found, as_executed(replica_directories(admin, replicas)));
  DirectoryMoves directories;
  for (const auto& [replica, now] : found)
    if (now.current) directories[replica] = *now.current;
  return directories;
}

// --- --generate

Attempt<std::vector<int32_t>> brokers_to_use(const Options& options) {
  std::vector<int32_t> brokers;
  for (const auto& each : split(*options.value("broker-list"), ',')) {
    ASSIGN_OR_RETURN(const int32_t id, parse_int(each));
    brokers.push_back(id);
  }
  auto twice = duplicates(brokers);
  std::ranges::sort(twice);
  if (twice.empty()) return brokers;
  return thrown(
      kAdminCommandFailedException,
      fmt::format("Broker list contains duplicate entries: [{}]", fmt::join(twice, ", ")));
}

Attempt<std::set<std::string>> topics_to_move(const std::string& text) {
  ASSIGN_OR_RETURN(const auto topics, parse_topics_to_move(text));
  auto twice = duplicates(topics);
  sort_as_hash_map(twice, [](const auto& each) { return std::string_view(each); });
  if (twice.empty()) return std::set(topics.begin(), topics.end());
  return thrown(kAdminCommandFailedException,
                fmt::format("List of topics to reassign contains duplicate entries: [{}]",
                            fmt::join(twice, ", ")));
}

Attempt<std::vector<PlaceableBroker>> placeable(Admin& admin, const std::vector<int32_t>& wanted,
                                                bool with_racks) {
  const auto cluster = admin.call("listNodes", wire::DescribeClusterRequest{});
  if (!cluster) return std::unexpected(executed(cluster.error()));
  std::vector<PlaceableBroker> brokers;
  for (const auto& each : cluster->brokers)
    if (is_in(wanted, each.broker_id))
      brokers.push_back(
          {.id = NodeId(each.broker_id), .rack = with_racks ? each.rack : std::nullopt});
  const auto rackless = std::ranges::count_if(brokers, [](const auto& each) { return !each.rack; });
  if (with_racks && rackless != 0 && std::cmp_not_equal(rackless, brokers.size()))
    return thrown(kAdminOperationException,
                  "Not all brokers have rack information. Add --disable-rack-aware in command "
                  "line to make replica assignment without rack information.");
  return brokers;
}

Attempt<Assignment> proposal(const Assignment& now, const std::vector<PlaceableBroker>& brokers) {
  std::vector<std::pair<TopicPartition, size_t>> factors;  // as Java has them
  for (const auto& [partition, replicas] : now) factors.emplace_back(partition, replicas.size());
  sort_as_hash_map(factors, [](const auto& each) { return each.first; });
  std::map<std::string, std::pair<int16_t, int32_t>> topics;  // replication factor, partitions
  for (const auto& [partition, factor] : factors) {
    auto [topic, is_new] = topics.try_emplace(partition.topic, static_cast<int16_t>(factor), 0);
    ++topic->second.second;
  }
  Assignment proposed;
  for (const auto& [topic, shape] : topics) {
    ReplicaPlacer placer(brokers, {}, std::random_device{}());
    if (const auto problem = placer.problem(shape.first))
      return thrown("org.apache.kafka.common.errors.InvalidReplicationFactorException", *problem);
    for (int32_t i = 0; i < shape.second; ++i)
      for (const NodeId each : placer.next(shape.first))
        proposed[{topic, PartitionIndex(i)}].push_back(each.value());
  }
  return proposed;
}

Attempt<> generate(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto text, read_file(*options.value("topics-to-move-json-file")));
  ASSIGN_OR_RETURN(const auto wanted, brokers_to_use(options));
  ASSIGN_OR_RETURN(const auto topics, topics_to_move(text));
  ASSIGN_OR_RETURN(const auto now, current_assignment(admin, topics));
  ASSIGN_OR_RETURN(const auto directories, directories_now(admin, now));
  ASSIGN_OR_RETURN(const auto brokers,
                   placeable(admin, wanted, !options.has("disable-rack-aware")));
  ASSIGN_OR_RETURN(const auto proposed, proposal(now, brokers));
  fmt::print("Current partition replica assignment\n{}\n\n", reassignment_json(now, directories));
  fmt::print("Proposed partition reassignment configuration\n{}\n",
             reassignment_json(proposed, {}));
  return {};
}

// --- --execute

std::string names_of(const auto& partitions, std::string_view separator) {
  std::string names;
  for (const auto& each : partitions)
    names += fmt::format("{}{}", names.empty() ? "" : separator, each.first.to_string());
  return names;
}

// Moves replicas to other directories, and waits for those that come to their broker meanwhile.
Attempt<> begin_directory_moves(Admin& admin, DirectoryMoves pending, int64_t timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::max<int64_t>(timeout_ms, 0));
  for (;;) {
    ASSIGN_OR_RETURN(const auto begun, move_directories(admin, pending));
    for (const auto& each : begun) {
      fmt::print("Successfully started moving log directory to {} for replica {} with broker {} \n",
                 pending.at(each), each.partition.to_string(), each.broker);
      pending.erase(each);
    }
    if (pending.empty()) return {};
    if (std::chrono::steady_clock::now() >= deadline)
      return thrown(kTerse,
                    fmt::format("Timed out before log directory move{} could be started for: {}",
                                pending.size() == 1 ? "" : "s", names_of(pending, ",")));
    Session::pause();
  }
}

std::string why(const Refused& refused) {
  std::string text;
  for (const auto& [partition, ending] : refused)
    text += fmt::format("\n{}: {}", partition.to_string(), ending.message);
  return text;
}

Attempt<> check_brokers(Admin& admin, const Assignment& proposed) {
  ASSIGN_OR_RETURN(const auto there, as_executed(admin.brokers()));
  std::set<int64_t> brokers;
  for (const auto& [partition, replicas] : proposed)
    brokers.insert(replicas.begin(), replicas.end());
  std::vector<int64_t> ordered(brokers.begin(), brokers.end());
  sort_as_hash_map(ordered, [](int64_t each) { return each; });
  for (const int64_t each : ordered)
    if (!there.contains(NodeId(static_cast<int32_t>(each))))
      return thrown(kAdminCommandFailedException, fmt::format("Unknown broker id {}", each));
  return {};
}

// What the partitions of the plan have now.
Attempt<Assignment> replaced_assignment(Admin& admin, const Assignment& proposed) {
  std::set<std::string> topics;
  for (const auto& [partition, replicas] : proposed) topics.insert(partition.topic);
  ASSIGN_OR_RETURN(auto now, current_assignment(admin, topics));
  std::erase_if(now, [&](const auto& each) { return !proposed.contains(each.first); });
  std::vector<TopicPartition> missing;
  for (const auto& [partition, replicas] : proposed)
    if (!now.contains(partition)) missing.push_back(partition);
  if (missing.empty()) return now;
  sort_as_hash_map(missing, [](const auto& each) { return each; });
  std::vector<std::string> names;
  for (const auto& each : missing) names.push_back(each.to_string());
  return not_found(fmt::format("Unable to find partition: {}", fmt::join(names, ", ")));
}

Attempt<> throttle(Admin& admin, const Options& options, const ReassignmentPlan& plan,
                   std::function<Attempt<>(int64_t)> between_brokers) {
  const int64_t brokers = *options.number("throttle");
  const int64_t directories = *options.number("replica-alter-log-dirs-throttle");
  if (brokers < 0 && directories < 0) return {};
  fmt::print(
      "Warning: You must run --verify periodically, until the reassignment completes, to ensure "
      "the throttle is removed.\n");
  if (brokers >= 0) RETURN_IF_ERROR(between_brokers(brokers));
  if (directories < 0) return {};
  return throttle_between_directories(admin, plan.directories, directories);
}

Attempt<> execute(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto plan, plan_of(options));
  ASSIGN_OR_RETURN(const auto proposed, checked_assignment(plan));
  ASSIGN_OR_RETURN(const auto current, as_executed(list_reassignments(admin, std::nullopt)));
  if (!options.has("additional") && !current.empty())
    return thrown(kTerse,
                  "Cannot execute because there is an existing partition assignment.  Use "
                  "--additional to override this and create a new partition assignment in addition "
                  "to the existing one. The --additional flag can also be used to change the "
                  "throttle by resubmitting the current reassignment.");
  RETURN_IF_ERROR(check_brokers(admin, proposed));
  ASSIGN_OR_RETURN(const auto now, replaced_assignment(admin, proposed));
  ASSIGN_OR_RETURN(const auto directories, directories_now(admin, now));
  fmt::print(
      "Current partition replica assignment\n\n{}\n\nSave this to use as the "
      "--reassignment-json-file option during rollback\n",
      reassignment_json(now, directories));
  RETURN_IF_ERROR(throttle(admin, options, plan, [&](int64_t rate) {
    return throttle_between_brokers(admin, {current, proposed, now}, rate);
  }));
  const Refused refused = reassign(admin, {proposed.begin(), proposed.end()},
                                   !options.has("disallow-replication-factor-change"));
  if (!refused.empty())
    return thrown(kTerse, fmt::format("Error reassigning partition(s):{}", why(refused)));
  fmt::print("Successfully started partition reassignment{} for {}\n",
             proposed.size() == 1 ? "" : "s", names_of(proposed, ","));
  if (plan.directories.empty()) return {};
  return begin_directory_moves(admin, plan.directories, *options.number("timeout"));
}

// --- The others

Attempt<> verify(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto plan, plan_of(options));
  ASSIGN_OR_RETURN(const bool partitions, tell_partitions(admin, plan));
  ASSIGN_OR_RETURN(const bool directories, tell_directories(admin, plan));
  if (partitions || directories || options.has("preserve-throttles")) return {};
  return clear_throttles(admin, plan);
}

Attempt<> cancel_moves(Admin& admin, const ReassignmentPlan& plan) {
  std::set<TopicPartition> partitions;
  for (const auto& [partition, replicas] : plan.partitions) partitions.insert(partition);
  ASSIGN_OR_RETURN(const auto current, as_executed(list_reassignments(admin, partitions)));
  Moves moves;
  for (const auto& [partition, each] : current)
    if (!each.adding.empty() || !each.removing.empty()) moves[partition] = std::nullopt;
  if (moves.empty()) {
    fmt::print("None of the specified partition reassignments are active.\n");
    return {};
  }
  const Refused refused = reassign(admin, moves);
  if (!refused.empty())
    return thrown(kTerse, fmt::format("Error cancelling partition reassignment{} for:{}",
                                      refused.size() == 1 ? "" : "s", why(refused)));
  fmt::print("Successfully cancelled partition reassignment{} for: {}\n",
             moves.size() == 1 ? "" : "s", names_of(moves, ","));
  return {};
}

Attempt<> cancel(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto plan, plan_of(options));
  RETURN_IF_ERROR(cancel_moves(admin, plan));
  ASSIGN_OR_RETURN(const auto moving, moving_replicas(admin, plan));
  if (moving.empty())
    fmt::print("None of the specified partition moves are active.");  // no line of its own
  else
    RETURN_IF_ERROR(begin_directory_moves(admin, moving, *options.number("timeout")));
  if (options.has("preserve-throttles")) return {};
  return clear_throttles(admin, plan);
}

Attempt<> list(Admin& admin) {
  ASSIGN_OR_RETURN(const auto current, as_executed(list_reassignments(admin, std::nullopt)));
  if (current.empty()) {
    fmt::print("No partition reassignments found.\n");
    return {};
  }
  fmt::print("Current partition reassignments:\n");
  for (const auto& [partition, each] : current) {
    fmt::print("{}: replicas: {}.", partition.to_string(), fmt::join(each.replicas, ","));
    if (!each.adding.empty()) fmt::print(" adding: {}.", fmt::join(each.adding, ","));
    if (!each.removing.empty()) fmt::print(" removing: {}.", fmt::join(each.removing, ","));
    fmt::print("\n");
  }
  return {};
}

Attempt<std::unique_ptr<Admin>> admin_of(const Options& options) {
  Properties properties;
  if (const auto path = options.value("command-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  const bool to_controllers = options.has("bootstrap-controller");
  const auto bootstrap =
      options.value(to_controllers ? "bootstrap-controller" : "bootstrap-server");
  if (!bootstrap) return thrown("java.lang.NullPointerException", "");
  properties.insert_or_assign(to_controllers ? "bootstrap.controllers" : "bootstrap.servers",
                              *bootstrap);
  properties.emplace("client.id", "reassign-partitions-tool");
  ASSIGN_OR_RETURN(auto admin, Admin::open(properties));
  if (!to_controllers) return admin;
  return as_executed(Admin::of_controller(properties, std::nullopt, "listPartitionReassignments"));
}

Attempt<> act(const Options& options, std::string_view action) {
  RETURN_IF_ERROR(options.check_values());
  ASSIGN_OR_RETURN(const auto admin, admin_of(options));
  if (action == "verify") return verify(*admin, options);
  if (action == "generate") return generate(*admin, options);
  if (action == "execute") return execute(*admin, options);
  if (action == "cancel") return cancel(*admin, options);
  return list(*admin);
}

Attempt<> run_reassign_partitions(const Options& options) {
  ASSIGN_OR_RETURN(const Action* action, action_of(options));
  RETURN_IF_ERROR(check(options, *action));
  const auto done = act(options, action->name);
  if (done) return {};
  const Ending& ending = done.error();
  if (ending.is("TerseException"))
    fmt::print("{}\n", ending.message);
  else
    fmt::print("Error: {}\n{}\n\n", ending.message.empty() ? "null" : ending.message,
               ending.to_string());
  return ended(1);
}

}  // namespace

int reassign_partitions(const Words& words) {
  return run({.about = "This tool helps to move topic partitions between replicas.",
              .options = kOptions,
              .run = run_reassign_partitions},
             words);
}

}  // namespace millrace::app::kafka
