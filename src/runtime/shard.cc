#include "runtime/shard.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"

namespace millrace::runtime {
namespace {

constexpr Duration kLongestSleep = seconds(60);

}  // namespace

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
    : index_(index),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ASSERT(epoll_.is_open() && wake_.is_open(), "a shard needs an epoll and an event descriptor");
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
}

void Shard::post(env::Work work) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    wake = !std::exchange(awake_, true);
  }
  if (wake) ::eventfd_write(wake_.get(), 1);
}

void Shard::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
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

void Shard::watch(int descriptor, uint32_t events, const std::shared_ptr<Watcher>& watcher) {
  epoll_event event{.events = events, .data = {.ptr = watcher.get()}};
  const bool is_new = watchers_.emplace(descriptor, watcher).second;
  ::epoll_ctl(epoll_.get(), is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event);
}

void Shard::unwatch(int descriptor) {
  auto found = watchers_.find(descriptor);
  if (found == watchers_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr);
  unwatched_.push_back(std::move(found->second));
  watchers_.erase(found);
}

int Shard::milliseconds_to_next_timer() const {
  if (timers_.empty()) return -1;
  const Duration left = timers_.begin()->first.first - clock_.now();
  if (left <= Duration::zero()) return 0;
  // Rounded up: a timer that is not quite due would wake the shard in vain.
  return static_cast<int>(std::chrono::ceil<milliseconds>(std::min(left, kLongestSleep)).count());
}

// A post between this look and the sleep finds awake_ false and writes to wake_, which ends it.
bool Shard::may_go_on(bool& may_sleep) {
  std::lock_guard lock(mutex_);
  may_sleep = posted_.empty();
  awake_ = !may_sleep;
  return !stopped_;
}

void Shard::poll(bool may_sleep) {
  const int timeout = may_sleep ? milliseconds_to_next_timer() : 0;
  const int count =
      ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout);
  {
    std::lock_guard lock(mutex_);
    awake_ = true;
  }
  for (int i = 0; i < count; ++i)
    if (auto* watcher = static_cast<Watcher*>(events_[static_cast<size_t>(i)].data.ptr))
      watcher->on_events(events_[static_cast<size_t>(i)].events);
  unwatched_.clear();
}

void Shard::run_posted() {
  {
    std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  for (auto& work : running_) work();
  running_.clear();
}

void Shard::run_timers() {
  if (timers_.empty()) return;
  const Instant now = clock_.now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto timer = timers_.extract(timers_.begin());
    timer_times_.erase(timer.key().second);
    timer.mapped()();
  }
}

void Shard::run_end_of_turn() {
  while (!end_of_turn_.empty()) {
    ending_.swap(end_of_turn_);
    for (auto& work : ending_) work();
    ending_.clear();
  }
}

void Shard::run() {
  for (bool may_sleep = false; may_go_on(may_sleep);) {
    poll(may_sleep);
    run_posted();
    run_timers();
    run_end_of_turn();
  }
}

}  // namespace millrace::runtime
