// Everything a node gets from outside, in one place: shards, files, disk threads, network.
// runtime::Host implements it on epoll and POSIX, sim::Host in virtual time. One node has one Host;
// several nodes in a simulation have one each.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "env/disk.h"
#include "env/net.h"
#include "env/shard.h"

namespace millrace::env {

// A thread for what may block: syncs, opening, deleting, cold reads. One for each log directory.
class DiskThread {
 public:
  virtual ~DiskThread() = default;  // waits for the work under way; work not yet begun is dropped
  // Runs `work` on the disk thread, one after the other in the order given. Call from any thread.
  // `work` reports back by posting to a shard.
  virtual void run(Work work) = 0;
};

// Called on the shard that the connection was given to.
using AcceptFunction = std::function<void(Shard&, std::unique_ptr<Connection>)>;
using ConnectFunction = std::move_only_function<void(Result<std::unique_ptr<Connection>>)>;

class Host {
 public:
  virtual ~Host() = default;
  virtual size_t shard_count() const = 0;
  virtual Shard& shard(size_t index) = 0;
  virtual Disk& disk() = 0;
  virtual std::unique_ptr<DiskThread> start_disk_thread(const std::string& name) = 0;

  // Listens and deals accepted connections out to the shards in turn. kExists: the port is taken.
  virtual Result<std::unique_ptr<Listener>> listen(const Address& address,
                                                   AcceptFunction accept) = 0;
  // `done` runs on `shard`, later.
  virtual void connect(Shard& shard, const Address& address, ConnectFunction done) = 0;
};

}  // namespace millrace::env
