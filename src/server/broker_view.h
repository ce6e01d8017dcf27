// What a client of one listener is told of brokers and partitions: endpoints of that listener's
// name, leaders that can be reached there, replicas that are not to be had.
// Not here: the metadata itself (metadata/image), the responses (server/handlers).
// Threads: values and pure functions; any.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "metadata/image.h"
#include "wire/errors.h"

namespace millrace::server {

// Null: it has no listener of this name.
const metadata::Endpoint* endpoint_on(const metadata::Broker& broker, std::string_view listener);

class BrokerView {
 public:
  // `listener`: by whose name the client came in. Both outlive the view.
  BrokerView(const metadata::Image& image, std::string_view listener)
      : image_(&image), listener_(listener) {}

  // Registered, fenced or not, and has the listener.
  bool is_reachable(NodeId id) const;
  // kNone; LEADER_NOT_AVAILABLE: there is none that is registered; LISTENER_NOT_FOUND: it has no
  // listener of this name.
  wire::ErrorCode leader_error(const metadata::PartitionState& partition) const;
  // Fenced, not registered, without the listener, or with the replica in a directory that failed.
  std::vector<int32_t> offline_replicas(const metadata::PartitionState& partition) const;
  // One that is not fenced, by chance; -1: there is none. Kafka tells clients no controller.
  int32_t some_alive_broker(uint64_t random) const;

 private:
  bool is_offline(const metadata::PartitionState& partition, size_t replica) const;

  const metadata::Image* image_;
  std::string_view listener_;
};

}  // namespace millrace::server
