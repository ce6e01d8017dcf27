#include "app/kafka/remote_log.h"

#include <fmt/format.h>

#include <map>
#include <span>
#include <string_view>

#include "wire/reader.h"
#include "wire/storage_records.h"

namespace millrace::app::kafka {
namespace {

constexpr uint32_t kFrameVersion = 1;

constexpr std::string_view kSegmentStates[] = {"COPY_SEGMENT_STARTED", "COPY_SEGMENT_FINISHED",
                                               "DELETE_SEGMENT_STARTED", "DELETE_SEGMENT_FINISHED"};
constexpr std::string_view kPartitionStates[] = {
    "DELETE_PARTITION_MARKED", "DELETE_PARTITION_STARTED", "DELETE_PARTITION_FINISHED"};

std::string state_of(int8_t state, std::span<const std::string_view> names) {
  const auto index = static_cast<size_t>(state);
  return index < names.size() ? std::string(names[index]) : "null";
}

template <class Partition>
std::string partition_of(const Partition& partition) {
  return fmt::format("{}:{}-{}", partition.id.to_string(), partition.name, partition.partition);
}

template <class Id>
std::string segment_of(const Id& id) {
  return fmt::format("RemoteLogSegmentId{{topicIdPartition={}, id={}}}",
                     partition_of(id.topic_id_partition), id.id.to_string());
}

std::string custom_of(const std::optional<ByteBuffer>& custom) {
  if (!custom) return "Optional.empty";
  return fmt::format("Optional[CustomMetadata{{{} bytes}}]", custom->size());
}

template <class Epochs>
std::string epochs_of(const Epochs& epochs) {
  std::map<int32_t, int64_t> sorted;
  for (const auto& each : epochs) sorted[each.leader_epoch] = each.offset;
  std::string text;
  for (const auto& [epoch, offset] : sorted)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", epoch, offset);
  return fmt::format("{{{}}}", text);
}

std::string describe(const wire::RemoteLogSegmentMetadataRecord& record) {
  return fmt::format(
      "RemoteLogSegmentMetadata{{remoteLogSegmentId={}, startOffset={}, endOffset={}, brokerId={}, "
      "maxTimestampMs={}, eventTimestampMs={}, segmentLeaderEpochs={}, segmentSizeInBytes={}, "
      "customMetadata={}, state={}, txnIdxEmpty={}}}",
      segment_of(record.remote_log_segment_id), record.start_offset, record.end_offset,
      record.broker_id, record.max_timestamp_ms, record.event_timestamp_ms,
      epochs_of(record.segment_leader_epochs), record.segment_size_in_bytes,
      custom_of(record.custom_metadata), state_of(record.remote_log_segment_state, kSegmentStates),
      record.txn_index_empty);
}

std::string describe(const wire::RemoteLogSegmentMetadataUpdateRecord& record) {
  return fmt::format(
      "RemoteLogSegmentMetadataUpdate{{remoteLogSegmentId={}, customMetadata={}, state={}, "
      "eventTimestampMs={}, brokerId={}}}",
      segment_of(record.remote_log_segment_id), custom_of(record.custom_metadata),
      state_of(record.remote_log_segment_state, kSegmentStates), record.event_timestamp_ms,
      record.broker_id);
}

std::string describe(const wire::RemotePartitionDeleteMetadataRecord& record) {
  return fmt::format(
      "RemotePartitionDeleteMetadata{{topicPartition={}, state={}, eventTimestampMs={}, "
      "brokerId={}}}",
      partition_of(record.topic_id_partition),
      state_of(record.remote_partition_delete_state, kPartitionStates), record.event_timestamp_ms,
      record.broker_id);
}

std::string describe(const wire::RemoteLogSegmentMetadataSnapshotRecord& record) {
  return fmt::format(
      "RemoteLogSegmentMetadataSnapshot{{segmentId={}, startOffset={}, endOffset={}, "
      "maxTimestampMs={}, segmentLeaderEpochs={}, segmentSizeInBytes={}, customMetadata={}, "
      "state={}, txnIdxEmpty={}}}",
      record.segment_id.to_string(), record.start_offset, record.end_offset,
      record.max_timestamp_ms, epochs_of(record.segment_leader_epochs),
      record.segment_size_in_bytes, custom_of(record.custom_metadata),
      state_of(record.remote_log_segment_state, kSegmentStates), record.txn_index_empty);
}

template <class Record>
Result<std::string> read_and_describe(wire::Reader& reader, int16_t version) {
  if (version < Record::kMinVersion || version > Record::kMaxVersion)
    return fail(Errc::kUnsupported, fmt::format("{} has the unknown version {}",
                                                std::string_view(Record::kName), version));
  Record record;
  read(reader, version, record);
  RETURN_IF_ERROR(reader.status());
  return describe(record);
}

}  // namespace

Result<std::string> describe_remote_log_metadata(ByteView value) {
  wire::Reader reader(value);
  const uint32_t frame = reader.uvarint("frame version");
  const uint32_t type = reader.uvarint("type");
  const auto version = static_cast<int16_t>(reader.uvarint("version"));
  RETURN_IF_ERROR(reader.status());
  if (frame != kFrameVersion)
    return fail(Errc::kUnsupported,
                fmt::format("Could not deserialize metadata record due to unknown frame version "
                            "{}(only frame version {} is supported)",
                            frame, kFrameVersion));
  switch (type) {
    case wire::RemoteLogSegmentMetadataRecord::kApiKey:
      return read_and_describe<wire::RemoteLogSegmentMetadataRecord>(reader, version);
    case wire::RemoteLogSegmentMetadataUpdateRecord::kApiKey:
      return read_and_describe<wire::RemoteLogSegmentMetadataUpdateRecord>(reader, version);
    case wire::RemotePartitionDeleteMetadataRecord::kApiKey:
      return read_and_describe<wire::RemotePartitionDeleteMetadataRecord>(reader, version);
    case wire::RemoteLogSegmentMetadataSnapshotRecord::kApiKey:
      return read_and_describe<wire::RemoteLogSegmentMetadataSnapshotRecord>(reader, version);
    default: return fail(Errc::kUnsupported, fmt::format("the record type {} is unknown", type));
  }
}

}  // namespace millrace::app::kafka
