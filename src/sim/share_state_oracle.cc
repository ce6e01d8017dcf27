#include "sim/share_state_oracle.h"

#include "base/hash.h"
#include "node/share_partitions.h"
#include "node/share_states.h"
#include "share/coordinator_key.h"

namespace millrace::sim {

void ShareStateOracle::look(const metadata::Image& image, const FindNode& find) {
  const metadata::Topic* topic = image.find_topic(topic_);
  if (topic == nullptr) return;
  for (int32_t i = 0; std::cmp_less(i, topic->partitions.size()); ++i) look(i, image, find);
  for (const auto& [id, broker] : image.brokers())
    if (node::Node* node = find(id)) {
      node->share_states().host().check_invariants();
      node->share_partitions().check_invariants();
    }
}

void ShareStateOracle::look(int32_t partition, const metadata::Image& image, const FindNode& find) {
  const metadata::Topic* states = image.find_topic(std::string_view(node::ShareStateKind::kTopic));
  if (states == nullptr || states->partitions.empty()) return;
  const share::SharePartitionKey key{group_, image.find_topic(topic_)->id,
                                     PartitionIndex(partition)};
  const std::string text = share::coordinator_key(key);
  const auto count = static_cast<int32_t>(states->partitions.size());
  const TopicPartition place{node::ShareStateKind::kTopic,
                             PartitionIndex(coordinator_partition(text, count))};
  const Led led = led_partition(place, image, find);
  if (led.node == nullptr) return;
  Epochs now;
  const auto code = led.node->share_states().host().read(text, [&](const auto& coordinator) {
    const share::Snapshot* kept = coordinator.find(key);
    if (kept == nullptr) return;
    now = {.state = kept->state.state_epoch,
           .leader = kept->state.leader_epoch.value(),
           .start = kept->state.start_offset.value()};
  });
  if (code != wire::ErrorCode::kNone) return;
  Known& known = known_[partition];
  bool is_committed = false;
  LeaderEpoch epoch = kNoLeaderEpoch;
  with_partition(*led.hosted.partition, [&](node::PartitionState& state) {
    is_committed = state.high_watermark() == state.log().log_end();
    epoch = state.leadership().epoch;
  });
  const bool is_same = known.coordinator_epoch == epoch;
  compare(partition, is_same ? known.newest : known.committed, now);
  known.coordinator_epoch = epoch;
  known.newest = now;
  if (is_committed) known.committed = now;
}

void ShareStateOracle::compare(int32_t partition, const Epochs& before, const Epochs& now) {
  if (now.state < before.state || now.leader < before.leader)
    world_->violated(
        "SH5", fmt::format("the state of {}-{} had the epochs {} and {}, now {} and {}", group_,
                           partition, before.state, before.leader, now.state, now.leader));
  if (now.state == before.state && now.start < before.start)
    world_->violated("SH6", fmt::format("the start of {}-{} was {} and is {}", group_, partition,
                                        before.start, now.start));
}

}  // namespace millrace::sim
