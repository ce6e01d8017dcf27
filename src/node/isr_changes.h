// Asks the controller for the changes of ISRs that the leaders of this broker want: one
// AlterPartition at a time, with all that have come together meanwhile.
// Not here: who is in sync (replica/leader), how the controller is found (node/controller_channel).
// Threads: shard 0; wants() from any.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "client/client.h"
#include "node/partition_host.h"
#include "wire/alter_partition.h"

namespace millrace::node {

class IsrChanges : public std::enable_shared_from_this<IsrChanges> {
 public:
  using Ask =
      std::function<void(wire::AlterPartitionRequest, client::Done<wire::AlterPartitionResponse>)>;
  struct Parts {
    env::Shard* shard = nullptr;
    NodeId self = kNoNode;
    std::function<BrokerEpoch()> broker_epoch;
    Ask ask;  // until it is answered, or gives up
  };
  explicit IsrChanges(Parts parts) : parts_(std::move(parts)) {}

  // The partition's leader has a change to ask for.
  void wants(const HostedPartition& hosted);

 private:
  static constexpr Duration kRetry = milliseconds(50);
  struct Asked {
    HostedPartition hosted;
    replica::IsrChange change;
  };

  void ask();
  wire::AlterPartitionRequest request_for(const std::vector<Asked>& asked) const;
  void answered(const std::vector<Asked>& asked, Result<wire::AlterPartitionResponse> response);
  // Whether it has to be asked for again.
  static bool tell(const Asked& asked, const replica::IsrAnswer& answer);

  Parts parts_;
  std::vector<HostedPartition> waiting_;
  bool under_way_ = false;
};

}  // namespace millrace::node
