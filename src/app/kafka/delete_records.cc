// kafka-delete-records: deletes the records below an offset, as a JSON file says.
#include <fmt/format.h>

#include "app/kafka/admin.h"
#include "app/kafka/java_order.h"
#include "app/kafka/json_file.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"

namespace millrace::app::kafka {
namespace {

using client::core::Destination;
using wire::ErrorCode;

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("offset-json-file",
         "File with the first offset that stays of each partition: {\"partitions\": [{\"topic\": "
         "\"foo\", \"partition\": 1, \"offset\": 1}], \"version\": 1}. Needed."),
    text("command-config", "Properties file of the client."),
};

using Offsets = std::map<TopicPartition, int64_t>;

Attempt<Offsets> parse_offsets(const std::string& text) {
  const auto json = parse_json_object(text);
  if (!json) return thrown(kAdminOperationException, "The input string is not a valid JSON");
  RETURN_IF_ERROR(check_version(*json));
  const auto* partitions = json->if_contains("partitions");
  if (partitions == nullptr) return thrown(kAdminOperationException, "Missing partitions field");
  Offsets offsets;
  std::vector<TopicPartition> twice;
  if (partitions->is_array())
    for (const auto& each : partitions->as_array()) {
      ASSIGN_OR_RETURN(const auto partition, partition_of(each));
      ASSIGN_OR_RETURN(const auto* member, member_of(each, "offset"));
      ASSIGN_OR_RETURN(const int64_t offset, long_in(*member));
      if (!offsets.emplace(partition, offset).second) twice.push_back(partition);
    }
  std::string names;
  for (const auto& each : twice) names += (names.empty() ? "" : ",") + each.to_string();
  if (!twice.empty())
    return thrown(kAdminCommandFailedException,
                  fmt::format("Offset json file contains duplicate topic partitions: {}", names));
  return offsets;
}

// What became of each partition: its new start, or an exception.
using Outcomes = std::map<TopicPartition, Attempt<int64_t>>;

Attempt<> delete_from(Admin& admin, NodeId leader, const Offsets& offsets, Outcomes& outcomes) {
  wire::DeleteRecordsRequest request{.timeout_ms = 30'000};
  for (const auto& [partition, offset] : offsets) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = partition.partition.value(), .offset = offset});
  }
  ASSIGN_OR_RETURN(const auto response,
                   admin.call("deleteRecords", Destination::to(leader), std::move(request)));
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions) {
      auto& outcome = outcomes[{topic.name, PartitionIndex(each.partition_index)}];
      if (each.error_code == 0)
        outcome = each.low_watermark;
      else
        outcome = std::unexpected(exception_of(each.error_code));
    }
  return {};
}

Attempt<Outcomes> delete_records_of(Admin& admin, const Offsets& offsets) {
  std::set<std::string> topics;
  for (const auto& [partition, offset] : offsets) topics.insert(partition.topic);
  ASSIGN_OR_RETURN(const auto known,
                   admin.metadata({.names = {topics.begin(), topics.end()}}, "deleteRecords"));
  Outcomes outcomes;
  std::map<NodeId, Offsets> by_leader;
  for (const auto& [partition, offset] : offsets) {
    if (const auto leader = known.leader(partition))
      by_leader[*leader][partition] = offset;
    else
      outcomes[partition] =
          std::unexpected(exception_of(wire::code_of(ErrorCode::kUnknownTopicOrPartition)));
  }
  for (const auto& [leader, part] : by_leader)
    RETURN_IF_ERROR(delete_from(admin, leader, part, outcomes));
  return outcomes;
}

Attempt<> run_delete_records(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server", "offset-json-file"}));
  RETURN_IF_ERROR(options.check_values());
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  ASSIGN_OR_RETURN(const auto text, read_file(*options.value("offset-json-file")));
  ASSIGN_OR_RETURN(const auto offsets, parse_offsets(text));
  fmt::print("Executing records delete operation\n");
  ASSIGN_OR_RETURN(const auto outcomes, delete_records_of(*admin, offsets));
  fmt::print("Records delete operation completed:\n");
  std::vector<std::pair<TopicPartition, Attempt<int64_t>>> ordered(outcomes.begin(),
                                                                   outcomes.end());
  sort_as_hash_map(ordered, [](const auto& each) { return each.first; });
  for (const auto& [partition, outcome] : ordered) {
    if (outcome)
      fmt::print("partition: {}\tlow_watermark: {}\n", partition.to_string(), *outcome);
    else
      fmt::print("partition: {}\terror: {}\n", partition.to_string(), outcome.error().to_string());
  }
  return {};
}

}  // namespace

int delete_records(const Words& words) {
  return run({.about = "This tool helps to delete records of the given partitions down to the "
                       "specified offset.",
              .options = kOptions,
              .run = run_delete_records,
              .refused = tell_message_and_stack,
              .failed = tell_message_and_stack},
             words);
}

}  // namespace millrace::app::kafka
