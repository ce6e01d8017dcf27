#include "node/image_topics.h"

#include <charconv>

namespace millrace::node {
namespace {

std::optional<milliseconds> time_in(const metadata::ConfigMap& configs, std::string_view name) {
  const auto at = configs.find(name);
  if (at == configs.end()) return std::nullopt;
  const std::string& text = at->second;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return milliseconds(value);
}

}  // namespace

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

group::GroupTimes ImageTopics::times_of(std::string_view group_id) const {
  const auto& configs =
      image_->configs({metadata::ConfigResourceType::kGroup, std::string(group_id)});
  group::GroupTimes times{
      .session_timeout = time_in(configs, "consumer.session.timeout.ms"),
      .heartbeat_interval = time_in(configs, "consumer.heartbeat.interval.ms"),
      .assignment_interval = time_in(configs, "consumer.assignment.interval.ms")};
  if (!times.assignment_interval && settings_)
    times.assignment_interval =
        milliseconds(settings_->number("group.consumer.assignment.interval.ms"));
  return times;
}

}  // namespace millrace::node
