// DeleteRecords (KIP-107): everything below an offset is gone for readers at once; segments follow
// by retention.
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "wire/delete_records.h"

namespace millrace::server {
namespace {

using wire::ErrorCode;

ErrorCode delete_below(Call& call, const std::string& topic, int32_t index, int64_t offset,
                       int64_t& low_watermark) {
  auto hosted = call.node().partitions().find(TopicPartition{topic, PartitionIndex(index)});
  const auto image = call.node().image();
  if (!hosted) return call.node().absence_of(image->find_topic(topic), PartitionIndex(index));
  if (is_internal_topic(topic)) return ErrorCode::kInvalidTopicException;
  const auto settings = call.node().settings();
  const config::TopicConfig config(*settings,
                                   image->configs({metadata::ConfigResourceType::kTopic, topic}));
  if (config.text("cleanup.policy").find("delete") == std::string::npos)
    return ErrorCode::kPolicyViolation;
  return with_partition(*hosted.partition, [&](node::PartitionState& state) {
    const Offset target = offset == -1 ? state.high_watermark() : Offset(offset);
    if (target < Offset(0) || target > state.high_watermark()) return ErrorCode::kOffsetOutOfRange;
    state.log().advance_log_start(target);
    low_watermark = state.log().log_start().value();
    return ErrorCode::kNone;
  });
}

}  // namespace

void handle_delete_records(Call call) {
  auto request = call.decode<wire::DeleteRecordsRequest>();
  if (!request) return;
  wire::DeleteRecordsResponse response;
  for (const auto& topic : request->topics) {
    auto& topic_result = response.topics.emplace_back();
    topic_result.name = topic.name;
    for (const auto& wanted : topic.partitions) {
      auto& result = topic_result.partitions.emplace_back();
      result.partition_index = wanted.partition_index;
      result.low_watermark = -1;
      result.error_code = wire::code_of(delete_below(call, topic.name, wanted.partition_index,
                                                     wanted.offset, result.low_watermark));
    }
  }
  call.node().partitions().write_checkpoints();  // a restart must not bring them back
  call.respond(response);
}

}  // namespace millrace::server
