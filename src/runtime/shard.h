// env::Shard on one thread and one epoll instance. A turn: what is ready, what was posted, due
// timers, then the end-of-turn functions; it sleeps in epoll_wait only when nothing is left.
//
// Why not an event library: level-triggered epoll costs a request one recv and one send, and no
// epoll_ctl; see docs/design/performance.md for what that saves.
// Threads: post() and stop() from any thread, at most one wake-up a sleep; everything else on the
// shard's own.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <unordered_map>
#include <vector>

#include "env/shard.h"
#include "runtime/descriptor.h"

namespace millrace::runtime {

class SystemClock final : public env::Clock {
 public:
  Instant now() const override;
  TimestampMs wall() const override;
};

class SystemRandom final : public env::Random {
 public:
  SystemRandom();
  uint64_t next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;  // seeded by the system; nothing secret is drawn from it
};

// What is told of a descriptor's readiness.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // `events` as epoll gives them (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP). May unwatch itself.
  virtual void on_events(uint32_t events) = 0;
};

class Shard final : public env::Shard {
 public:
  explicit Shard(size_t index);

  size_t index() const override { return index_; }
  const env::Clock& clock() const override { return clock_; }
  env::Random& random() override { return random_; }
  void post(env::Work work) override;
  void at_end_of_turn(env::Work work) override { end_of_turn_.push_back(std::move(work)); }
  env::TimerId after(Duration delay, env::Work work) override;
  void cancel(env::TimerId timer) override;

  // Tells `watcher` once a turn while one of `events` holds; errors and hang-ups always. Keeps it
  // until unwatch(). Called again for the same descriptor it changes the events.
  void watch(int descriptor, uint32_t events, const std::shared_ptr<Watcher>& watcher);
  // Before the descriptor is closed. Events of this turn that were already taken may still come.
  void unwatch(int descriptor);

  // Runs turns until stop(), which any thread may call. What is still pending is destroyed unrun.
  void run();
  void stop();

 private:
  using TimerKey = std::pair<Instant, env::TimerId>;

  bool may_go_on(bool& may_sleep);
  void poll(bool may_sleep);
  void run_posted();
  void run_timers();
  void run_end_of_turn();
  int milliseconds_to_next_timer() const;

  const size_t index_;
  SystemClock clock_;
  SystemRandom random_;
  Descriptor epoll_;
  Descriptor wake_;                      // an eventfd, edge triggered: never read
  std::array<epoll_event, 256> events_;  // of one turn; here, so that none has to clear it
  std::unordered_map<int, std::shared_ptr<Watcher>> watchers_;
  std::vector<std::shared_ptr<Watcher>> unwatched_;  // events of this turn may still name them

  std::mutex mutex_;  // guards posted_, awake_, stopped_
  std::vector<env::Work> posted_;
  bool awake_ = true;
  bool stopped_ = false;

  std::vector<env::Work> running_, end_of_turn_, ending_;  // kept for their memory
  std::map<TimerKey, env::Work> timers_;
  std::map<env::TimerId, Instant> timer_times_;
  uint64_t last_timer_ = 0;
};

}  // namespace millrace::runtime
