// A share partition over a log of batches, with the writer of its state played by hand: for tests.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/assert.h"
#include "share/share_partition.h"

namespace millrace::share::testing {

class Window {
 public:
  static constexpr Duration kLock = seconds(30);

  explicit Window(const PersistedState& kept = {.start_offset = Offset(0)}) : kept_(kept) {
    restart();
  }

  SharePartition& at() { return *partition_; }
  Instant now{};
  ShareConfig config;

  void reconfigure() { partition_->configure(config); }
  // Another leader reads what was kept.
  void restart() {
    partition_ = std::make_unique<SharePartition>(
        SharePartitionKey{.group = "g", .topic = {}, .partition = PartitionIndex(0)},
        LeaderEpoch(1));
    partition_->configure(config);
    ASSERT(partition_->begin({.kept = kept_, .log_end = Offset(1'000'000)}));
    partition_->check_invariants();
  }

  // The log has another batch, [first, last].
  struct Range {
    int64_t first, last;
  };
  void log(Range batch) { log_.push_back({Offset(batch.first), Offset(batch.last)}); }
  std::vector<FetchedBatch>& batches() { return log_; }

  struct Wish {
    int64_t records = 500;
    AcquireMode mode = AcquireMode::kBatchOptimized;
    int32_t batch_size = 500;
    std::vector<AbortedTransaction> aborted{};
    int batches = 1000;  // that are read
  };
  // Reads from where it is read next, and acquires.
  std::string fetch(const std::string& member, const Wish& wish) {
    return text(acquire(member, wish));
  }
  std::string fetch(const std::string& member) { return fetch(member, Wish{}); }
  Acquired acquire(const std::string& member, const Wish& wish) {
    if (!partition_->can_acquire()) return {};
    const Offset from = partition_->next_fetch_offset();
    std::vector<FetchedBatch> read;
    for (const FetchedBatch& batch : log_)
      if (batch.last >= from && std::ssize(read) < wish.batches) read.push_back(batch);
    auto acquired = partition_->acquire({.member = std::make_shared<const std::string>(member),
                                         .mode = wish.mode,
                                         .batch_size = wish.batch_size,
                                         .max_records = wish.records,
                                         .fetch_offset = from,
                                         .batches = read,
                                         .aborted = wish.aborted},
                                        now);
    partition_->check_invariants();
    return acquired;
  }

  struct Said {
    int64_t first, last;
    std::vector<int8_t> types;
  };
  // "" when it is done, "waits" when it waits for its write, else the error.
  std::string acknowledge(const std::string& member, const std::vector<Said>& said) {
    std::vector<AcknowledgementBatch> batches;
    for (const Said& each : said)
      batches.push_back({Offset(each.first), Offset(each.last), each.types});
    const Outcome outcome = partition_->acknowledge(member, batches, now);
    partition_->check_invariants();
    if (outcome.error != wire::ErrorCode::kNone)
      return std::string(wire::error_name(outcome.error));
    return outcome.change == ChangeId::kNone ? "" : "waits";
  }
  // Writes until there is nothing to write. What was kept, as "start [first-last state count]...".
  std::string write(wire::ErrorCode how = wire::ErrorCode::kNone) {
    std::string written;
    while (auto state = partition_->take_write()) {
      if (!written.empty()) written += "; ";
      written += text(*state);
      if (how == wire::ErrorCode::kNone) keep(*state);
      for (const EndedChange& ended : partition_->on_written(how)) last_error = ended.error;
      partition_->check_invariants();
    }
    return written;
  }
  bool tick(Duration passed) {
    now = now + passed;
    const bool any = partition_->on_tick(now);
    partition_->check_invariants();
    return any;
  }
  wire::ErrorCode last_error = wire::ErrorCode::kNone;  // of a change whose write ended

  static std::string text(const Acquired& acquired) {
    std::string result;
    int64_t count = 0;
    for (const auto& [first, last, deliveries] : acquired.ranges) {
      result += fmt::format("{}{}-{} x{}", result.empty() ? "" : " ", first, last, deliveries);
      count += last - first + 1;
    }
    ASSERT(count == acquired.count, "{} counted, {} given: {}", acquired.count, count, result);
    return result;
  }
  static std::string text(const PersistedState& state) {
    std::string result = fmt::format("{}", state.start_offset);
    for (const StateBatch& batch : state.batches)
      result += fmt::format(" [{}-{} {} {}]", batch.first, batch.last,
                            static_cast<int>(batch.state), batch.delivery_count);
    return result;
  }

  // As the share coordinator combines what it is told.
  void keep(const PersistedState& state) {
    std::map<Offset, StateBatch> records;
    auto add = [&](const StateBatch& batch) {
      for (Offset at = std::max(batch.first, state.start_offset); at <= batch.last; ++at)
        records[at] = {at, at, batch.state, batch.delivery_count};
    };
    for (const StateBatch& batch : kept_.batches) add(batch);
    for (const StateBatch& batch : state.batches) add(batch);
    kept_.start_offset = state.start_offset;
    kept_.batches.clear();
    for (const auto& [at, batch] : records) {
      StateBatch* before = kept_.batches.empty() ? nullptr : &kept_.batches.back();
      if (before && before->last + 1 == at && before->state == batch.state &&
          before->delivery_count == batch.delivery_count)
        before->last = at;
      else
        kept_.batches.push_back(batch);
    }
  }

 private:
  PersistedState kept_;
  std::vector<FetchedBatch> log_;
  std::unique_ptr<SharePartition> partition_;
};

}  // namespace millrace::share::testing
