#include "client/core/consumed_record.h"

namespace millrace::client::core {
namespace {

std::optional<ByteBuffer> owned(const std::optional<ByteView>& bytes) {
  return bytes ? std::optional<ByteBuffer>(copy_of(*bytes)) : std::nullopt;
}

}  // namespace

ConsumedRecord consumed(const TopicPartition& partition, const record::BatchHeader& batch,
                        const record::RecordView& record) {
  ConsumedRecord made{
      .partition = partition,
      .offset = record.offset,
      .timestamp = record.timestamp,
      .is_append_time = batch.timestamp_type() == record::TimestampType::kLogAppendTime,
      .key = owned(record.key),
      .value = owned(record.value),
      .headers = {},
      .delivery_count = {}};
  for (const auto& header : record.headers)
    made.headers.push_back({std::string(header.key), owned(header.value)});
  return made;
}

}  // namespace millrace::client::core
