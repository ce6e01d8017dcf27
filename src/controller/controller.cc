#include "controller/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "controller/assignment.h"
#include "metadata/features.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using metadata::ConfigMap;
using metadata::ConfigResource;
using metadata::ConfigResourceType;
using wire::ErrorCode;

constexpr size_t kMaxTopicName = 249;

std::string inconsistent_replicas(const std::vector<int32_t>& here, size_t elsewhere) {
  return fmt::format(
      "The manual partition assignment includes a partition with {} replica(s), but this is not "
      "consistent with previous partitions, which have {} replica(s).",
      here.size(), elsewhere);
}

// Not when all its directories are cordoned (KIP-1066).
bool takes_new_replicas(const metadata::Broker& broker) {
  const auto& cordoned = broker.registration.cordoned_log_dirs;
  return broker.log_dirs.empty() || !cordoned ||
         std::ranges::any_of(broker.log_dirs, [&](const Uuid& directory) {
           return std::ranges::find(*cordoned, directory) == cordoned->end();
         });
}

}  // namespace

std::optional<std::string> topic_name_problem(std::string_view name) {
  if (name.empty()) return "the empty string is not allowed";
  if (name == "." || name == "..") return fmt::format("'{}' is not allowed", name);
  if (name.size() > kMaxTopicName)
    return fmt::format("the length of '{}' is longer than the max allowed length {}", name,
                       kMaxTopicName);
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-')
      return fmt::format(
          "'{}' contains one or more characters other than ASCII alphanumerics, '.', "
          "'_' and '-'",
          name);
  return std::nullopt;
}

bool topic_names_collide(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](char x, char y) { return (x == '.' ? '_' : x) == (y == '.' ? '_' : y); });
}

Records Controller::bootstrap_records() {
  Records records;
  for (const auto& feature : metadata::supported_features())
    if (feature.first_level > 0)
      records.push_back(
          wire::FeatureLevelRecord{.name = feature.name, .feature_level = feature.first_level});
  return records;
}

Refusal Controller::too_many() {
  return {ErrorCode::kPolicyViolation, "Excessively large number of partitions per request."};
}

// The topic's id is random, so where its stripes begin is too.
ReplicaPlacer Controller::placer(const Uuid& topic_id, const Assignments& existing) const {
  std::vector<PlaceableBroker> brokers;
  for (const auto& [id, broker] : image_.brokers())
    if (!broker.in_controlled_shutdown && takes_new_replicas(broker))
      brokers.push_back({.id = id, .rack = broker.rack, .fenced = broker.fenced});
  return {brokers, existing, std::hash<Uuid>()(topic_id)};
}

std::optional<Refusal> Controller::check_name(const std::string& name) const {
  if (name == "__cluster_metadata")
    return Refusal{ErrorCode::kInvalidRequest,
                   fmt::format("Creation of internal topic {} is prohibited.", name)};
  if (auto problem = topic_name_problem(name))
    return Refusal{ErrorCode::kInvalidTopicException, "Topic name is invalid: " + *problem};
  if (image_.find_topic(name))
    return Refusal{ErrorCode::kTopicAlreadyExists, fmt::format("Topic '{}' already exists.", name)};
  if (name.find_first_of("._") == std::string::npos) return std::nullopt;
  for (const auto& [other, topic] : image_.topics())
    if (topic_names_collide(name, other))
      return Refusal{ErrorCode::kInvalidTopicException,
                     fmt::format("Topic '{}' collides with existing topic: {}", name, other)};
  return std::nullopt;
}

std::expected<Controller::Assignments, Refusal> Controller::place_manually(
    const Topic& topic) const {
  auto refuse = [](std::string message) {
    return std::unexpected(Refusal{ErrorCode::kInvalidReplicaAssignment, std::move(message)});
  };
  if (topic.num_partitions != -1 || topic.replication_factor != -1)
    return std::unexpected(Refusal{
        ErrorCode::kInvalidRequest,
        fmt::format("A manual partition assignment was specified, but {} was not set to -1.",
                    topic.replication_factor != -1 ? "replication factor" : "numPartitions")});
  std::map<int32_t, const std::vector<int32_t>*> by_index;
  for (const auto& each : topic.assignments) {
    if (auto problem = assignment_problem(image_, each.broker_ids)) return refuse(*problem);
    if (!by_index.emplace(each.partition_index, &each.broker_ids).second)
      return refuse(fmt::format("Found multiple manual partition assignments for partition {}",
                                each.partition_index));
  }
  Assignments assignments;
  for (const auto& [index, brokers] : by_index) {
    if (std::cmp_not_equal(index, assignments.size()))
      return refuse("partitions should be a consecutive 0-based integer sequence");
    if (!assignments.empty() && assignments[0].size() != brokers->size())
      return refuse(inconsistent_replicas(*brokers, assignments[0].size()));
    assignments.push_back(metadata::node_ids_of(*brokers));
  }
  return assignments;
}

std::expected<Controller::Assignments, Refusal> Controller::place(const Topic& topic,
                                                                  const Uuid& topic_id) const {
  if (!topic.assignments.empty()) return place_manually(topic);
  const auto partitions = topic.num_partitions == -1 ? properties_->number("num.partitions")
                                                     : int64_t{topic.num_partitions};
  const auto replication_factor =
      topic.replication_factor == -1
          ? static_cast<int16_t>(properties_->number("default.replication.factor"))
          : topic.replication_factor;
  if (replication_factor <= 0)
    return std::unexpected(Refusal{ErrorCode::kInvalidReplicationFactor,
                                   "Replication factor must be larger than 0, or -1 to use the "
                                   "default value."});
  if (partitions <= 0)
    return std::unexpected(
        Refusal{ErrorCode::kInvalidPartitions,
                "Number of partitions was set to an invalid non-positive value."});
  // Before a record is made for each of them.
  if (std::cmp_greater(partitions, kMaxRecords)) return std::unexpected(too_many());
  ReplicaPlacer replicas = placer(topic_id, {});
  if (auto problem = replicas.problem(replication_factor))
    return std::unexpected(Refusal{ErrorCode::kInvalidReplicationFactor,
                                   fmt::format("Unable to replicate the partition {} time(s): {}",
                                               replication_factor, *problem)});
  Assignments assignments;
  for (int64_t i = 0; i < partitions; ++i) assignments.push_back(replicas.next(replication_factor));
  return assignments;
}

std::expected<ConfigMap, Refusal> Controller::configs_of(const Topic& topic) const {
  ConfigMap configs;
  for (const auto& each : topic.configs) {
    if (!each.value)
      return std::unexpected(
          Refusal{ErrorCode::kInvalidConfig,
                  fmt::format("Null value not supported for topic configs: {}", each.name)});
    configs[each.name] = *each.value;
  }
  if (auto refusal = check_configs({ConfigResourceType::kTopic, topic.name}, configs))
    return std::unexpected(*refusal);
  return configs;
}

wire::PartitionRecord Controller::new_partition(const Uuid& topic_id, size_t index,
                                                const ReplicaPlacer::Assignment& replicas) {
  const ClusterView now = view();
  wire::PartitionRecord record{.partition_id = static_cast<int32_t>(index),
                               .topic_id = topic_id,
                               .leader_epoch = 0,
                               .partition_epoch = 0};
  for (NodeId id : replicas) {
    record.replicas.push_back(id.value());
    if (now.is_active(id)) record.isr.push_back(id.value());
    if (image_.metadata_version() >= metadata::kDirectoryAssignmentLevel)
      record.directories.push_back(now.default_directory(id));
  }
  record.leader = record.isr.empty() ? kNoNode.value() : record.isr[0];
  return record;
}

// Somebody has to lead a partition from the first.
std::optional<Refusal> Controller::add_partition_records(const Uuid& topic_id, size_t first,
                                                         const Assignments& assignments,
                                                         Records& records) {
  for (size_t i = 0; i < assignments.size(); ++i) {
    auto record = new_partition(topic_id, first + i, assignments[i]);
    if (record.isr.empty())
      return Refusal{ErrorCode::kInvalidReplicaAssignment,
                     fmt::format("All brokers specified in the manual partition assignment for "
                                 "partition {} are fenced or in controlled shutdown.",
                                 first + i)};
    records.push_back(std::move(record));
  }
  return std::nullopt;
}

std::optional<Refusal> Controller::charge(size_t partitions) const {
  return mutation_quota_ ? mutation_quota_(static_cast<int64_t>(partitions)) : std::nullopt;
}

std::expected<Records, Refusal> Controller::create_topic(
    const Topic& topic, wire::CreateTopicsResponse::CreatableTopicResult& result) {
  if (auto refusal = check_name(topic.name)) return std::unexpected(*refusal);
  auto configs = configs_of(topic);
  if (!configs) return std::unexpected(configs.error());
  result.topic_id = uuids_();
  auto assignments = place(topic, result.topic_id);
  if (!assignments) return std::unexpected(assignments.error());
  if (auto refusal = charge(assignments->size())) return std::unexpected(std::move(*refusal));
  Records records;
  result.num_partitions = static_cast<int32_t>(assignments->size());
  result.replication_factor = static_cast<int16_t>(assignments->front().size());
  add_effective_configs(*configs, result);
  records.push_back(wire::TopicRecord{.name = topic.name, .topic_id = result.topic_id});
  for (const auto& [name, value] : *configs)
    records.push_back(
        wire::ConfigRecord{.resource_type = static_cast<int8_t>(ConfigResourceType::kTopic),
                           .resource_name = topic.name,
                           .name = name,
                           .value = value});
  if (auto refusal = add_partition_records(result.topic_id, 0, *assignments, records))
    return std::unexpected(std::move(*refusal));
  return records;
}

int64_t Controller::partitions_wanted(const wire::CreateTopicsRequest& request) const {
  int64_t wanted = 0;
  for (const auto& topic : request.topics) {
    if (!topic.assignments.empty())
      wanted += static_cast<int64_t>(topic.assignments.size());
    else
      wanted += topic.num_partitions == -1 ? properties_->number("num.partitions")
                                           : std::max(topic.num_partitions, 0);
  }
  return wanted;
}

Decided<wire::CreateTopicsResponse> Controller::decide_create_topics(
    const wire::CreateTopicsRequest& request) {
  Decided<wire::CreateTopicsResponse> decided;
  auto collides_with_created = [&](const std::string& name) {
    return std::ranges::any_of(decided.records, [&](const auto& record) {
      const auto* created = std::get_if<wire::TopicRecord>(&record);
      return created && topic_names_collide(created->name, name);
    });
  };
  std::map<std::string, int> times;
  for (const auto& topic : request.topics) ++times[topic.name];
  const bool too_large = partitions_wanted(request) > kMaxNewPartitions;
  std::set<std::string> answered;
  for (const auto& topic : request.topics) {
    if (!answered.insert(topic.name).second) continue;
    auto& result = decided.response.topics.emplace_back();
    result.error_message.reset();
    result.name = topic.name;
    std::expected<Records, Refusal> records =
        too_large ? std::unexpected(too_many())
        : times[topic.name] > 1
            ? std::unexpected(Refusal{ErrorCode::kInvalidRequest, "Duplicate topic name."})
        : collides_with_created(topic.name)
            ? std::unexpected(
                  Refusal{ErrorCode::kInvalidTopicException,
                          fmt::format("Topic '{}' collides with another topic of the request.",
                                      topic.name)})
            : create_topic(topic, result);
    if (records && decided.records.size() + records->size() > kMaxRecords)
      records = std::unexpected(too_many());
    if (!records) {
      result.error_code = wire::code_of(records.error().code);
      result.error_message = records.error().message;
      result.topic_id = Uuid::zero();
      result.num_partitions = -1;
      result.replication_factor = -1;
      result.configs.emplace();
    } else if (!request.validate_only) {
      decided.records.insert(decided.records.end(), records->begin(), records->end());
    }
  }
  return decided;
}

// `names` and `ids`: how often the request has each, a name counted as its id too.
std::optional<Refusal> Controller::deletion_refusal(
    const wire::DeleteTopicsRequest::DeleteTopicState& wanted, const metadata::Topic* topic,
    const std::map<std::string, int>& names, const std::map<Uuid, int>& ids) {
  const bool has_id = !wanted.topic_id.is_zero();
  auto invalid = [](const char* why) { return Refusal{ErrorCode::kInvalidRequest, why}; };
  if (wanted.name && has_id) return invalid("You may not specify both topic name and topic id.");
  if (!wanted.name && !has_id) return invalid("Neither topic name nor id were specified.");
  if (wanted.name && names.at(*wanted.name) > 1) return invalid("Duplicate topic name.");
  if (wanted.name && topic && ids.at(topic->id) > 1)
    return invalid("The provided topic name maps to an ID that was already supplied.");
  if (has_id && ids.at(wanted.topic_id) > 1) return invalid("Duplicate topic id.");
  if (topic) return std::nullopt;
  if (has_id)
    return Refusal{ErrorCode::kUnknownTopicId, "This server does not host this topic ID."};
  return Refusal{ErrorCode::kUnknownTopicOrPartition,
                 "This server does not host this topic-partition."};
}

Decided<wire::DeleteTopicsResponse> Controller::decide_delete_topics(
    const wire::DeleteTopicsRequest& request) {
  Decided<wire::DeleteTopicsResponse> decided;
  auto wanted = request.topics;
  for (const auto& name : request.topic_names) wanted.push_back({.name = name});
  std::map<std::string, int> names;
  std::map<Uuid, int> ids;
  for (const auto& each : wanted) {
    if (each.name) ++names[*each.name];
    if (!each.topic_id.is_zero()) ++ids[each.topic_id];
    const metadata::Topic* named = each.name ? image_.find_topic(*each.name) : nullptr;
    if (named && each.topic_id.is_zero()) ++ids[named->id];
  }
  std::set<std::pair<std::optional<std::string>, Uuid>> answered;
  for (const auto& each : wanted) {
    const metadata::Topic* topic =
        each.name ? image_.find_topic(*each.name) : image_.find_topic(each.topic_id);
    // One that is named too is answered under its name.
    if (!each.name && topic && names.contains(topic->name)) continue;
    if (!answered.emplace(each.name, each.topic_id).second) continue;
    auto& result = decided.response.responses.emplace_back();
    result.error_message.reset();
    result.name = each.name;
    result.topic_id = each.topic_id;
    auto refusal = deletion_refusal(each, topic, names, ids);
    if (!refusal) refusal = charge(topic->partitions.size());
    if (refusal) {
      result.error_code = wire::code_of(refusal->code);
      result.error_message = std::move(refusal->message);
      if (each.name && topic && names.at(*each.name) == 1 && ids.at(topic->id) > 1)
        result.topic_id = topic->id;  // named twice, by its name and by its id
      continue;
    }
    result.name = topic->name;
    result.topic_id = topic->id;
    decided.records.push_back(wire::RemoveTopicRecord{.topic_id = topic->id});
  }
  return decided;
}

std::expected<Records, Refusal> Controller::add_partitions(
    const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic) {
  const metadata::Topic* known = image_.find_topic(topic.name);
  if (known == nullptr) return std::unexpected(Refusal{ErrorCode::kUnknownTopicOrPartition, {}});
  const size_t now = known->partitions.size();
  if (std::cmp_equal(topic.count, now))
    return std::unexpected(Refusal{ErrorCode::kInvalidPartitions,
                                   fmt::format("Topic already has {} partition(s).", now)});
  if (std::cmp_less(topic.count, now))
    return std::unexpected(Refusal{
        ErrorCode::kInvalidPartitions,
        fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                    topic.name, now, topic.count)});
  if (static_cast<size_t>(topic.count) - now > kMaxRecords) return std::unexpected(too_many());
  auto assignments = place_added(topic, *known);
  if (!assignments) return std::unexpected(assignments.error());
  if (auto refusal = charge(assignments->size())) return std::unexpected(std::move(*refusal));
  Records records;
  if (auto refusal = add_partition_records(known->id, now, *assignments, records))
    return std::unexpected(std::move(*refusal));
  return records;
}

std::expected<Controller::Assignments, Refusal> Controller::place_added(
    const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic,
    const metadata::Topic& known) const {
  Assignments existing, assignments;
  for (const auto& partition : known.partitions) existing.push_back(partition.replicas);
  const size_t added = static_cast<size_t>(topic.count) - existing.size();
  const auto replication_factor =
      static_cast<int16_t>(existing.empty() ? 1 : existing.front().size());
  auto refuse = [](std::string message) {
    return std::unexpected(Refusal{ErrorCode::kInvalidReplicaAssignment, std::move(message)});
  };
  if (!topic.assignments) {
    ReplicaPlacer replicas = placer(known.id, existing);
    if (auto problem = replicas.problem(replication_factor))
      return std::unexpected(Refusal{ErrorCode::kInvalidReplicationFactor, std::move(*problem)});
    while (assignments.size() < added) assignments.push_back(replicas.next(replication_factor));
    return assignments;
  }
  if (topic.assignments->size() != added)
    return refuse(
        fmt::format("Attempted to add {} additional partition(s), but only {} "
                    "assignment(s) were specified.",
                    added, topic.assignments->size()));
  for (const auto& each : *topic.assignments) {
    if (auto problem = assignment_problem(image_, each.broker_ids)) return refuse(*problem);
    if (std::cmp_not_equal(each.broker_ids.size(), replication_factor))
      return refuse(
          inconsistent_replicas(each.broker_ids, static_cast<size_t>(replication_factor)));
    assignments.push_back(metadata::node_ids_of(each.broker_ids));
  }
  return assignments;
}

Decided<wire::CreatePartitionsResponse> Controller::decide_create_partitions(
    const wire::CreatePartitionsRequest& request) {
  Decided<wire::CreatePartitionsResponse> decided;
  std::map<std::string, int> times;
  for (const auto& topic : request.topics) ++times[topic.name];
  std::set<std::string> answered;
  for (const auto& topic : request.topics) {
    if (!answered.insert(topic.name).second) continue;
    auto& result = decided.response.results.emplace_back();
    result.error_message.reset();
    result.name = topic.name;
    std::expected<Records, Refusal> records =
        times[topic.name] > 1
            ? std::unexpected(Refusal{ErrorCode::kInvalidRequest, "Duplicate topic name."})
            : add_partitions(topic);
    if (records && decided.records.size() + records->size() > kMaxRecords)
      records = std::unexpected(too_many());
    if (!records) {
      result.error_code = wire::code_of(records.error().code);
      if (!records.error().message.empty()) result.error_message = records.error().message;
    } else if (!request.validate_only) {
      decided.records.insert(decided.records.end(), records->begin(), records->end());
    }
  }
  return decided;
}

Decided<ProducerId> Controller::decide_producer_id_block(NodeId broker, BrokerEpoch epoch) const {
  const ProducerId first = image_.next_producer_id();
  return {
      .records = {wire::ProducerIdsRecord{.broker_id = broker.value(),
                                          .broker_epoch = epoch.value(),
                                          .next_producer_id = first.value() + kProducerIdBlock}},
      .response = first};
}

}  // namespace millrace::controller
