#include "runtime/shard.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace millrace::runtime {

Instant SystemClock::now() const { return {std::chrono::steady_clock::now().time_since_epoch()}; }

TimestampMs SystemClock::wall() const {
  return TimestampMs(
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

SystemRandom::SystemRandom() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  engine_.seed(seed);
}

Shard::Shard(size_t index)
    : index_(index), guard_(boost::asio::make_work_guard(context_)), alarm_(context_) {}

void Shard::post(env::Work work) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    wake = !std::exchange(awake_, true);
  }
  if (wake) boost::asio::post(context_, [] {});
}

void Shard::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  boost::asio::post(context_, [] {});
}

env::TimerId Shard::after(Duration delay, env::Work work) {
  const auto id = static_cast<env::TimerId>(++last_timer_);
  const Instant at = clock_.now() + delay;
  timers_.emplace(TimerKey(at, id), std::move(work));
  timer_times_.emplace(id, at);
  return id;
}

void Shard::cancel(env::TimerId timer) {
  auto found = timer_times_.find(timer);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, timer});
  timer_times_.erase(found);
}

bool Shard::run_posted() {
  std::vector<env::Work> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(posted_);
  }
  for (auto& work : batch) work();
  return !batch.empty();
}

bool Shard::run_timers() {
  if (timers_.empty()) return false;
  const Instant now = clock_.now();
  bool ran = false;
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto timer = timers_.extract(timers_.begin());
    timer_times_.erase(timer.key().second);
    timer.mapped()();
    ran = true;
  }
  return ran;
}

bool Shard::run_end_of_turn() {
  bool ran = false;
  while (!end_of_turn_.empty()) {
    ran = true;
    for (auto& work : std::exchange(end_of_turn_, {})) work();
  }
  return ran;
}

// Sleeps until I/O, a post or the next timer. A post between the check and the sleep finds awake_
// false and wakes the context, whose queue then is not empty when run_one() looks.
void Shard::sleep() {
  {
    std::lock_guard lock(mutex_);
    if (!posted_.empty() || stopped_) return;
    awake_ = false;
  }
  const Instant next = timers_.empty() ? Instant::never() : timers_.begin()->first.first;
  if (next != alarm_at_) {
    alarm_at_ = next;
    alarm_.expires_at(std::chrono::steady_clock::time_point(next.since_start));
    if (next != Instant::never())
      alarm_.async_wait([this](boost::system::error_code cancelled) {
        if (!cancelled) alarm_at_ = Instant::never();
      });
  }
  context_.run_one();
  std::lock_guard lock(mutex_);
  awake_ = true;
}

void Shard::run() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) break;
    }
    bool busy = context_.poll() > 0;
    busy |= run_posted();
    busy |= run_timers();
    busy |= run_end_of_turn();
    if (!busy) sleep();
  }
}

}  // namespace millrace::runtime
