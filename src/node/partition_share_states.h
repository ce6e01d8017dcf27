// The share coordinators of this node: one for each partition of __share_group_state that it leads
// (node/partition_coordinators), and the cutting of what their logs say no more.
// Not here: what is decided (share/share_coordinator), how others reach them
// (node/share_state_persister, server).
// Threads: any shard; follow() on shard 0.
#pragma once

#include "node/coordinator_kinds.h"
#include "node/partition_coordinators.h"
#include "node/published_image.h"

namespace millrace::node {

class ShareStateHost final : public PartitionCoordinators<ShareStateKind> {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    std::function<std::shared_ptr<const metadata::Image>()> image;
  };
  ShareStateHost(Parts parts, Options options)
      : PartitionCoordinators(*parts.host, *parts.partitions, std::move(options)),
        parts_(std::move(parts)) {}

  // The metadata is `after` now, and the partitions follow it. What was kept of topics that are
  // gone goes.
  void follow(const metadata::Image& before, const metadata::Image& after);

  struct Request {
    share::SharePartitionKey key;
    share::Question question;
    env::Shard* shard = nullptr;  // where `done` is posted to
    Done done;
  };
  void run(Request request);

 private:
  share::Moment moment();
  share::Decision loaded(share::ShareCoordinator& coordinator) override;
  share::Decision tick(share::ShareCoordinator& coordinator) override;
  void performed(Slot& slot, PartitionState& state, share::Decision& decision) override;
  struct Cut {
    PartitionIndex partition;
    LeaderEpoch epoch;
    Offset end;
  };
  void perform(const Cut& cut);

  Parts parts_;
};

}  // namespace millrace::node
