#include "controller/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace millrace::controller {
namespace {

using metadata::ConfigMap;
using metadata::ConfigResource;
using metadata::ConfigResourceType;
using wire::ErrorCode;

constexpr int64_t kProducerIdBlock = 1000;  // as Kafka's
constexpr size_t kMaxTopicName = 249;

enum class AlterOperation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) items.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return items;
}

std::string join_list(const std::vector<std::string>& items) {
  return fmt::format("{}", fmt::join(items, ","));
}

void append_to_list(std::string& value, const std::string& added) {
  auto items = split_list(value);
  for (const auto& item : split_list(added))
    if (std::ranges::find(items, item) == items.end()) items.push_back(item);
  value = join_list(items);
}

void subtract_from_list(std::string& value, const std::string& removed) {
  auto items = split_list(value);
  const auto gone = split_list(removed);
  std::erase_if(items,
                [&](const auto& item) { return std::ranges::find(gone, item) != gone.end(); });
  value = join_list(items);
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
  for (auto [name, level] : {std::pair<const char*, int16_t>{"metadata.version", 30},
                             {"eligible.leader.replicas.version", 1},
                             {"group.version", 1},
                             {"share.version", 1},
                             {"streams.version", 1},
                             {"transaction.version", 2}})
    records.push_back(wire::FeatureLevelRecord{.name = name, .feature_level = level});
  return records;
}

Controller::Refusal Controller::too_many() {
  return {ErrorCode::kPolicyViolation, "Excessively large number of partitions per request."};
}

std::vector<NodeId> Controller::usable_brokers() const {
  std::vector<NodeId> usable;
  for (const auto& [id, broker] : image_.brokers())
    if (!broker.fenced && !broker.in_controlled_shutdown) usable.push_back(id);
  return usable;
}

std::optional<Controller::Refusal> Controller::check_name(const std::string& name) const {
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

std::expected<Controller::Placement, Controller::Refusal> Controller::place_manually(
    const Topic& topic) const {
  auto refuse = [](std::string message) {
    return std::unexpected(Refusal{ErrorCode::kInvalidReplicaAssignment, std::move(message)});
  };
  if (topic.num_partitions != -1 || topic.replication_factor != -1)
    return std::unexpected(Refusal{ErrorCode::kInvalidRequest,
                                   "A manual partition assignment was specified, but "
                                   "numPartitions or replicationFactor was not set to -1."});
  Placement placement;
  std::map<int32_t, std::vector<int32_t>> by_index;
  for (const auto& each : topic.assignments) {
    std::set<int32_t> unique(each.broker_ids.begin(), each.broker_ids.end());
    if (each.broker_ids.empty())
      return refuse("The manual partition assignment includes an empty replica list.");
    if (unique.size() != each.broker_ids.size())
      return refuse(
          fmt::format("The manual partition assignment includes the broker {} more than once.",
                      each.broker_ids[0]));
    for (int32_t id : each.broker_ids)
      if (!image_.find_broker(NodeId(id)))
        return refuse(
            fmt::format("The manual partition assignment includes broker {}, but no such "
                        "broker is registered.",
                        id));
    if (!by_index.emplace(each.partition_index, each.broker_ids).second)
      return refuse(fmt::format("Found multiple manual partition assignments for partition {}",
                                each.partition_index));
  }
  for (auto& [index, brokers] : by_index) {
    if (std::cmp_not_equal(index, placement.manual.size()))
      return refuse("partitions should be a consecutive 0-based integer sequence");
    if (!placement.manual.empty() && placement.manual[0].size() != brokers.size())
      return refuse("The manual partition assignment includes replica lists of different lengths.");
    placement.manual.push_back(brokers);
  }
  placement.partitions = static_cast<int32_t>(placement.manual.size());
  placement.replication_factor = static_cast<int16_t>(placement.manual[0].size());
  return placement;
}

std::expected<Controller::Placement, Controller::Refusal> Controller::place(
    const Topic& topic) const {
  if (!topic.assignments.empty()) return place_manually(topic);
  Placement placement{.partitions = topic.num_partitions,
                      .replication_factor = topic.replication_factor};
  if (placement.partitions == -1) placement.partitions = defaults_.partitions;
  if (placement.replication_factor == -1)
    placement.replication_factor = defaults_.replication_factor;
  if (placement.partitions <= 0)
    return std::unexpected(
        Refusal{ErrorCode::kInvalidPartitions,
                "Number of partitions was set to an invalid non-positive value."});
  if (placement.replication_factor <= 0)
    return std::unexpected(Refusal{ErrorCode::kInvalidReplicationFactor,
                                   "Replication factor must be larger than 0, or -1 to use the "
                                   "default value."});
  // Before a record is made for each of them.
  if (std::cmp_greater(placement.partitions, kMaxRecords)) return std::unexpected(too_many());
  const size_t usable = usable_brokers().size();
  if (std::cmp_greater(placement.replication_factor, usable))
    return std::unexpected(Refusal{
        ErrorCode::kInvalidReplicationFactor,
        fmt::format("Unable to replicate the partition {} time(s): The target replication "
                    "factor of {} cannot be reached because only {} broker(s) are registered.",
                    placement.replication_factor, placement.replication_factor, usable)});
  return placement;
}

std::expected<ConfigMap, Controller::Refusal> Controller::configs_of(const Topic& topic) const {
  ConfigMap configs;
  for (const auto& each : topic.configs) {
    if (!each.value)
      return std::unexpected(
          Refusal{ErrorCode::kInvalidConfig,
                  fmt::format("Null value not supported for topic configs: {}", each.name)});
    configs[each.name] = *each.value;
  }
  if (auto problem = check_(ConfigResourceType::kTopic, configs))
    return std::unexpected(Refusal{ErrorCode::kInvalidConfig, *problem});
  return configs;
}

wire::PartitionRecord Controller::new_partition(const Uuid& topic_id, size_t index,
                                                const Placement& placement) const {
  std::vector<int32_t> replicas;
  if (!placement.manual.empty()) {
    replicas = placement.manual[index];
  } else {
    const auto usable = usable_brokers();
    for (size_t i = 0; std::cmp_less(i, placement.replication_factor); ++i)
      replicas.push_back(usable[(index + i) % usable.size()].value());
  }
  wire::PartitionRecord record{.partition_id = static_cast<int32_t>(index),
                               .topic_id = topic_id,
                               .replicas = replicas,
                               .leader_epoch = 0,
                               .partition_epoch = 0};
  for (int32_t id : replicas) {
    const metadata::Broker* broker = image_.find_broker(NodeId(id));
    const bool live = broker && !broker->fenced;
    if (live) record.isr.push_back(id);
    const bool single = broker && broker->log_dirs.size() == 1;
    record.directories.push_back(single ? broker->log_dirs[0] : Uuid::of_words({0, 1}));
  }
  if (record.isr.empty()) record.isr = {replicas[0]};
  record.leader = record.isr[0];
  return record;
}

std::expected<Records, Controller::Refusal> Controller::create_topic(
    const Topic& topic, wire::CreateTopicsResponse::CreatableTopicResult& result) {
  if (auto refusal = check_name(topic.name)) return std::unexpected(*refusal);
  auto configs = configs_of(topic);
  if (!configs) return std::unexpected(configs.error());
  auto placement = place(topic);
  if (!placement) return std::unexpected(placement.error());
  Records records;
  result.topic_id = uuids_();
  result.num_partitions = placement->partitions;
  result.replication_factor = placement->replication_factor;
  records.push_back(wire::TopicRecord{.name = topic.name, .topic_id = result.topic_id});
  for (const auto& [name, value] : *configs)
    records.push_back(
        wire::ConfigRecord{.resource_type = static_cast<int8_t>(ConfigResourceType::kTopic),
                           .resource_name = topic.name,
                           .name = name,
                           .value = value});
  for (size_t i = 0; std::cmp_less(i, placement->partitions); ++i)
    records.push_back(new_partition(result.topic_id, i, *placement));
  return records;
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
  for (const auto& topic : request.topics) {
    auto& result = decided.response.topics.emplace_back();
    result.name = topic.name;
    std::expected<Records, Refusal> records =
        times[topic.name] > 1
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
    } else if (!request.validate_only) {
      decided.records.insert(decided.records.end(), records->begin(), records->end());
    }
  }
  return decided;
}

Decided<wire::DeleteTopicsResponse> Controller::decide_delete_topics(
    const wire::DeleteTopicsRequest& request) {
  Decided<wire::DeleteTopicsResponse> decided;
  auto wanted = request.topics;
  for (const auto& name : request.topic_names) wanted.push_back({.name = name});
  std::set<Uuid> gone;
  for (const auto& each : wanted) {
    auto& result = decided.response.responses.emplace_back();
    result.name = each.name;
    result.topic_id = each.topic_id;
    if (each.name && !each.topic_id.is_zero()) {
      result.error_code = wire::code_of(ErrorCode::kInvalidRequest);
      result.error_message = "You may not specify both topic name and topic id.";
      continue;
    }
    const metadata::Topic* topic =
        each.name ? image_.find_topic(*each.name) : image_.find_topic(each.topic_id);
    if (topic == nullptr || !gone.insert(topic->id).second) {
      const auto code =
          each.name ? ErrorCode::kUnknownTopicOrPartition : ErrorCode::kUnknownTopicId;
      result.error_code = wire::code_of(code);
      result.error_message =
          "This server does not host this topic" + std::string(each.name ? "-partition." : " ID.");
      continue;
    }
    result.name = topic->name;
    result.topic_id = topic->id;
    decided.records.push_back(wire::RemoveTopicRecord{.topic_id = topic->id});
  }
  return decided;
}

std::expected<Records, Controller::Refusal> Controller::add_partitions(
    const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic) const {
  const metadata::Topic* known = image_.find_topic(topic.name);
  if (known == nullptr)
    return std::unexpected(Refusal{ErrorCode::kUnknownTopicOrPartition,
                                   "This server does not host this topic-partition."});
  const size_t now = known->partitions.size();
  if (std::cmp_equal(topic.count, now))
    return std::unexpected(Refusal{ErrorCode::kInvalidPartitions,
                                   fmt::format("Topic already has {} partition(s).", now)});
  if (std::cmp_less(topic.count, now))
    return std::unexpected(Refusal{
        ErrorCode::kInvalidPartitions,
        fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                    topic.name, now, topic.count)});
  const size_t added = static_cast<size_t>(topic.count) - now;
  if (added > kMaxRecords) return std::unexpected(too_many());
  Placement placement{
      .partitions = topic.count,
      .replication_factor = static_cast<int16_t>(known->partitions[0].replicas.size())};
  if (topic.assignments && topic.assignments->size() != added)
    return std::unexpected(Refusal{
        ErrorCode::kInvalidReplicaAssignment,
        fmt::format("Attempted to add {} additional partition(s), but only {} assignment(s) "
                    "were specified.",
                    added, topic.assignments->size())});
  if (topic.assignments) {
    placement.manual.resize(now);
    for (const auto& each : *topic.assignments) placement.manual.push_back(each.broker_ids);
    for (size_t i = now; i < placement.manual.size(); ++i)
      for (int32_t id : placement.manual[i])
        if (std::cmp_not_equal(placement.manual[i].size(), placement.replication_factor) ||
            !image_.find_broker(NodeId(id)))
          return std::unexpected(Refusal{ErrorCode::kInvalidReplicaAssignment,
                                         "The manual partition assignment is not possible."});
  } else if (std::cmp_greater(placement.replication_factor, usable_brokers().size())) {
    return std::unexpected(
        Refusal{ErrorCode::kInvalidReplicationFactor,
                "Not enough brokers are alive to replicate the new partitions."});
  }
  Records records;
  for (size_t i = now; std::cmp_less(i, topic.count); ++i)
    records.push_back(new_partition(known->id, i, placement));
  return records;
}

Decided<wire::CreatePartitionsResponse> Controller::decide_create_partitions(
    const wire::CreatePartitionsRequest& request) {
  Decided<wire::CreatePartitionsResponse> decided;
  std::map<std::string, int> times;
  for (const auto& topic : request.topics) ++times[topic.name];
  for (const auto& topic : request.topics) {
    auto& result = decided.response.results.emplace_back();
    result.name = topic.name;
    std::expected<Records, Refusal> records =
        times[topic.name] > 1
            ? std::unexpected(Refusal{ErrorCode::kInvalidRequest, "Duplicate topic name."})
            : add_partitions(topic);
    if (records && decided.records.size() + records->size() > kMaxRecords)
      records = std::unexpected(too_many());
    if (!records) {
      result.error_code = wire::code_of(records.error().code);
      result.error_message = records.error().message;
    } else if (!request.validate_only) {
      decided.records.insert(decided.records.end(), records->begin(), records->end());
    }
  }
  return decided;
}

std::expected<Records, Controller::Refusal> Controller::alter_resource(
    const wire::IncrementalAlterConfigsRequest::AlterConfigsResource& resource) const {
  const auto type = static_cast<ConfigResourceType>(resource.resource_type);
  if (type == ConfigResourceType::kTopic && !image_.find_topic(resource.resource_name))
    return std::unexpected(
        Refusal{ErrorCode::kUnknownTopicOrPartition,
                fmt::format("The topic '{}' does not exist.", resource.resource_name)});
  ConfigMap values = image_.configs({type, resource.resource_name});
  std::set<std::string> touched;
  for (const auto& each : resource.configs) {
    if (!touched.insert(each.name).second)
      return std::unexpected(
          Refusal{ErrorCode::kInvalidRequest,
                  fmt::format("Error due to duplicate config key {}", each.name)});
    const std::string value = each.value.value_or("");
    switch (static_cast<AlterOperation>(each.config_operation)) {
      case AlterOperation::kSet: values[each.name] = value; break;
      case AlterOperation::kDelete: values.erase(each.name); break;
      case AlterOperation::kAppend: append_to_list(values[each.name], value); break;
      case AlterOperation::kSubtract: subtract_from_list(values[each.name], value); break;
      default:
        return std::unexpected(Refusal{ErrorCode::kInvalidRequest, "Unknown config operation."});
    }
  }
  if (auto problem = check_(type, values))
    return std::unexpected(Refusal{ErrorCode::kInvalidConfig, *problem});
  Records records;
  for (const auto& name : touched) {
    auto value = values.find(name);
    records.push_back(wire::ConfigRecord{
        .resource_type = resource.resource_type,
        .resource_name = resource.resource_name,
        .name = name,
        .value = value == values.end() ? std::nullopt : std::optional(value->second)});
  }
  return records;
}

Decided<wire::IncrementalAlterConfigsResponse> Controller::decide_alter_configs(
    const wire::IncrementalAlterConfigsRequest& request) {
  Decided<wire::IncrementalAlterConfigsResponse> decided;
  std::map<std::pair<int8_t, std::string>, int> times;
  for (const auto& resource : request.resources)
    ++times[{resource.resource_type, resource.resource_name}];
  for (const auto& resource : request.resources) {
    auto& result = decided.response.responses.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    std::expected<Records, Refusal> records =
        times[{resource.resource_type, resource.resource_name}] > 1
            ? std::unexpected(
                  Refusal{ErrorCode::kInvalidRequest, "Each resource must appear at most once."})
            : alter_resource(resource);
    if (!records) {
      result.error_code = wire::code_of(records.error().code);
      result.error_message = records.error().message;
    } else if (!request.validate_only) {
      decided.records.insert(decided.records.end(), records->begin(), records->end());
    }
  }
  return decided;
}

Records Controller::decide_register_broker(wire::RegisterBrokerRecord registration,
                                           Offset next_offset) {
  const NodeId id(registration.broker_id);
  registration.broker_epoch = next_offset.value();
  registration.fenced = false;
  Records records{registration};
  for (const auto& [name, topic] : image_.topics())
    for (size_t i = 0; i < topic->partitions.size(); ++i) {
      const metadata::PartitionState& p = topic->partitions[i];
      const bool may_lead =
          std::ranges::find(p.isr, id) != p.isr.end() ||
          std::ranges::find(p.elr, id) != p.elr.end() ||
          (p.isr.empty() && std::ranges::find(p.replicas, id) != p.replicas.end());
      if (!may_lead || (p.leader != kNoNode && p.leader != id)) continue;
      wire::PartitionChangeRecord change{
          .partition_id = static_cast<int32_t>(i), .topic_id = topic->id, .leader = id.value()};
      if (p.isr.empty()) {
        change.isr = std::vector<int32_t>{id.value()};
        change.eligible_leader_replicas = std::vector<int32_t>{};
        change.last_known_elr = std::vector<int32_t>{};
      }
      records.push_back(std::move(change));
    }
  return records;
}

Decided<ProducerId> Controller::decide_producer_id_block(NodeId broker, BrokerEpoch epoch) {
  const ProducerId first = image_.next_producer_id();
  return {
      .records = {wire::ProducerIdsRecord{.broker_id = broker.value(),
                                          .broker_epoch = epoch.value(),
                                          .next_producer_id = first.value() + kProducerIdBlock}},
      .response = first};
}

}  // namespace millrace::controller
