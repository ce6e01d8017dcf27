// This controller's own place among the voters (KIP-853): a voter that listens elsewhere than the
// voters' record says tells the leader (UpdateRaftVoter), which at kraft.version 0, where there is
// no record, every voter tells of itself once an epoch; with controller.quorum.auto.join.enable a
// controller that is none has the entry of its former disk removed, and itself added.
// Not here: the leader's side (node/voter_changes).
// Threads: shard 0.
// Ownership: host, driver and properties outlive this.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "env/host.h"
#include "node/raft_driver.h"

namespace millrace::node {

class VoterMembership {
 public:
  struct Parts {
    env::Host* host = nullptr;
    RaftDriver* driver = nullptr;
    const config::NodeProperties* properties = nullptr;
    std::string cluster_id;
    std::vector<raft::Endpoint> endpoints;  // where this controller listens
  };
  explicit VoterMembership(Parts parts) : parts_(std::move(parts)) {}

  // Looks after itself from now on, once a controller.quorum.fetch.timeout.ms.
  void start();

 private:
  void look();
  void update(const QuorumView& quorum);
  void tell(const QuorumView& quorum);
  void leave_former_disk(const QuorumView& quorum, const Uuid& directory);
  void join(const QuorumView& quorum);
  void note(std::string said);
  template <class Response, class Request>
  void ask_leader(const QuorumView& quorum, Request request, std::function<void()> agreed = [] {});

  Parts parts_;
  std::string said_;                    // of the last answer
  LeaderEpoch told_epoch_{-1};          // whose leader knows of this voter, at kraft.version 0
  std::shared_ptr<client::Link> link_;  // of the last look
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace millrace::node
