// The records of __consumer_offsets that classic groups and offsets are made of: to bytes, and from
// them. Internal to group/. Versions are those of Kafka 4.3 (docs/format/groups.md).
#pragma once

#include <string>
#include <string_view>

#include "group/offset_store.h"
#include "machine/replicated.h"
#include "wire/group_records.h"

namespace millrace::group {

using machine::KeyValueRecord;

KeyValueRecord group_metadata_record(std::string_view group, const wire::GroupMetadataValue& value);
KeyValueRecord group_metadata_tombstone(std::string_view group);
KeyValueRecord offset_record(std::string_view group, const PartitionRef& partition,
                             const CommittedOffset& offset);
KeyValueRecord offset_tombstone(std::string_view group, const PartitionRef& partition);

CommittedOffset offset_of(wire::OffsetCommitValue value);

// The int16 that a key begins with.
Result<int16_t> key_type(ByteView key);
// The group of a key of any type but those of offsets and classic groups.
Result<std::string> group_id_of_key(ByteView key);

}  // namespace millrace::group
