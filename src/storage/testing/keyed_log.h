// What the tests of compaction work with: a log of records with keys, cleaned from end to end by
// one call, and what is in it as text.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "env/disk.h"
#include "record/builder.h"
#include "record/control.h"
#include "storage/log.h"
#include "storage/log_cleaner.h"

namespace millrace::storage::testing {

struct Keyed {
  std::string key;
  std::optional<std::string> value;  // none: a tombstone
};

inline ByteBuffer keyed_batch(const std::vector<Keyed>& records, TimestampMs timestamp,
                              record::BatchOptions options = {}) {
  record::BatchBuilder builder(options);
  for (const Keyed& each : records)
    builder.append({.timestamp = timestamp,
                    .key = each.key.empty() ? std::nullopt : std::optional(as_bytes(each.key)),
                    .value = each.value ? std::optional(as_bytes(*each.value)) : std::nullopt});
  return std::move(builder).build();
}

struct Marking {
  ProducerId producer_id;
  ProducerEpoch epoch;
  record::ControlType type = record::ControlType::kCommit;
};
inline ByteBuffer marker_batch(const Marking& marking, TimestampMs timestamp) {
  const uint8_t value[6] = {};
  return record::build_control_batch(
      {.producer_id = marking.producer_id, .producer_epoch = marking.epoch, .transactional = true},
      {.type = marking.type, .timestamp = timestamp, .value = value});
}

inline Result<Offset> append(Log& log, ByteBuffer batch, TimestampMs now) {
  const MutableByteView view = batch;
  return log.append({&view, 1}, LeaderEpoch(0), now);
}

// All steps of an exchange, as node/compactor takes them.
inline Result<bool> exchange(env::Disk& disk, Log& log, CleanedGroup group) {
  ASSIGN_OR_RETURN(const bool begun, log.begin_swap(std::move(group)));
  if (!begun) return false;
  RETURN_IF_ERROR(disk.sync_directory(log.directory()));
  ASSIGN_OR_RETURN(const auto gone, log.adopt_swap());
  RETURN_IF_ERROR(disk.sync_directory(log.directory()));
  RETURN_IF_ERROR(log.finish_swap());
  RETURN_IF_ERROR(disk.sync_directory(log.directory()));
  for (const std::string& path : *gone)
    if (disk.exists(path)) RETURN_IF_ERROR(disk.remove(path));
  return true;
}

// False: there was nothing to clean.
inline Result<bool> compact(env::Disk& disk, Log& log, TimestampMs now,
                            const CleanerLimits& limits = {.map_bytes = 1 << 16}) {
  ASSIGN_OR_RETURN(const auto found, log.cleanable(log.log_end(), now));
  if (!found || found->cleanable_bytes == 0) return false;
  ASSIGN_OR_RETURN(auto plan, log.plan_compaction(*found, now));
  ASSIGN_OR_RETURN(auto cleaner, LogCleaner::open(disk, std::move(plan), limits));
  for (;;) {
    ASSIGN_OR_RETURN(auto state, cleaner->step());
    if (state == LogCleaner::State::kGroupCleaned) {
      ASSIGN_OR_RETURN(const bool exchanged, exchange(disk, log, cleaner->take_group()));
      if (!exchanged) return false;
      state = cleaner->is_done() ? LogCleaner::State::kDone : state;
    }
    if (state == LogCleaner::State::kDone) break;
  }
  log.note_cleaned(cleaner->cleaned_to());
  return true;
}

// Every batch: `[base..last: offset key=value, ...]` with its marks (c: control, t: transactional,
// h: a delete horizon).
inline std::vector<std::string> batches_of(Log& log) {
  std::vector<std::string> all;
  record::ReadScratch scratch;
  auto walked = log.replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
    std::string text =
        fmt::format("{}{}{}[{}..{}:", header.attributes.control() ? "c" : "",
                    header.attributes.transactional() ? "t" : "",
                    header.delete_horizon() ? "h" : "", header.base_offset, header.last_offset());
    auto batch = *record::BatchView::parse(bytes);
    auto reader = record::RecordReader::open(batch, scratch, 1 << 20);
    record::RecordView record;
    while (*reader->next(record))
      text += header.attributes.control()
                  ? fmt::format(" {}", record.offset)
                  : fmt::format(" {} {}={}", record.offset, record.key ? as_text(*record.key) : "-",
                                record.value ? as_text(*record.value) : "-");
    all.push_back(text + "]");
    return true;
  });
  if (!walked) all.push_back(walked.error().message);
  return all;
}

// The last value of each key; a key whose last record is a tombstone is not there.
inline std::map<std::string, std::string> table_of(Log& log) {
  std::map<std::string, std::string> table;
  record::ReadScratch scratch;
  (void)log.replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
    if (header.attributes.control()) return true;
    auto batch = *record::BatchView::parse(bytes);
    auto reader = record::RecordReader::open(batch, scratch, 1 << 20);
    record::RecordView record;
    while (*reader->next(record)) {
      const std::string key(as_text(record.key.value_or(ByteView{})));
      table.erase(key);
      if (record.value) table[key] = as_text(*record.value);
    }
    return true;
  });
  return table;
}

}  // namespace millrace::storage::testing
