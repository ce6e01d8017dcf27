// Any bytes as records of __consumer_offsets: a coordinator that loads them refuses some, trips
// over none, and is afterwards one that can be worked with: everything that it decides can be
// replayed.
#include <algorithm>

#include "base/assert.h"
#include "group/coordinator.h"
#include "wire/codec.h"
#include "wire/group_records.h"

using namespace millrace;
using namespace millrace::group;

namespace {

class NoTopics final : public Topics {
 public:
  std::optional<Uuid> id_of(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> name_of(const Uuid&) const override { return std::nullopt; }
  bool has_partition(std::string_view, PartitionIndex) const override { return false; }
  int32_t partition_count(std::string_view) const override { return 0; }
  std::vector<std::string> racks_of(std::string_view, PartitionIndex) const override { return {}; }
  void for_each_name(const std::function<void(const std::string&)>&) const override {}
  int64_t version() const override { return 1; }
  int64_t max_batch_bytes() const override { return 1 << 20; }
  GroupTimes times_of(std::string_view) const override { return {}; }
  GroupTimes share_times_of(std::string_view) const override { return {}; }
  StreamsSettings streams_settings_of(std::string_view) const override { return {}; }
};

// Pieces of the input: a byte that says what follows, a key and a value, each behind its length.
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

void load(Coordinator& coordinator, Input input) {
  while (!input.is_over()) {
    const uint8_t kind = input.byte();
    const ProducerId producer(kind >> 4);
    if (kind & 1) {
      coordinator.apply_marker(producer, kind & 2);
      continue;
    }
    machine::KeyValueRecord record{input.bytes(), std::nullopt};
    if (kind & 2) record.value = input.bytes();
    (void)(kind & 4 ? coordinator.apply_transactional(record, producer)
                    : coordinator.apply(record));
  }
}

void perform(Coordinator& coordinator, const Decision& decision) {
  for (const auto& record : decision.records) ASSERT(coordinator.apply(record).has_value());
  coordinator.check_invariants();
}

RequestContext at(Instant now) {
  static uint64_t tickets = 0;
  static const NoTopics topics;
  return {.ticket = machine::Ticket{++tickets},
          .client_id = "c",
          .client_host = "/127.0.0.1",
          .now = now,
          .wall = TimestampMs(1'700'000'000'000),
          .topics = &topics};
}

void use(Coordinator& coordinator, const std::string& group_id) {
  (void)coordinator.describe_group(group_id, 6);
  wire::OffsetFetchRequest::OffsetFetchRequestGroup fetch;
  fetch.group_id = group_id;
  fetch.topics.reset();
  (void)coordinator.fetch_offsets(fetch, NoTopics(), {.api_version = 9});
  wire::ConsumerGroupHeartbeatRequest beat;
  beat.group_id = group_id;
  beat.member_id = "m";
  beat.rebalance_timeout_ms = 10'000;
  beat.subscribed_topic_names = {"t"};
  beat.topic_partitions.emplace();
  perform(coordinator, coordinator.decide_consumer_heartbeat(beat, at(Instant(seconds(2)))));
  (void)coordinator.describe_consumer_group(group_id, NoTopics());
  wire::ShareGroupHeartbeatRequest share;
  share.group_id = group_id;
  share.member_id = "m";
  share.subscribed_topic_names = {"t"};
  perform(coordinator, coordinator.decide_share_heartbeat(share, at(Instant(seconds(2)))));
  (void)coordinator.describe_share_group(group_id, NoTopics());
  wire::StreamsGroupHeartbeatRequest streams;
  streams.group_id = group_id;
  streams.member_id = "m";
  streams.rebalance_timeout_ms = 10'000;
  streams.topology.emplace().subtopologies = {{.subtopology_id = "0", .source_topics = {"t"}}};
  for (auto* tasks : {&streams.active_tasks, &streams.standby_tasks, &streams.warmup_tasks})
    tasks->emplace();
  perform(coordinator, coordinator.decide_streams_heartbeat(streams, at(Instant(seconds(2)))));
  (void)coordinator.describe_streams_group(group_id);
  wire::JoinGroupRequest join;
  join.group_id = group_id;
  join.session_timeout_ms = join.rebalance_timeout_ms = 10'000;
  join.protocol_type = "consumer";
  join.protocols = {{.name = "range"}};
  perform(coordinator, coordinator.decide_join_group(join, at(Instant(seconds(2)))));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Coordinator coordinator({});
  load(coordinator, Input(data, size));
  perform(coordinator, coordinator.on_loaded(Instant(seconds(1)), TimestampMs(0), NoTopics()));
  wire::DeleteGroupsRequest all;
  for (const auto& group : coordinator.list_groups({})) {
    use(coordinator, group.group_id);
    all.groups_names.push_back(group.group_id);
  }
  for (int hours = 1; hours < 400; hours += 100)
    perform(coordinator,
            coordinator.on_tick(Instant(seconds(3600 * hours)),
                                TimestampMs(1'700'000'000'000 + 3'600'000LL * hours), NoTopics()));
  perform(coordinator, coordinator.decide_delete_groups(all, at(Instant(seconds(4'000'000)))));
  (void)coordinator.describe_replicated();
  return 0;
}
