// A group of a protocol that is not served here (share, streams): its records as they
// stand in the log, by key. Internal to group/. What is kept and what is said of such groups stands
// in group/coordinator.h.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "machine/replicated.h"

namespace millrace::group {

enum class PreservedKind : uint8_t { kShare, kStreams };
std::string_view kind_name(PreservedKind kind);

// The kind of group that a record type belongs to; nothing for the types of others.
std::optional<PreservedKind> preserved_kind(int16_t record_type);
bool is_consumer_group_record(int16_t record_type);

// Every key of these groups begins with type and group id.
Result<std::string> group_id_of_key(ByteView key);

class PreservedGroup {
 public:
  PreservedGroup(std::string id, PreservedKind kind) : id_(std::move(id)), kind_(kind) {}

  PreservedKind kind() const { return kind_; }
  // False: the tombstone of the group itself, after which nothing is left of it.
  bool apply(const machine::KeyValueRecord& record);
  bool is_empty() const;  // no member has a record
  // Tombstones of all records, in the order that Kafka deletes a group.
  std::vector<machine::KeyValueRecord> tombstones() const;
  const std::map<ByteBuffer, ByteBuffer>& records() const { return records_; }

 private:
  template <class Visit>
  void for_each_of_type(int16_t type, Visit visit) const;

  std::string id_;
  PreservedKind kind_;
  std::map<ByteBuffer, ByteBuffer> records_;  // keys sort by type first
};

}  // namespace millrace::group
