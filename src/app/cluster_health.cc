#include "app/cluster_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "app/connect.h"
#include "app/quorum.h"

namespace millrace::app {
namespace {

using client::core::MetadataCache;
using client::core::PartitionInfo;

struct View {
  wire::DescribeClusterResponse cluster;
  MetadataCache known;
  Quorum quorum;
};

Outcome<wire::DescribeClusterResponse> describe_cluster(Session& session) {
  auto cluster = session.call_any(wire::DescribeClusterRequest{.include_fenced_brokers = true});
  if (!cluster) return std::unexpected(Failure(cluster.error()));
  if (cluster->error_code != 0)
    return std::unexpected(
        refusal({"describe the cluster", {}, {}}, cluster->error_code, cluster->error_message));
  return *cluster;
}

Outcome<View> look(Session& session) {
  auto cluster = describe_cluster(session);
  if (!cluster) return std::unexpected(cluster.error());
  auto known = session.look_up({.names = {}, .all = true});
  if (!known) return std::unexpected(Failure(known.error()));
  auto quorum = describe_quorum(session);
  if (!quorum) return std::unexpected(quorum.error());
  return View{std::move(*cluster), std::move(*known), std::move(*quorum)};
}

// --- quorum

int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// How long ago by the leader's clock, which is taken to be like this one's; null: never.
json::value ms_since(int64_t timestamp) {
  if (timestamp < 0) return nullptr;
  return std::max<int64_t>(0, wall_ms() - timestamp);
}

std::string address_of(const Quorum& quorum, int32_t id) {
  for (const auto& node : quorum.nodes)
    if (node.node_id == id && !node.listeners.empty())
      return fmt::format("{}:{}", node.listeners[0].host, node.listeners[0].port);
  return "";
}

json::array replicas_of(const Quorum& quorum) {
  json::array rows;
  int64_t end = quorum.partition.high_watermark;
  for (const auto& each : quorum.partition.current_voters) end = std::max(end, each.log_end_offset);
  const auto add = [&](const auto& replicas, std::string_view role) {
    for (const auto& each : replicas) {
      const bool leads = each.replica_id == quorum.partition.leader_id;
      rows.push_back(json::object{{"id", each.replica_id},
                                  {"role", leads ? "leader" : role},
                                  {"address", address_of(quorum, each.replica_id)},
                                  {"log_end", each.log_end_offset},
                                  {"lag", std::max<int64_t>(0, end - each.log_end_offset)},
                                  {"fetched_ms_ago", ms_since(each.last_fetch_timestamp)},
                                  {"caught_up_ms_ago", ms_since(each.last_caught_up_timestamp)},
                                  {"directory_id", each.replica_directory_id.to_string()}});
    }
  };
  add(quorum.partition.current_voters, "voter");
  add(quorum.partition.observers, "observer");
  return rows;
}

Outcome<> show_quorum(const Target& target, Session& session) {
  auto quorum = describe_quorum(session);
  if (!quorum) return std::unexpected(quorum.error());
  const json::object object{{"leader", quorum->partition.leader_id},
                            {"leader_epoch", quorum->partition.leader_epoch},
                            {"high_watermark", quorum->partition.high_watermark},
                            {"replicas", replicas_of(*quorum)}};
  print_object(target.format(), object);
  if (target.format() == OutputFormat::kJson) return {};
  constexpr std::string_view kColumns[] = {
      "id",  "role",           "address",          "log_end",
      "lag", "fetched_ms_ago", "caught_up_ms_ago", "directory_id"};
  fmt::print("\n");
  print_rows(target.format(), object.at("replicas").as_array(), kColumns);
  return {};
}

// --- nodes

struct Share {
  int64_t leads = 0, replicas = 0, out_of_sync = 0;
};

std::map<int32_t, Share> shares_of(const MetadataCache& known) {
  std::map<int32_t, Share> shares;
  for (const auto& [name, topic] : known.topics())
    for (const auto& [index, info] : topic.partitions) {
      if (info.leader != kNoNode) ++shares[info.leader.value()].leads;
      for (const int32_t each : info.replicas) {
        ++shares[each].replicas;
        if (std::ranges::find(info.isr, each) == info.isr.end()) ++shares[each].out_of_sync;
      }
    }
  return shares;
}

json::object broker_row(const wire::describe_cluster_response::DescribeClusterBroker& broker,
                        const View& view, const Share& share) {
  const bool votes = view.quorum.has_voter(broker.broker_id);
  json::object row{{"id", broker.broker_id},
                   {"roles", votes ? "broker,voter" : "broker"},
                   {"address", fmt::format("{}:{}", broker.host, broker.port)},
                   {"rack", nullptr},
                   {"state", broker.is_fenced ? "fenced" : "alive"},
                   {"leads", share.leads},
                   {"replicas", share.replicas},
                   {"out_of_sync", share.out_of_sync},
                   {"active_controller", broker.broker_id == view.quorum.partition.leader_id}};
  if (broker.rack) row["rack"] = *broker.rack;
  return row;
}

// A voter that is no broker tells of itself by fetching only.
json::object controller_row(const wire::describe_quorum_response::ReplicaState& replica,
                            const View& view) {
  constexpr int64_t kSilentMs = 5000;
  const bool leads = replica.replica_id == view.quorum.partition.leader_id;
  const bool is_silent =
      replica.last_fetch_timestamp < 0 || wall_ms() - replica.last_fetch_timestamp > kSilentMs;
  return {{"id", replica.replica_id},
          {"roles", view.quorum.has_voter(replica.replica_id) ? "voter" : "observer"},
          {"address", address_of(view.quorum, replica.replica_id)},
          {"rack", nullptr},
          {"state", leads || !is_silent ? "alive" : "silent"},
          {"active_controller", leads}};
}

json::array nodes_of(const View& view) {
  json::array rows;
  std::set<int32_t> brokers;
  auto shares = shares_of(view.known);
  for (const auto& broker : view.cluster.brokers) {
    brokers.insert(broker.broker_id);
    rows.push_back(broker_row(broker, view, shares[broker.broker_id]));
  }
  for (const auto* replicas :
       {&view.quorum.partition.current_voters, &view.quorum.partition.observers})
    for (const auto& each : *replicas)
      if (!brokers.contains(each.replica_id)) rows.push_back(controller_row(each, view));
  return rows;
}

Outcome<> show_nodes(const Target& target, Session& session) {
  auto view = look(session);
  if (!view) return std::unexpected(view.error());
  constexpr std::string_view kColumns[] = {"id",       "roles",       "address",
                                           "rack",     "state",       "leads",
                                           "replicas", "out_of_sync", "active_controller"};
  print_rows(target.format(), nodes_of(*view), kColumns);
  return {};
}

// --- status

// min.insync.replicas of the topics that are replicated.
Outcome<std::map<std::string, size_t>> needed_in_sync(const MetadataCache& known,
                                                      Session& session) {
  constexpr int8_t kTopic = 2;
  std::map<std::string, size_t> needed;
  wire::DescribeConfigsRequest request;
  for (const auto& [name, topic] : known.topics())
    request.resources.push_back(
        {.resource_type = kTopic,
         .resource_name = name,
         .configuration_keys = std::vector<std::string>{"min.insync.replicas"}});
  if (request.resources.empty()) return needed;
  auto response = session.call_any(std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  for (const auto& result : response->results)
    for (const auto& each : result.configs)
      needed[result.resource_name] = std::strtoul(each.value.value_or("1").c_str(), nullptr, 10);
  return needed;
}

struct Counts {
  int64_t partitions = 0, without_leader = 0, under_replicated = 0, under_min_isr = 0;
};

Counts count(const MetadataCache& known, const std::map<std::string, size_t>& needed) {
  Counts counts;
  for (const auto& [name, topic] : known.topics()) {
    const auto found = needed.find(name);
    for (const auto& [index, info] : topic.partitions) {
      ++counts.partitions;
      counts.without_leader += info.leader == kNoNode;
      counts.under_replicated += info.isr.size() < info.replicas.size();
      const size_t least = found == needed.end() ? 1 : found->second;
      counts.under_min_isr += info.isr.size() < std::min(least, info.replicas.size());
    }
  }
  return counts;
}

json::array problems_of(const View& view, const Counts& counts) {
  json::array rows;
  const auto add = [&](std::string problem, std::string_view try_this) {
    rows.push_back(json::object{{"problem", std::move(problem)}, {"try", try_this}});
  };
  if (counts.without_leader > 0)
    add(fmt::format("{} partitions have no leader", counts.without_leader),
        "start the brokers that hold them: millrace topic describe");
  if (counts.under_min_isr > 0)
    add(fmt::format("{} partitions take no records with acks=all", counts.under_min_isr),
        "start the brokers that hold them: millrace topic describe");
  if (counts.under_replicated > 0)
    add(fmt::format("{} partitions have replicas out of sync", counts.under_replicated),
        "wait for them, or look at their brokers: millrace cluster nodes");
  for (const auto& row : nodes_of(view)) {
    const auto& node = row.as_object();
    if (node.at("state").as_string() == "alive") continue;
    add(fmt::format("node {} is {}", node.at("id").as_int64(),
                    std::string_view(node.at("state").as_string())),
        "start it, or take it out: millrace cluster rebalance --without ID");
  }
  return rows;
}

json::object status_of(const View& view, const Counts& counts, int64_t moving) {
  const auto alive =
      std::ranges::count_if(view.cluster.brokers, [](const auto& each) { return !each.is_fenced; });
  return {{"cluster_id", view.cluster.cluster_id},
          {"controller", view.quorum.partition.leader_id},
          {"controller_epoch", view.quorum.partition.leader_epoch},
          {"voters", view.quorum.partition.current_voters.size()},
          {"brokers", view.cluster.brokers.size()},
          {"brokers_alive", alive},
          {"topics", view.known.topics().size()},
          {"partitions", counts.partitions},
          {"without_leader", counts.without_leader},
          {"under_replicated", counts.under_replicated},
          {"under_min_isr", counts.under_min_isr},
          {"reassigning", moving},
          {"problems", problems_of(view, counts)}};
}

int64_t reassigning(Session& session) {
  auto moves = session.call_any(wire::ListPartitionReassignmentsRequest{});
  int64_t total = 0;
  if (moves)
    for (const auto& topic : moves->topics) total += static_cast<int64_t>(topic.partitions.size());
  return total;
}

Outcome<> show_status(const Target& target, Session& session) {
  auto view = look(session);
  if (!view) return std::unexpected(view.error());
  auto needed = needed_in_sync(view->known, session);
  if (!needed) return std::unexpected(needed.error());
  const auto status = status_of(*view, count(view->known, *needed), reassigning(session));
  print_object(target.format(), status);
  const auto& problems = status.at("problems").as_array();
  if (problems.empty()) return {};
  constexpr std::string_view kColumns[] = {"problem", "try"};
  if (target.format() == OutputFormat::kTable) {
    fmt::print("\n");
    print_rows(target.format(), problems, kColumns);
  }
  return std::unexpected(Failure(
      fmt::format("the cluster has {} problem{}", problems.size(), problems.size() == 1 ? "" : "s"),
      "what stands beside each; millrace cluster nodes, millrace cluster quorum"));
}

using Show = Outcome<> (*)(const Target&, Session&);

void add(Command& cluster, const std::string& name, const Command::Text& text, Show show) {
  auto command = cluster.add(name, text);
  auto target = std::make_shared<Target>();
  add_target(command, *target);
  command.runs([target, show] {
    return with_session(*target, [&](Session& session) { return show(*target, session); });
  });
}

}  // namespace

void add_health_commands(Command& cluster) {
  add(cluster, "status",
      {"Says whether the cluster is well, and what to do if not; the exit status is 1 then.",
       "millrace cluster status\nmillrace cluster status -o json"},
      show_status);
  add(cluster, "nodes",
      {"Lists brokers and controllers: what each does and how much it carries.",
       "millrace cluster nodes"},
      show_nodes);
  add(cluster, "quorum",
      {"Shows the controllers' quorum: who leads, who votes, how far each is behind.",
       "millrace cluster quorum"},
      show_quorum);
}

}  // namespace millrace::app
