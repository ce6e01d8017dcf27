// A group of a protocol that is not served here (consumer, share, streams): its records as they
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
#include "group/timers.h"
#include "machine/replicated.h"

namespace millrace::group {

enum class PreservedKind : uint8_t { kConsumer, kShare, kStreams };
std::string_view kind_name(PreservedKind kind);

// The kind of group that a record type belongs to; nothing for the types of others.
std::optional<PreservedKind> preserved_kind(int16_t record_type);

// Every key of these groups begins with type and group id.
Result<std::string> group_id_of_key(ByteView key);

class PreservedGroup {
 public:
  PreservedGroup(std::string id, PreservedKind kind) : id_(std::move(id)), kind_(kind) {}

  PreservedKind kind() const { return kind_; }
  // False: the tombstone of the group itself, after which nothing is left of it.
  bool apply(const machine::KeyValueRecord& record);
  bool is_empty() const;  // no member has a record
  bool is_subscribed_to(std::string_view topic) const;
  // The epoch that the member is in, if it is one.
  std::optional<int32_t> member_epoch(std::string_view member_id) const;
  // What Kafka writes when all members of a consumer group are gone: their tombstones and the next
  // epoch.
  std::vector<machine::KeyValueRecord> removal_of_members() const;
  // Tombstones of all records, in the order that Kafka deletes a group.
  std::vector<machine::KeyValueRecord> tombstones() const;
  const std::map<ByteBuffer, ByteBuffer>& records() const { return records_; }

  Timer drain_timer;

 private:
  template <class Visit>
  void for_each_of_type(int16_t type, Visit visit) const;

  std::string id_;
  PreservedKind kind_;
  std::map<ByteBuffer, ByteBuffer> records_;  // keys sort by type first
};

}  // namespace millrace::group
