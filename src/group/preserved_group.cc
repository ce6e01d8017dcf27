#include "group/preserved_group.h"

#include <algorithm>
#include <array>
#include <span>

#include "group/records.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

// The record types of each kind, in the order in which Kafka writes their tombstones: what members
// have first, the group itself last.
constexpr std::array<int16_t, 7> kConsumerTypes = {8, 7, 6, 5, 4, 16, 3};
constexpr std::array<int16_t, 6> kShareTypes = {14, 13, 12, 10, 15, 11};
constexpr std::array<int16_t, 6> kStreamsTypes = {22, 21, 20, 19, 23, 17};

std::span<const int16_t> types_of(PreservedKind kind) {
  switch (kind) {
    case PreservedKind::kConsumer: return kConsumerTypes;
    case PreservedKind::kShare: return kShareTypes;
    case PreservedKind::kStreams: return kStreamsTypes;
  }
  return {};
}

int16_t member_type(PreservedKind kind) {
  switch (kind) {
    case PreservedKind::kConsumer: return wire::ConsumerGroupMemberMetadataKey::kApiKey;
    case PreservedKind::kShare: return wire::ShareGroupMemberMetadataKey::kApiKey;
    case PreservedKind::kStreams: return wire::StreamsGroupMemberMetadataKey::kApiKey;
  }
  return -1;
}

ByteBuffer first_key_of(int16_t type) {
  ByteBuffer key(sizeof type);
  store_big(key.data(), type);
  return key;
}

}  // namespace

std::string_view kind_name(PreservedKind kind) {
  switch (kind) {
    case PreservedKind::kConsumer: return "consumer";
    case PreservedKind::kShare: return "share";
    case PreservedKind::kStreams: return "streams";
  }
  return "unknown";
}

std::optional<PreservedKind> preserved_kind(int16_t record_type) {
  for (auto kind : {PreservedKind::kConsumer, PreservedKind::kShare, PreservedKind::kStreams})
    if (std::ranges::find(types_of(kind), record_type) != types_of(kind).end()) return kind;
  return std::nullopt;
}

Result<std::string> group_id_of_key(ByteView key) {
  wire::Reader reader(key);
  reader.int16("type");
  std::string id = reader.string("group id", false);
  RETURN_IF_ERROR(reader.status());
  return id;
}

template <class Visit>
void PreservedGroup::for_each_of_type(int16_t type, Visit visit) const {
  for (auto at = records_.lower_bound(first_key_of(type)); at != records_.end(); ++at) {
    if (load_big<int16_t>(at->first.data()) != type) return;
    visit(at->first, at->second);
  }
}

bool PreservedGroup::apply(const machine::KeyValueRecord& record) {
  if (record.value) {
    records_.insert_or_assign(record.key, *record.value);
    return true;
  }
  records_.erase(record.key);
  return load_big<int16_t>(record.key.data()) != types_of(kind_).back();
}

bool PreservedGroup::is_empty() const {
  bool empty = true;
  for_each_of_type(member_type(kind_), [&](const auto&, const auto&) { empty = false; });
  return empty;
}

bool PreservedGroup::is_subscribed_to(std::string_view topic) const {
  if (kind_ != PreservedKind::kConsumer) return !is_empty();
  bool subscribed = false;
  for_each_of_type(member_type(kind_), [&](const ByteBuffer&, const ByteBuffer& value) {
    const auto member = wire::decode_value<wire::ConsumerGroupMemberMetadataValue>(value);
    // What cannot be told (a record of a later version, a regular expression) protects the offset.
    subscribed |= !member || member->subscribed_topic_regex.value_or("") != "" ||
                  std::ranges::find(member->subscribed_topic_names, topic) !=
                      member->subscribed_topic_names.end();
  });
  return subscribed;
}

std::optional<int32_t> PreservedGroup::member_epoch(std::string_view member_id) const {
  const auto at = records_.find(wire::encode_key(wire::ConsumerGroupCurrentMemberAssignmentKey{
      .group_id = id_, .member_id = std::string(member_id)}));
  if (at == records_.end()) return std::nullopt;
  const auto current =
      wire::decode_value<wire::ConsumerGroupCurrentMemberAssignmentValue>(at->second);
  if (!current) return std::nullopt;
  return current->member_epoch;
}

std::vector<machine::KeyValueRecord> PreservedGroup::removal_of_members() const {
  std::vector<machine::KeyValueRecord> records;
  for (int16_t type : {wire::ConsumerGroupCurrentMemberAssignmentKey::kApiKey,
                       wire::ConsumerGroupTargetAssignmentMemberKey::kApiKey,
                       wire::ConsumerGroupMemberMetadataKey::kApiKey})
    for_each_of_type(type, [&](const ByteBuffer& key, const ByteBuffer&) {
      records.push_back({key, std::nullopt});
    });
  const ByteBuffer key = wire::encode_key(wire::ConsumerGroupMetadataKey{.group_id = id_});
  wire::ConsumerGroupMetadataValue next;
  if (const auto at = records_.find(key); at != records_.end())
    if (const auto now = wire::decode_value<wire::ConsumerGroupMetadataValue>(at->second))
      next.epoch = now->epoch;
  if (next.epoch < INT32_MAX) ++next.epoch;
  records.push_back({key, wire::encode_value(next, 0)});
  return records;
}

std::vector<machine::KeyValueRecord> PreservedGroup::tombstones() const {
  std::vector<machine::KeyValueRecord> records;
  for (int16_t type : types_of(kind_))
    for_each_of_type(type, [&](const ByteBuffer& key, const ByteBuffer&) {
      records.push_back({key, std::nullopt});
    });
  return records;
}

}  // namespace millrace::group
