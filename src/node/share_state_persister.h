// Asks the share coordinator of a share partition, wherever it is: the way of node/share_persister
// to node/partition_share_states, here or on another broker. Has __share_group_state made when it
// is missing.
// Not here: what the coordinator says (share/share_coordinator).
//
// A question whose answer was lost is asked again, so it may be decided twice; said twice, each of
// them says the same.
// Threads: any shard; answers come on the one that is given.
#pragma once

#include "node/broker_links.h"
#include "node/partition_share_states.h"
#include "node/share_persister.h"

namespace millrace::node {

class ShareStatePersister final : public SharePersister {
 public:
  struct Parts {
    env::Host* host = nullptr;
    NodeId self = kNoNode;
    ShareStateHost* states = nullptr;
    BrokerLinks* links = nullptr;
    std::function<std::shared_ptr<const metadata::Image>()> image;
    std::function<void()> create_topic;  // on shard 0; it may be called while it is being made
  };
  explicit ShareStatePersister(Parts parts) : parts_(std::move(parts)) {}

  void initialize(Initialize asked, env::Shard& shard, Done<wire::ErrorCode> done) override;
  void read(share::SharePartitionKey key, LeaderEpoch leader_epoch, env::Shard& shard,
            Done<ReadResult> done) override;
  void read_summary(share::SharePartitionKey key, LeaderEpoch leader_epoch, env::Shard& shard,
                    Done<ReadResult> done) override;
  void write(Write write, env::Shard& shard, Done<wire::ErrorCode> done) override;
  void remove(share::SharePartitionKey key, env::Shard& shard, Done<wire::ErrorCode> done) override;

  // How long what may pass is asked again.
  static constexpr Duration kPatience = seconds(15);
  static constexpr Duration kFirstPause = milliseconds(50);
  static constexpr Duration kLongestPause = seconds(2);

 private:
  struct Asking {
    share::SharePartitionKey key;
    share::Question question;
    env::Shard* shard;
    Done<ReadResult> done;
    Instant deadline{};
    Duration pause = kFirstPause;
  };
  using AskingPtr = std::shared_ptr<Asking>;

  void begin(Asking asking);
  void ask(const AskingPtr& asking);
  void ask_here(const AskingPtr& asking);
  template <class Question>
  void ask_there(const AskingPtr& asking, const Question& question, NodeId coordinator);
  void answered(const AskingPtr& asking, const share::Answer& answer);

  Parts parts_;
};

}  // namespace millrace::node
