#include "group/consumer_records.h"

#include "wire/codec.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

constexpr int16_t kVersion = 0;  // of all of them

template <class Key>
KeyValueRecord tombstone(const Key& key) {
  return {wire::encode_key(key), std::nullopt};
}

template <class Key, class Value>
KeyValueRecord record(const Key& key, const Value& value) {
  return {wire::encode_key(key), wire::encode_value(value, kVersion)};
}

wire::ConsumerGroupRegularExpressionKey regex_key(std::string_view group_id,
                                                  std::string_view regex) {
  return {.group_id = std::string(group_id), .regular_expression = std::string(regex)};
}

}  // namespace

KeyValueRecord ConsumerRecords::epoch(const GroupEpoch& value) const {
  wire::ConsumerGroupMetadataValue body;
  body.epoch = value.epoch;
  body.metadata_hash = value.metadata_hash;
  return record(key<wire::ConsumerGroupMetadataKey>(), body);
}

KeyValueRecord ConsumerRecords::no_epoch() const {
  return tombstone(key<wire::ConsumerGroupMetadataKey>());
}

KeyValueRecord ConsumerRecords::no_partition_metadata() const {
  return tombstone(key<wire::ConsumerGroupPartitionMetadataKey>());
}

KeyValueRecord ConsumerRecords::member(std::string_view member_id,
                                       const MemberMetadata& metadata) const {
  return record(key<wire::ConsumerGroupMemberMetadataKey>(member_id), metadata);
}

KeyValueRecord ConsumerRecords::no_member(std::string_view member_id) const {
  return tombstone(key<wire::ConsumerGroupMemberMetadataKey>(member_id));
}

KeyValueRecord ConsumerRecords::assignment_epoch(int32_t epoch, TimestampMs timestamp) const {
  wire::ConsumerGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = epoch;
  value.assignment_timestamp = timestamp.value();
  return record(key<wire::ConsumerGroupTargetAssignmentMetadataKey>(), value);
}

KeyValueRecord ConsumerRecords::no_assignment_epoch() const {
  return tombstone(key<wire::ConsumerGroupTargetAssignmentMetadataKey>());
}

KeyValueRecord ConsumerRecords::target(std::string_view member_id,
                                       const TargetAssignment& target) const {
  return record(key<wire::ConsumerGroupTargetAssignmentMemberKey>(member_id), to_record(target));
}

KeyValueRecord ConsumerRecords::no_target(std::string_view member_id) const {
  return tombstone(key<wire::ConsumerGroupTargetAssignmentMemberKey>(member_id));
}

KeyValueRecord ConsumerRecords::current(std::string_view member_id,
                                        const CurrentAssignment& current) const {
  return record(key<wire::ConsumerGroupCurrentMemberAssignmentKey>(member_id), to_record(current));
}

KeyValueRecord ConsumerRecords::no_current(std::string_view member_id) const {
  return tombstone(key<wire::ConsumerGroupCurrentMemberAssignmentKey>(member_id));
}

KeyValueRecord ConsumerRecords::regex(std::string_view regex, const ResolvedRegex& resolved) const {
  wire::ConsumerGroupRegularExpressionValue value;
  value.topics.assign(resolved.topics.begin(), resolved.topics.end());
  value.version = resolved.version;
  value.timestamp = resolved.timestamp.value();
  return record(regex_key(group_id_, regex), value);
}

KeyValueRecord ConsumerRecords::no_regex(std::string_view regex) const {
  return tombstone(regex_key(group_id_, regex));
}

}  // namespace millrace::group
