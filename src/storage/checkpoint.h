// The small text files of a log directory: offset checkpoints, `leader-epoch-checkpoint`,
// `partition.metadata`, `meta.properties`, `.kafka_cleanshutdown`. Parsing and printing only; byte
// for byte as Kafka writes them.
// Not here: when they are written (storage/log, storage/log_directory). Inputs are files that
// anything may have happened to: every parser says what is wrong and where.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace millrace::storage {

// recovery-point-, log-start-, replication- and cleaner-offset-checkpoint.
using OffsetCheckpoint = std::map<TopicPartition, Offset>;
// kCorrupt also when there is a checksum and it is wrong.
Result<OffsetCheckpoint> parse_offset_checkpoint(std::string_view text);
std::string print_offset_checkpoint(const OffsetCheckpoint& offsets);
// With a checksum, where a wrong digit would do harm. Kafka's format has none: ours stands in an
// entry of a partition that no topic can have, which Kafka reads, does not ask for, and leaves out
// when it writes the file. No offsets, no checksum.
std::string print_checked_offset_checkpoint(const OffsetCheckpoint& offsets);

// Recovery points stand in Kafka's file, as Kafka writes it, and in a copy with a checksum. Where
// they differ the lower point is the safe one: it costs a longer recovery, never data.
OffsetCheckpoint lower_of(const OffsetCheckpoint& points, const OffsetCheckpoint& copy);

// The first offset of each leader epoch, in ascending order.
struct EpochStart {
  LeaderEpoch epoch;
  Offset start;
  friend bool operator==(const EpochStart&, const EpochStart&) = default;
};
// The epoch in which the record at `offset` was written; kNoLeaderEpoch: before all of them.
LeaderEpoch epoch_of(const std::vector<EpochStart>& epochs, Offset offset);
Result<std::vector<EpochStart>> parse_epoch_checkpoint(std::string_view text);
std::string print_epoch_checkpoint(const std::vector<EpochStart>& epochs);

Result<Uuid> parse_partition_metadata(std::string_view text);
std::string print_partition_metadata(const Uuid& topic_id);

struct MetaProperties {
  std::string cluster_id;
  NodeId node_id = kNoNode;
  std::optional<Uuid> directory_id;
};
Result<MetaProperties> parse_meta_properties(std::string_view text);
std::string print_meta_properties(const MetaProperties& properties);

// The broker epoch of the process that stopped cleanly; -1 when the file does not say.
BrokerEpoch parse_clean_shutdown(std::string_view text);
std::string print_clean_shutdown(BrokerEpoch epoch);

}  // namespace millrace::storage
