// Records, and where they lie. Values: they own what they hold.
// Bytes are std::string: any byte may be in one, text need not be UTF-8.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millrace/export.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

// A partition, by the name of its topic; partitions of a topic are numbered from 0.
struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;

  friend bool operator==(const TopicPartition& a, const TopicPartition& b) {
    return a.partition == b.partition && a.topic == b.topic;
  }
  friend bool operator!=(const TopicPartition& a, const TopicPartition& b) { return !(a == b); }
  friend bool operator<(const TopicPartition& a, const TopicPartition& b) {
    return a.topic != b.topic ? a.topic < b.topic : a.partition < b.partition;
  }
};

// Of a record; a key may come several times (KIP-82).
struct Header {
  std::string key;
  std::optional<std::string> value;  // none: null
};

// What a producer sends.
struct ProducerRecord {
  std::string topic;
  std::optional<std::string> key;    // none: null
  std::optional<std::string> value;  // none: null, which deletes the key in a compacted topic
  std::vector<Header> headers = {};
  // None: chosen by the key's hash, as Kafka's own clients do; without a key by batches (KIP-480).
  std::optional<std::int32_t> partition = std::nullopt;
  // Milliseconds since 1970; none: now. A topic may replace it (message.timestamp.type).
  std::optional<std::int64_t> timestamp_ms = std::nullopt;
};

// Where a record was written.
struct RecordMetadata {
  TopicPartition partition;
  std::int64_t offset = -1;  // -1: not known, with acks=0
};

// What a consumer receives.
struct ConsumerRecord {
  TopicPartition partition;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;  // milliseconds since 1970; -1: none
  bool is_append_time = false;     // of the timestamp: the broker's clock, not the producer's
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<Header> headers;
  // In a share group: how often it was given, 1 the first time. Else none.
  std::optional<std::int16_t> delivery_count = std::nullopt;
};

struct OffsetAndTimestamp {
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = 0;  // of the record at the offset
};

// By partition, the offset of the record that is to be read next: one more than that of the last
// record that was done with.
using Offsets = std::map<TopicPartition, std::int64_t>;

// A member of a consumer group, as a transaction names it (KIP-447).
struct GroupMetadata {
  std::string group;
  std::string member_id = {};    // empty: no member, and nothing is fenced
  std::int32_t generation = -1;  // or its epoch, with group.protocol=consumer
  std::optional<std::string> instance_id = std::nullopt;
};

// A partition as the cluster sees it; brokers by their ids, -1: none.
struct PartitionInfo {
  TopicPartition partition;
  std::int32_t leader = -1;
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> isr;  // those in sync
};

}  // namespace v0
}  // namespace millrace
