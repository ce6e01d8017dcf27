#include "library/conversions.h"

#include <utility>

namespace millrace::library {
namespace {

std::optional<ByteBuffer> bytes_of(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  return copy_of(as_bytes(*text));
}

std::optional<std::string> text_of(const std::optional<ByteBuffer>& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

}  // namespace

std::vector<TopicPartition> inner(const std::vector<v0::TopicPartition>& partitions) {
  std::vector<TopicPartition> list;
  for (const auto& each : partitions) list.push_back(inner(each));
  return list;
}

client::core::OutgoingRecord inner(v0::ProducerRecord record, uint64_t tag) {
  client::core::OutgoingRecord made{.tag = tag, .topic = std::move(record.topic)};
  if (record.partition) made.partition = PartitionIndex(*record.partition);
  if (record.timestamp_ms) made.timestamp = TimestampMs(*record.timestamp_ms);
  made.key = bytes_of(record.key);
  made.value = bytes_of(record.value);
  for (auto& each : record.headers)
    made.headers.push_back({.key = std::move(each.key), .value = bytes_of(each.value)});
  return made;
}

v0::ConsumerRecord outer(const client::core::ConsumedRecord& record) {
  v0::ConsumerRecord made;
  made.partition = outer(record.partition);
  made.offset = record.offset.value();
  made.timestamp_ms = record.timestamp.value();
  made.is_append_time = record.is_append_time;
  made.key = text_of(record.key);
  made.value = text_of(record.value);
  for (const auto& each : record.headers) made.headers.push_back({each.key, text_of(each.value)});
  made.delivery_count = record.delivery_count;
  return made;
}

std::vector<v0::PartitionInfo> partitions_in(const client::core::TopicInfo& topic) {
  std::vector<v0::PartitionInfo> list;
  for (const auto& [index, each] : topic.partitions)
    list.push_back({{topic.name, index.value()}, each.leader.value(), each.replicas, each.isr});
  return list;
}

}  // namespace millrace::library
