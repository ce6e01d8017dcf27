// The way to the state of share partitions: asks the share coordinator of each, wherever it is
// (KIP-932).
// Not here: what a coordinator does (share/share_coordinator), how it is asked (node/share_states).
//
// Errors: those of the coordinator, as the protocol has them (FENCED_STATE_EPOCH,
// FENCED_LEADER_EPOCH, INVALID_REQUEST, ...). What may pass is tried again with back-off for a
// bounded time; then it is COORDINATOR_NOT_AVAILABLE.
// Threads: any shard; answers come on the one that is given.
#pragma once

#include <functional>

#include "env/shard.h"
#include "share/state.h"
#include "wire/errors.h"

namespace millrace::node {

class SharePersister {
 public:
  virtual ~SharePersister() = default;
  template <class T>
  using Done = std::move_only_function<void(T)>;

  // A share partition that begins, or begins anew, at `start`; kNoStartOffset: not known yet.
  struct Initialize {
    share::SharePartitionKey key;
    int32_t state_epoch = 0;
    Offset start = share::kNoStartOffset;
  };
  virtual void initialize(Initialize asked, env::Shard& shard, Done<wire::ErrorCode> done) = 0;

  struct ReadResult {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    share::PersistedState state;
  };
  // Leaders of epochs before `leader_epoch`, that of the partition, are fenced from then on. Not
  // told: leader_epoch and delivery_complete_count.
  virtual void read(share::SharePartitionKey key, LeaderEpoch leader_epoch, env::Shard& shard,
                    Done<ReadResult> done) = 0;
  // All but the batches. Of what is not initialised: no start, epochs of 0.
  virtual void read_summary(share::SharePartitionKey key, LeaderEpoch leader_epoch,
                            env::Shard& shard, Done<ReadResult> done) = 0;

  // What changed: batches are laid over those that are known, kNoStartOffset leaves the start.
  struct Write {
    share::SharePartitionKey key;
    share::PersistedState state;
  };
  virtual void write(Write write, env::Shard& shard, Done<wire::ErrorCode> done) = 0;

  virtual void remove(share::SharePartitionKey key, env::Shard& shard,
                      Done<wire::ErrorCode> done) = 0;
};

}  // namespace millrace::node
