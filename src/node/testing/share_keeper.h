// A keeper of share partitions' state in memory, for tests: what it was told survives whoever told.
#pragma once

#include <map>
#include <utility>

#include "node/share_persister.h"
#include "share/state_batches.h"

namespace millrace::node::testing {

class ShareKeeper final : public SharePersister {
 public:
  // Of reads and writes that come while it is set.
  wire::ErrorCode error = wire::ErrorCode::kNone;
  Duration delay{};  // of each answer
  int reads = 0;
  int writes = 0;

  // Null: nothing is kept of it.
  const share::PersistedState* kept(const share::SharePartitionKey& key) const {
    const auto at = kept_.find(key);
    return at == kept_.end() ? nullptr : &at->second;
  }
  void keep(const share::SharePartitionKey& key, share::PersistedState state) {
    kept_[key] = std::move(state);
  }

  void initialize(Initialize asked, env::Shard& shard, Done<wire::ErrorCode> done) override {
    kept_[asked.key] = {.state_epoch = asked.state_epoch, .start_offset = asked.start};
    answer(shard, std::move(done), error);
  }
  void read(share::SharePartitionKey key, LeaderEpoch leader_epoch, env::Shard& shard,
            Done<ReadResult> done) override {
    ++reads;
    share::PersistedState& state = kept_[key];
    state.leader_epoch = leader_epoch;
    answer(
        shard, std::move(done),
        error == wire::ErrorCode::kNone ? ReadResult{.state = state} : ReadResult{.error = error});
  }
  void write(Write write, env::Shard& shard, Done<wire::ErrorCode> done) override {
    ++writes;
    share::PersistedState& state = kept_[write.key];
    if (error == wire::ErrorCode::kNone && write.state.leader_epoch < state.leader_epoch)
      return answer(shard, std::move(done), wire::ErrorCode::kFencedLeaderEpoch);
    if (error == wire::ErrorCode::kNone) {
      for (const auto& batch : write.state.batches) share::overlay(state.batches, batch);
      state.batches = share::combined(std::move(state.batches), write.state.start_offset);
      state.start_offset = write.state.start_offset;
      state.delivery_complete_count = write.state.delivery_complete_count;
    }
    answer(shard, std::move(done), error);
  }
  void remove(share::SharePartitionKey key, env::Shard& shard,
              Done<wire::ErrorCode> done) override {
    kept_.erase(key);
    answer(shard, std::move(done), error);
  }
  void read_summary(share::SharePartitionKey key, LeaderEpoch leader_epoch, env::Shard& shard,
                    Done<ReadResult> done) override {
    read(std::move(key), leader_epoch, shard, std::move(done));
  }

 private:
  template <class T>
  void answer(env::Shard& shard, Done<T> done, T value) {
    auto tell = [done = std::move(done), value = std::move(value)]() mutable {
      done(std::move(value));
    };
    if (delay == Duration::zero()) return shard.post(std::move(tell));
    shard.after(delay, std::move(tell));
  }

  std::map<share::SharePartitionKey, share::PersistedState> kept_;
};

}  // namespace millrace::node::testing
