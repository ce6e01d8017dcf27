#include "app/kafka/reassignment_json.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "app/kafka/java_order.h"
#include "app/kafka/json_file.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

namespace json = boost::json;

constexpr std::string_view kAnyDirectory = "any";
constexpr std::string_view kNoJson = "The input string is not a valid JSON";

template <class T, class Read>
Attempt<std::vector<T>> list_in(const json::value& value, Read read) {
  if (!value.is_array())
    return thrown("com.fasterxml.jackson.databind.JsonMappingException",
                  fmt::format("Expected `JSON array` value, received {}", json::serialize(value)));
  std::vector<T> list;
  for (const auto& each : value.as_array()) {
    ASSIGN_OR_RETURN(T item, read(each));
    list.push_back(std::move(item));
  }
  return list;
}

// What is under a name of the object; null: nothing is.
Attempt<const json::array*> array_of(const json::value& value, std::string_view name) {
  ASSIGN_OR_RETURN(const auto* object, object_in(value));
  const auto* member = object->if_contains(name);
  if (member == nullptr) return nullptr;
  return array_in(*member);
}

Attempt<> read_partition(const json::value& value, ReassignmentPlan& plan) {
  ASSIGN_OR_RETURN(const auto partition, partition_of(value));
  ASSIGN_OR_RETURN(const auto* listed, member_of(value, "replicas"));
  ASSIGN_OR_RETURN(const auto replicas, list_in<int32_t>(*listed, int_in));
  std::vector<std::string> directories(replicas.size(), std::string(kAnyDirectory));
  if (const auto* named = value.as_object().if_contains("log_dirs")) {
    ASSIGN_OR_RETURN(directories, list_in<std::string>(*named, text_in));
  }
  if (replicas.size() != directories.size())
    return thrown(kAdminCommandFailedException,
                  fmt::format("Size of replicas list [{}] is different from size of log dirs list "
                              "[{}] for partition {}",
                              fmt::join(replicas, ", "), fmt::join(directories, ", "),
                              partition.to_string()));
  for (size_t i = 0; i < replicas.size(); ++i)
    if (directories[i] != kAnyDirectory)
      plan.directories[{replicas[i], partition}] = directories[i];
  plan.partitions.emplace_back(partition, replicas);
  return {};
}

}  // namespace

Attempt<ReassignmentPlan> parse_reassignments(const std::string& text) {
  if (text.empty()) return thrown(kAdminOperationException, "The input string shouldn't be empty");
  const auto value = parse_json(text);
  if (!value) return thrown(kAdminOperationException, std::string(kNoJson));
  RETURN_IF_ERROR(check_version(*value));
  ASSIGN_OR_RETURN(const auto* partitions, array_of(*value, "partitions"));
  ReassignmentPlan plan;
  if (partitions == nullptr) return plan;
  for (const auto& each : *partitions) RETURN_IF_ERROR(read_partition(each, plan));
  return plan;
}

Attempt<Assignment> checked_assignment(const ReassignmentPlan& plan) {
  if (plan.partitions.empty())
    return thrown(kAdminCommandFailedException, "Partition reassignment list cannot be empty");
  Assignment assignment;
  std::vector<TopicPartition> partitions;
  std::vector<std::string> problems;
  for (const auto& [partition, replicas] : plan.partitions) {
    if (replicas.empty())
      return thrown(kAdminCommandFailedException, "Partition replica list cannot be empty");
    partitions.push_back(partition);
    assignment.emplace(partition, replicas);
    if (const auto twice = duplicates(replicas); !twice.empty())
      problems.push_back(fmt::format("{} contains multiple entries for {}", partition.to_string(),
                                     fmt::join(twice, ",")));
  }
  if (auto several = duplicates(partitions); !several.empty()) {
    sort_as_hash_map(several, [](const auto& each) { return each; });
    std::vector<std::string> names;
    for (const auto& each : several) names.push_back(each.to_string());
    return thrown(kAdminCommandFailedException,
                  fmt::format("Partition reassignment contains duplicate topic partitions: {}",
                              fmt::join(names, ",")));
  }
  if (!problems.empty())
    return thrown(kAdminCommandFailedException,
                  fmt::format("Partition replica lists may not contain duplicate entries: {}",
                              fmt::join(problems, ". ")));
  return assignment;
}

Attempt<std::vector<std::string>> parse_topics_to_move(const std::string& text) {
  const auto value = parse_json(text);
  if (!value) return thrown(kAdminOperationException, std::string(kNoJson));
  RETURN_IF_ERROR(check_version(*value));
  ASSIGN_OR_RETURN(const auto* topics, array_of(*value, "topics"));
  std::vector<std::string> names;
  if (topics == nullptr) return names;
  for (const auto& each : *topics) {
    ASSIGN_OR_RETURN(const auto* topic, member_of(each, "topic"));
    ASSIGN_OR_RETURN(std::string name, text_in(*topic));
    names.push_back(std::move(name));
  }
  return names;
}

std::string reassignment_json(const Assignment& assignment, const DirectoryMoves& directories) {
  json::array partitions;
  for (const auto& [partition, replicas] : assignment) {
    json::array brokers(replicas.begin(), replicas.end()), paths;
    for (const int32_t broker : replicas) {
      const auto found = directories.find({broker, partition});
      paths.emplace_back(found == directories.end() ? std::string_view(kAnyDirectory)
                                                    : std::string_view(found->second));
    }
    partitions.push_back(json::object{{"topic", partition.topic},
                                      {"partition", partition.partition.value()},
                                      {"replicas", std::move(brokers)},
                                      {"log_dirs", std::move(paths)}});
  }
  return json::serialize(json::object{{"version", 1}, {"partitions", std::move(partitions)}});
}

}  // namespace millrace::app::kafka
