#include "app/kafka/log_files_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "app/kafka/java_order.h"
#include "app/kafka/log_file.h"
#include "app/kafka/text.h"
#include "base/crc32c.h"
#include "wire/codec.h"
#include "wire/storage_records.h"

namespace millrace::app::kafka {
namespace {

constexpr std::string_view kCorruptIndex =
    "org.apache.kafka.storage.internals.log.CorruptIndexException";

// The whole entries of an index file, of `Entry::kSize` bytes each.
template <class Entry>
class Entries {
 public:
  static Attempt<Entries> read(const std::string& path, int64_t base) {
    auto bytes = read_bytes(path);
    // Kafka would make it.
    if (!bytes && bytes.error().is("NoSuchFileException"))
      return illegal_argument("Invalid max index size: -1");
    if (!bytes) return std::unexpected(bytes.error());
    return Entries(std::move(*bytes), base);
  }

  size_t size() const { return bytes_.size() / Entry::kSize; }
  size_t bytes() const { return bytes_.size(); }
  int64_t base() const { return base_; }
  Entry operator[](size_t i) const { return Entry(bytes_.data() + i * Entry::kSize, base_); }
  Entry last() const { return (*this)[size() - 1]; }
  // What was reserved and not written.
  bool is_reserved(size_t i) const { return i > 0 && (*this)[i].offset == base_; }

 private:
  Entries(ByteBuffer bytes, int64_t base) : bytes_(std::move(bytes)), base_(base) {}
  ByteBuffer bytes_;
  int64_t base_;
};

struct OffsetEntry {
  static constexpr size_t kSize = 8;
  OffsetEntry(const uint8_t* at, int64_t base)
      : offset(base + load_big<int32_t>(at)), position(load_big<int32_t>(at + 4)) {}
  int64_t offset;
  int64_t position;
};

struct TimeEntry {
  static constexpr size_t kSize = 12;
  TimeEntry(const uint8_t* at, int64_t base)
      : timestamp(load_big<int64_t>(at)), offset(base + load_big<int32_t>(at + 8)) {}
  int64_t timestamp;
  int64_t offset;
};

Attempt<int64_t> number_of(const DumpedFile& file) {
  return parse_long(file.name.substr(0, file.name.find('.')));
}

Attempt<> check_sanity(const Entries<OffsetEntry>& index, const std::string& path) {
  if (index.size() != 0 && index.last().offset < index.base())
    return thrown(kCorruptIndex,
                  fmt::format("Corrupt index found, index file {} has non-zero size but the last "
                              "offset is {} which is less than the base offset {}",
                              path, index.last().offset, index.base()));
  if (index.bytes() % OffsetEntry::kSize != 0)
    return thrown(kCorruptIndex,
                  fmt::format("Index file {} is corrupt, found {} bytes which is neither positive "
                              "nor a multiple of {}",
                              path, index.bytes(), OffsetEntry::kSize));
  return {};
}

Attempt<> check_sanity(const Entries<TimeEntry>& index, const std::string& path) {
  const bool there = index.size() != 0;
  if (there && index.last().timestamp < index[0].timestamp)
    return thrown(kCorruptIndex,
                  fmt::format("Corrupt time index found, time index file ({}) has non-zero size "
                              "but the last timestamp is {} which is less than the first timestamp "
                              "{}",
                              path, index.last().timestamp, index[0].timestamp));
  if (there && index.last().offset < index.base())
    return thrown(kCorruptIndex,
                  fmt::format("Corrupt time index found, time index file ({}) has non-zero size "
                              "but the last offset is {} which is less than the first offset {}",
                              path, index.last().offset, index.base()));
  if (index.bytes() % TimeEntry::kSize != 0)
    return thrown(kCorruptIndex,
                  fmt::format("Time index file {} is corrupt, found {} bytes which is neither "
                              "positive nor a multiple of {}",
                              path, index.bytes(), TimeEntry::kSize));
  return {};
}

// Where the last entry that does not lie behind `offset` points to.
int64_t position_of(const Entries<OffsetEntry>& index, int64_t offset) {
  size_t below = 0, above = index.size();  // a slot that does, and one that does not
  int64_t position = 0;
  while (below < above) {
    const size_t middle = below + (above - below) / 2;
    if (index.is_reserved(middle) || index[middle].offset > offset) {
      above = middle;
    } else {
      position = index[middle].position;
      below = middle + 1;
    }
  }
  return position;
}

// The last timestamp of the records of the batch that ends at `offset`.
struct FoundBatch {
  int64_t last_offset = -1;  // -1: there is none
  int64_t max_timestamp = -1;
};

Attempt<int64_t> max_timestamp_of(const record::BatchView& batch) {
  if (batch.header().is_legacy()) return batch.header().max_timestamp.value();
  constexpr size_t kMaxUnpacked = size_t{1} << 30;
  int64_t max = -1;
  record::ReadScratch scratch;
  record::RecordView record;
  auto reader = record::RecordReader::open(batch, scratch, kMaxUnpacked);
  while (reader) {
    const auto there = reader->next(record);
    if (!there)
      return thrown("org.apache.kafka.common.InvalidRecordException", there.error().message);
    if (!*there) return max;
    max = std::max(max, record.timestamp.value());
  }
  return thrown("org.apache.kafka.common.KafkaException", reader.error().message);
}

Attempt<FoundBatch> find_batch(const LogFile& log, int64_t position, int64_t offset) {
  ASSIGN_OR_RETURN(auto batches, log.batches({.position = position}));
  for (;;) {
    ASSIGN_OR_RETURN(const auto batch, batches.next());
    if (!batch) return FoundBatch{};
    if (batch->last_offset().value() < offset) continue;
    FoundBatch found{.last_offset = batch->last_offset().value()};
    if (found.last_offset == offset) {
      ASSIGN_OR_RETURN(found.max_timestamp, max_timestamp_of(*batch));
    }
    return found;
  }
}

template <class Value>
void tell_each(const std::map<std::string, Value>& files, std::string_view what,
               std::string_view index, std::string_view log) {
  std::vector<const std::pair<const std::string, Value>*> order;
  for (const auto& each : files) order.push_back(&each);
  sort_as_hash_map(order, [](const auto* each) { return std::string_view(each->first); });
  for (const auto* each : order) {
    fmt::print(stderr, "{}{}\n", what, each->first);
    for (const auto& [first, second] : each->second)
      fmt::print(stderr, "{}{}{}{}\n", index, first, log, second);
  }
}

std::string optional_long(bool there, int64_t value) {
  return there ? fmt::format("OptionalLong[{}]", value) : "OptionalLong.empty";
}

}  // namespace

void Findings::index_mismatch(const std::string& path, Pair index_and_log) {
  index_[path].insert_or_assign(index_and_log.first, index_and_log.second);
}
void Findings::time_mismatch(const std::string& path, Pair index_and_log) {
  times_[path].push_back(index_and_log);
}
void Findings::time_out_of_order(const std::string& path, Pair index_and_before) {
  orders_[path].push_back(index_and_before);
}
void Findings::offset_not_found(const std::string& path, Pair index_and_log) {
  offsets_[path].push_back(index_and_log);
}
void Findings::not_consecutive(const std::string& path, Pair before_and_next) {
  gaps_[path].insert_or_assign(before_and_next.first, before_and_next.second);
}

void Findings::tell() const {
  tell_each(index_, "Mismatches in :", "  Index offset: ", ", log offset: ");
  tell_each(times_, "Found timestamp mismatch in :", "  Index timestamp: ", ", log timestamp: ");
  tell_each(orders_, "Found out of order timestamp in :", "  Index timestamp: ",
            ", Previously indexed timestamp: ");
  tell_each(offsets_, "The following indexed offsets are not found in :", "Indexed offset: ",
            ", found log offset: ");
  tell_each(gaps_, "Non-consecutive offsets in ", "  ", " is followed by ");
}

std::string DumpedFile::absolute() const { return std::filesystem::absolute(path).string(); }

std::string DumpedFile::beside(std::string_view suffix) const {
  std::string whole = absolute();
  whole.resize(whole.rfind('/') + 1);
  return fmt::format("{}{}{}", whole, name.substr(0, name.find('.')), suffix);
}

Attempt<> dump_offset_index(const DumpedFile& file, const IndexWish& wish, Findings& findings) {
  ASSIGN_OR_RETURN(const int64_t base, number_of(file));
  ASSIGN_OR_RETURN(const auto log, LogFile::open(file.beside(".log")));
  ASSIGN_OR_RETURN(const auto index, Entries<OffsetEntry>::read(file.path, base));
  if (index.size() == 0) {
    fmt::print("{} is empty.\n", file.path);
    return {};
  }
  if (wish.sanity_only) {
    RETURN_IF_ERROR(check_sanity(index, file.absolute()));
    fmt::print("{} passed sanity check.\n", file.path);
    return {};
  }
  for (size_t i = 0; i < index.size() && !index.is_reserved(i); ++i) {
    const OffsetEntry entry = index[i];
    ASSIGN_OR_RETURN(auto batches,
                     log.batches({.position = entry.position, .most = wish.most_bytes}));
    ASSIGN_OR_RETURN(const auto batch, batches.next());
    if (!batch) return thrown("java.util.NoSuchElementException", "");
    const int64_t last = batch->last_offset().value();
    if (last != entry.offset) findings.index_mismatch(file.absolute(), {entry.offset, last});
    if (!wish.verify_only) fmt::print("offset: {} position: {}\n", entry.offset, entry.position);
  }
  return {};
}

Attempt<> dump_time_index(const DumpedFile& file, const IndexWish& wish, Findings& findings) {
  ASSIGN_OR_RETURN(const int64_t base, number_of(file));
  ASSIGN_OR_RETURN(const auto log, LogFile::open(file.beside(".log")));
  ASSIGN_OR_RETURN(const auto offsets, Entries<OffsetEntry>::read(file.beside(".index"), base));
  ASSIGN_OR_RETURN(const auto index, Entries<TimeEntry>::read(file.path, base));
  if (wish.sanity_only) {
    RETURN_IF_ERROR(check_sanity(index, file.absolute()));
    fmt::print("{} passed sanity check.\n", file.path);
    return {};
  }
  const std::string path = file.absolute();
  int64_t before = -1;
  for (size_t i = 0; i < index.size() && !index.is_reserved(i); ++i) {
    const TimeEntry entry = index[i];
    ASSIGN_OR_RETURN(const auto found,
                     find_batch(log, position_of(offsets, entry.offset), entry.offset));
    if (found.last_offset != entry.offset) {
      findings.offset_not_found(path, {entry.offset, found.last_offset});
    } else {
      if (found.max_timestamp != entry.timestamp)
        findings.time_mismatch(path, {entry.timestamp, found.max_timestamp});
      if (before >= entry.timestamp) findings.time_out_of_order(path, {entry.timestamp, before});
    }
    if (!wish.verify_only) fmt::print("timestamp: {} offset: {}\n", entry.timestamp, entry.offset);
    before = entry.timestamp;
  }
  return {};
}

Attempt<> dump_transaction_index(const DumpedFile& file) {
  RETURN_IF_ERROR(number_of(file));
  const auto bytes = read_bytes(file.path);
  if (!bytes && bytes.error().is("NoSuchFileException")) return {};
  if (!bytes) return std::unexpected(bytes.error());
  constexpr size_t kEntry = 34;  // version, producer id, first, last, last stable offset
  for (size_t at = 0; at + kEntry <= bytes->size(); at += kEntry) {
    const uint8_t* entry = bytes->data() + at;
    const auto version = static_cast<int8_t>(entry[0]);  // Kafka looks at one byte of it
    if (version > 0)
      return thrown("org.apache.kafka.common.KafkaException",
                    fmt::format("Unexpected aborted transaction version {} in transaction index "
                                "{}, current version is 0",
                                version, file.absolute()));
    fmt::print("version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}\n",
               version, load_big<int64_t>(entry + 2), load_big<int64_t>(entry + 10),
               load_big<int64_t>(entry + 18), load_big<int64_t>(entry + 26));
  }
  return {};
}

Attempt<> dump_producer_snapshot(const DumpedFile& file) {
  constexpr size_t kEntriesAt = 6;  // behind version and CRC
  ASSIGN_OR_RETURN(const auto bytes, read_bytes(file.path));
  const auto snapshot = wire::decode_value<wire::ProducerSnapshot>(bytes);
  if (!snapshot) {
    const bool unknown = snapshot.error().code == Errc::kUnsupported;
    fmt::print(stderr, "Snapshot failed schema validation: {}\n",
               unknown ? fmt::format("Snapshot contained an unknown file version {}",
                                     load_big<int16_t>(bytes.data()))
                       : snapshot.error().message);
    return {};
  }
  const uint32_t computed = crc32c(ByteView(bytes).subspan(kEntriesAt));
  if (computed != snapshot->crc) {
    fmt::print(stderr,
               "Snapshot is corrupt (CRC is no longer valid). Stored crc: {}. Computed crc: {}\n",
               snapshot->crc, computed);
    return {};
  }
  for (const auto& each : snapshot->producer_entries) {
    fmt::print(
        "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} "
        "lastTimestamp: {}",
        each.producer_id, each.epoch, each.coordinator_epoch,
        optional_long(each.current_txn_first_offset >= 0, each.current_txn_first_offset),
        each.timestamp);
    if (each.last_offset >= 0) {
      const int64_t first = int64_t{each.last_sequence} - each.offset_delta;
      fmt::print(" firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                 first < 0 ? first + INT32_MAX + 1 : first, each.last_sequence, each.last_offset,
                 each.offset_delta, each.timestamp);
    }
    fmt::print("\n");
  }
  return {};
}

}  // namespace millrace::app::kafka
