// Any bytes as records of __share_group_state: a coordinator that loads them refuses some, trips
// over none, and is afterwards one that can be worked with: everything that it decides can be
// replayed.
#include <algorithm>

#include "base/assert.h"
#include "share/share_coordinator.h"

using namespace millrace;
using namespace millrace::share;

namespace {

class EveryTopic final : public Topics {
 public:
  bool exists(const Uuid&) const override { return true; }
  bool has_partition(const Uuid&, PartitionIndex) const override { return true; }
};

const EveryTopic kTopics;

// Pieces of the input: a byte that says whether there is a value, then key and value, each behind
// its length.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}
  bool is_over() const { return left_.empty(); }
  uint8_t byte() {
    if (left_.empty()) return 0;
    const uint8_t first = left_[0];
    left_ = left_.subspan(1);
    return first;
  }
  ByteBuffer bytes() {
    const auto piece = left_.first(std::min<size_t>(byte(), left_.size()));
    left_ = left_.subspan(piece.size());
    return copy_of(piece);
  }

 private:
  ByteView left_;
};

struct Log {
  ShareCoordinator coordinator{{.updates_per_snapshot = 1}};
  Offset end{0};
  std::vector<SharePartitionKey> keys;

  void load(Input input) {
    while (!input.is_over()) {
      const bool has_value = input.byte() & 2;
      machine::KeyValueRecord record{input.bytes(), std::nullopt};
      if (has_value) record.value = input.bytes();
      if (auto parsed = parse_record(record); parsed && *parsed) keys.push_back((*parsed)->key);
      (void)coordinator.apply(record, end);
      ++end;
    }
  }
  void perform(const Decision& decision) {
    for (const auto& record : decision.records) {
      ASSERT(coordinator.apply(record, end).has_value());
      ++end;
    }
    coordinator.check_invariants();
  }
  void ask(const SharePartitionKey& key, const Question& question) {
    perform(coordinator.decide(
        key, question,
        {.moment = {Instant(seconds(2)), TimestampMs(1'700'000'000'000)}, .topics = &kTopics}));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Log log;
  log.load(Input(data, size));
  log.perform(log.coordinator.on_loaded({Instant(seconds(1)), TimestampMs(0)}, kTopics));
  for (const SharePartitionKey& key : log.keys) {
    log.ask(key, ReadState{LeaderEpoch(INT32_MAX)});
    for (const int64_t first : {int64_t{5}, int64_t{0}})
      log.ask(key, WriteState{{.state_epoch = -1,
                               .batches = {{Offset(first), Offset(INT64_MAX - 1),
                                            DeliveryState::kArchived, 3}}}});
    log.ask(key, ReadStateSummary{});
    log.ask(key, InitializeState{INT32_MAX, Offset(1)});
  }
  for (int hours = 1; hours < 4; ++hours)
    log.perform(log.coordinator.on_tick(
        {Instant(seconds(3600 * hours)), TimestampMs(1'700'000'000'000 + 3'600'000LL * hours)}));
  for (const SharePartitionKey& key : log.keys) log.ask(key, DeleteState{});
  (void)log.coordinator.describe_replicated();
  return 0;
}
