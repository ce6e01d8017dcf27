// Looks from outside at what the share coordinators keep of a share group (KIP-932).
//
//   SH5  the state epoch and the leader's epoch of a share partition never go back, nor is it
//        forgotten; its batches are apart and ascend from its start (SC1, SC2)
//   SH6  its start never goes back while the state epoch is the same
// Both under one coordinator, and from one to the next for what was committed.
// Only coordinators of the newest epoch that anybody knows of are asked.
// Not here: what members were told (sim/share_oracle).
// Threads: one.
#pragma once

#include <map>
#include <string>

#include "sim/led_partition.h"
#include "sim/world.h"

namespace millrace::sim {

class ShareStateOracle {
 public:
  ShareStateOracle(World& world, std::string group, std::string topic)
      : world_(&world), group_(std::move(group)), topic_(std::move(topic)) {}

  void look(const metadata::Image& image, const FindNode& find);

 private:
  struct Epochs {
    int32_t state = -1, leader = -1;
    int64_t start = -1;
  };
  struct Known {
    Epochs committed;
    Epochs newest;  // of this coordinator
    LeaderEpoch coordinator_epoch = kNoLeaderEpoch;
  };
  void look(int32_t partition, const metadata::Image& image, const FindNode& find);
  void compare(int32_t partition, const Epochs& before, const Epochs& now);

  World* world_;
  std::string group_, topic_;
  std::map<int32_t, Known> known_;
};

}  // namespace millrace::sim
