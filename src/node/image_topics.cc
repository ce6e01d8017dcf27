#include "node/image_topics.h"

#include "config/group_configs.h"
#include "node/coordinator_kinds.h"

namespace millrace::node {

std::optional<Uuid> ImageTopics::id_of(std::string_view name) const {
  const metadata::Topic* topic = image_->find_topic(name);
  return topic ? std::optional(topic->id) : std::nullopt;
}

std::optional<std::string> ImageTopics::name_of(const Uuid& id) const {
  const metadata::Topic* topic = image_->find_topic(id);
  return topic ? std::optional(topic->name) : std::nullopt;
}

bool ImageTopics::has_partition(std::string_view name, PartitionIndex partition) const {
  return partition.value() >= 0 && partition.value() < partition_count(name);
}

int32_t ImageTopics::partition_count(std::string_view name) const {
  const metadata::Topic* topic = image_->find_topic(name);
  return topic ? static_cast<int32_t>(topic->partitions.size()) : 0;
}

std::vector<std::string> ImageTopics::racks_of(std::string_view name,
                                               PartitionIndex partition) const {
  std::vector<std::string> racks;
  const metadata::Topic* topic = image_->find_topic(name);
  if (topic == nullptr) return racks;
  for (const NodeId replica : topic->partitions.at(static_cast<size_t>(partition.value())).replicas)
    if (const metadata::Broker* broker = image_->find_broker(replica); broker && broker->rack)
      racks.push_back(*broker->rack);
  return racks;
}

void ImageTopics::for_each_name(const std::function<void(const std::string&)>& visit) const {
  for (const auto& [name, topic] : image_->topics()) visit(name);
}

int64_t ImageTopics::max_batch_bytes() const {
  const auto& overrides =
      image_->configs({metadata::ConfigResourceType::kTopic, GroupKind::kTopic});
  return config::TopicConfig(*settings_, overrides).number("max.message.bytes");
}

// The configs of a group, and the dynamic one of brokers behind the last.
struct ImageTopics::TimeNames {
  const char* session;
  const char* heartbeat;
  const char* assignment;
  const char* broker_assignment;
};

group::GroupTimes ImageTopics::times_of(std::string_view group_id, const TimeNames& names) const {
  const auto& configs =
      image_->configs({metadata::ConfigResourceType::kGroup, std::string(group_id)});
  const auto time = [&](const char* name) -> std::optional<milliseconds> {
    const auto set = config::group_number(configs, name, *settings_);
    return set ? std::optional(milliseconds(*set)) : std::nullopt;
  };
  group::GroupTimes times{.session_timeout = time(names.session),
                          .heartbeat_interval = time(names.heartbeat),
                          .assignment_interval = time(names.assignment)};
  if (!times.assignment_interval)
    times.assignment_interval = milliseconds(settings_->number(names.broker_assignment));
  return times;
}

group::GroupTimes ImageTopics::times_of(std::string_view group_id) const {
  return times_of(group_id, {.session = "consumer.session.timeout.ms",
                             .heartbeat = "consumer.heartbeat.interval.ms",
                             .assignment = "consumer.assignment.interval.ms",
                             .broker_assignment = "group.consumer.assignment.interval.ms"});
}

group::GroupTimes ImageTopics::share_times_of(std::string_view group_id) const {
  return times_of(group_id, {.session = "share.session.timeout.ms",
                             .heartbeat = "share.heartbeat.interval.ms",
                             .assignment = "share.assignment.interval.ms",
                             .broker_assignment = "group.share.assignment.interval.ms"});
}

group::StreamsSettings ImageTopics::streams_settings_of(std::string_view group_id) const {
  const auto& configs =
      image_->configs({metadata::ConfigResourceType::kGroup, std::string(group_id)});
  const auto delay =
      config::group_number(configs, "streams.initial.rebalance.delay.ms", *settings_);
  const auto standbys = config::group_number(configs, "streams.num.standby.replicas", *settings_);
  return {
      .times = times_of(group_id, {.session = "streams.session.timeout.ms",
                                   .heartbeat = "streams.heartbeat.interval.ms",
                                   .assignment = "streams.assignment.interval.ms",
                                   .broker_assignment = "group.streams.assignment.interval.ms"}),
      .initial_rebalance_delay = delay ? std::optional(milliseconds(*delay)) : std::nullopt,
      .standby_replicas = standbys ? std::optional(static_cast<int32_t>(*standbys)) : std::nullopt};
}

}  // namespace millrace::node
