// Share coordinators in memory, for tests: what they are asked for happens at once, and is answered
// with the next turn of the shard.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "node/share_persister.h"

namespace millrace::node::testing {

class ShareStates final : public SharePersister {
 public:
  void initialize(Initialize asked, env::Shard& shard, Done<wire::ErrorCode> done) override {
    if (error == wire::ErrorCode::kNone)
      states[asked.key] = {.state_epoch = asked.state_epoch,
                           .leader_epoch = LeaderEpoch(0),
                           .start_offset = asked.start,
                           .delivery_complete_count = asked.start == share::kNoStartOffset ? -1 : 0,
                           .batches = {}};
    answer(error, shard, std::move(done));
  }
  void read(share::SharePartitionKey key, LeaderEpoch, env::Shard& shard,
            Done<ReadResult> done) override {
    answer(ReadResult{.error = error, .state = states[key]}, shard, std::move(done));
  }
  void read_summary(share::SharePartitionKey key, LeaderEpoch, env::Shard& shard,
                    Done<ReadResult> done) override {
    const auto known = states.find(key);
    ReadResult result{.error = error, .state = {}};
    if (known != states.end()) result.state = known->second;
    answer(std::move(result), shard, std::move(done));
  }
  void write(Write write, env::Shard& shard, Done<wire::ErrorCode> done) override {
    states[write.key] = write.state;
    answer(error, shard, std::move(done));
  }
  void remove(share::SharePartitionKey key, env::Shard& shard,
              Done<wire::ErrorCode> done) override {
    if (error == wire::ErrorCode::kNone) states.erase(key);
    answer(error, shard, std::move(done));
  }

  wire::ErrorCode error = wire::ErrorCode::kNone;  // of everything
  std::map<share::SharePartitionKey, share::PersistedState> states;

 private:
  template <class T>
  static void answer(T result, env::Shard& shard, Done<T> done) {
    shard.post([result = std::move(result), done = std::move(done)]() mutable {
      done(std::move(result));
    });
  }
};

}  // namespace millrace::node::testing
