// Compacts the logs of topics whose cleanup.policy says so: looks from time to time which log is
// dirtiest, cleans it on a thread of its own, a piece at a time, and exchanges its segments. One
// thread, or log.cleaner.threads, for all log directories; log.cleaner.io.max.bytes.per.second
// bounds what they read and write together.
// Not here: what stays of a log (storage/compaction), cleaning and exchange (storage/log_cleaner,
// storage/log).
// Interplay: the log's lock is held to plan and to rename files, not to read, write or sync. What
// is cleaned is durable, and the recovery point on disk behind it, before the first segment is
// exchanged. A log that is cut, moved, deleted or found damaged meanwhile is left as it is and
// looked at again later.
// Threads: all functions on shard 0.
// Ownership: shared, since work may outlive its use. Host and PartitionHost outlive it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "config/properties.h"
#include "node/partition_host.h"
#include "storage/log_cleaner.h"

namespace millrace::node {

class Compactor : public std::enable_shared_from_this<Compactor> {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    std::function<void(const HostedPartition&, Offset)> doubt;  // from any thread
  };
  explicit Compactor(Parts parts) : parts_(std::move(parts)) {}

  void start();
  // log.cleaner.*, which may change while the broker runs.
  void take_settings(const config::NodeProperties& settings);
  // Waits for the piece that is being cleaned.
  void close();

  struct Run {
    double seconds = 0;
    double kept = 0;      // bytes written over bytes read
    double map_used = 0;  // of its part of log.cleaner.dedupe.buffer.size
  };
  struct Statistics {
    uint64_t compactions = 0;
    uint64_t bytes_read = 0;
    uint64_t bytes_written = 0;
    Run last;             // of the threads' last compactions the most of each
    double dirtiest = 0;  // of what the last look chose: the part that is not compacted
    Instant looked;       // when that was
    std::map<std::string, uint64_t> uncleanable;  // partitions by log directory
  };
  Statistics statistics() const;

 private:
  static constexpr uint64_t kPieceBytes = 1 << 20;              // read and written in one go
  static constexpr Duration kFailurePause = seconds(60);        // before what failed is tried again
  static constexpr Duration kCrowdedPause = milliseconds(100);  // another thread has the log

  struct Settings {
    bool enabled = true;
    size_t threads = 1;
    uint64_t map_bytes = 0;
    double load_factor = 0;
    uint64_t io_bytes = 0;
    double bytes_per_second = 0;
    Duration backoff{};
  };
  struct Job {
    HostedPartition hosted;
    std::unique_ptr<storage::LogCleaner> cleaner;
    std::string directory;
    Offset from;
    Instant begun;
  };
  struct Worker {
    size_t number = 0;
    std::unique_ptr<env::DiskThread> thread;
    std::shared_ptr<Job> job;
    Run last;
  };
  enum class Outcome { kGoesOn, kDone, kGivenUp };
  struct Stepped {
    Outcome outcome = Outcome::kGoesOn;
    uint64_t bytes = 0;
    bool failed = false;  // it is left alone for a while
  };
  struct Failed {
    Instant until;
    std::string directory;
  };
  struct Found {
    HostedPartition hosted;
    double ratio = 0;
  };

  env::Shard& shard() const { return parts_.host->shard(0); }
  void employ();
  void look_after(size_t worker, Duration pause);
  void look(size_t worker);
  using Names = std::set<TopicPartition>;
  Names excluded();
  Found dirtiest(const Names& excluded);
  void found(size_t worker, const Found& found);
  void begin(size_t worker, const HostedPartition& hosted);
  // Nothing: there is nothing to clean any more.
  Result<std::shared_ptr<Job>> open_job(const HostedPartition& hosted,
                                        const storage::CleanerLimits& limits);
  void opened(size_t worker, const HostedPartition& hosted, Result<std::shared_ptr<Job>> job);
  void go_on(size_t worker, Duration pause);
  Stepped step(Job& job, uint64_t most_bytes);
  Result<bool> step_once(Job& job);
  Stepped give_up(Job& job, const Error& error);
  Result<bool> exchange(Job& job);
  Result<> sync_names(const Job& job);
  void stepped(size_t worker, const Stepped& stepped);
  void over(size_t worker, const HostedPartition& hosted, const Stepped& how);
  void finish(Job& job);
  void count(Worker& worker);

  Parts parts_;
  Settings settings_;
  Statistics statistics_;
  std::vector<Worker> workers_;
  Names busy_;                               // that a thread has
  std::map<TopicPartition, Failed> failed_;  // left alone for a while
  bool started_ = false;
  bool closed_ = false;
};

}  // namespace millrace::node
