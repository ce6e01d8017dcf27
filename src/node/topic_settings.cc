#include "node/topic_settings.h"

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

storage::LogOptions log_options(const config::TopicConfig& config) {
  return {.segment_bytes = static_cast<uint64_t>(segment_bytes(config)),
          .segment_ms = config.number("segment.ms"),
          .index_interval_bytes = static_cast<uint64_t>(config.number("index.interval.bytes")),
          .max_index_bytes = static_cast<uint64_t>(config.number("segment.index.bytes")),
          .delete_old = config.text("cleanup.policy").find("delete") != std::string::npos,
          .retention_ms = config.number("retention.ms"),
          .retention_bytes = config.number("retention.bytes")};
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
  rules.keys_required = config.text("cleanup.policy").find("compact") != std::string::npos;
  rules.target_codec = target_codec(config.text("compression.type"));
  rules.target_level = target_level(config, rules.target_codec);
  // What may not come in as a request may not come in packed either.
  rules.max_decompressed = static_cast<size_t>(node.number("socket.request.max.bytes"));
  return rules;
}

}  // namespace

std::shared_ptr<const TopicSettings> topic_settings(const config::NodeProperties& node,
                                                    const config::Values& overrides) {
  const config::TopicConfig config(node, overrides);
  return std::make_shared<const TopicSettings>(
      TopicSettings{.log = log_options(config), .produce = produce_rules(node, config)});
}

}  // namespace millrace::node
