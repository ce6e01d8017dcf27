#include "sim/rot.h"

#include <algorithm>

#include "record/batch.h"
#include "storage/log_directory.h"

namespace millrace::sim {
namespace {

constexpr const char* kOffsetsTopic = "__consumer_offsets";
constexpr const char* kRecoveryPoints = "/recovery-point-offset-checkpoint";
constexpr const char* kMetadataTopic = "__cluster_metadata";
// Of a batch: what may rot in front of the records, and how far each damages the file.
constexpr uint64_t kLengthAt = 8, kMagicAt = 16, kCrcAt = 17, kCrcEnd = 21;

bool is_aid(const std::string& path) {
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{".index", ".timeindex", ".snapshot",
                                              "-offset-checkpoint", "-recovery-points"},
      [&](std::string_view suffix) { return path.ends_with(suffix); });
}

// Of the file's directory; none: not a partition's.
std::optional<TopicPartition> partition_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const size_t before = path.rfind('/', slash - 1);
  return storage::parse_partition_directory(path.substr(before + 1, slash - before - 1));
}

int64_t base_of(const std::string& path) {
  return std::atoll(path.substr(path.rfind('/') + 1, 20).c_str());
}

}  // namespace

// As the broker reads them (storage/log_directory).
storage::OffsetCheckpoint Rot::recovery_points() const {
  auto read = [&](const char* name) -> std::optional<storage::OffsetCheckpoint> {
    const ByteBuffer* text = medium_->durable_file(directory + name);
    if (text == nullptr) return std::nullopt;
    auto offsets = storage::parse_offset_checkpoint(as_text(*text));
    return offsets ? std::optional(std::move(*offsets)) : std::nullopt;
  };
  const auto points = read(kRecoveryPoints), copy = read("/.millrace-recovery-points");
  if (points && copy) return storage::lower_of(*points, *copy);
  return points.value_or(copy.value_or(storage::OffsetCheckpoint{}));
}

std::vector<Rot::Batch> Rot::batches_of(const std::string& topic, Side side) const {
  std::vector<Batch> found;
  storage::OffsetCheckpoint points = recovery_points();
  std::vector<std::string> logs;
  for (const auto& path : medium_->files_below(directory))
    if (path.ends_with(".log") && medium_->durable_file(path)) logs.push_back(path);
  for (size_t i = 0; i < logs.size(); ++i) {
    const auto partition = partition_of(logs[i]);
    if (!partition || partition->topic != topic) continue;
    const int64_t point = points[*partition].value();
    const bool is_last = i + 1 == logs.size() || partition_of(logs[i + 1]) != partition;
    const int64_t segment_end = is_last ? INT64_MAX : base_of(logs[i + 1]);
    record::BatchIterator batches(*medium_->durable_file(logs[i]));
    for (;;) {
      const uint64_t position = batches.position();
      auto batch = batches.next();
      if (!batch || !*batch || !(*batch)->verify_crc()) break;
      const int64_t end = (*batch)->next_offset().value();
      if ((end <= point) == (side == Side::kBelow))
        found.push_back({.path = logs[i],
                         .partition = *partition,
                         .position = position,
                         .size = (*batch)->size_in_bytes(),
                         .first = (*batch)->base_offset().value(),
                         .end = end,
                         .segment_end = segment_end});
    }
  }
  return found;
}

void Rot::flip(Medium::Flip flip, bool repaired_later) {
  medium_->world().note(fmt::format("byte {} of {} rots", flip.position, flip.path));
  medium_->rot(flip);
  if (repaired_later) flips_.push_back({flip, medium_->find(flip.path)->content[flip.position]});
}

void Rot::damage(const Batch& batch) {
  Stream& dice = medium_->world().faults;
  uint64_t at = 0;
  switch (dice.below(4)) {
    case 0: at = kLengthAt + dice.below(4); break;
    case 1: at = kMagicAt + dice.below(kCrcEnd - kMagicAt); break;
    default: at = record::kBatchHeaderSize + dice.below(batch.size - record::kBatchHeaderSize);
  }
  // Where the next batch begins is not known any more when the length or the magic is wrong.
  const bool framing = at < kCrcAt;
  if (batch.partition.topic == topic_)
    oracle_->damaged(batch.partition.partition.value(),
                     {.first = batch.first, .end = framing ? batch.segment_end : batch.end});
  flip({.path = batch.path,
        .position = batch.position + at,
        .bits = static_cast<uint8_t>(1 << dice.below(8))},
       true);
}

std::optional<Rot::Batch> Rot::damage_batch(Kind kind, const Allowed& allowed) {
  auto batches = batches_of(topic_, Side::kBelow);
  if (allowed) std::erase_if(batches, [&](const Batch& batch) { return !allowed(batch); });
  if (batches.empty()) return std::nullopt;
  const Batch& batch = batches[medium_->world().faults.below(batches.size())];
  if (kind == Kind::kFlip)
    damage(batch);
  else
    overwrite(batch, kind);
  return batch;
}

void Rot::overwrite(const Batch& batch, Kind kind) {
  const bool is_lost = kind == Kind::kLostWrite;
  medium_->world().note(fmt::format("{} bytes at {} of {} {}", batch.size, batch.position,
                                    batch.path, is_lost ? "were never written" : "are others"));
  oracle_->damaged(batch.partition.partition.value(),
                   {.first = batch.first, .end = batch.segment_end});
  const ByteBuffer before = medium_->find(batch.path)->content;
  // What stands in the file a sector further on, as far as there is any.
  for (uint64_t i = 0; i < batch.size; ++i) {
    const uint64_t at = batch.position + i;
    const uint8_t other = is_lost ? 0 : before[(at + kSectorBytes) % before.size()];
    medium_->rot(
        {.path = batch.path, .position = at, .bits = static_cast<uint8_t>(before[at] ^ other)});
  }
}

bool Rot::damage_offsets() {
  const auto batches = batches_of(kOffsetsTopic, Side::kBelow);
  if (batches.empty()) return false;
  damage(batches[medium_->world().faults.below(batches.size())]);
  return true;
}

bool Rot::damage_metadata() {
  const auto batches = batches_of(kMetadataTopic, Side::kBelow);
  if (batches.empty()) return false;
  damage(batches[medium_->world().faults.below(batches.size())]);
  return metadata_rotted_ = true;
}

bool Rot::damage_aid() {
  std::vector<std::string> aids;
  for (const auto& path : medium_->files_below(directory))
    if (is_aid(path) && !medium_->find(path)->content.empty() &&
        !(is_there() && path.ends_with(kRecoveryPoints)))
      aids.push_back(path);
  if (aids.empty()) return false;
  Stream& dice = medium_->world().faults;
  const std::string& path = aids[dice.below(aids.size())];
  flip({.path = path,
        .position = dice.below(medium_->find(path)->content.size()),
        .bits = static_cast<uint8_t>(1 << dice.below(8))},
       false);
  return true;
}

void Rot::damage_tail(int32_t partition) {
  auto batches = batches_of(topic_, Side::kBehind);
  std::erase_if(batches,
                [&](const Batch& each) { return each.partition.partition.value() != partition; });
  if (batches.empty()) return;
  const Batch& batch = batches[medium_->world().faults.below(batches.size())];
  damage(batch);
  oracle_->damaged(partition, {.first = batch.first, .end = INT64_MAX, .must_be_cut = true});
}

void Rot::repair() {
  for (const Repair& repair : flips_) medium_->restore(repair.flip, repair.rotten);
  flips_.clear();
  metadata_rotted_ = false;
  oracle_->repaired();
}

}  // namespace millrace::sim
