// Which brokers get the replicas of new partitions: spread over racks first, over brokers second,
// with fenced brokers last and never as leaders. Stripes, as Apache Kafka lays them: each partition
// begins one rack further than the one before, and within a rack the brokers take turns; when every
// broker has had its turn, all orders are drawn anew.
// Not here: assignments that a client brings itself, what becomes a record (controller/controller).
// Inputs: the brokers that may have replicas; a seed, which all chance comes from.
// Threads: a value. Invariants, of every assignment (the tests hold them over many clusters): no
// broker is in it twice; its first is not fenced; while one rack has a broker left that is not in
// it, no other rack gets two more than that one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"

namespace millrace::controller {

struct PlaceableBroker {
  NodeId id = kNoNode;
  std::optional<std::string> rack;
  bool fenced = false;
};

class ReplicaPlacer {
 public:
  using Assignment = std::vector<NodeId>;

  // `existing`: the partitions that the topic has, in their order; the stripes go on behind them.
  ReplicaPlacer(const std::vector<PlaceableBroker>& brokers,
                const std::vector<Assignment>& existing, uint64_t seed);

  // Why no partition can have so many replicas (Kafka's words); nothing: it can.
  std::optional<std::string> problem(int16_t replication_factor) const;
  // The replicas of the next partition, its leader first. Only where there is no problem().
  Assignment next(int16_t replication_factor);

 private:
  static constexpr size_t kNoRound = SIZE_MAX;
  // Brokers in the order of their turns. A round is a partition.
  struct Turns {
    std::vector<NodeId> brokers;
    size_t first = 0;  // whose turn begins the round
    size_t taken = 0;  // in this round
    size_t round = 0;
    std::optional<NodeId> next(size_t round);
  };
  struct Rack {
    std::optional<std::string> name;
    Turns unfenced, fenced;
  };

  void begin_behind(const std::vector<Assignment>& existing,
                    const std::map<NodeId, size_t>& rack_of);
  size_t take_leader(Assignment& assignment);
  void shuffle();
  size_t below(size_t bound);

  uint64_t random_;
  std::vector<Rack> racks_;
  size_t broker_count_ = 0;
  size_t unfenced_count_ = 0;
  size_t first_rack_ = 0;
  size_t round_ = 0;
};

}  // namespace millrace::controller
