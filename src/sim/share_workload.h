// A share group in a simulation (KIP-932): it reads a topic from the earliest record on, and what
// its members were told is compared with what the brokers and coordinators have.
// Not here: the rules (sim/share_oracle, sim/share_state_oracle).
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "sim/led_partition.h"
#include "sim/share_member.h"
#include "sim/share_state_oracle.h"

namespace millrace::sim {

struct ShareWorkloadOptions {
  std::string group;
  std::string topic;
  int32_t partitions = 1;
  bool committed_only = false;  // of a topic with transactions
  int members = 0;              // 0: there is no group
  ShareRules rules;
};

class ShareWorkload {
 public:
  // The newest that anybody has; null: nobody runs.
  using FindImage = std::function<std::shared_ptr<const metadata::Image>()>;
  struct Nodes {
    FindImage image;
    FindNode find;
  };

  ShareWorkload(const Site& site, Oracle& records, Nodes nodes, ShareWorkloadOptions options);
  // Instead of to `records`, which are of another topic.
  std::function<void(int32_t partition, const std::string& value)> on_committed;

  // `done` when the group is configured.
  void configure(std::function<void()> done);
  void start();
  // Everything is accepted from now on.
  void finish();
  // Whether nothing is left for the group to do: what is missing; empty: nothing.
  std::string what_is_missing() const;
  // Every record of the partition must have come, in the end.
  bool has_all_of(int32_t partition) const {
    return options_.members > 0 && oracle_.has_lost_few(partition);
  }
  // Any time: SH5, SH6.
  void look();
  // SH3, when nothing is missing. Of transactions it is not known here what they have.
  void check();

 private:
  ShareView view();
  ShareReading reading();
  ShareLeading leading(NodeId broker, int32_t partition) const;
  int64_t log_end(int32_t partition) const;
  int32_t newest_epoch(int32_t partition) const;
  std::string what_is_missing(int32_t partition) const;
  TopicPartition name_of(int32_t partition) const {
    return {options_.topic, PartitionIndex(partition)};
  }

  Site site_;
  Oracle* records_;
  Nodes nodes_;
  ShareWorkloadOptions options_;
  std::unique_ptr<Client> client_;
  ShareOracle oracle_;
  ShareStateOracle states_;
  std::vector<std::unique_ptr<ShareMember>> members_;
};

}  // namespace millrace::sim
