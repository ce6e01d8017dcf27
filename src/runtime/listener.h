// Accepts connections on shard 0 and deals them out to all shards in turn. Out of file descriptors
// it accepts with one held in reserve and closes at once, so that clients see a closed connection
// and not a silent queue.
#pragma once

#include <boost/asio/ip/tcp.hpp>
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
  uint16_t port() const override;

 private:
  struct Acceptors;
  explicit Listener(std::shared_ptr<Acceptors> acceptors) : acceptors_(std::move(acceptors)) {}
  std::shared_ptr<Acceptors> acceptors_;
};

}  // namespace millrace::runtime
