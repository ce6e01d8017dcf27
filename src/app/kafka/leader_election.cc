// kafka-leader-election: elects leaders of partitions (KIP-460).
#include <fmt/format.h>

#include "app/kafka/admin.h"
#include "app/kafka/java_order.h"
#include "app/kafka/json_file.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

using wire::ErrorCode;

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("admin.config", "Deprecated: --command-config."),
    text("command-config", "Properties file of the client."),
    text("path-to-json-file",
         "File with partitions: {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1}]}."),
    text("topic", "The topic."),
    integer("partition", "Its partition; needed with --topic."),
    flag("all-topic-partitions", "All partitions for which there is something to do."),
    text("election-type", "preferred, or unclean: where there is no leader. Needed."),
};

Attempt<> check(const Options& options) {
  std::vector<std::string_view> missing;
  for (const auto name : {"bootstrap-server", "election-type"})
    if (!options.has(name)) missing.push_back(name);
  if (!missing.empty())
    return thrown(kAdminCommandFailedException,
                  fmt::format("Missing required option(s): {}", fmt::join(missing, ", ")));
  RETURN_IF_ERROR(options.refuse_with("admin.config", {"command-config"}));
  int scopes = 0;
  for (const auto name : {"topic", "all-topic-partitions", "path-to-json-file"})
    scopes += options.has(name) ? 1 : 0;
  if (scopes != 1)
    return thrown(kAdminCommandFailedException,
                  "One and only one of the following options is required: topic, "
                  "all-topic-partitions, path-to-json-file");
  if (options.has("topic") && !options.has("partition"))
    return thrown(kAdminCommandFailedException, "Missing required option(s): partition");
  if (!options.has("topic") && options.has("partition"))
    return thrown(kAdminCommandFailedException,
                  "Option partition is only allowed if topic is used");
  RETURN_IF_ERROR(options.check_values());
  const std::string type = lower_case(*options.value("election-type"));
  if (type != "preferred" && type != "unclean")
    return thrown("joptsimple.OptionArgumentConversionException",
                  fmt::format("Cannot parse argument '{}' of option election-type",
                              *options.value("election-type")));
  return {};
}

Attempt<std::vector<TopicPartition>> read_partitions(const std::string& path) {
  auto text = read_file(path);
  if (!text) return thrown("java.lang.RuntimeException", text.error().to_string());
  const auto json = parse_json_object(*text);
  if (!json) return thrown(kAdminOperationException, "Replica election data is empty");
  const auto* listed = json->if_contains("partitions");
  if (listed == nullptr || !listed->is_array())
    return thrown(kAdminOperationException,
                  "Replica election data is missing \"partitions\" field");
  std::vector<TopicPartition> partitions, twice;
  for (const auto& each : listed->as_array()) {
    auto partition = partition_of(each);
    if (!partition) return thrown("java.lang.RuntimeException", partition.error().to_string());
    (is_in(partitions, *partition) ? twice : partitions).push_back(*partition);
  }
  std::string names;
  for (const auto& each : twice) names += (names.empty() ? "" : ", ") + each.to_string();
  if (!twice.empty())
    return thrown(kAdminOperationException,
                  fmt::format("Replica election data contains duplicate partitions: [{}]", names));
  return partitions;
}

Attempt<wire::ElectLeadersRequest> request_of(const Options& options, int8_t type) {
  wire::ElectLeadersRequest request{.election_type = type, .timeout_ms = 30'000};
  request.topic_partitions.reset();
  if (options.has("all-topic-partitions")) return request;
  std::vector<TopicPartition> partitions;
  if (const auto path = options.value("path-to-json-file")) {
    ASSIGN_OR_RETURN(partitions, read_partitions(*path));
  } else {
    partitions.push_back({*options.value("topic"),
                          PartitionIndex(static_cast<int32_t>(*options.number("partition")))});
  }
  std::ranges::sort(partitions);
  request.topic_partitions.emplace();
  for (const auto& each : partitions) {
    auto& topics = *request.topic_partitions;
    if (topics.empty() || topics.back().topic != each.topic)
      topics.push_back({.topic = each.topic});
    topics.back().partitions.push_back(each.partition.value());
  }
  return request;
}

std::string names_of(std::vector<TopicPartition>& partitions) {
  sort_as_hash_map(partitions, [](const auto& each) { return each; });
  std::string names;
  for (const auto& each : partitions) names += (names.empty() ? "" : ", ") + each.to_string();
  return names;
}

Attempt<> tell_results(const wire::ElectLeadersResponse& response, std::string_view type) {
  std::vector<TopicPartition> done, unneeded;
  std::vector<std::pair<TopicPartition, Ending>> failed;
  for (const auto& topic : response.replica_election_results)
    for (const auto& each : topic.partition_result) {
      const TopicPartition partition{topic.topic, PartitionIndex(each.partition_id)};
      if (each.error_code == 0)
        done.push_back(partition);
      else if (static_cast<ErrorCode>(each.error_code) == ErrorCode::kElectionNotNeeded)
        unneeded.push_back(partition);
      else
        failed.emplace_back(partition, exception_of(each.error_code, each.error_message));
    }
  if (!done.empty())
    fmt::print("Successfully completed leader election ({}) for partitions {}\n", type,
               names_of(done));
  if (!unneeded.empty())
    fmt::print("Valid replica already elected for partitions {}\n", names_of(unneeded));
  if (failed.empty()) return {};
  sort_as_hash_map(failed, [](const auto& each) { return each.first; });
  for (const auto& [partition, why] : failed)
    fmt::print("Error completing leader election ({}) for partition: {}: {}\n", type,
               partition.to_string(), why.to_string());
  return thrown(kAdminCommandFailedException,
                fmt::format("{} replica(s) could not be elected", failed.size()));
}

Attempt<> run_leader_election(const Options& options) {
  RETURN_IF_ERROR(check(options));
  const bool unclean = lower_case(*options.value("election-type")) == "unclean";
  ASSIGN_OR_RETURN(auto request, request_of(options, unclean ? 1 : 0));
  std::string_view config = "command-config";
  if (options.has("admin.config")) {
    fmt::print(
        "Option --admin.config has been deprecated and will be removed in a future version. Use "
        "--command-config instead.\n");
    config = "admin.config";
  }
  Properties properties;
  if (const auto path = options.value(config)) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  properties.insert_or_assign("bootstrap.servers", *options.value("bootstrap-server"));
  properties.emplace("default.api.timeout.ms", "30000");
  properties.emplace("request.timeout.ms", "15000");
  ASSIGN_OR_RETURN(const auto admin, Admin::open(properties));
  auto response = admin->call("electLeaders", std::move(request));
  if (!response && response.error().is("TimeoutException")) {
    fmt::print("Timeout waiting for election results\n");
    return thrown(kAdminCommandFailedException, "Timeout waiting for election results");
  }
  if (!response) return std::unexpected(executed_at_run_time(response.error()));
  if (response->error_code != 0)
    return std::unexpected(executed_at_run_time(exception_of(response->error_code)));
  return tell_results(*response, unclean ? "UNCLEAN" : "PREFERRED");
}

}  // namespace

int leader_election(const Words& words) {
  return run(
      {.about = "This tool attempts to elect a new leader for a set of topic partitions. The "
                "type of elections supported are preferred replicas and unclean replicas.",
       .options = kOptions,
       .run = run_leader_election,
       .refused = tell_message_and_stack,
       .failed = tell_message_and_stack},
      words);
}

}  // namespace millrace::app::kafka
