// env::Shard on one thread and one Asio io_context. The loop is ours: poll what is ready, run what
// was posted, run due timers, then the end-of-turn functions; it sleeps in epoll only when nothing
// is left.
//
// Threads: post() from any thread, at most one wake-up a sleep; everything else on the shard's own.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <mutex>
#include <random>
#include <vector>

#include "env/shard.h"

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

  // Runs turns until stop(), which any thread may call. What is still pending is destroyed unrun.
  void run();
  void stop();
  boost::asio::io_context& context() { return context_; }

 private:
  using TimerKey = std::pair<Instant, env::TimerId>;

  bool run_posted();
  bool run_timers();
  bool run_end_of_turn();
  void sleep();

  const size_t index_;
  SystemClock clock_;
  SystemRandom random_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  boost::asio::steady_timer alarm_;
  Instant alarm_at_ = Instant::never();

  std::mutex mutex_;  // guards posted_, awake_, stopped_
  std::vector<env::Work> posted_;
  bool awake_ = true;
  bool stopped_ = false;

  std::vector<env::Work> end_of_turn_;
  std::map<TimerKey, env::Work> timers_;
  std::map<env::TimerId, Instant> timer_times_;
  uint64_t last_timer_ = 0;
};

}  // namespace millrace::runtime
