// What the topic's configuration says about a log's files; may change while the log lives.
// Threads: values.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace millrace::storage {

struct LogOptions {
  uint64_t segment_bytes = 1 << 30;
  int64_t segment_ms = 7 * 24 * 3'600'000LL;
  uint64_t index_interval_bytes = 4096;
  uint64_t max_index_bytes = 10 << 20;
  bool delete_old = true;                       // the cleanup policy contains delete
  bool compacts = false;                        // and compact: offsets may be missing
  int64_t retention_ms = 7 * 24 * 3'600'000LL;  // -1: for ever
  int64_t retention_bytes = -1;                 // -1: no limit
  // Of compaction: a record stays as it is for min, and not longer than max if it can be helped.
  int64_t min_compaction_lag_ms = 0;
  int64_t max_compaction_lag_ms = INT64_MAX;
  double min_cleanable_ratio = 0.5;
  int64_t delete_retention_ms = 24 * 3'600'000LL;  // how long tombstones and markers stay
};

// Options that several logs have, as those of a topic, and that lie in memory once.
class SharedLogOptions {
 public:
  SharedLogOptions() : SharedLogOptions(LogOptions()) {}
  SharedLogOptions(const LogOptions& options)  // a copy for one log
      : options_(std::make_shared<const LogOptions>(options)) {}
  explicit SharedLogOptions(std::shared_ptr<const LogOptions> options)
      : options_(std::move(options)) {}

  const LogOptions& operator*() const { return *options_; }
  const LogOptions* operator->() const { return options_.get(); }

 private:
  std::shared_ptr<const LogOptions> options_;  // never null
};

}  // namespace millrace::storage
