// A shard for unit tests: time stands still until the test moves it, and turns run when the test
// says so.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "env/shard.h"

namespace millrace::env::testing {

class ManualShard final : public Shard, public Clock, public Random {
 public:
  size_t index() const override { return 0; }
  const Clock& clock() const override { return *this; }
  Random& random() override { return *this; }
  Instant now() const override { return now_; }
  TimestampMs wall() const override { return wall_; }
  uint64_t next() override {
    return state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
  }

  void post(Work work) override { posted_.push_back(std::move(work)); }
  void at_end_of_turn(Work work) override { end_of_turn_.push_back(std::move(work)); }
  TimerId after(Duration delay, Work work) override {
    auto id = static_cast<TimerId>(++last_timer_);
    timers_.emplace(std::pair(now_ + delay, id), std::move(work));
    return id;
  }
  void cancel(TimerId timer) override {
    std::erase_if(timers_, [&](auto& entry) { return entry.first.second == timer; });
  }

  // Runs turns until nothing is left to do now.
  void run() {
    while (!posted_.empty() || !end_of_turn_.empty()) {
      for (auto& work : std::exchange(posted_, {})) work();
      while (!end_of_turn_.empty())
        for (auto& work : std::exchange(end_of_turn_, {})) work();
    }
  }

  void advance(Duration by) {
    const Instant until = now_ + by;
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto timer = timers_.extract(timers_.begin());
      now_ = timer.key().first;
      timer.mapped()();
      run();
    }
    now_ = until;
    wall_ += std::chrono::duration_cast<milliseconds>(by).count();
  }

 private:
  Instant now_{};
  TimestampMs wall_{1'700'000'000'000};
  uint64_t state_ = 1;
  uint64_t last_timer_ = 0;
  std::deque<Work> posted_;
  std::vector<Work> end_of_turn_;
  std::map<std::pair<Instant, TimerId>, Work> timers_;
};

}  // namespace millrace::env::testing
