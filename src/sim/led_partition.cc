#include "sim/led_partition.h"

namespace millrace::sim {

Led led_partition(const TopicPartition& name, const metadata::Image& image, const FindNode& find) {
  const metadata::Topic* topic = image.find_topic(name.topic);
  const auto index = static_cast<size_t>(name.partition.value());
  if (topic == nullptr || index >= topic->partitions.size()) return {};
  const metadata::PartitionState& known = topic->partitions[index];
  node::Node* leader = known.leader == kNoNode ? nullptr : find(known.leader);
  if (leader == nullptr) return {};
  const node::HostedPartition hosted = leader->partitions().find(name);
  if (!hosted) return {};
  const bool is_newest = with_partition(*hosted.partition, [&](node::PartitionState& state) {
    return !state.is_offline() && state.is_leader() &&
           state.leadership().epoch == known.leader_epoch;
  });
  return is_newest ? Led{leader, hosted} : Led{};
}

}  // namespace millrace::sim
