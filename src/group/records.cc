#include "group/records.h"

#include "wire/codec.h"

namespace millrace::group {
namespace {

constexpr int16_t kGroupMetadataVersion = 3;
constexpr int16_t kOffsetVersion = 4;
constexpr int16_t kExpiringOffsetVersion = 1;  // the only one with an expire timestamp

ByteBuffer group_key(std::string_view group) {
  return wire::encode_key(wire::GroupMetadataKey{.group = std::string(group)});
}

ByteBuffer offset_key(std::string_view group, const PartitionRef& partition) {
  return wire::encode_key(wire::OffsetCommitKey{.group = std::string(group),
                                                .topic = std::string(partition.topic),
                                                .partition = partition.partition.value()});
}

}  // namespace

KeyValueRecord group_metadata_record(std::string_view group,
                                     const wire::GroupMetadataValue& value) {
  return {group_key(group), wire::encode_value(value, kGroupMetadataVersion)};
}

KeyValueRecord group_metadata_tombstone(std::string_view group) {
  return {group_key(group), std::nullopt};
}

KeyValueRecord offset_record(std::string_view group, const PartitionRef& partition,
                             const CommittedOffset& offset) {
  wire::OffsetCommitValue value;
  value.offset = offset.offset.value();
  value.leader_epoch = offset.leader_epoch.value();
  value.metadata = offset.metadata;
  value.commit_timestamp = offset.commit_timestamp.value();
  value.expire_timestamp = offset.expire_timestamp.value();
  value.topic_id = offset.topic_id;
  const bool expires = offset.expire_timestamp != kNoTimestamp;
  return {offset_key(group, partition),
          wire::encode_value(value, expires ? kExpiringOffsetVersion : kOffsetVersion)};
}

KeyValueRecord offset_tombstone(std::string_view group, const PartitionRef& partition) {
  return {offset_key(group, partition), std::nullopt};
}

CommittedOffset offset_of(wire::OffsetCommitValue value) {
  CommittedOffset offset;
  offset.offset = Offset(value.offset);
  offset.leader_epoch = LeaderEpoch(value.leader_epoch);
  offset.commit_timestamp = TimestampMs(value.commit_timestamp);
  offset.expire_timestamp = TimestampMs(value.expire_timestamp);
  offset.topic_id = value.topic_id;
  offset.metadata = std::move(value.metadata);
  return offset;
}

Result<int16_t> key_type(ByteView key) {
  wire::Reader reader(key);
  const int16_t type = reader.int16("type");
  RETURN_IF_ERROR(reader.status());
  return type;
}

Result<std::string> group_id_of_key(ByteView key) {
  wire::Reader reader(key);
  reader.int16("type");
  std::string id = reader.string("group id", false);
  RETURN_IF_ERROR(reader.status());
  return id;
}

}  // namespace millrace::group
