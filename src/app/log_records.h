// The keys and values of records as JSON: those of Kafka's own topics decoded, others as text.
// Not here: files and batches (app/log_dump.cc).
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "base/error.h"
#include "record/record.h"

namespace millrace::app {

// What the records of a log are.
enum class RecordKind { kPlain, kOffsets, kMetadata, kTransactions, kShareState };

// From the name of the partition's directory: "__consumer_offsets-7" and so on.
RecordKind kind_of_directory(std::string_view directory);

// What Kafka writes itself, so not of kPlain: {"type": ..., "key": ..., "version": ..., "value":
// ...}; a tombstone has no version and the value null, metadata has no key. kNotFound: the key's
// type is unknown.
Result<boost::json::object> decode_record(RecordKind kind, const record::RecordView& record);

// {"key": ..., "value": ...}, or for what Kafka writes {"type": ..., "key": ..., "value": ...}. A
// record that cannot be decoded has "error" and its bytes as they are.
boost::json::object describe_record(RecordKind kind, const record::RecordView& record);
boost::json::object describe_control_record(const record::RecordView& record);

}  // namespace millrace::app
