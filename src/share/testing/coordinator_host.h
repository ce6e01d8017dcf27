// What a host does for a share coordinator, for tests: applies decisions, keeps the log and cuts
// it, moves the clock, starts the machine again from the log.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <set>
#include <utility>

#include "share/share_coordinator.h"

namespace millrace::share::testing {

using wire::ErrorCode;

// Topics have four partitions, but for those that are gone.
class FakeTopics final : public Topics {
 public:
  bool exists(const Uuid& topic) const override { return !gone.contains(topic); }
  bool has_partition(const Uuid& topic, PartitionIndex partition) const override {
    return exists(topic) && partition.value() < 4;
  }
  std::set<Uuid> gone;
};

class CoordinatorHost {
 public:
  explicit CoordinatorHost(const CoordinatorConfig& options = {}) : config(options) { start(); }

  // Throws the machine away and replays the log, as after a crash.
  void start() {
    machine = std::make_unique<ShareCoordinator>(config);
    Offset offset = log_start;
    for (const auto& record : log) {
      EXPECT_TRUE(machine->apply(record, offset));
      ++offset;
    }
    take(machine->on_loaded(moment(), topics));
  }

  Answer ask(const SharePartitionKey& key, const Question& question) {
    Decision decision = machine->decide(
        key, question,
        {.ticket = machine::Ticket{++tickets_}, .moment = moment(), .topics = &topics});
    EXPECT_EQ(decision.replies.size(), 1u);
    EXPECT_EQ(decision.replies[0].ticket, machine::Ticket{tickets_});
    Answer answer = std::move(decision.replies[0].response);
    if (answer.error != ErrorCode::kNone) {
      EXPECT_TRUE(decision.records.empty());
      EXPECT_TRUE(answer.message.has_value());
    }
    take(std::move(decision));
    return answer;
  }
  ErrorCode initialize(const SharePartitionKey& key, int32_t state_epoch = 0, int64_t start = -1) {
    return ask(key, InitializeState{state_epoch, Offset(start)}).error;
  }

  void forget_topic(const Uuid& topic) {
    topics.gone.insert(topic);
    take(machine->on_topics_deleted({topic}));
  }

  void advance(Duration by) {
    const Instant until = now + by;
    while (machine->next_deadline() <= until) {
      move_to(std::max(now, machine->next_deadline()));
      take(machine->on_tick(moment()));
    }
    move_to(until);
  }

  Moment moment() const { return {now, wall}; }
  Offset log_end() const { return log_start + static_cast<int64_t>(log.size()); }

  CoordinatorConfig config;
  FakeTopics topics;
  std::unique_ptr<ShareCoordinator> machine;
  std::deque<machine::KeyValueRecord> log;
  Offset log_start{0};
  Instant now{};
  TimestampMs wall{1'000'000};

 private:
  void move_to(Instant at) {
    wall += std::chrono::duration_cast<milliseconds>(at - now).count();
    now = at;
  }

  void take(Decision decision) {
    for (auto& record : decision.records) {
      EXPECT_TRUE(machine->apply(record, log_end()));
      log.push_back(std::move(record));
    }
    if (decision.redundant_end) cut(*decision.redundant_end);
    machine->check_invariants();
  }

  void cut(Offset end) {
    EXPECT_LE(end, log_end());
    EXPECT_GE(end, log_start) << "what was redundant counts again";
    for (; log_start < end; ++log_start) log.pop_front();
  }

  uint64_t tickets_ = 0;
};

inline SharePartitionKey key_of(uint64_t topic, int32_t partition = 0, std::string group = "g") {
  return {std::move(group), Uuid::of_words({7, topic}), PartitionIndex(partition)};
}

inline StateBatch batch(std::pair<int64_t, int64_t> offsets, DeliveryState state, int16_t count) {
  return {Offset(offsets.first), Offset(offsets.second), state, count};
}

}  // namespace millrace::share::testing
