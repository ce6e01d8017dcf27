// The records of a consumer group (KIP-848) to bytes. Internal to group/. Versions are those of
// Kafka 4.3 (docs/format/groups.md).
#pragma once

#include <string>
#include <string_view>

#include "group/consumer_group.h"
#include "machine/replicated.h"

namespace millrace::group {

using machine::KeyValueRecord;

class ConsumerRecords {
 public:
  // The id must outlive the object.
  explicit ConsumerRecords(std::string_view group_id) : group_id_(group_id) {}

  struct GroupEpoch {
    int32_t epoch = 0;
    int64_t metadata_hash = 0;
  };
  KeyValueRecord epoch(const GroupEpoch& value) const;
  KeyValueRecord no_epoch() const;
  KeyValueRecord no_partition_metadata() const;
  KeyValueRecord member(std::string_view member_id, const MemberMetadata& metadata) const;
  KeyValueRecord no_member(std::string_view member_id) const;
  KeyValueRecord assignment_epoch(int32_t epoch, TimestampMs timestamp) const;
  KeyValueRecord no_assignment_epoch() const;
  KeyValueRecord target(std::string_view member_id, const TargetAssignment& target) const;
  KeyValueRecord no_target(std::string_view member_id) const;
  KeyValueRecord current(std::string_view member_id, const CurrentAssignment& current) const;
  KeyValueRecord no_current(std::string_view member_id) const;
  KeyValueRecord regex(std::string_view regex, const ResolvedRegex& resolved) const;
  KeyValueRecord no_regex(std::string_view regex) const;

 private:
  template <class Key>
  Key key() const {
    return {.group_id = std::string(group_id_)};
  }
  template <class Key>
  Key key(std::string_view member_id) const {
    return {.group_id = std::string(group_id_), .member_id = std::string(member_id)};
  }
  std::string_view group_id_;
};

}  // namespace millrace::group
