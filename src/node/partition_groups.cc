#include "node/partition_groups.h"

#include <algorithm>
#include <mutex>
#include <span>

#include "base/hash.h"
#include "base/log.h"
#include "node/random_uuid.h"
#include "record/builder.h"
#include "record/control.h"
#include "record/record.h"

namespace millrace::node {
namespace {

constexpr size_t kMaxBatch = 64 << 20;   // that is read
constexpr size_t kBatchBytes = 1 << 20;  // that is written, but for a record that is larger
constexpr const char* kOffsetsTopic = "__consumer_offsets";

ByteBuffer batch_of(std::span<const machine::KeyValueRecord> records, TimestampMs now) {
  record::BatchBuilder builder({});
  for (const auto& each : records)
    builder.append({.timestamp = now,
                    .key = ByteView(each.key),
                    .value = each.value ? std::optional<ByteView>(*each.value) : std::nullopt});
  return std::move(builder).build();
}

// How many of the records, one at least, make a batch.
size_t batch_count(std::span<const machine::KeyValueRecord> records) {
  size_t bytes = 0, count = 0;
  for (const auto& each : records) {
    bytes += each.key.size() + (each.value ? each.value->size() : 0);
    if (count > 0 && bytes > kBatchBytes) break;
    ++count;
  }
  return count;
}

// Applies one batch of the log to a coordinator that is being loaded.
Result<> replay(group::Coordinator& coordinator, ByteView bytes) {
  ASSIGN_OR_RETURN(auto batch, record::BatchView::parse(bytes));
  const record::BatchHeader& header = batch.header();
  const ProducerId producer =
      header.attributes.transactional() ? header.producer_id : kNoProducerId;
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxBatch));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, reader.next(record));
    if (!more) return {};
    if (!record.key) continue;
    if (header.attributes.control()) {
      ASSIGN_OR_RETURN(auto type, record::parse_control_key(*record.key));
      const bool commits = type == record::ControlType::kCommit;
      if (commits || type == record::ControlType::kAbort)
        coordinator.apply_marker(producer, commits);
      continue;
    }
    machine::KeyValueRecord each{copy_of(*record.key), std::nullopt};
    if (record.value) each.value = copy_of(*record.value);
    RETURN_IF_ERROR(producer == kNoProducerId ? coordinator.apply(each)
                                              : coordinator.apply_transactional(each, producer));
  }
}

}  // namespace

HostedPartition GroupHost::partition(PartitionIndex index) const {
  return partitions_->find(TopicPartition{kOffsetsTopic, index});
}

// Asked for once: groups would lose their coordinators if it changed.
int32_t GroupHost::partition_count() {
  std::lock_guard lock(mutex_);
  if (partition_count_ == 0) partition_count_ = count_(kOffsetsTopic);
  return partition_count_;
}

HostedPartition GroupHost::partition_of(const std::string& group_id) {
  const int32_t count = partition_count();
  if (count == 0) return {};
  return partition(PartitionIndex(coordinator_partition(group_id, count)));
}

// A partition of the same name is another one when its topic was deleted and made again.
std::shared_ptr<GroupHost::Slot> GroupHost::slot_of(const HostedPartition& hosted) {
  auto slot = std::make_shared<Slot>(hosted.partition);
  std::shared_ptr<Slot> former;
  {
    std::lock_guard lock(mutex_);
    auto& known = slots_[hosted.partition->name().partition];
    if (known && known->partition == hosted.partition) return known;
    former = std::exchange(known, slot);
  }
  if (former) with_partition(*former->partition, [&](PartitionState&) { discard(*former); });
  return slot;
}

Result<> GroupHost::load(Slot& slot, PartitionState& state) {
  if (slot.coordinator) return {};
  auto coordinator = std::make_unique<group::Coordinator>(config_);
  Result<> replayed;
  RETURN_IF_ERROR(state.log().replay([&](const record::BatchHeader&, ByteView bytes, uint64_t) {
    replayed = replay(*coordinator, bytes);
    return replayed.has_value();
  }));
  RETURN_IF_ERROR(replayed);
  slot.coordinator = std::move(coordinator);
  const env::Clock& clock = host_->shard(0).clock();
  perform(slot, state, slot.coordinator->on_loaded(clock.now(), clock.wall()));
  arm(slot);
  return {};
}

void GroupHost::discard(Slot& slot) {
  slot.coordinator.reset();
  for (auto& [ticket, waiter] : std::exchange(slot.waiters, {}))
    waiter.shard->post(
        [done = std::move(waiter.done)]() mutable { done(wire::ErrorCode::kNotCoordinator, {}); });
}

Result<> GroupHost::append(Slot& slot, PartitionState& state,
                           const std::vector<machine::KeyValueRecord>& records) {
  std::span<const machine::KeyValueRecord> left(records);
  while (!left.empty()) {
    const TimestampMs now = host_->shard(0).clock().wall();
    const auto piece = left.first(batch_count(left));
    left = left.subspan(piece.size());
    ByteBuffer batch = batch_of(piece, now);
    const MutableByteView view = batch;
    RETURN_IF_ERROR(state.log().append({&view, 1}, state.leadership().epoch, now));
    for (const auto& each : piece) RETURN_IF_ERROR(slot.coordinator->apply(each));
  }
  return {};
}

void GroupHost::perform(Slot& slot, PartitionState& state, group::Decision decision) {
  if (auto appended = append(slot, state, decision.records); !appended) {
    LOG_ERROR("append to {}: {}", state.log().path(), appended.error().message);
    return discard(slot);
  }
  slot.coordinator->check_invariants();
  for (auto& reply : decision.replies) {
    auto waiter = slot.waiters.extract(reply.ticket);
    if (waiter.empty()) continue;
    state.wait_for(state.log().log_end(), *waiter.mapped().shard,
                   [done = std::move(waiter.mapped().done),
                    response = std::move(reply.response)](wire::ErrorCode code) mutable {
                     done(code == wire::ErrorCode::kNone ? code : wire::ErrorCode::kNotCoordinator,
                          std::move(response));
                   });
  }
}

bool GroupHost::with_coordinator(const HostedPartition& hosted, const SlotFunction& work) {
  const auto slot = slot_of(hosted);
  bool there = false;
  const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
    const Offset before = state.log().log_end();
    if (auto loaded = load(*slot, state); !loaded || state.is_offline()) {
      if (!loaded) LOG_ERROR("coordinator: {}", loaded.error().message);
      discard(*slot);
      return false;
    }
    there = true;
    perform(*slot, state, work(*slot));
    arm(*slot);
    return state.log().log_end() != before;
  });
  if (grew) partitions_->appended(hosted);
  return there;
}

void GroupHost::run(Request request) {
  const HostedPartition hosted = partition_of(request.group_id);
  const auto decide = [&](Slot& slot) {
    const auto ticket = static_cast<machine::Ticket>(++slot.last_ticket);
    slot.waiters.emplace(ticket, Waiter{request.shard, std::move(request.done)});
    const env::Clock& clock = request.shard->clock();
    const group::RequestContext context{.ticket = ticket,
                                        .client_id = request.client_id,
                                        .client_host = request.client_host,
                                        .api_version = request.api_version,
                                        .now = clock.now(),
                                        .wall = clock.wall(),
                                        .fresh_id = random_uuid(request.shard->random())};
    return request.step(*slot.coordinator, context);
  };
  if (hosted && with_coordinator(hosted, decide)) return;
  request.shard->post(
      [done = std::move(request.done)]() mutable { done(wire::ErrorCode::kNotCoordinator, {}); });
}

wire::ErrorCode GroupHost::read(const std::string& group_id, const ReadFunction& look) {
  HostedPartition hosted = partition_of(group_id);
  if (!hosted) return wire::ErrorCode::kNotCoordinator;
  const auto slot = slot_of(hosted);
  return with_partition(*hosted.partition, [&](PartitionState& state) {
    if (state.is_offline() || !load(*slot, state)) return wire::ErrorCode::kNotCoordinator;
    look(*slot->coordinator);
    return wire::ErrorCode::kNone;
  });
}

void GroupHost::when_durable(const std::string& group_id, env::Shard& shard, AckDone done) {
  HostedPartition hosted = partition_of(group_id);
  if (!hosted)
    return shard.post(
        [done = std::move(done)]() mutable { done(wire::ErrorCode::kNotCoordinator); });
  with_partition(*hosted.partition, [&](PartitionState& state) {
    state.wait_for(state.log().log_end(), shard, std::move(done));
  });
}

void GroupHost::read_all(const ReadFunction& look, env::Shard& shard, AckDone done) {
  struct Pending {
    AckDone done;
    size_t left = 1;
  };
  auto pending = std::make_shared<Pending>(std::move(done));
  const auto one_is_durable = [pending](wire::ErrorCode) {
    if (--pending->left == 0) pending->done(wire::ErrorCode::kNone);
  };
  for (int32_t i = 0; i < partition_count(); ++i) {
    const HostedPartition hosted = partition(PartitionIndex(i));
    if (!hosted) continue;
    const auto slot = slot_of(hosted);
    with_partition(*hosted.partition, [&](PartitionState& state) {
      if (state.is_offline() || !load(*slot, state)) return;
      look(*slot->coordinator);
      ++pending->left;
      state.wait_for(state.log().log_end(), shard, one_is_durable);
    });
  }
  shard.post([one_is_durable] { one_is_durable(wire::ErrorCode::kNone); });
}

void GroupHost::topics_deleted(const std::vector<group::DeletedTopic>& topics) {
  for (int32_t i = 0; i < partition_count(); ++i)
    if (const HostedPartition hosted = partition(PartitionIndex(i)))
      with_coordinator(hosted,
                       [&](Slot& slot) { return slot.coordinator->on_topics_deleted(topics); });
}

void GroupHost::arm(Slot& slot) {
  if (!slot.coordinator) return;
  const Instant next = slot.coordinator->next_deadline();
  if (next >= slot.timer) return;
  slot.timer = next;
  env::Shard& shard = host_->shard(0);
  shard.post([this, &shard, index = slot.partition->name().partition, next] {
    const Duration delay = std::max<Duration>(next - shard.clock().now(), Duration::zero());
    shard.after(delay, [this, index, next] { on_timer(index, next); });
  });
}

// A timer that an earlier one replaced finds another instant in the slot and does nothing.
void GroupHost::on_timer(PartitionIndex index, Instant armed) {
  const HostedPartition hosted = partition(index);
  if (!hosted) return;
  const auto slot = slot_of(hosted);
  const bool counts = with_partition(*hosted.partition, [&](PartitionState&) {
    if (slot->timer != armed) return false;
    slot->timer = Instant::never();
    return true;
  });
  if (!counts) return;
  const env::Clock& clock = host_->shard(0).clock();
  with_coordinator(hosted,
                   [&](Slot& at) { return at.coordinator->on_tick(clock.now(), clock.wall()); });
}

}  // namespace millrace::node
