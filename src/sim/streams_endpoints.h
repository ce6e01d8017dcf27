// What the members of a streams group in a simulation are told of each other: at which endpoint
// which partitions are read, so that whoever looks for a key knows whom to ask.
//
//   SG7  who knows another epoch of that than the group's is told all; what is told has no
//        partition active at two endpoints, nor active and standby at one, names no partition that
//        nobody reads, and has of the member itself what it is told of its tasks; in the end
//        everybody knows what the group says that everybody has
// Each member has an endpoint of its own whenever it joins, named by its port.
// Threads: one.
#pragma once

#include <map>
#include <set>
#include <string>

#include "sim/streams_topology.h"
#include "sim/world.h"
#include "wire/streams_group_describe.h"

namespace millrace::sim {

class StreamsEndpoints {
 public:
  using Answer = wire::StreamsGroupHeartbeatResponse;
  using Described = wire::StreamsGroupDescribeResponse::DescribedGroup;
  StreamsEndpoints(World& world, StreamsTopology topology)
      : world_(&world), topology_(std::move(topology)) {}

  uint16_t fresh() { return ++last_; }
  // A member was answered, which had said that it knows of `epoch`.
  void told(uint16_t member, int32_t epoch, const Answer& answer);
  // What it says that it knows is nothing.
  void forgets(uint16_t member) { known_.erase(member); }
  // Of those who live: what somebody does not know of what the group says; empty: nothing.
  std::string what_is_missing(const Described& group) const;

 private:
  using Read = std::set<std::pair<std::string, int32_t>>;
  struct Share {
    Read active, standby;
    friend bool operator==(const Share&, const Share&) = default;
  };
  using Shares = std::map<uint16_t, Share>;  // without those that are empty
  Read read_by(const StreamsTopology::Tasks& tasks) const;
  Shares shares_of(const Answer& answer);
  void check(uint16_t member, const Answer& answer, const Shares& shares);

  World* world_;
  StreamsTopology topology_;
  uint16_t last_ = 0;
  std::map<uint16_t, Shares> known_;  // by who knows it
};

}  // namespace millrace::sim
