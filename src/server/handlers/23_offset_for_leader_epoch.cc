// OffsetForLeaderEpoch (KIP-101, KIP-320): where the log of an epoch ended.
#include "server/handlers/handlers.h"
#include "wire/offset_for_leader_epoch.h"

namespace millrace::server {

void handle_offset_for_leader_epoch(Call call) {
  auto request = call.decode<wire::OffsetForLeaderEpochRequest>();
  if (!request) return;
  wire::OffsetForLeaderEpochResponse response;
  for (const auto& topic : request->topics) {
    auto& topic_result = response.topics.emplace_back();
    topic_result.topic = topic.topic;
    for (const auto& wanted : topic.partitions) {
      auto& result = topic_result.partitions.emplace_back();
      result.partition = wanted.partition;
      auto hosted = call.node().partitions().find(
          TopicPartition{topic.topic, PartitionIndex(wanted.partition)});
      if (!hosted) {
        result.error_code = wire::code_of(call.node().absence_of(
            call.node().image()->find_topic(topic.topic), PartitionIndex(wanted.partition)));
        continue;
      }
      result.leader_epoch = -1;
      result.end_offset = -1;
      with_partition(*hosted.partition, [&](node::PartitionState& state) {
        auto stale = state.check_epoch(wanted.current_leader_epoch);
        if (stale == wire::ErrorCode::kNone && !state.is_leader())
          stale = wire::ErrorCode::kNotLeaderOrFollower;
        result.error_code = wire::code_of(stale);
        if (stale != wire::ErrorCode::kNone || wanted.leader_epoch == kNoLeaderEpoch.value())
          return;
        const auto end = state.end_of_epoch(LeaderEpoch(wanted.leader_epoch));
        result.leader_epoch = end.epoch.value();
        result.end_offset = end.start.value();
      });
    }
  }
  call.respond(response);
}

}  // namespace millrace::server
