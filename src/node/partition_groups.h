// The group coordinators of this node: one for each partition of __consumer_offsets that it leads
// (node/partition_coordinators), and what share groups want of the share coordinators.
// Not here: what a group does (group/coordinator), the protocol (server).
// Threads: any shard; follow() on shard 0.
#pragma once

#include "node/coordinator_kinds.h"
#include "node/image_topics.h"
#include "node/partition_coordinators.h"
#include "node/published_image.h"
#include "node/share_persister.h"
#include "node/transaction_marker.h"

namespace millrace::node {

// kNone and a response, or why there is none.
using GroupDone = std::move_only_function<void(wire::ErrorCode, group::Response)>;

class GroupHost final : public PartitionCoordinators<GroupKind> {
 public:
  using StepFunction =
      std::function<group::Decision(group::Coordinator&, const group::RequestContext&)>;
  // What the node knows of the world, as it is at each step.
  struct Knowledge {
    const Published<metadata::Image>* image;
    const Published<config::NodeProperties>* settings;
  };
  GroupHost(env::Host& host, PartitionHost& partitions, Options options, Knowledge knowledge)
      : PartitionCoordinators(host, partitions, std::move(options)), knowledge_(knowledge) {}

  // The way to the share coordinators, before anything is asked; without, they are not available.
  void use(SharePersister& persister) { persister_ = &persister; }
  SharePersister* persister() { return persister_; }

  // The metadata is `after` now, and the partitions follow it: coordinators come and go with them;
  // what was committed to topics that are gone goes.
  void follow(const metadata::Image& before, const metadata::Image& after);

  // Offsets that are committed with a producer's transaction, which their partition was found to be
  // in (node/transaction_verifier).
  struct Transaction {
    ProducerId producer_id;
    ProducerEpoch producer_epoch;
    VerificationGuards::Guard guard;
    bool needs_guard = true;
  };
  // Whether the producer's transaction must be verified before it commits offsets of the group. An
  // error: no coordinator here, or not yet.
  std::expected<Verification, wire::ErrorCode> begin_verification(const std::string& group_id,
                                                                  const TransactionalBatch& batch);
  // Runs `step` in the coordinator of `group_id`, with what the host knows (ticket, times, fresh
  // id) beside what the request says of its client; `done` is posted to `shard` when its reply may
  // leave.
  struct Request {
    std::string group_id;
    int16_t api_version = 0;
    std::string client_id;
    std::string client_host;
    // False: it goes on while too few replicas are in sync for anything to be committed; others are
    // answered COORDINATOR_NOT_AVAILABLE then.
    bool may_write = true;
    std::optional<Transaction> transaction;
    StepFunction step;
    env::Shard* shard = nullptr;
    GroupDone done;
  };
  void run(Request request);
  // The end of a transaction: in the partition's log, and for the offsets that wait for it. `done`
  // as of node/transaction_marker.
  void write_marker(PartitionIndex index, const TransactionMarker& marker, env::Shard& shard,
                    AckDone done);

 private:
  group::Decision loaded(group::Coordinator& coordinator) override;
  group::Decision tick(group::Coordinator& coordinator) override;
  void performed(Slot& slot, PartitionState& state, group::Decision& decision) override;
  struct Granting;
  void grant(PartitionIndex index, group::ShareStateWish wish);
  void ask(const group::ShareStateWish& wish, const group::ShareStateWish::Partition& partition,
           SharePersister::Done<wire::ErrorCode> done);
  void granted(PartitionIndex index, const group::ShareStateOutcome& outcome);
  // Read under the partition's lock, so that none is older than what follow() has told.
  ImageTopics topics() const;
  void tell_changes(const metadata::Image& before, const metadata::Image& after);

  Knowledge knowledge_;
  SharePersister* persister_ = nullptr;
};

}  // namespace millrace::node
