// One life of one machine: env::Host in virtual time. Shards and disk threads take turns in an
// order drawn from the seed; the process ends when this is destroyed.
//
// Death: silence() is set at once when the process dies in the middle of a turn (Medium::die_at):
// what it says from then on reaches nobody. die() drops all its events; then whatever lived on the
// host may be destroyed, then the host.
// Listening is on the host's own name, whatever the address says.
// Threads: one.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "env/host.h"
#include "sim/disk.h"
#include "sim/network.h"
#include "sim/world.h"

namespace millrace::sim {

class Shard final : public env::Shard, public env::Clock {
 public:
  Shard(Host& host, size_t index);
  ~Shard() override;

  size_t index() const override { return index_; }
  const env::Clock& clock() const override { return *this; }
  env::Random& random() override { return random_; }
  void post(env::Work work) override;
  void at_end_of_turn(env::Work work) override { end_of_turn_.push_back(std::move(work)); }
  env::TimerId after(Duration delay, env::Work work) override;
  void cancel(env::TimerId timer) override;
  Instant now() const override;
  TimestampMs wall() const override;

  // For connections.
  void add(Connection& connection) { connections_.push_back(&connection); }
  void remove(Connection& connection);
  void wake();
  // Drops everything that waits; nothing is taken any more.
  void die();
  size_t timers_running() const { return timers_.size(); }

 private:
  void turn();
  void deliver_events();
  void run_timers();

  Host* host_;
  size_t index_;
  Stream random_;
  bool awake_ = false;
  bool dead_ = false;
  std::deque<env::Work> posted_;
  std::vector<env::Work> end_of_turn_;
  std::map<std::pair<Instant, env::TimerId>, env::Work> timers_;
  uint64_t last_timer_ = 0;
  std::vector<Connection*> connections_;
};

struct HostOptions {
  std::string name;
  size_t shards = 1;
  Duration mean_disk_time = std::chrono::microseconds(200);  // of one work of a disk thread
  Duration mean_stall{};                                     // of a shard, now and then; 0: none
};

class Host final : public env::Host {
 public:
  Host(Network& network, Medium& medium, const HostOptions& options);
  ~Host() override;

  size_t shard_count() const override { return shards_.size(); }
  env::Shard& shard(size_t index) override { return *shards_[index]; }
  env::Disk& disk() override { return disk_; }
  std::unique_ptr<env::DiskThread> start_disk_thread(const std::string& name) override;
  Result<std::unique_ptr<env::Listener>> listen(const env::Address& address,
                                                env::AcceptFunction accept) override;
  void connect(env::Shard& shard, const env::Address& address, env::ConnectFunction done) override;

  // SIGSTOP and SIGCONT. The machine goes on: it takes connections and bytes, and says nothing.
  void pause() { world().pause(owner_); }
  void go_on() { world().go_on(owner_); }

  // By how much this machine's wall clock is wrong.
  void set_clock_error(Duration error) { clock_error_ = error; }
  Duration clock_error() const { return clock_error_; }

  const std::string& name() const { return options_.name; }
  Owner owner() const { return owner_; }
  World& world() { return network_->world(); }
  const HostOptions& options() const { return options_; }
  void set_mean_disk_time(Duration mean) { options_.mean_disk_time = mean; }
  std::shared_ptr<bool> silence() const { return silence_; }
  bool is_silent() const { return *silence_; }
  Shard& next_shard() { return *shards_[next_shard_++ % shards_.size()]; }
  void die();

 private:
  Network* network_;
  HostOptions options_;
  Disk disk_;
  Owner owner_;
  std::shared_ptr<bool> silence_ = std::make_shared<bool>(false);
  Duration clock_error_{};
  std::vector<std::unique_ptr<Shard>> shards_;
  size_t next_shard_ = 0;
};

}  // namespace millrace::sim
