// kafka-log-dirs: what lies in the log directories of brokers, as JSON.
#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "app/kafka/admin.h"
#include "app/kafka/java_order.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

namespace json = boost::json;
using client::core::Destination;

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("command-config", "Properties file of the client."),
    flag("describe", "Shows the log directories. Needed."),
    text("topic-list", "Only these topics, between commas."),
    text("broker-list", "Only these brokers, between commas."),
};

Attempt<std::set<int32_t>> brokers_of(const Options& options) {
  std::set<int32_t> brokers;
  for (const auto& text : split(options.value("broker-list").value_or(""), ',')) {
    if (text.empty()) continue;
    ASSIGN_OR_RETURN(const int32_t id, parse_int(text));
    brokers.insert(id);
  }
  return brokers;
}

json::array partitions_of(const wire::describe_log_dirs_response::DescribeLogDirsResult& directory,
                          const std::set<std::string>& topics) {
  using Replica = std::pair<TopicPartition, json::object>;
  std::vector<Replica> replicas;
  for (const auto& topic : directory.topics) {
    if (!topics.empty() && !topics.contains(topic.name)) continue;
    for (const auto& each : topic.partitions) {
      const TopicPartition partition{topic.name, PartitionIndex(each.partition_index)};
      replicas.emplace_back(partition, json::object{{"partition", partition.to_string()},
                                                    {"size", each.partition_size},
                                                    {"offsetLag", each.offset_lag},
                                                    {"isFuture", each.is_future_key}});
    }
  }
  sort_as_hash_map(replicas, [](const Replica& each) { return each.first; });
  json::array array;
  for (auto& [partition, object] : replicas) array.push_back(std::move(object));
  return array;
}

// In the order of Java's HashMap: "partitions", "error", "logDir".
Attempt<json::array> directories_of(Admin& admin, int32_t broker,
                                    const std::set<std::string>& topics) {
  wire::DescribeLogDirsRequest request;
  request.topics.reset();
  ASSIGN_OR_RETURN(const auto response,
                   admin.call("describeLogDirs", Destination::to(NodeId(broker)), request));
  json::array directories;
  for (const auto& each : response.results) {
    json::object directory{
        {"partitions", partitions_of(each, topics)}, {"error", nullptr}, {"logDir", each.log_dir}};
    if (each.error_code != 0) directory["error"] = exception_of(each.error_code).type;
    directories.push_back(std::move(directory));
  }
  return directories;
}

Attempt<> run_log_dirs(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server", "describe"}));
  RETURN_IF_ERROR(options.check_values());
  std::set<std::string> topics;
  for (const auto& text : split(options.value("topic-list").value_or(""), ','))
    if (!text.empty()) topics.insert(text);
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  auto known = admin->brokers();
  if (!known) return std::unexpected(executed(known.error()));
  std::set<int32_t> there, absent;
  for (const auto& [node, address] : *known) there.insert(node.value());
  ASSIGN_OR_RETURN(auto asked, brokers_of(options));
  if (asked.empty()) asked = there;
  for (const int32_t id : asked)
    if (!there.contains(id)) absent.insert(id);
  if (!absent.empty())
    return thrown("org.apache.kafka.tools.TerseException",
                  fmt::format("ERROR: The given brokers do not exist from --broker-list: {}. "
                              "Current existent brokers: {}",
                              fmt::join(absent, ","), fmt::join(there, ",")));
  fmt::print("Querying brokers for log directories information\n");
  json::array brokers;
  for (const int32_t id : asked) {
    auto directories = directories_of(*admin, id, topics);
    if (!directories) return std::unexpected(executed(directories.error()));
    brokers.push_back(json::object{{"broker", id}, {"logDirs", std::move(*directories)}});
  }
  fmt::print("Received log directory information from brokers {}\n{}\n", fmt::join(asked, ","),
             json::serialize(json::object{{"brokers", std::move(brokers)}, {"version", 1}}));
  return {};
}

int tell(const Ending& ending) {
  if (!ending.is("TerseException")) return tell_message_and_stack(ending);
  fmt::print(stderr, "{}\n", ending.message);
  return 1;
}

}  // namespace

int log_dirs(const Words& words) {
  return run({.about = "This tool helps to query log directory usage on the specified brokers.",
              .options = kOptions,
              .run = run_log_dirs,
              .refused = tell,
              .failed = tell},
             words);
}

}  // namespace millrace::app::kafka
