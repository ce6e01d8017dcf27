#include "group/preserved_group.h"

#include <algorithm>
#include <array>
#include <span>

#include "group/records.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

// The record types of each preserved kind stand in the order in which Kafka writes their
// tombstones: what members have first, the group itself last.
constexpr std::array<int16_t, 7> kConsumerTypes = {3, 4, 5, 6, 7, 8, 16};
constexpr std::array<int16_t, 6> kShareTypes = {14, 13, 12, 10, 15, 11};
constexpr std::array<int16_t, 6> kStreamsTypes = {22, 21, 20, 19, 23, 17};

std::span<const int16_t> types_of(PreservedKind kind) {
  switch (kind) {
    case PreservedKind::kShare: return kShareTypes;
    case PreservedKind::kStreams: return kStreamsTypes;
  }
  return {};
}

int16_t member_type(PreservedKind kind) {
  switch (kind) {
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
    case PreservedKind::kShare: return "share";
    case PreservedKind::kStreams: return "streams";
  }
  return "unknown";
}

std::optional<PreservedKind> preserved_kind(int16_t record_type) {
  for (auto kind : {PreservedKind::kShare, PreservedKind::kStreams})
    if (std::ranges::find(types_of(kind), record_type) != types_of(kind).end()) return kind;
  return std::nullopt;
}

bool is_consumer_group_record(int16_t record_type) {
  return std::ranges::find(kConsumerTypes, record_type) != kConsumerTypes.end();
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

std::vector<machine::KeyValueRecord> PreservedGroup::tombstones() const {
  std::vector<machine::KeyValueRecord> records;
  for (int16_t type : types_of(kind_))
    for_each_of_type(type, [&](const ByteBuffer& key, const ByteBuffer&) {
      records.push_back({key, std::nullopt});
    });
  return records;
}

}  // namespace millrace::group
