// The ends of partitions, wherever their leaders are: what ListOffsets calls the latest offset,
// read uncommitted.
// Not here: offsets by time (server/handlers/02_list_offsets).
//
// Errors: the leader's; LEADER_NOT_AVAILABLE where there is none, NETWORK_EXCEPTION where it was
// not reached in kAttempts.
// Threads: any shard; the answer comes on the one that is given. close() on shard 0.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "node/broker_links.h"
#include "node/partition_host.h"
#include "wire/list_offsets.h"

namespace millrace::node {

class LatestOffsets {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    NodeId self = kNoNode;
    std::string listener;  // of the brokers, among themselves
    std::function<std::shared_ptr<const metadata::Image>()> image;
  };
  struct Answer {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    Offset offset{-1};
  };
  using Answers = std::map<TopicPartition, Answer>;
  using Done = std::move_only_function<void(Answers)>;

  explicit LatestOffsets(const Parts& parts);

  // An answer for each.
  void ask(std::vector<TopicPartition> partitions, env::Shard& shard, Done done);
  void close() { links_.close(); }

  static constexpr int kAttempts = 3;
  static constexpr Duration kPause = seconds(1);

 private:
  struct Asking;
  using AskingPtr = std::shared_ptr<Asking>;

  void begin(const AskingPtr& asking, const std::vector<TopicPartition>& partitions);
  Answer look(const TopicPartition& partition);
  void ask_leader(NodeId leader, wire::ListOffsetsRequest request, int attempt,
                  const AskingPtr& asking);
  static void one_is_done(const AskingPtr& asking);

  Parts parts_;
  BrokerLinks links_;
};

}  // namespace millrace::node
