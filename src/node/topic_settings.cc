#include "node/topic_settings.h"

#include <algorithm>
#include <charconv>

namespace millrace::node {
namespace {

std::optional<record::Codec> target_codec(const std::string& name) {
  if (name == "gzip") return record::Codec::kGzip;
  if (name == "snappy") return record::Codec::kSnappy;
  if (name == "lz4") return record::Codec::kLz4;
  if (name == "zstd") return record::Codec::kZstd;
  if (name == "uncompressed") return record::Codec::kNone;
  return std::nullopt;
}

std::optional<int> target_level(const config::TopicConfig& config,
                                std::optional<record::Codec> codec) {
  const char* name = codec == record::Codec::kGzip   ? "compression.gzip.level"
                     : codec == record::Codec::kLz4  ? "compression.lz4.level"
                     : codec == record::Codec::kZstd ? "compression.zstd.level"
                                                     : nullptr;
  if (name == nullptr) return std::nullopt;
  const auto level = static_cast<int>(config.number(name));
  return record::level_is_valid(*codec, level) ? std::optional(level) : std::nullopt;
}

// As in Apache Kafka: internal.segment.bytes goes below the least segment.bytes, for tests.
int64_t segment_bytes(const config::TopicConfig& config) {
  const bool is_set = !config.text("internal.segment.bytes").empty();
  return config.number(is_set ? "internal.segment.bytes" : "segment.bytes");
}

bool cleans_by(const config::TopicConfig& config, std::string_view policy) {
  return config.text("cleanup.policy").find(policy) != std::string::npos;
}

// What must be compacted some time must not stay in the active segment for longer.
int64_t segment_ms(const config::TopicConfig& config) {
  const int64_t own = config.number("segment.ms");
  const int64_t lag = config.number("max.compaction.lag.ms");
  return cleans_by(config, "compact") && lag > 0 ? std::min(own, lag) : own;
}

storage::LogOptions log_options(const config::TopicConfig& config) {
  return {.segment_bytes = static_cast<uint64_t>(segment_bytes(config)),
          .segment_ms = segment_ms(config),
          .index_interval_bytes = static_cast<uint64_t>(config.number("index.interval.bytes")),
          .max_index_bytes = static_cast<uint64_t>(config.number("segment.index.bytes")),
          .delete_old = cleans_by(config, "delete"),
          .compacts = cleans_by(config, "compact"),
          .retention_ms = config.number("retention.ms"),
          .retention_bytes = config.number("retention.bytes"),
          .min_compaction_lag_ms = config.number("min.compaction.lag.ms"),
          .max_compaction_lag_ms = config.number("max.compaction.lag.ms"),
          .min_cleanable_ratio = config.real("min.cleanable.dirty.ratio"),
          .delete_retention_ms = config.number("delete.retention.ms")};
}

record::ProduceRules produce_rules(const config::NodeProperties& node,
                                   const config::TopicConfig& config) {
  record::ProduceRules rules;
  if (config.text("message.timestamp.type") == "LogAppendTime")
    rules.timestamp_type = record::TimestampType::kLogAppendTime;
  rules.timestamp_before_max_ms = config.number("message.timestamp.before.max.ms");
  rules.timestamp_after_max_ms = config.number("message.timestamp.after.max.ms");
  rules.max_message_bytes = config.number("max.message.bytes");
  rules.segment_bytes = segment_bytes(config);
  rules.keys_required = cleans_by(config, "compact");
  rules.target_codec = target_codec(config.text("compression.type"));
  rules.target_level = target_level(config, rules.target_codec);
  // What may not come in as a request may not come in packed either.
  rules.max_decompressed = static_cast<size_t>(node.number("socket.request.max.bytes"));
  return rules;
}

// The whole of `text` as a number.
std::optional<int32_t> number_of(std::string_view text) {
  int32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

}  // namespace

ThrottledReplicas ThrottledReplicas::parse(std::string_view text) {
  ThrottledReplicas result;
  while (!text.empty()) {
    const std::string_view entry = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), entry.size() + 1));
    const size_t colon = entry.find(':');
    result.all_ |= entry == "*";
    if (colon == std::string_view::npos) continue;
    const auto partition = number_of(entry.substr(0, colon));
    const auto broker = number_of(entry.substr(colon + 1));
    if (partition && broker) result.replicas_.emplace(*partition, *broker);
  }
  return result;
}

bool ThrottledReplicas::contains(PartitionIndex partition, NodeId broker) const {
  return all_ || replicas_.contains({partition, broker});
}

storage::SharedLogOptions log_options_of(const std::shared_ptr<const TopicSettings>& settings) {
  return storage::SharedLogOptions(
      std::shared_ptr<const storage::LogOptions>(settings, &settings->log));
}

std::shared_ptr<const TopicSettings> topic_settings(const config::NodeProperties& node,
                                                    const config::Values& overrides) {
  const config::TopicConfig config(node, overrides);
  return std::make_shared<const TopicSettings>(TopicSettings{
      .log = log_options(config),
      .produce = produce_rules(node, config),
      .min_insync_replicas = static_cast<int32_t>(config.number("min.insync.replicas")),
      .leader_throttled =
          ThrottledReplicas::parse(config.text("leader.replication.throttled.replicas")),
      .follower_throttled =
          ThrottledReplicas::parse(config.text("follower.replication.throttled.replicas"))});
}

}  // namespace millrace::node
