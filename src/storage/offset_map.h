// Which record is the newest of each key, in a part of a log: what compaction knows while it works.
// A fixed number of slots of 24 bytes, each the 128-bit hash of a key and an offset; keys
// themselves are not kept. Apache Kafka's holds an MD5, of which anybody can make two keys with one
// hash, and so have records thrown away: this hash has a key of its own, which nobody is told.
// Not here: what is done with it (storage/log_cleaner). Threads: one caller at a time.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/siphash.h"

namespace millrace::storage {

class OffsetMap {
 public:
  static constexpr size_t kSlotBytes = 24;

  OffsetMap(size_t slots, const HashKey& key) : slots_(slots), key_(key) {}

  size_t slots() const { return slots_.size(); }
  size_t size() const { return size_; }
  // In place of what is known of the key. There must be room: size() < slots().
  void put(ByteView key, Offset offset);
  std::optional<Offset> get(ByteView key) const;

 private:
  struct Slot {
    Hash128 hash;
    Offset offset{-1};  // none: the slot is free
  };
  static_assert(sizeof(Slot) == kSlotBytes);
  // Where the hash is, or belongs.
  size_t slot_of(const Hash128& hash) const;

  std::vector<Slot> slots_;
  HashKey key_;
  size_t size_ = 0;
};

}  // namespace millrace::storage
