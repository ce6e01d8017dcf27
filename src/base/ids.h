// The words of Kafka as types: one strong integer type for each id, epoch and offset, so that two
// of them can never be swapped. Conversions are explicit: Offset{5}, offset.value(). Naming rule:
// `*_end` is exclusive, `last_*` inclusive, `base_*` the first of a batch.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include <fmt/format.h>

#include "base/uuid.h"

namespace millrace {

// An integer of its own kind. Ordered; difference and shift by a plain integer exist, mixing kinds
// does not.
template <class Tag, class Rep>
class StrongInt {
 public:
  using rep = Rep;
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;
  friend constexpr StrongInt operator+(StrongInt a, Rep n) {
    return StrongInt(static_cast<Rep>(a.value_ + n));
  }
  friend constexpr StrongInt operator-(StrongInt a, Rep n) {
    return StrongInt(static_cast<Rep>(a.value_ - n));
  }
  // At the type's bounds where it does not fit: times and offsets may be anything that a peer says.
  friend constexpr Rep operator-(StrongInt a, StrongInt b) {
    Rep difference{};
    if (!__builtin_sub_overflow(a.value_, b.value_, &difference)) return difference;
    return a < b ? std::numeric_limits<Rep>::min() : std::numeric_limits<Rep>::max();
  }
  constexpr StrongInt& operator+=(Rep n) { return *this = *this + n; }
  constexpr StrongInt& operator++() { return *this += 1; }

 private:
  Rep value_{};
};

using Offset = StrongInt<struct OffsetTag, int64_t>;  // a record's place in its partition
using NodeId = StrongInt<struct NodeIdTag, int32_t>;  // broker or controller; -1: none
using PartitionIndex = StrongInt<struct PartitionIndexTag, int32_t>;  // within a topic, from 0
using LeaderEpoch = StrongInt<struct LeaderEpochTag, int32_t>;        // of a partition; -1: unknown
using PartitionEpoch = StrongInt<struct PartitionEpochTag, int32_t>;  // of a partition's metadata
using BrokerEpoch = StrongInt<struct BrokerEpochTag, int64_t>;        // of a broker's registration
using ProducerId = StrongInt<struct ProducerIdTag, int64_t>;          // -1: not idempotent
using ProducerEpoch = StrongInt<struct ProducerEpochTag, int16_t>;    // -1: not idempotent
using ProducerSequence =
    StrongInt<struct ProducerSequenceTag, int32_t>;               // wraps 2147483647 -> 0; -1: none
using GenerationId = StrongInt<struct GenerationIdTag, int32_t>;  // of a classic group; -1: none
using TimestampMs =
    StrongInt<struct TimestampMsTag, int64_t>;  // wall clock, ms since 1970; -1: none

inline constexpr NodeId kNoNode{-1};
inline constexpr LeaderEpoch kNoLeaderEpoch{-1};
inline constexpr ProducerId kNoProducerId{-1};
inline constexpr TimestampMs kNoTimestamp{-1};

// A partition by the name of its topic: what a log directory and most requests use.
struct TopicPartition {
  std::string topic;
  PartitionIndex partition;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
  std::string to_string() const { return fmt::format("{}-{}", topic, partition.value()); }
};

// A partition by the id of its topic: what outlives deletion and re-creation under one name.
struct TopicIdPartition {
  Uuid topic_id;
  PartitionIndex partition;
  friend auto operator<=>(const TopicIdPartition&, const TopicIdPartition&) = default;
};

}  // namespace millrace

template <class Tag, class Rep>
struct std::hash<millrace::StrongInt<Tag, Rep>> {
  size_t operator()(millrace::StrongInt<Tag, Rep> id) const { return std::hash<Rep>{}(id.value()); }
};

template <>
struct std::hash<millrace::TopicPartition> {
  size_t operator()(const millrace::TopicPartition& p) const {
    return std::hash<std::string>{}(p.topic) * 31 + static_cast<size_t>(p.partition.value());
  }
};

template <>
struct std::hash<millrace::TopicIdPartition> {
  size_t operator()(const millrace::TopicIdPartition& p) const {
    return std::hash<millrace::Uuid>{}(p.topic_id) * 31 + static_cast<size_t>(p.partition.value());
  }
};

template <class Tag, class Rep>
struct fmt::formatter<millrace::StrongInt<Tag, Rep>> : fmt::formatter<Rep> {
  auto format(millrace::StrongInt<Tag, Rep> id, fmt::format_context& ctx) const {
    return fmt::formatter<Rep>::format(id.value(), ctx);
  }
};
