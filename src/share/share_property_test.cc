// Random lives of a share partition: members that read, acknowledge, renew and fall silent, writes
// that fail, leaders that are replaced, a log that is cut and compacted. A failure prints the seed:
// PROPERTY_SEED=N runs that one alone.
//   SR1 two members never have one record.
//   SR2 a record whose acceptance was confirmed is never given again.
//   SR3 the start offset passes no record that is still to be given: all that it passes was
//       accepted, rejected, given as often as may be, or is not in the log.
//   SR4 no record is given oftener than may be.
//   SR5 in the end all records are through.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/testing/dice.h"
#include "share/testing/window.h"

namespace millrace::share {
namespace {

using millrace::testing::Dice;
using testing::Window;
using wire::ErrorCode;

class World {
 public:
  explicit World(uint64_t seed) : dice_{seed} {
    window_.config.delivery_limit = static_cast<int32_t>(2 + dice_.below(5));
    window_.config.max_record_locks = static_cast<int32_t>(10 + dice_.below(40));
    window_.reconfigure();
  }

  void live(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      step();
      window_.at().check_invariants();
      check_start();
    }
  }

  // SR5
  void settle() {
    for (int i = 0; i < 3000 && !::testing::Test::HasFailure(); ++i) {
      end_write(true);
      if (window_.at().start_offset() >= Offset(log_end_)) return;
      window_.tick(Window::kLock);
      holders_.clear();
      end_write(true);
      fetch("last", 1000, AcquireMode::kBatchOptimized);
      const auto held = holders_;
      for (const auto& [offset, holder] : held) acknowledge("last", offset, offset, {1});
      end_write(true);
      check_start();
    }
    EXPECT_GE(window_.at().start_offset(), Offset(log_end_)) << window_.at().describe();
  }

 private:
  struct Holder {
    std::string member;
    Instant until;
  };
  struct Pending {
    int64_t offset;
    int8_t type;
    std::optional<Holder> holder;
  };

  std::string any_member() { return std::string(1, static_cast<char>('a' + dice_.below(3))); }

  void step() {
    switch (dice_.below(16)) {
      case 0:
      case 1:
      case 2: return append();
      case 3:
      case 4:
      case 5:
      case 6:
        return fetch(any_member(), 1 + dice_.below(30),
                     dice_.one_in(2) ? AcquireMode::kRecordLimit : AcquireMode::kBatchOptimized);
      case 7:
      case 8:
      case 9: return acknowledge_some();
      case 10: return release(any_member());
      case 11: return tick();
      case 12: return begin_write();
      case 13: return end_write(!dice_.one_in(4));
      case 14: return dice_.one_in(6) ? restart() : end_write(true);
      default: return dice_.one_in(6) ? cut() : compact();
    }
  }

  void append() {
    const int64_t size = 1 + dice_.below(8);
    window_.log({log_end_, log_end_ + size - 1});
    log_end_ += size;
  }

  void fetch(const std::string& member, int64_t records, AcquireMode mode) {
    const auto acquired =
        window_.acquire(member, {.records = records,
                                 .mode = mode,
                                 .batch_size = static_cast<int32_t>(1 + dice_.below(20)),
                                 .batches = static_cast<int>(1 + dice_.below(6))});
    if (mode == AcquireMode::kRecordLimit) EXPECT_LE(acquired.count, records);
    for (const AcquiredRange& range : acquired.ranges)
      for (Offset at = range.first; at <= range.last; ++at) {
        EXPECT_FALSE(holders_.contains(at.value())) << "SR1 " << at.value();
        EXPECT_FALSE(accepted_.contains(at.value())) << "SR2 " << at.value();
        EXPECT_LE(range.delivery_count, window_.config.delivery_limit) << "SR4 " << at.value();
        EXPECT_GE(range.delivery_count, 1);
        EXPECT_GE(at, window_.at().start_offset());
        holders_[at.value()] = {member, window_.now + Window::kLock};
        if (range.delivery_count == window_.config.delivery_limit) worn_.insert(at.value());
      }
  }

  void acknowledge_some() {
    if (holders_.empty()) return;
    auto at = holders_.lower_bound(dice_.below(log_end_));
    if (at == holders_.end()) at = holders_.begin();
    const int64_t first = at->first;
    const std::string member = at->second.member;
    int64_t last = first;
    while (dice_.below(6) > 0) {
      const auto next = holders_.find(last + 1);
      if (next == holders_.end() || next->second.member != member) break;
      ++last;
    }
    std::vector<int8_t> types{static_cast<int8_t>(dice_.below(5))};
    if (dice_.one_in(2))
      for (int64_t i = first; i < last; ++i) types.push_back(static_cast<int8_t>(dice_.below(5)));
    acknowledge(member, first, last, types);
  }

  void acknowledge(const std::string& member, int64_t first, int64_t last,
                   const std::vector<int8_t>& types) {
    const Offset start = window_.at().start_offset();
    const std::string outcome = window_.acknowledge(member, {{first, last, types}});
    ASSERT_TRUE(outcome.empty() || outcome == "waits") << outcome << " " << first << "-" << last;
    for (int64_t at = first; at <= last; ++at) {
      const int8_t type = types.size() == 1 ? types[0] : types[static_cast<size_t>(at - first)];
      if (Offset(at) < start) {
        holders_.erase(at);
      } else if (type == kRenew) {
        holders_[at].until = window_.now + Window::kLock;
      } else {
        waiting_.push_back({at, type, holders_.at(at)});
        holders_.erase(at);
      }
    }
  }

  void release(const std::string& member) {
    window_.at().release(member);
    for (auto at = holders_.begin(); at != holders_.end();) {
      if (at->second.member != member) {
        ++at;
        continue;
      }
      waiting_.push_back({at->first, 2, at->second});
      at = holders_.erase(at);
    }
  }

  void tick() {
    window_.tick(seconds(1 + dice_.below(20)));
    std::erase_if(holders_, [&](const auto& each) { return each.second.until <= window_.now; });
  }

  void begin_write() {
    if (writing_state_) return;
    writing_state_ = window_.at().take_write();
    if (writing_state_) writing_ = std::exchange(waiting_, {});
  }

  void end_write(bool is_kept) {
    begin_write();
    if (!writing_state_) return;
    if (is_kept) window_.keep(*writing_state_);
    window_.at().on_written(is_kept ? ErrorCode::kNone : ErrorCode::kCoordinatorNotAvailable);
    for (const Pending& pending : writing_) {
      if (is_kept && pending.type == 1) accepted_.insert(pending.offset);
      if (is_kept && pending.type != 2) done_.insert(pending.offset);
      // What was to be free and is not in the log any more may be archived already.
      if (!is_kept && pending.holder->until > window_.now && !gone_.contains(pending.offset))
        holders_[pending.offset] = *pending.holder;
    }
    writing_.clear();
    writing_state_.reset();
  }

  // What was not written is forgotten; what was being written may have been kept.
  void restart() {
    if (writing_state_ && dice_.one_in(2)) {
      window_.keep(*writing_state_);
      for (const Pending& pending : writing_)
        if (pending.type != 2) done_.insert(pending.offset);
    }
    writing_state_.reset();
    writing_.clear();
    waiting_.clear();
    holders_.clear();
    window_.restart();
  }

  void cut() {
    const int64_t start = window_.at().start_offset().value() + dice_.below(12);
    if (start > log_end_) return;
    log_start_ = std::max(log_start_, start);
    std::erase_if(window_.batches(),
                  [&](const FetchedBatch& batch) { return batch.last < Offset(log_start_); });
    window_.at().move_log_start(Offset(log_start_));
  }

  // A batch goes, never the last one.
  void compact() {
    auto& batches = window_.batches();
    if (batches.size() < 3) return;
    const auto at = batches.begin() + dice_.below(std::ssize(batches) - 1);
    for (Offset offset = at->base; offset <= at->last; ++offset) gone_.insert(offset.value());
    batches.erase(at);
  }

  // SR3
  void check_start() {
    const int64_t start = window_.at().start_offset().value();
    for (int64_t at = checked_; at < start; ++at)
      EXPECT_TRUE(at < log_start_ || done_.contains(at) || worn_.contains(at) || gone_.contains(at))
          << "SR3 " << at << " of " << window_.at().describe();
    checked_ = std::max(checked_, start);
    EXPECT_LE(start, log_end_);
  }

  Dice dice_;
  Window window_;
  int64_t log_start_ = 0;
  int64_t log_end_ = 0;
  int64_t checked_ = 0;
  std::map<int64_t, Holder> holders_;
  std::set<int64_t> accepted_;  // and told so
  std::set<int64_t> done_;      // or perhaps
  std::set<int64_t> worn_;      // on their last way
  std::set<int64_t> gone_;      // compacted away
  std::vector<Pending> waiting_;
  std::vector<Pending> writing_;
  std::optional<PersistedState> writing_state_;
};

TEST(ShareProperty, holds_in_random_lives) {
  const char* only = std::getenv("PROPERTY_SEED");
  const uint64_t first = only ? std::strtoull(only, nullptr, 10) : 1;
  for (uint64_t seed = first; seed < (only ? first + 1 : 601); ++seed) {
    SCOPED_TRACE(fmt::format("PROPERTY_SEED={}", seed));
    World world(seed);
    world.live(400);
    world.settle();
    if (HasFailure()) return;
  }
}

// Whatever was kept, by whomever, a share partition that begins with it can be worked with.
class Stranger {
 public:
  explicit Stranger(uint64_t seed) : dice_{seed} {}

  void live() {
    SharePartition partition({.group = "g"}, LeaderEpoch(0));
    partition.configure({.max_record_locks = 20});
    if (!partition.begin({.kept = kept(), .log_end = Offset(kLogEnd)})) return;
    partition.check_invariants();
    Instant now{};
    for (int i = 0; i < 30; ++i) {
      now = now + seconds(dice_.below(20));
      work(partition, now);
      partition.check_invariants();
    }
  }

 private:
  static constexpr int64_t kLogEnd = 200;

  Offset any_offset() {
    switch (dice_.below(8)) {
      case 0: return Offset(INT64_MAX - dice_.below(3));
      case 1: return Offset(kLogEnd - 2 + dice_.below(5));
      case 2: return dice_.one_in(4) ? Offset(INT64_MIN + dice_.below(3)) : Offset(dice_.below(9));
      default: return Offset(dice_.below(kLogEnd + 50));
    }
  }
  PersistedState kept() {
    PersistedState state{.start_offset = any_offset()};
    if (dice_.one_in(2)) state.start_offset = Offset(dice_.below(20));
    for (int64_t i = dice_.below(6); i > 0; --i)
      state.batches.push_back({any_offset(), any_offset(),
                               static_cast<DeliveryState>(dice_.below(5)),
                               static_cast<int16_t>(dice_.below(40000) - 5000)});
    std::ranges::sort(state.batches, {}, &StateBatch::first);
    for (StateBatch& each : state.batches)
      if (!dice_.one_in(9)) each.last = std::max(each.first, each.last);
    for (size_t i = 1; i < state.batches.size(); ++i)
      if (const Offset next = state.batches[i].first; !dice_.one_in(9) && next > Offset(INT64_MIN))
        state.batches[i - 1].last = std::min(state.batches[i - 1].last, next - 1);
    std::erase_if(state.batches, [&](const StateBatch& each) {
      return !dice_.one_in(9) && (each.last < each.first || each.first < state.start_offset ||
                                  static_cast<int>(each.state) == 3);
    });
    return state;
  }

  void work(SharePartition& partition, Instant now) {
    switch (dice_.below(6)) {
      case 0: partition.release("a"); return;
      case 1: partition.on_tick(now); return;
      case 2: partition.move_log_start(Offset(dice_.below(kLogEnd))); return;
      case 3:
        if (partition.take_write()) partition.on_written(ErrorCode::kNone);
        return;
      case 4: {
        const AcknowledgementBatch said{any_offset(), any_offset(), {1}};
        partition.acknowledge("a", {&said, 1}, now);
        return;
      }
      default: acquire(partition, now);
    }
  }
  void acquire(SharePartition& partition, Instant now) {
    const Offset from = partition.next_fetch_offset();
    if (!partition.can_acquire() || from >= Offset(kLogEnd)) return;
    std::vector<FetchedBatch> read;
    for (int64_t base = from.value() / 10 * 10; base < kLogEnd && read.size() < 3; base += 10)
      read.push_back({Offset(base), Offset(base + 9)});
    partition.acquire(
        {.member = std::make_shared<const std::string>("a"),
         .mode = dice_.one_in(2) ? AcquireMode::kRecordLimit : AcquireMode::kBatchOptimized,
         .batch_size = 5,
         .max_records = 1 + dice_.below(30),
         .fetch_offset = from,
         .batches = read},
        now);
  }

  Dice dice_;
};

TEST(ShareProperty, can_be_worked_with_whatever_was_kept) {
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE(seed);
    Stranger(seed).live();
  }
}

}  // namespace
}  // namespace millrace::share
