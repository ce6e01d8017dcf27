#include "share/coordinator_records.h"

#include "share/state_merge.h"
#include "share/wire_batches.h"
#include "wire/codec.h"
#include "wire/share_records.h"

namespace millrace::share {
namespace {

constexpr int16_t kVersion = 0;

using wire::ShareSnapshotKey;
using wire::ShareSnapshotValue;
using wire::ShareUpdateKey;
using wire::ShareUpdateValue;

template <class Key>
ByteBuffer key_of(const SharePartitionKey& key) {
  return wire::encode_key(
      Key{.group_id = key.group, .topic_id = key.topic, .partition = key.partition.value()});
}

template <class Key>
Result<SharePartitionKey> parse_key(ByteView bytes) {
  ASSIGN_OR_RETURN(auto key, wire::decode_key<Key>(bytes));
  return SharePartitionKey{std::move(key.group_id), key.topic_id, PartitionIndex(key.partition)};
}

// What both kinds say.
template <class Value>
Value value_of(const PersistedState& state) {
  Value value;
  value.leader_epoch = state.leader_epoch.value();
  value.start_offset = state.start_offset.value();
  value.delivery_complete_count = state.delivery_complete_count;
  value.state_batches = to_wire<typename Value::StateBatch>(state.batches);
  return value;
}

template <class Value>
Result<PersistedState> state_of(const Value& value) {
  PersistedState state{.leader_epoch = LeaderEpoch(value.leader_epoch),
                       .start_offset = Offset(value.start_offset),
                       .delivery_complete_count = value.delivery_complete_count,
                       .batches = of_wire(value.state_batches)};
  if (!are_whole(state.batches)) return fail(Errc::kCorrupt, "a state batch ends before it begins");
  return state;
}

Result<Snapshot> parse_snapshot(ByteView bytes) {
  ASSIGN_OR_RETURN(const auto value, wire::decode_value<ShareSnapshotValue>(bytes));
  Snapshot snapshot{.epoch = value.snapshot_epoch,
                    .created = TimestampMs(value.create_timestamp),
                    .written = TimestampMs(value.write_timestamp)};
  ASSIGN_OR_RETURN(snapshot.state, state_of(value));
  snapshot.state.state_epoch = value.state_epoch;
  return snapshot;
}

Result<Update> parse_update(ByteView bytes) {
  ASSIGN_OR_RETURN(const auto value, wire::decode_value<ShareUpdateValue>(bytes));
  Update update{.snapshot_epoch = value.snapshot_epoch};
  ASSIGN_OR_RETURN(update.changes, state_of(value));
  return update;
}

}  // namespace

KeyValueRecord snapshot_record(const SharePartitionKey& key, const Snapshot& snapshot) {
  auto value = value_of<ShareSnapshotValue>(snapshot.state);
  value.snapshot_epoch = snapshot.epoch;
  value.state_epoch = snapshot.state.state_epoch;
  value.create_timestamp = snapshot.created.value();
  value.write_timestamp = snapshot.written.value();
  return {key_of<ShareSnapshotKey>(key), wire::encode_value(value, kVersion)};
}

KeyValueRecord update_record(const SharePartitionKey& key, const Update& update) {
  auto value = value_of<ShareUpdateValue>(update.changes);
  value.snapshot_epoch = update.snapshot_epoch;
  return {key_of<ShareUpdateKey>(key), wire::encode_value(value, kVersion)};
}

KeyValueRecord removal_record(const SharePartitionKey& key) {
  return {key_of<ShareSnapshotKey>(key), std::nullopt};
}

Result<std::optional<StateRecord>> parse_record(const KeyValueRecord& record) {
  wire::Reader reader(record.key);
  const int16_t type = reader.int16("type");
  RETURN_IF_ERROR(reader.status());
  StateRecord parsed;
  if (type == ShareSnapshotKey::kApiKey) {
    ASSIGN_OR_RETURN(parsed.key, parse_key<ShareSnapshotKey>(record.key));
    if (!record.value) return parsed;
    ASSIGN_OR_RETURN(parsed.content, parse_snapshot(*record.value));
    return parsed;
  }
  if (type != ShareUpdateKey::kApiKey || !record.value) return std::nullopt;
  ASSIGN_OR_RETURN(parsed.key, parse_key<ShareUpdateKey>(record.key));
  ASSIGN_OR_RETURN(parsed.content, parse_update(*record.value));
  return parsed;
}

}  // namespace millrace::share
