// Accepts connections on shard 0 and deals them out to all shards in turn. Out of file descriptors
// it accepts with one held in reserve and closes at once, so that clients see a closed connection
// and not a silent queue.
// Threads: shard 0's, or before the shards run.
#pragma once

#include <memory>
#include <vector>

#include "env/host.h"
#include "runtime/shard.h"

namespace millrace::runtime {

class Listener final : public env::Listener {
 public:
  // Listens on every address that the name stands for. kExists: the port is taken.
  static Result<std::unique_ptr<env::Listener>> open(
      const std::vector<std::unique_ptr<Shard>>& shards, const env::Address& address,
      env::AcceptFunction accept);
  ~Listener() override;
  uint16_t port() const override { return port_; }

 private:
  struct Dealer;
  struct Acceptor;
  explicit Listener(Shard& shard) : shard_(&shard) {}

  Shard* shard_;  // shard 0
  std::vector<std::shared_ptr<Acceptor>> acceptors_;
  uint16_t port_ = 0;
};

}  // namespace millrace::runtime
