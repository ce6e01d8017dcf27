// A host for unit tests: one ManualShard, a MemoryDisk, disk threads whose work waits for the
// shard's next turn or as long as the test says, and no network: a test brings its own connections.
#pragma once

#include <memory>
#include <string>

#include "env/host.h"
#include "env/testing/manual_shard.h"
#include "env/testing/memory_disk.h"

namespace millrace::env::testing {

class ManualHost final : public Host {
 public:
  ManualHost() = default;
  explicit ManualHost(MemoryDisk& disk) : disk_(&disk) {}  // that outlives it

  size_t shard_count() const override { return 1; }
  ManualShard& shard(size_t) override { return shard_; }
  MemoryDisk& disk() override { return *disk_; }
  std::unique_ptr<DiskThread> start_disk_thread(const std::string&) override {
    return std::make_unique<PostedWork>(*this);
  }
  // What disk threads are given from now on runs so much later.
  void delay_disks(Duration delay) { disk_delay_ = delay; }
  Result<std::unique_ptr<Listener>> listen(const Address&, AcceptFunction) override {
    return fail(Errc::kUnsupported, "a manual host has no network");
  }
  void connect(Shard& shard, const Address&, ConnectFunction done) override {
    shard.post([done = std::move(done)]() mutable {
      done(fail(Errc::kUnsupported, "a manual host has no network"));
    });
  }

 private:
  class PostedWork final : public DiskThread {
   public:
    explicit PostedWork(ManualHost& host) : host_(&host) {}
    void run(Work work) override {
      if (host_->disk_delay_ == Duration::zero()) return host_->shard_.post(std::move(work));
      host_->shard_.after(host_->disk_delay_, std::move(work));
    }

   private:
    ManualHost* host_;
  };

  ManualShard shard_;
  MemoryDisk own_disk_;
  MemoryDisk* disk_ = &own_disk_;
  Duration disk_delay_{};
};

}  // namespace millrace::env::testing
