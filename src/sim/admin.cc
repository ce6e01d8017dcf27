#include "sim/admin.h"
#include "sim/topic_creation.h"
#include "wire/create_topics.h"
#include "wire/delete_records.h"
#include "wire/delete_topics.h"
#include "wire/describe_configs.h"
#include "wire/errors.h"
#include "wire/incremental_alter_configs.h"
#include "wire/list_offsets.h"

namespace millrace::sim {
namespace {

constexpr int16_t kCreateVersion = 7;
constexpr int16_t kDeleteVersion = 5;
constexpr int16_t kMetadataVersion = 12;
constexpr int16_t kAlterVersion = 1;
constexpr int16_t kDescribeVersion = 4;
constexpr int16_t kDeleteRecordsVersion = 2;
constexpr int16_t kListOffsetsVersion = 6;
constexpr int8_t kTopicResource = 2;
constexpr int8_t kSet = 0;

}  // namespace

Admin::Admin(const Site& site, Oracle& oracle, std::string data_topic)
    : host_(site.host),
      oracle_(&oracle),
      client_(site, "admin"),
      dice_(host_->world().workload.next()),
      data_topic_(std::move(data_topic)) {}

void Admin::create_data_topic(const DataTopic& topic, std::function<void()> created) {
  data_partitions_ = topic.partitions;
  data_replicas_ = topic.replicas;
  create_topic(*host_, client_,
               {.name = data_topic_,
                .partitions = topic.partitions,
                .replicas = topic.replicas,
                .configs = topic.configs},
               std::move(created));
}

void Admin::later() {
  host_->shard(0).after(dice_.around(milliseconds(400)) + milliseconds(1), [this] { act(); });
}

void Admin::act() {
  if (finishing_) return;
  switch (dice_.below(6)) {
    case 0: return create();
    case 1: return remove();
    case 2: return configure();
    case 3: return delete_records();
    default: return check([this] { later(); });
  }
}

std::string Admin::any_topic(State state) {
  std::vector<std::string> names;
  for (const auto& [name, topic] : topics_)
    if (topic.state == state) names.push_back(name);
  return names.empty() ? "" : names[dice_.below(names.size())];
}

void Admin::create() {
  const std::string name = fmt::format("extra-{}", ++last_name_);
  Topic& topic = topics_[name];
  topic.partitions = static_cast<int32_t>(dice_.between({1, 4}));
  topic.possible_retention = {""};
  wire::CreateTopicsRequest request;
  request.topics.push_back(
      {.name = name,
       .num_partitions = topic.partitions,
       .replication_factor = static_cast<int16_t>(dice_.between({1, data_replicas_}))});
  client_.call<wire::CreateTopicsResponse>(
      Client::AnyBroker{}, request, kCreateVersion,
      [this, name](Result<wire::CreateTopicsResponse> response) {
        Topic& topic = topics_[name];
        if (response && response->topics.at(0).error_code == 0) {
          topic.state = State::kExists;
          topic.id = response->topics[0].topic_id;
        }
        later();
      });
}

void Admin::remove() {
  const std::string name = any_topic(State::kExists);
  if (name.empty()) return later();
  topics_[name].state = State::kMaybeDeleted;
  wire::DeleteTopicsRequest request{.topic_names = {name}, .timeout_ms = 5000};
  client_.call<wire::DeleteTopicsResponse>(
      Client::AnyBroker{}, request, kDeleteVersion,
      [this, name](Result<wire::DeleteTopicsResponse> response) {
        if (response && response->responses.at(0).error_code == 0)
          topics_[name].state = State::kDeleted;
        later();
      });
}

void Admin::configure() {
  const std::string name = any_topic(State::kExists);
  if (name.empty()) return later();
  const std::string value = std::to_string(dice_.between({1'000'000, 9'000'000}));
  topics_[name].possible_retention.insert(value);
  wire::IncrementalAlterConfigsRequest request;
  request.resources.push_back({.resource_type = kTopicResource, .resource_name = name});
  request.resources[0].configs.push_back(
      {.name = "retention.ms", .config_operation = kSet, .value = value});
  client_.call<wire::IncrementalAlterConfigsResponse>(
      Client::AnyBroker{}, request, kAlterVersion,
      [this, name, value](Result<wire::IncrementalAlterConfigsResponse> response) {
        if (response && !response->responses.empty() && response->responses[0].error_code == 0)
          topics_[name].possible_retention = {value};
        look_at_configs(name);
      });
}

void Admin::look_at_configs(const std::string& name) {
  wire::DescribeConfigsRequest request;
  request.resources.push_back({.resource_type = kTopicResource,
                               .resource_name = name,
                               .configuration_keys = std::vector<std::string>{"retention.ms"}});
  client_.call<wire::DescribeConfigsResponse>(
      Client::AnyBroker{}, request, kDescribeVersion,
      [this, name](Result<wire::DescribeConfigsResponse> response) {
        if (response && response->results.at(0).error_code == 0) {
          const auto& config = response->results[0].configs.at(0);
          constexpr int8_t kTopicSource = 1;
          const std::string shown =
              config.config_source == kTopicSource ? config.value.value_or("") : "";
          if (!answers_lag_ && !topics_[name].possible_retention.contains(shown))
            host_->world().violated(
                "MD3",
                fmt::format("retention.ms of {} is '{}', which was not set last", name, shown));
        }
        later();
      });
}

// Sometimes: everything below an offset that was there.
void Admin::delete_records() {
  const auto partition = static_cast<int32_t>(dice_.between({0, data_partitions_ - 1}));
  if (dice_.chance(0.7)) return later();
  wire::ListOffsetsRequest request{.replica_id = -1};
  constexpr int64_t kLatest = -1;
  request.topics.push_back({.name = data_topic_});
  request.topics[0].partitions.push_back({.partition_index = partition, .timestamp = kLatest});
  const TopicPartition place{data_topic_, PartitionIndex(partition)};
  client_.call<wire::ListOffsetsResponse>(
      place, request, kListOffsetsVersion,
      [this, partition, place](Result<wire::ListOffsetsResponse> response) {
        if (!response || response->topics.at(0).partitions.at(0).error_code != 0) {
          client_.doubt(place);
          return later();
        }
        const int64_t end = response->topics[0].partitions[0].offset;
        const int64_t below = end > 0 ? dice_.between({0, end / 4}) : 0;
        oracle_->may_delete_below(partition, below);
        host_->world().note(
            fmt::format("records of {} below {} of {} are deleted", partition, below, end));
        wire::DeleteRecordsRequest request{.timeout_ms = 5000};
        request.topics.push_back({.name = data_topic_});
        request.topics[0].partitions.push_back({.partition_index = partition, .offset = below});
        client_.call<wire::DeleteRecordsResponse>(place, request, kDeleteRecordsVersion,
                                                  [this](auto) { later(); });
      });
}

void Admin::check(std::function<void()> done) {
  wire::MetadataRequest request{.topics = std::nullopt, .allow_auto_topic_creation = false};
  client_.call<wire::MetadataResponse>(
      Client::AnyBroker{}, request, kMetadataVersion,
      [this, done = std::move(done), then = topics_](Result<wire::MetadataResponse> response) {
        if (response) compare(*response, then);
        done();
      });
}

void Admin::compare(const wire::MetadataResponse& response,
                    const std::map<std::string, Topic>& then) {
  std::map<std::string, Topic> shown;
  for (const auto& topic : response.topics) {
    if (topic.error_code != 0) continue;
    const std::string name = topic.name.value_or("");
    shown[name] = {.partitions = static_cast<int32_t>(topic.partitions.size()),
                   .id = topic.topic_id};
    auto [known, is_new] = ids_.emplace(topic.topic_id, name);
    if (known->second != name)
      host_->world().violated(
          "MD4", fmt::format("the id of {} is used again for {}", known->second, name));
  }
  if (answers_lag_) return;
  for (const auto& [name, topic] : then) {
    auto found = shown.find(name);
    compare_topic(name, topic, found == shown.end() ? nullptr : &found->second);
  }
}

void Admin::compare_topic(const std::string& name, const Topic& then, const Topic* shown) {
  World& world = host_->world();
  if (then.state == State::kExists && shown == nullptr)
    world.violated("MD3", fmt::format("topic {} was created and is not there", name));
  if (then.state == State::kDeleted && shown != nullptr)
    world.violated("MD3", fmt::format("topic {} was deleted and is there", name));
  if (then.state != State::kExists || shown == nullptr) return;
  if (then.id != shown->id)
    world.violated("MD3", fmt::format("topic {} has another id than when it was created", name));
  if (then.partitions != shown->partitions)
    world.violated("MD3", fmt::format("topic {} has {} partitions instead of {}", name,
                                      shown->partitions, then.partitions));
}

}  // namespace millrace::sim
