#include "raft/snapshot.h"

#include <fmt/format.h>

#include <charconv>

#include "record/record.h"

namespace millrace::raft {
namespace {

constexpr std::string_view kSuffix = ".checkpoint";
constexpr size_t kOffsetDigits = 20, kEpochDigits = 10;
constexpr size_t kMaxBatch = 64 << 20;

template <class Number>
std::optional<Number> parse_digits(std::string_view digits) {
  Number value{};
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || value < 0) return std::nullopt;
  return value;
}

Result<> visit_records(const record::BatchView& batch, const VisitRecord& visit) {
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxBatch));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(record));
    if (!more) return {};
    if (record.value) RETURN_IF_ERROR(visit(*record.value));
  }
}

// The parts of a snapshot in their order.
struct Reading {
  const VisitRecord& visit;
  SnapshotContents contents;
  bool has_header = false;
  bool has_footer = false;

  Result<> take(const record::BatchView& batch) {
    if (!batch.verify_crc()) return fail(Errc::kCorrupt, "the batch's checksum is wrong");
    if (has_footer) return fail(Errc::kCorrupt, "there is a batch behind the footer");
    if (!batch.header().attributes.control()) {
      if (!has_header) return fail(Errc::kCorrupt, "there are records before the header");
      return visit_records(batch, visit);
    }
    ASSIGN_OR_RETURN(auto facts, read_control_batch(batch));
    if (facts.has_snapshot_header) {
      has_header = true;
      contents.last_contained = facts.last_contained;
    }
    if (facts.kraft_version) contents.kraft_version = facts.kraft_version->second;
    if (facts.voters) contents.voters = std::move(facts.voters->second);
    has_footer = facts.has_snapshot_footer;
    return {};
  }
};

}  // namespace

std::string snapshot_name(const LogPosition& id) {
  return fmt::format("{:020}-{:010}{}", id.offset.value(), id.epoch.value(), kSuffix);
}

std::optional<LogPosition> parse_snapshot_name(std::string_view name) {
  if (name.size() != kOffsetDigits + 1 + kEpochDigits + kSuffix.size() ||
      !name.ends_with(kSuffix) || name[kOffsetDigits] != '-')
    return std::nullopt;
  const auto offset = parse_digits<int64_t>(name.substr(0, kOffsetDigits));
  const auto epoch = parse_digits<int32_t>(name.substr(kOffsetDigits + 1, kEpochDigits));
  if (!offset || !epoch) return std::nullopt;
  return LogPosition{LeaderEpoch(*epoch), Offset(*offset)};
}

SnapshotBuilder::SnapshotBuilder(const SnapshotHeader& header) : header_(header) {
  ControlRecords records;
  records.emplace_back(record::ControlType::kSnapshotHeader,
                       snapshot_header_record(header.last_contained));
  if (header.kraft_version > 0) {
    records.emplace_back(record::ControlType::kKraftVersion,
                         kraft_version_record(header.kraft_version));
    if (header.voters)
      records.emplace_back(record::ControlType::kKraftVoters, voters_record(*header.voters));
  }
  bytes_ = control_batch(records, {.leader_epoch = header.epoch}, header.now);
  next_ = Offset(static_cast<int64_t>(records.size()));
}

void SnapshotBuilder::append(ByteView framed_record) {
  if (!batch_)
    batch_.emplace(record::BatchOptions{.base_offset = next_, .leader_epoch = header_.epoch});
  batch_->append({.timestamp = header_.now, .value = framed_record});
  next_ += 1;
  if (batch_->size_so_far() >= kBatchBytes) close_batch();
}

void SnapshotBuilder::close_batch() {
  if (!batch_) return;
  const ByteBuffer batch = std::move(*batch_).build();
  bytes_.insert(bytes_.end(), batch.begin(), batch.end());
  batch_.reset();
}

ByteBuffer SnapshotBuilder::build() && {
  close_batch();
  ControlRecords records;
  records.emplace_back(record::ControlType::kSnapshotFooter, snapshot_footer_record());
  const ByteBuffer footer =
      control_batch(records, {.base_offset = next_, .leader_epoch = header_.epoch}, header_.now);
  bytes_.insert(bytes_.end(), footer.begin(), footer.end());
  return std::move(bytes_);
}

Result<SnapshotContents> read_snapshot(ByteView file, const VisitRecord& visit) {
  Reading reading{.visit = visit};
  record::BatchIterator batches(file);
  for (;;) {
    const size_t position = batches.position();
    auto batch = batches.next();
    auto taken = batch && *batch ? reading.take(**batch) : Result<>{};
    if (!batch) taken = std::unexpected(std::move(batch).error());
    if (!taken)
      return std::unexpected(std::move(taken).error().within(fmt::format("at byte {}", position)));
    if (!*batch) break;
  }
  if (batches.remaining() > 0)
    return fail(Errc::kCorrupt,
                fmt::format("at byte {}: the last batch is incomplete", batches.position()));
  if (!reading.has_header) return fail(Errc::kCorrupt, "it has no header");
  if (!reading.has_footer) return fail(Errc::kCorrupt, "it has no footer: it was never finished");
  return std::move(reading.contents);
}

}  // namespace millrace::raft
