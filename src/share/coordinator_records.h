// The records of __share_group_state: to bytes, and from them (docs/format/share.md). Internal to
// share/.
#pragma once

#include <optional>
#include <variant>

#include "base/error.h"
#include "machine/replicated.h"
#include "share/state.h"

namespace millrace::share {

using machine::KeyValueRecord;

// The epoch after it, as Java counts.
constexpr int32_t next_epoch(int32_t epoch) {
  return static_cast<int32_t>(static_cast<uint32_t>(epoch) + 1);
}

// All of a share partition's state. Each snapshot of one has the next epoch.
struct Snapshot {
  int32_t epoch = 0;
  PersistedState state;
  TimestampMs created{0};  // by a request
  TimestampMs written{0};  // perhaps later, because it was cold
};

// What changed since the snapshot; its state_epoch is not said.
struct Update {
  int32_t snapshot_epoch = 0;
  PersistedState changes;
};

struct Removal {};

struct StateRecord {
  SharePartitionKey key;
  std::variant<Removal, Snapshot, Update> content;
};

KeyValueRecord snapshot_record(const SharePartitionKey& key, const Snapshot& snapshot);
KeyValueRecord update_record(const SharePartitionKey& key, const Update& update);
KeyValueRecord removal_record(const SharePartitionKey& key);

// Nothing: a record that says nothing, of a type that nobody knows yet. kCorrupt: batches that are
// never written.
Result<std::optional<StateRecord>> parse_record(const KeyValueRecord& record);

}  // namespace millrace::share
