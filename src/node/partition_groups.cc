#include "node/partition_groups.h"

#include <mutex>

#include "base/hash.h"
#include "base/log.h"
#include "record/builder.h"
#include "record/control.h"
#include "record/record.h"

namespace millrace::node {
namespace {

constexpr Duration kTick = milliseconds(100);
constexpr size_t kMaxBatch = 64 << 20;
constexpr const char* kOffsetsTopic = "__consumer_offsets";

ByteBuffer batch_of(const std::vector<machine::KeyValueRecord>& records, TimestampMs now) {
  record::BatchBuilder builder({});
  for (const auto& each : records)
    builder.append({.timestamp = now,
                    .key = ByteView(each.key),
                    .value = each.value ? std::optional<ByteView>(*each.value) : std::nullopt});
  return std::move(builder).build();
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
    RETURN_IF_ERROR(coordinator.apply(each, producer));
  }
}

}  // namespace

// Partitions 0..n-1 of the topic are all hosted here. Their number is counted once: groups would
// lose their coordinators if it changed.
HostedPartition GroupHost::partition_of(const std::string& group_id) {
  int32_t count = 0;
  {
    std::lock_guard lock(mutex_);
    while (!counted_ &&
           partitions_->find(TopicPartition{kOffsetsTopic, PartitionIndex(partition_count_)}))
      ++partition_count_;
    counted_ = partition_count_ > 0;
    count = partition_count_;
  }
  if (count == 0) return {};
  return partitions_->find(
      TopicPartition{kOffsetsTopic, PartitionIndex(coordinator_partition(group_id, count))});
}

GroupHost::Slot& GroupHost::slot_of(const HostedPartition& hosted) {
  std::lock_guard lock(mutex_);
  auto& slot = slots_[hosted.partition->name().partition];
  if (!slot) slot = std::make_unique<Slot>();
  return *slot;
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
  coordinator->on_loaded(host_->shard(0).clock().now());
  slot.coordinator = std::move(coordinator);
  return {};
}

void GroupHost::discard(Slot& slot) {
  slot.coordinator.reset();
  for (auto& [ticket, waiter] : std::exchange(slot.waiters, {}))
    waiter.shard->post(
        [done = std::move(waiter.done)]() mutable { done(wire::ErrorCode::kNotCoordinator, {}); });
}

void GroupHost::perform(Slot& slot, PartitionState& state, group::Step step) {
  if (!step.records.empty()) {
    const TimestampMs now = host_->shard(0).clock().wall();
    ByteBuffer batch = batch_of(step.records, now);
    const MutableByteView view = batch;
    auto appended = state.log().append({&view, 1}, state.leadership().epoch, now);
    for (const auto& each : step.records)
      if (appended)
        if (auto applied = slot.coordinator->apply(each); !applied)
          LOG_ERROR("group record: {}", applied.error().message);
    if (!appended) {
      LOG_ERROR("append to {}: {}", state.log().path(), appended.error().message);
      return discard(slot);
    }
  }
  slot.coordinator->check_invariants();
  for (auto& reply : step.replies) {
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

void GroupHost::run(Request request) {
  HostedPartition hosted = partition_of(request.group_id);
  if (!hosted)
    return request.shard->post(
        [done = std::move(request.done)]() mutable { done(wire::ErrorCode::kNotCoordinator, {}); });
  Slot& slot = slot_of(hosted);
  const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
    const Offset before = state.log().log_end();
    const auto ticket = static_cast<machine::Ticket>(++slot.last_ticket);
    slot.waiters.emplace(ticket, Waiter{request.shard, std::move(request.done)});
    if (auto loaded = load(slot, state); !loaded || state.is_offline()) {
      if (!loaded) LOG_ERROR("coordinator: {}", loaded.error().message);
      discard(slot);
      return false;
    }
    env::Random& random = request.shard->random();
    request.caller.ticket = ticket;
    request.caller.now = request.shard->clock().now();
    request.caller.wall = request.shard->clock().wall();
    request.caller.fresh_id = Uuid::from_random({random.next(), random.next()});
    perform(slot, state, request.step(*slot.coordinator, request.caller));
    return state.log().log_end() != before;
  });
  if (grew) partitions_->appended(hosted);
}

wire::ErrorCode GroupHost::read(const std::string& group_id, const ReadFunction& look) {
  HostedPartition hosted = partition_of(group_id);
  if (!hosted) return wire::ErrorCode::kNotCoordinator;
  Slot& slot = slot_of(hosted);
  return with_partition(*hosted.partition, [&](PartitionState& state) {
    if (state.is_offline() || !load(slot, state)) return wire::ErrorCode::kNotCoordinator;
    look(*slot.coordinator);
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

void GroupHost::read_all(const ReadFunction& look) {
  for (int32_t i = 0;; ++i) {
    auto hosted = partitions_->find(TopicPartition{kOffsetsTopic, PartitionIndex(i)});
    if (!hosted) return;
    Slot& slot = slot_of(hosted);
    with_partition(*hosted.partition, [&](PartitionState& state) {
      if (!state.is_offline() && load(slot, state)) look(*slot.coordinator);
    });
  }
}

void GroupHost::tick_later() {
  host_->shard(0).after(kTick, [this] {
    tick();
    tick_later();
  });
}

void GroupHost::tick() {
  std::vector<PartitionIndex> indexes;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [index, slot] : slots_) indexes.push_back(index);
  }
  env::Shard& shard = host_->shard(0);
  for (PartitionIndex index : indexes) {
    auto hosted = partitions_->find(TopicPartition{kOffsetsTopic, index});
    if (!hosted) continue;
    Slot& slot = slot_of(hosted);
    const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
      if (!slot.coordinator || !slot.coordinator->needs_ticks() || state.is_offline()) return false;
      const Offset before = state.log().log_end();
      perform(slot, state, slot.coordinator->on_tick(shard.clock().now(), shard.clock().wall()));
      return state.log().log_end() != before;
    });
    if (grew) partitions_->appended(hosted);
  }
}

}  // namespace millrace::node
