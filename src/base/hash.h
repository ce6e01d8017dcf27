// The two hash functions that decide where things go in Kafka. Both are part of the protocol:
// clients and brokers must agree on them to the bit.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace millrace {

// The hash of a record key that the default partitioner uses (murmur2, seed 0x9747b28c).
int32_t murmur2(ByteView bytes);

// The partition of a keyed record: (murmur2(key) & 0x7fffffff) % partition_count. partition_count >
// 0.
int32_t partition_of_key(ByteView key, int32_t partition_count);

// java.lang.String.hashCode of UTF-8 text: over UTF-16 code units, 31-polynomial, wrapping.
int32_t java_string_hash(std::string_view utf8);

// The partition of __consumer_offsets or __transaction_state that owns `key`:
// |hashCode(key)| % partition_count, where |INT_MIN| counts as 0 (Kafka's Utils.abs).
int32_t coordinator_partition(std::string_view key, int32_t partition_count);

}  // namespace millrace
