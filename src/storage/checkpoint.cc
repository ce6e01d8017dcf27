#include "storage/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/crc32c.h"

namespace millrace::storage {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The lines behind `0` (version) and their count, split into fields.
Result<std::vector<std::vector<std::string_view>>> counted_lines(std::string_view text,
                                                                 size_t fields) {
  auto lines = split(text, '\n');
  if (lines.size() < 2 || lines[0] != "0")
    return fail(Errc::kCorrupt, "a checkpoint does not begin with version 0");
  auto count = number(lines[1]);
  if (!count || std::cmp_not_equal(*count, lines.size() - 2))
    return fail(Errc::kCorrupt,
                fmt::format("a checkpoint says {} entries and has {}", lines[1], lines.size() - 2));
  std::vector<std::vector<std::string_view>> result;
  for (size_t i = 2; i < lines.size(); ++i) {
    result.push_back(split(lines[i], ' '));
    if (result.back().size() != fields)
      return fail(Errc::kCorrupt, fmt::format("line {} of a checkpoint is '{}'", i + 1, lines[i]));
  }
  return result;
}

// The value of `key` in `key<separator>value` lines.
std::optional<std::string> value_of(std::string_view text, std::string_view key, char separator) {
  for (std::string_view line : split(text, '\n')) {
    const size_t at = line.find(separator);
    if (at == std::string_view::npos || line.substr(0, at) != key) continue;
    std::string_view value = line.substr(at + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    while (value.ends_with('\r') || value.ends_with(' ')) value.remove_suffix(1);
    return std::string(value);
  }
  return std::nullopt;
}

const TopicPartition kChecksum{"~crc32c", PartitionIndex(0)};

Offset checksum_of(const OffsetCheckpoint& offsets) {
  return Offset(int64_t{crc32c(as_bytes(print_offset_checkpoint(offsets)))});
}

}  // namespace

Result<OffsetCheckpoint> parse_offset_checkpoint(std::string_view text) {
  ASSIGN_OR_RETURN(auto lines, counted_lines(text, 3));
  OffsetCheckpoint offsets;
  for (const auto& line : lines) {
    auto partition = number(line[1]), offset = number(line[2]);
    if (!partition || !offset)
      return fail(Errc::kCorrupt, "an offset checkpoint has a line without numbers");
    offsets[{std::string(line[0]), PartitionIndex(static_cast<int32_t>(*partition))}] =
        Offset(*offset);
  }
  const auto checksum = offsets.extract(kChecksum);
  if (!checksum.empty() && checksum.mapped() != checksum_of(offsets))
    return fail(Errc::kCorrupt, "its checksum is wrong");
  return offsets;
}

std::string print_checked_offset_checkpoint(const OffsetCheckpoint& offsets) {
  OffsetCheckpoint checked = offsets;
  if (!offsets.empty()) checked[kChecksum] = checksum_of(offsets);
  return print_offset_checkpoint(checked);
}

OffsetCheckpoint lower_of(const OffsetCheckpoint& points, const OffsetCheckpoint& copy) {
  OffsetCheckpoint lower;
  for (const auto& [partition, point] : points)
    if (auto other = copy.find(partition); other != copy.end())
      lower[partition] = std::min(point, other->second);
  return lower;
}

std::string print_offset_checkpoint(const OffsetCheckpoint& offsets) {
  std::string text = fmt::format("0\n{}\n", offsets.size());
  for (const auto& [name, offset] : offsets)
    text += fmt::format("{} {} {}\n", name.topic, name.partition, offset);
  return text;
}

LeaderEpoch epoch_of(const std::vector<EpochStart>& epochs, Offset offset) {
  const auto after = std::ranges::upper_bound(epochs, offset, {}, &EpochStart::start);
  return after == epochs.begin() ? kNoLeaderEpoch : std::prev(after)->epoch;
}

Result<std::vector<EpochStart>> parse_epoch_checkpoint(std::string_view text) {
  ASSIGN_OR_RETURN(auto lines, counted_lines(text, 2));
  std::vector<EpochStart> epochs;
  for (const auto& line : lines) {
    auto epoch = number(line[0]), start = number(line[1]);
    if (!epoch || !start)
      return fail(Errc::kCorrupt, "leader-epoch-checkpoint has a line without numbers");
    epochs.push_back({LeaderEpoch(static_cast<int32_t>(*epoch)), Offset(*start)});
  }
  return epochs;
}

std::string print_epoch_checkpoint(const std::vector<EpochStart>& epochs) {
  std::string text = fmt::format("0\n{}\n", epochs.size());
  for (const EpochStart& each : epochs) text += fmt::format("{} {}\n", each.epoch, each.start);
  return text;
}

Result<Uuid> parse_partition_metadata(std::string_view text) {
  auto id = value_of(text, "topic_id", ':');
  if (!id) return fail(Errc::kCorrupt, "partition.metadata has no topic_id");
  return Uuid::parse(*id);
}

std::string print_partition_metadata(const Uuid& topic_id) {
  return fmt::format("version: 0\ntopic_id: {}", topic_id);
}

Result<MetaProperties> parse_meta_properties(std::string_view text) {
  MetaProperties result;
  auto cluster = value_of(text, "cluster.id", '=');
  auto node = value_of(text, "node.id", '=');
  if (!node) node = value_of(text, "broker.id", '=');
  auto id = node ? number(*node) : std::nullopt;
  if (!cluster || !id) return fail(Errc::kCorrupt, "meta.properties lacks cluster.id or node.id");
  result.cluster_id = *cluster;
  result.node_id = NodeId(static_cast<int32_t>(*id));
  if (auto directory = value_of(text, "directory.id", '=')) {
    ASSIGN_OR_RETURN(result.directory_id, Uuid::parse(*directory));
  }
  return result;
}

std::string print_meta_properties(const MetaProperties& properties) {
  std::string text = fmt::format("#\nnode.id={}\n", properties.node_id);
  if (properties.directory_id) text += fmt::format("directory.id={}\n", *properties.directory_id);
  return text + fmt::format("version=1\ncluster.id={}\n", properties.cluster_id);
}

BrokerEpoch parse_clean_shutdown(std::string_view text) {
  const size_t at = text.find("\"brokerEpoch\":");
  if (at == std::string_view::npos) return BrokerEpoch(-1);
  std::string_view rest = text.substr(at + 14);
  return BrokerEpoch(number(rest.substr(0, rest.find_first_of(",}"))).value_or(-1));
}

std::string print_clean_shutdown(BrokerEpoch epoch) {
  return fmt::format("{{\"version\":0,\"brokerEpoch\":{}}}", epoch);
}

}  // namespace millrace::storage
