// Random lives of share partitions against what every offset should be: with restarts from the
// whole log and from what is left of it. A failure prints the seed: PROPERTY_SEED=N runs that one
// alone.
//   SP1 every offset has what counts of all that was written of it.
//   SP2 a restart changes nothing.
//   SP3 from where the log is redundant on, it says the same.
//   SP4 who is behind in epochs changes nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "share/testing/coordinator_host.h"

namespace millrace::share {
namespace {

using namespace testing;

constexpr int64_t kOffsets = 60;

struct Expected {
  Offset start = kNoStartOffset;
  int32_t state_epoch = 0;
  int32_t highest_state_epoch = 0;
  int32_t highest_leader_epoch = 0;
  std::map<int64_t, std::pair<int16_t, DeliveryState>> offsets;
};

class World {
 public:
  explicit World(uint64_t seed)
      : dice_(seed), host_({.updates_per_snapshot = static_cast<int32_t>(below(8))}) {}

  void step() {
    const SharePartitionKey key = key_of(1 + static_cast<uint64_t>(below(2)), number(2));
    switch (below(16)) {
      case 0: return initialize(key);
      case 1: return read(key);
      case 2: return remove(key);
      case 3: return restart();
      case 4: return host_.advance(seconds(below(400)));
      default: return write(key);
    }
  }

  void check() {
    for (const auto& [key, expected] : expected_) {
      const Snapshot* found = host_.machine->find(key);
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->state.start_offset, expected.start);
      EXPECT_EQ(found->state.state_epoch, expected.state_epoch);
      std::map<int64_t, std::pair<int16_t, DeliveryState>> offsets;  // SP1
      for (const StateBatch& each : found->state.batches)
        for (int64_t at = each.first.value(); at <= each.last.value(); ++at)
          offsets[at] = {each.delivery_count, each.state};
      EXPECT_EQ(offsets, expected.offsets);
    }
  }

 private:
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(dice_() % static_cast<uint64_t>(bound));
  }
  int32_t number(int64_t bound) { return static_cast<int32_t>(below(bound)); }

  void initialize(const SharePartitionKey& key) {
    const auto known = expected_.find(key);
    const int32_t epoch = number(4);
    const int64_t start = below(20) - 1;
    const bool is_fenced = known != expected_.end() && epoch < known->second.highest_state_epoch;
    EXPECT_EQ(host_.initialize(key, epoch, start),
              is_fenced ? ErrorCode::kFencedStateEpoch : ErrorCode::kNone);
    if (is_fenced) return;
    Expected& expected = expected_[key];
    expected.start = Offset(start);
    expected.state_epoch = epoch;
    expected.highest_state_epoch = std::max(expected.highest_state_epoch, epoch);
    expected.offsets.clear();
  }

  void read(const SharePartitionKey& key) {
    const int32_t epoch = number(6);
    const ErrorCode expected = expected_of(key, LeaderEpoch(epoch));
    EXPECT_EQ(host_.ask(key, ReadState{LeaderEpoch(epoch)}).error, expected);
    if (expected == ErrorCode::kNone) expected_[key].highest_leader_epoch = epoch;
  }

  // SP4, of a leader.
  ErrorCode expected_of(const SharePartitionKey& key, LeaderEpoch epoch) const {
    const auto known = expected_.find(key);
    if (known == expected_.end()) return ErrorCode::kInvalidRequest;
    const bool is_fenced =
        epoch != kNoLeaderEpoch && epoch.value() < known->second.highest_leader_epoch;
    return is_fenced ? ErrorCode::kFencedLeaderEpoch : ErrorCode::kNone;
  }

  void remove(const SharePartitionKey& key) {
    EXPECT_EQ(host_.ask(key, DeleteState{}).error, ErrorCode::kNone);
    expected_.erase(key);
  }

  PersistedState changes() {
    PersistedState state{.state_epoch = number(4) - 1,
                         .leader_epoch = LeaderEpoch(number(6) - 1),
                         .start_offset = Offset(below(3) == 0 ? below(kOffsets) : -1)};
    for (int64_t i = below(4); i > 0; --i) {
      const int64_t first = below(kOffsets);
      state.batches.push_back(batch({first, first + below(8)},
                                    static_cast<DeliveryState>(2 * number(3)),
                                    static_cast<int16_t>(1 + number(3))));
    }
    return state;
  }

  void write(const SharePartitionKey& key) {
    const PersistedState state = changes();
    ErrorCode code = expected_of(key, state.leader_epoch);
    if (code == ErrorCode::kNone && state.state_epoch != -1 &&
        state.state_epoch < expected_[key].highest_state_epoch)
      code = ErrorCode::kFencedStateEpoch;
    EXPECT_EQ(host_.ask(key, WriteState{state}).error, code);
    if (code == ErrorCode::kNone) write(expected_[key], state);
  }

  static void write(Expected& expected, const PersistedState& state) {
    if (state.start_offset != kNoStartOffset) expected.start = state.start_offset;
    std::erase_if(expected.offsets,
                  [&](const auto& each) { return Offset(each.first) < expected.start; });
    for (const StateBatch& each : state.batches)
      for (int64_t at = std::max(each.first, expected.start).value(); at <= each.last.value(); ++at)
        expected.offsets[at] =
            std::max(expected.offsets[at], std::pair(each.delivery_count, each.state));
  }

  // SP2. The log of CoordinatorHost was cut at redundant ends, so what is kept is what must stay;
  // what is counted since may begin anew (SP3).
  void restart() {
    std::map<SharePartitionKey, Snapshot> before;
    for (const auto& [key, expected] : expected_) before[key] = *host_.machine->find(key);
    const bool is_whole = host_.log_start == Offset(0);
    const std::string all = host_.machine->describe_replicated();
    host_.start();
    if (is_whole) EXPECT_EQ(host_.machine->describe_replicated(), all);
    for (auto& [key, expected] : expected_) {
      const Snapshot* after = host_.machine->find(key);
      ASSERT_NE(after, nullptr);
      EXPECT_EQ(snapshot_record(key, *after), snapshot_record(key, before[key]));
      if (is_whole) continue;
      // The log may have forgotten epochs that were higher once.
      expected.highest_leader_epoch = highest_leader(key);
      expected.highest_state_epoch = highest_state(key);
    }
  }

  // The least that is not fenced.
  int32_t highest_leader(const SharePartitionKey& key) const {
    for (int32_t epoch = 0;; ++epoch)
      if (decide(key, ReadState{LeaderEpoch(epoch)}) != ErrorCode::kFencedLeaderEpoch) return epoch;
  }
  int32_t highest_state(const SharePartitionKey& key) const {
    for (int32_t epoch = 0;; ++epoch)
      if (decide(key, InitializeState{epoch}) != ErrorCode::kFencedStateEpoch) return epoch;
  }
  ErrorCode decide(const SharePartitionKey& key, const Question& question) const {
    return host_.machine->decide(key, question, {.moment = host_.moment(), .topics = &host_.topics})
        .replies.at(0)
        .response.error;
  }

  std::mt19937_64 dice_;
  CoordinatorHost host_;
  std::map<SharePartitionKey, Expected> expected_;
};

TEST(CoordinatorProperty, random_lives) {
  const char* only = std::getenv("PROPERTY_SEED");
  const uint64_t first = only ? std::strtoull(only, nullptr, 10) : 1;
  const uint64_t last = only ? first : 200;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("PROPERTY_SEED={}", seed));
    World world(seed);
    for (int i = 0; i < 300 && !::testing::Test::HasFailure(); ++i) {
      world.step();
      world.check();
    }
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace millrace::share
