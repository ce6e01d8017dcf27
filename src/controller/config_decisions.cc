// IncrementalAlterConfigs (KIP-339), AlterConfigs (KIP-133), and the configs that CreateTopics
// answers with (KIP-525).
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/describe.h"
#include "config/rules.h"
#include "controller/controller.h"
#include "metadata/features.h"

namespace millrace::controller {
namespace {

using metadata::ConfigMap;
using metadata::ConfigResource;
using metadata::ConfigResourceType;
using wire::ErrorCode;

constexpr const char* kMinIsr = "min.insync.replicas";
constexpr const char* kUncleanElection = "unclean.leader.election.enable";

enum class AlterOperation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

// The lists that may be appended to: those of topics and brokers, as in Kafka.
const config::Definition* find_list(ConfigResourceType type, const std::string& name) {
  if (type != ConfigResourceType::kTopic && type != ConfigResourceType::kBroker) return nullptr;
  const auto scope =
      type == ConfigResourceType::kTopic ? config::Scope::kTopic : config::Scope::kBroker;
  const config::Definition* definition = config::find_definition(scope, name);
  return definition && definition->type == config::Type::kList ? definition : nullptr;
}

// What the resource has, else Kafka's default; not what the broker behind it says: that is how
// Apache Kafka's controller counts, too.
std::vector<std::string> items_of(const ConfigMap& configs, const config::Definition& list) {
  auto found = configs.find(list.name);
  if (found != configs.end()) return config::split_list(found->second);
  return config::split_list(list.default_value ? list.default_value : "");
}

std::string appended(std::vector<std::string> items, const std::string& added) {
  for (auto& item : config::split_list(added))
    if (std::ranges::find(items, item) == items.end()) items.push_back(std::move(item));
  return fmt::format("{}", fmt::join(items, ","));
}

std::string subtracted(std::vector<std::string> items, const std::string& removed) {
  const auto gone = config::split_list(removed);
  std::erase_if(items,
                [&](const auto& item) { return std::ranges::find(gone, item) != gone.end(); });
  return fmt::format("{}", fmt::join(items, ","));
}

template <class Configs, class MayBeNull>
std::optional<std::string> keys_problem(const Configs& configs, MayBeNull may_be_null) {
  std::set<std::string> names;
  for (const auto& each : configs)
    if (!names.insert(each.name).second) return "Error due to duplicate config keys";
  std::vector<std::string> nulls;
  for (const auto& each : configs)
    if (!each.value && !may_be_null(each)) nulls.push_back(each.name);
  if (nulls.empty()) return std::nullopt;
  return fmt::format("Null value not supported for : {}", fmt::join(nulls, ", "));
}

bool is_broker_name(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

// What is wrong with the resource's name, whatever its configs are.
std::optional<std::string> name_problem(const ConfigResource& resource) {
  switch (resource.type) {
    case ConfigResourceType::kTopic:
      if (resource.name.empty()) return "Default topic resources are not allowed.";
      return std::nullopt;
    case ConfigResourceType::kGroup:
      if (resource.name.empty()) return "Default group resources are not allowed.";
      return std::nullopt;
    case ConfigResourceType::kClientMetrics:
      if (resource.name.empty()) return "Subscription name can't be empty";
      return std::nullopt;
    case ConfigResourceType::kBroker:
      if (!resource.name.empty() && !is_broker_name(resource.name))
        return "Node id must be an integer, but it is: " + resource.name;
      return std::nullopt;
    default: return fmt::format("Unknown resource type {}", static_cast<int>(resource.type));
  }
}

}  // namespace

std::expected<ConfigMap, Refusal> Controller::wanted_configs(
    const IncrementalResource& wanted) const {
  const auto type = static_cast<ConfigResourceType>(wanted.resource_type);
  auto is_deletion = [](const auto& each) {
    return static_cast<AlterOperation>(each.config_operation) == AlterOperation::kDelete;
  };
  if (auto problem = keys_problem(wanted.configs, is_deletion))
    return std::unexpected(Refusal{ErrorCode::kInvalidRequest, *problem});
  ConfigMap configs = image_.configs({type, wanted.resource_name});
  for (const auto& each : wanted.configs) {
    const auto operation = static_cast<AlterOperation>(each.config_operation);
    const std::string value = each.value.value_or("");
    if (operation == AlterOperation::kSet) {
      configs[each.name] = value;
    } else if (operation == AlterOperation::kDelete) {
      configs.erase(each.name);
    } else if (operation == AlterOperation::kAppend || operation == AlterOperation::kSubtract) {
      const bool append = operation == AlterOperation::kAppend;
      const config::Definition* list = find_list(type, each.name);
      if (list == nullptr)
        return std::unexpected(
            Refusal{ErrorCode::kInvalidConfig,
                    fmt::format("Can't {} to key {} because its type is not LIST.",
                                append ? "APPEND" : "SUBTRACT", each.name)});
      auto items = items_of(configs, *list);
      configs[each.name] =
          append ? appended(std::move(items), value) : subtracted(std::move(items), value);
    } else {
      return std::unexpected(Refusal{
          ErrorCode::kInvalidRequest,
          fmt::format("Unknown config operation {} for {}", each.config_operation, each.name)});
    }
  }
  return configs;
}

std::expected<ConfigMap, Refusal> Controller::wanted_configs(const WholeResource& wanted) const {
  if (auto problem = keys_problem(wanted.configs, [](const auto&) { return false; }))
    return std::unexpected(Refusal{ErrorCode::kInvalidRequest, *problem});
  ConfigMap configs;
  for (const auto& each : wanted.configs) configs[each.name] = each.value.value_or("");
  return configs;
}

std::optional<Refusal> Controller::check_configs(const ConfigResource& resource,
                                                 const ConfigMap& configs) const {
  std::optional<config::Problem> problem;
  switch (resource.type) {
    case ConfigResourceType::kTopic: problem = config::topic_problem(configs, *properties_); break;
    case ConfigResourceType::kGroup: problem = config::group_problem(configs, *properties_); break;
    case ConfigResourceType::kClientMetrics:
      problem = config::client_metrics_problem(configs);
      break;
    default:
      problem = config::dynamic_broker_problem(configs, resource.name.empty()
                                                            ? config::BrokerLevel::kCluster
                                                            : config::BrokerLevel::kOneBroker);
  }
  if (problem)
    return Refusal{problem->is_of_request ? ErrorCode::kInvalidRequest : ErrorCode::kInvalidConfig,
                   std::move(problem->message)};
  return resource.type == ConfigResourceType::kBroker ? check_min_isr(resource, configs)
                                                      : std::nullopt;
}

// With eligible leader replicas the size of the ISR is the controller's business, so every broker
// must mean the same by it (KIP-966).
std::optional<Refusal> Controller::check_min_isr(const ConfigResource& resource,
                                                 const ConfigMap& configs) const {
  if (image_.feature_level(metadata::kElrVersion) == 0) return std::nullopt;
  const ConfigMap& before = image_.configs(resource);
  if (!resource.name.empty() && configs.contains(kMinIsr) != before.contains(kMinIsr))
    return Refusal{ErrorCode::kInvalidConfig,
                   "Broker-level min.insync.replicas cannot be altered while ELR is enabled."};
  if (resource.name.empty() && before.contains(kMinIsr) && !configs.contains(kMinIsr))
    return Refusal{ErrorCode::kInvalidConfig,
                   "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."};
  return std::nullopt;
}

Records Controller::config_records(const ConfigResource& resource, const ConfigMap& wanted) const {
  Records records;
  const ConfigMap& now = image_.configs(resource);
  auto add = [&](const std::string& name, std::optional<std::string> value) {
    records.push_back(wire::ConfigRecord{.resource_type = static_cast<int8_t>(resource.type),
                                         .resource_name = resource.name,
                                         .name = name,
                                         .value = std::move(value)});
  };
  for (const auto& [name, value] : wanted)
    if (auto found = now.find(name); found == now.end() || found->second != value) add(name, value);
  for (const auto& [name, value] : now)
    if (!wanted.contains(name)) add(name, std::nullopt);
  return records;
}

template <class Request, class Response>
Decided<Response> Controller::decide_configs(const Request& request) {
  Decided<Response> decided;
  std::map<std::pair<int8_t, std::string>, int> times;
  for (const auto& each : request.resources) ++times[{each.resource_type, each.resource_name}];
  for (const auto& each : request.resources) {
    auto& result = decided.response.responses.emplace_back();
    result.resource_type = each.resource_type;
    result.resource_name = each.resource_name;
    result.error_message.reset();
    const ConfigResource resource{static_cast<ConfigResourceType>(each.resource_type),
                                  each.resource_name};
    auto decide = [&]() -> std::expected<Records, Refusal> {
      if (times[{each.resource_type, each.resource_name}] > 1)
        return std::unexpected(
            Refusal{ErrorCode::kInvalidRequest, "Each resource must appear at most once."});
      if (auto problem = name_problem(resource))
        return std::unexpected(Refusal{ErrorCode::kInvalidRequest, *problem});
      auto wanted = wanted_configs(each);
      if (!wanted) return std::unexpected(wanted.error());
      if (auto wrong = resource.type == ConfigResourceType::kTopic
                           ? topic_name_problem(resource.name)
                           : std::nullopt)
        return std::unexpected(
            Refusal{ErrorCode::kInvalidTopicException, "Topic name is invalid: " + *wrong});
      if (resource.type == ConfigResourceType::kTopic && !image_.find_topic(resource.name))
        return std::unexpected(
            Refusal{ErrorCode::kUnknownTopicOrPartition,
                    fmt::format("The topic '{}' does not exist.", resource.name)});
      if (auto refusal = check_configs(resource, *wanted)) return std::unexpected(*refusal);
      return config_records(resource, *wanted);
    };
    if (auto records = decide(); !records) {
      result.error_code = wire::code_of(records.error().code);
      result.error_message = records.error().message;
    } else if (!request.validate_only) {
      std::ranges::move(*records, std::back_inserter(decided.records));
    }
  }
  follow_configs(decided.records);
  return decided;
}

// What partitions have to do with the configs that these records change.
void Controller::follow_configs(Records& records) {
  const size_t count = records.size();
  for (size_t i = 0; i < count; ++i) {
    const auto changed = std::get<wire::ConfigRecord>(records[i]);
    if (changed.name == kUncleanElection) periodic_.unclean_at = {};
    if (changed.name != kMinIsr || !view().keeps_elr()) continue;
    const bool is_topic = changed.resource_type == static_cast<int8_t>(ConfigResourceType::kTopic);
    clear_elr(is_topic ? changed.resource_name : "", records);
  }
}

// Who was eligible by the old minimum may not be by the new one (KIP-966). Not so where nobody is
// in sync: nothing was acknowledged since, and the eligible ones are all that is left.
void Controller::clear_elr(const std::string& topic_name, Records& records) {
  auto concerns = [&](const metadata::Topic& topic) {
    return topic_name.empty() || topic.name == topic_name;
  };
  const bool nobody_left =
      std::ranges::any_of(image_.index().without_leader(), [&](const auto& key) {
        const metadata::Topic& topic = *image_.find_topic(key.topic_id);
        return concerns(topic) && topic.partitions[static_cast<size_t>(key.index)].isr.empty();
      });
  if (!nobody_left) return records.push_back(wire::ClearElrRecord{.topic_name = topic_name});
  for (const auto& [name, topic] : image_.topics())
    for (size_t i = 0; concerns(*topic) && i < topic->partitions.size(); ++i) {
      const metadata::PartitionState& state = topic->partitions[i];
      if (state.isr.empty() || (state.elr.empty() && state.last_known_elr.empty())) continue;
      records.push_back(
          wire::PartitionChangeRecord{.partition_id = static_cast<int32_t>(i),
                                      .topic_id = topic->id,
                                      .eligible_leader_replicas = std::vector<int32_t>{},
                                      .last_known_elr = std::vector<int32_t>{}});
    }
}

Decided<wire::IncrementalAlterConfigsResponse> Controller::decide_incremental_alter_configs(
    const wire::IncrementalAlterConfigsRequest& request) {
  return decide_configs<wire::IncrementalAlterConfigsRequest,
                        wire::IncrementalAlterConfigsResponse>(request);
}

Decided<wire::AlterConfigsResponse> Controller::decide_alter_configs(
    const wire::AlterConfigsRequest& request) {
  return decide_configs<wire::AlterConfigsRequest, wire::AlterConfigsResponse>(request);
}

void Controller::add_effective_configs(
    const ConfigMap& overrides, wire::CreateTopicsResponse::CreatableTopicResult& result) const {
  static const ConfigMap kNone;
  const config::BrokerLayers layers{*properties_, kNone,
                                    image_.configs({ConfigResourceType::kBroker, ""})};
  result.configs.emplace();
  for (auto& each : config::describe_topic(layers, overrides))
    result.configs->push_back({.name = std::move(each.name),
                               .value = std::move(each.value),
                               .read_only = each.read_only,
                               .config_source = static_cast<int8_t>(each.source),
                               .is_sensitive = each.sensitive});
}

}  // namespace millrace::controller
