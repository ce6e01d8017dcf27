// env::Host on this machine: shards on threads, files on the file system, TCP.
//
// Use: make one, then run(): shard 0 runs on the calling thread, the others on threads of their
// own; run() returns after stop().
// Process: ours means that SIGPIPE is ignored and that it may open as many files as the system lets
// it; one that is shared with a program that we are a library of stays as it is.
// Signals: on_signal sets what SIGINT and SIGTERM call, on shard 0; one host in a process may.
// Threads: stop() from any; the rest before run() or on shard 0.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "env/host.h"
#include "runtime/posix_disk.h"
#include "runtime/shard.h"

namespace millrace::runtime {

class Host final : public env::Host {
 public:
  enum class Process { kOurs, kShared };
  explicit Host(size_t shard_count, Process process = Process::kOurs);
  ~Host() override;

  size_t shard_count() const override { return shards_.size(); }
  env::Shard& shard(size_t index) override { return *shards_[index]; }
  env::Disk& disk() override { return disk_; }
  std::unique_ptr<env::DiskThread> start_disk_thread(const std::string& name) override;
  Result<std::unique_ptr<env::Listener>> listen(const env::Address& address,
                                                env::AcceptFunction accept) override;
  void connect(env::Shard& shard, const env::Address& address, env::ConnectFunction done) override;

  void on_signal(std::function<void(int)> handler);
  void run();
  void stop();

 private:
  PosixDisk disk_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::jthread> threads_;
  std::once_flag resolver_started_;
  std::unique_ptr<env::DiskThread> resolver_;  // name look-ups may block; started by the first one
};

}  // namespace millrace::runtime
