// Looks inside a running broker and at its medium, and checks what no client can see.
//
//   IS12 log_start <= high watermark <= log_end, last stable offset <= high watermark
//   ST4  what connections hold of memory is bounded: requests that are not whole, answers not taken
//   ST1  what is acknowledged is on the medium, not only in memory
//   ST3  what a start leaves of a log are whole batches with right checksums
//   MD1  the published image is what a replay of the log gives
//   MD2  the published image is not ahead of what is durable
//   ID3  the producers' state is what a replay of the log gives
// Threads: one.
#pragma once

#include "sim/broker.h"

namespace millrace::sim {

class Inspector {
 public:
  Inspector(World& world, Medium& medium) : world_(&world), medium_(&medium) {}

  // Cheap: after every few events.
  void check_offsets(Broker& broker);
  void check_metadata(Broker& broker);
  void check_memory(const Broker& broker);
  // Expensive: when a broker has started, and at the end.
  void check_producers(Broker& broker);
  void check_image(Broker& broker);
  // When it has started, and nothing has rotted.
  void check_recovered(Broker& broker);
  // A record at this offset was acknowledged with durability=fsync.
  void check_durable(const TopicPartition& partition, int64_t offset);

 private:
  World* world_;
  Medium* medium_;
};

}  // namespace millrace::sim
