#include "sim/share_workload.h"

#include <limits>

#include "node/share_partitions.h"
#include "wire/incremental_alter_configs.h"

namespace millrace::sim {
namespace {

constexpr int16_t kAlterVersion = 1;
constexpr int8_t kGroupResource = 32;
constexpr int8_t kSet = 0;
constexpr Duration kPause = milliseconds(200);

}  // namespace

ShareWorkload::ShareWorkload(const Site& site, Oracle& records, Nodes nodes,
                             ShareWorkloadOptions options)
    : site_(site),
      records_(&records),
      nodes_(std::move(nodes)),
      options_(std::move(options)),
      oracle_(site.host->world(), options_.rules),
      states_(site.host->world(), options_.group, options_.topic) {
  oracle_.use(view());
}

void ShareWorkload::configure(std::function<void()> done) {
  if (options_.members == 0) return done();
  if (!client_) client_ = std::make_unique<Client>(site_, "share-admin");
  wire::IncrementalAlterConfigsRequest request;
  request.resources.push_back({.resource_type = kGroupResource, .resource_name = options_.group});
  request.resources[0].configs.push_back(
      {.name = "share.auto.offset.reset", .config_operation = kSet, .value = "earliest"});
  if (options_.committed_only)
    request.resources[0].configs.push_back(
        {.name = "share.isolation.level", .config_operation = kSet, .value = "read_committed"});
  client_->call<wire::IncrementalAlterConfigsResponse>(
      Client::AnyBroker{}, request, kAlterVersion,
      [this, done = std::move(done)](const Result<wire::IncrementalAlterConfigsResponse>& answer) {
        if (answer && answer->responses.at(0).error_code == 0) return done();
        client_->doubt(Client::AnyBroker{});
        site_.host->shard(0).after(kPause, [this, done] { configure(done); });
      });
}

ShareReading ShareWorkload::reading() {
  return {.group = options_.group,
          .oracle = &oracle_,
          .take =
              [this](int32_t partition, int64_t offset, const std::string& value) {
                if (options_.committed_only)
                  on_committed(partition, value);
                else
                  records_->consumed(partition, offset, value);
              },
          .has_damage =
              [this](int32_t partition) {
                return !options_.committed_only && records_->has_damage(partition);
              },
          .has_markers = options_.committed_only};
}

void ShareWorkload::start() {
  for (int i = 0; i < options_.members; ++i)
    members_.push_back(std::make_unique<ShareMember>(site_, reading(), options_.topic));
  for (auto& member : members_) member->start();
}

void ShareWorkload::finish() {
  for (auto& member : members_) member->finish();
}

// --- From outside.

ShareView ShareWorkload::view() {
  return {
      .leading = [this](NodeId broker, int32_t p) { return leading(broker, p); },
      .newest_epoch = [this](int32_t p) { return newest_epoch(p); },
      .log_end = [this](int32_t p) { return log_end(p); },
      .excused_below =
          [this](int32_t p) { return options_.committed_only ? 0 : records_->excused_below(p); }};
}

ShareLeading ShareWorkload::leading(NodeId broker, int32_t partition) const {
  node::Node* node = nodes_.find(broker);
  if (node == nullptr) return {};
  const auto hosted = node->partitions().find(name_of(partition));
  if (!hosted) return {};
  ShareLeading result;
  with_partition(*hosted.partition, [&](node::PartitionState& state) {
    if (!state.is_offline() && state.is_leader()) result.epoch = state.leadership().epoch.value();
  });
  const metadata::Topic* topic = node->image()->find_topic(options_.topic);
  if (topic == nullptr) return result;
  const auto standing =
      node->share_partitions().standing_of({options_.group, topic->id, PartitionIndex(partition)});
  if (standing) result.life = standing->life;
  return result;
}

int32_t ShareWorkload::newest_epoch(int32_t partition) const {
  const auto image = nodes_.image();
  const metadata::Topic* topic = image ? image->find_topic(options_.topic) : nullptr;
  if (topic == nullptr) return std::numeric_limits<int32_t>::max();
  return topic->partitions[static_cast<size_t>(partition)].leader_epoch.value();
}

// Of its leader; any other may lack what was given.
int64_t ShareWorkload::log_end(int32_t partition) const {
  const auto image = nodes_.image();
  if (!image) return std::numeric_limits<int64_t>::max();
  const Led led = led_partition(name_of(partition), *image, nodes_.find);
  if (led.node == nullptr) return std::numeric_limits<int64_t>::max();
  return with_partition(*led.hosted.partition,
                        [](node::PartitionState& state) { return state.log().log_end().value(); });
}

void ShareWorkload::look() {
  if (options_.members == 0) return;
  if (const auto image = nodes_.image()) states_.look(*image, nodes_.find);
}

std::string ShareWorkload::what_is_missing() const {
  std::string missing;
  if (options_.members > 0)
    for (int32_t p = 0; p < options_.partitions; ++p) missing += what_is_missing(p);
  return missing;
}

std::string ShareWorkload::what_is_missing(int32_t partition) const {
  const auto image = nodes_.image();
  if (!image) return "nobody runs; ";
  const Led led = led_partition(name_of(partition), *image, nodes_.find);
  if (led.node == nullptr) return fmt::format("{}-{} has no leader; ", options_.topic, partition);
  const auto standing = led.node->share_partitions().standing_of(
      {options_.group, image->find_topic(options_.topic)->id, PartitionIndex(partition)});
  if (!standing) return fmt::format("{}-{} is not read; ", options_.topic, partition);
  const Offset end = with_partition(
      *led.hosted.partition, [](node::PartitionState& state) { return state.high_watermark(); });
  if (standing->start >= end) return "";
  return fmt::format("{}-{} is read from {} to {} of {}; ", options_.topic, partition,
                     standing->start, standing->end, end);
}

void ShareWorkload::check() {
  if (options_.members == 0 || options_.committed_only) return;
  for (int32_t p = 0; p < options_.partitions; ++p) oracle_.check(p, records_->acknowledged(p));
  site_.host->world().note(
      fmt::format("share group {} has accepted {}", options_.group, oracle_.accepted_count()));
}

}  // namespace millrace::sim
