#include "node/partition_coordinators.h"

#include <algorithm>
#include <mutex>
#include <span>

#include "base/hash.h"
#include "base/log.h"
#include "node/coordinator_kinds.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr size_t kBatchBytes = 1 << 20;  // that is written, but for a record that is larger
constexpr Duration kCommitPause = milliseconds(100);  // until it is looked again for replicas

ByteBuffer batch_of(std::span<const machine::KeyValueRecord> records, TimestampMs now,
                    const record::BatchOptions& options) {
  record::BatchBuilder builder(options);
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

// What an error of the partition means to who asked its coordinator, as Kafka's coordinators
// translate it.
ErrorCode coordinator_error(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kNotEnoughReplicas:
    case ErrorCode::kNotEnoughReplicasAfterAppend:
    case ErrorCode::kRequestTimedOut: return ErrorCode::kCoordinatorNotAvailable;
    case ErrorCode::kNotLeaderOrFollower:
    case ErrorCode::kFencedLeaderEpoch:
    case ErrorCode::kKafkaStorageError: return ErrorCode::kNotCoordinator;
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge: return ErrorCode::kUnknownServerError;
    default: return code;
  }
}

template <class Done>
void post_error(env::Shard& shard, Done done, ErrorCode code) {
  shard.post([done = std::move(done), code]() mutable { done(code, {}); });
}

template <class Machine>
Result<> apply_written(Machine& machine, const machine::KeyValueRecord& record, Offset offset,
                       const record::BatchOptions& batch) {
  if constexpr (TakesOffsets<Machine>)
    return machine.apply(record, offset);
  else if constexpr (requires { machine.apply_transactional(record, batch.producer_id); })
    if (batch.transactional) return machine.apply_transactional(record, batch.producer_id);
  if constexpr (!TakesOffsets<Machine>) return machine.apply(record);
}

}  // namespace

template <class Kind>
HostedPartition PartitionCoordinators<Kind>::partition(PartitionIndex index) const {
  return partitions_->find(TopicPartition{Kind::kTopic, index});
}

template <class Kind>
std::optional<PartitionIndex> PartitionCoordinators<Kind>::partition_of(
    const std::string& key) const {
  const int32_t count = partition_count_;
  if (count == 0) return std::nullopt;
  return PartitionIndex(coordinator_partition(key, count));
}

template <class Kind>
HostedPartition PartitionCoordinators<Kind>::hosted_of(const std::string& key) const {
  const auto index = partition_of(key);
  return index ? partition(*index) : HostedPartition{};
}

// A partition of the same name is another one when it was removed and hosted again.
template <class Kind>
typename PartitionCoordinators<Kind>::SlotPtr PartitionCoordinators<Kind>::slot_of(
    const HostedPartition& hosted) {
  auto slot = std::make_shared<Slot>(hosted);
  SlotPtr former;
  {
    std::lock_guard lock(mutex_);
    auto& known = slots_[hosted.partition->name().partition];
    if (known && known->hosted.partition == hosted.partition) return known;
    former = std::exchange(known, slot);
  }
  if (former) with_partition(*former->hosted.partition, [&](PartitionState&) { discard(*former); });
  return slot;
}

template <class Kind>
void PartitionCoordinators<Kind>::forget(PartitionIndex index) {
  SlotPtr former;
  {
    std::lock_guard lock(mutex_);
    auto found = slots_.find(index);
    if (found == slots_.end()) return;
    former = std::move(found->second);
    slots_.erase(found);
  }
  with_partition(*former->hosted.partition, [&](PartitionState&) { discard(*former); });
}

// The count stays while the topic does: keys would lose their coordinators if it changed.
template <class Kind>
void PartitionCoordinators<Kind>::follow_topic(const metadata::Image& before,
                                               const metadata::Image& after) {
  const metadata::Topic* was = before.find_topic(std::string_view(Kind::kTopic));
  const metadata::Topic* is = after.find_topic(std::string_view(Kind::kTopic));
  if (was && (!is || is->id != was->id)) partition_count_ = 0;
  if (is && partition_count_ == 0) partition_count_ = static_cast<int32_t>(is->partitions.size());
  if (is != was) follow_partitions();
}

template <class Kind>
void PartitionCoordinators<Kind>::follow_partitions() {
  std::vector<PartitionIndex> known;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [index, slot] : slots_) known.push_back(index);
  }
  for (PartitionIndex index : known)
    if (!partition(index)) forget(index);
  for (int32_t i = 0; i < partition_count_; ++i) {
    const HostedPartition hosted = partition(PartitionIndex(i));
    if (!hosted) continue;
    const SlotPtr slot = slot_of(hosted);
    with_partition(*hosted.partition, [&](PartitionState& state) { ready(slot, state); });
  }
}

template <class Kind>
ErrorCode PartitionCoordinators<Kind>::ready(const SlotPtr& slot, PartitionState& state) {
  if (state.is_offline() || !state.is_leader()) {
    discard(*slot);
    return ErrorCode::kNotCoordinator;
  }
  if (slot->epoch != state.leadership().epoch) {
    discard(*slot);
    slot->epoch = state.leadership().epoch;
    slot->load_again = {};
  }
  if (!slot->coordinator && !slot->load && now() >= slot->load_again) begin_load(slot, state);
  if (slot->coordinator) return ErrorCode::kNone;
  return slot->load ? ErrorCode::kCoordinatorLoadInProgress : ErrorCode::kNotCoordinator;
}

// An empty log needs no reading.
template <class Kind>
void PartitionCoordinators<Kind>::begin_load(const SlotPtr& slot, PartitionState& state) {
  slot->load = std::make_shared<CoordinatorLoad<Machine>>(
      std::make_unique<Machine>(options_.machine), state.log().log_start());
  if (state.log().log_start() == state.log().log_end()) return end_load(*slot, state);
  slot->hosted.volume()->thread().run([this, slot, load = slot->load] { load_piece(slot, load); });
}

// A piece a turn of the disk thread: syncs go on in between.
template <class Kind>
void PartitionCoordinators<Kind>::load_piece(
    const SlotPtr& slot, const std::shared_ptr<CoordinatorLoad<Machine>>& load) {
  std::optional<storage::ReadSlice> piece;
  Result<> outcome;
  const bool appended = with_partition(*slot->hosted.partition, [&](PartitionState& state) {
    if (slot->load != load) return false;  // of a leadership that is over
    auto next = load->next_piece(state.log());
    if (!next) outcome = std::unexpected(std::move(next).error());
    if (!next || *next) {
      piece = next ? std::move(*next) : std::nullopt;
      return false;
    }
    const Offset end = state.log().log_end();
    end_load(*slot, state);
    return state.log().log_end() != end;
  });
  if (appended) partitions_->appended(slot->hosted);
  if (piece) outcome = load->replay(*piece);
  if (outcome && !piece) return;
  if (outcome)
    return slot->hosted.volume()->thread().run([this, slot, load] { load_piece(slot, load); });
  with_partition(*slot->hosted.partition, [&](PartitionState& state) {
    if (slot->load != load) return;
    LOG_ERROR("coordinator of {}: {}", state.log().path(), outcome.error().message);
    discard(*slot);
    slot->load_again = now() + kLoadPause;
  });
}

template <class Kind>
void PartitionCoordinators<Kind>::end_load(Slot& slot, PartitionState& state) {
  slot.coordinator = std::exchange(slot.load, nullptr)->take();
  const auto later = std::exchange(slot.later, {});
  perform(slot, state, loaded(*slot.coordinator));
  for (const auto& step : later)
    if (slot.coordinator) perform(slot, state, step(*slot.coordinator));
  arm(slot);
}

template <class Kind>
void PartitionCoordinators<Kind>::discard(Slot& slot) {
  if (slot.coordinator) discarded(slot);
  slot.coordinator.reset();
  slot.load.reset();
  slot.later.clear();
  for (auto& [ticket, waiter] : std::exchange(slot.waiters, {}))
    post_error(*waiter.shard, std::move(waiter.done), ErrorCode::kNotCoordinator);
}

template <class Kind>
Result<> PartitionCoordinators<Kind>::append(Slot& slot, PartitionState& state,
                                             const std::vector<machine::KeyValueRecord>& records,
                                             const record::BatchOptions& options) {
  std::span<const machine::KeyValueRecord> left(records);
  while (!left.empty()) {
    const TimestampMs now = host_->shard(0).clock().wall();
    const auto piece = left.first(batch_count(left));
    left = left.subspan(piece.size());
    ByteBuffer batch = batch_of(piece, now, options);
    const MutableByteView view = batch;
    ASSIGN_OR_RETURN(Offset offset, state.append({&view, 1}, now));
    for (const auto& each : piece) {
      RETURN_IF_ERROR(apply_written(*slot.coordinator, each, offset, options));
      ++offset;
    }
  }
  return {};
}

template <class Kind>
void PartitionCoordinators<Kind>::perform(Slot& slot, PartitionState& state, Decision decision,
                                          const record::BatchOptions& batch) {
  if (auto appended = append(slot, state, decision.records, batch); !appended) {
    LOG_WARN("the coordinator of {} begins anew from its log: {}", state.log().path(),
             appended.error().message);
    return discard(slot);
  }
  for (auto& reply : decision.replies) {
    auto waiter = slot.waiters.extract(reply.ticket);
    if (waiter.empty()) continue;
    hold(slot, state, *waiter.mapped().shard,
         [done = std::move(waiter.mapped().done), response = std::move(reply.response)](
             ErrorCode code) mutable { done(code, std::move(response)); });
  }
  performed(slot, state, decision);
}

template <class Kind>
void PartitionCoordinators<Kind>::hold(Slot& slot, PartitionState& state, env::Shard& shard,
                                       AckDone done) {
  auto held = std::make_shared<Held>(&shard, std::move(done));
  while (!slot.held.empty() && slot.held.front().held.expired()) slot.held.pop_front();
  if (state.log().log_end() > state.high_watermark())
    slot.held.push_back({now() + options_.commit_timeout, held});
  state.wait_for(state.log().log_end(), shard,
                 [held](ErrorCode code) { held->finish(coordinator_error(code)); });
}

template <class Kind>
void PartitionCoordinators<Kind>::when_committed(const Slot& slot, PartitionState& state,
                                                 std::function<void()> then) {
  wait_until_committed(state, std::make_shared<Committing>(slot.index(), slot.epoch,
                                                           state.log().log_end(), std::move(then)));
}

// What is in the log of too few replicas will be committed, or lost with the leadership.
template <class Kind>
void PartitionCoordinators<Kind>::wait_until_committed(PartitionState& state,
                                                       std::shared_ptr<Committing> committing) {
  const Offset end = committing->end;
  state.wait_for(end, host_->shard(0), [this, committing](ErrorCode code) {
    if (code == ErrorCode::kNone) return committing->then();
    if (code != ErrorCode::kNotEnoughReplicasAfterAppend) return;
    host_->shard(0).after(kCommitPause, [this, committing] {
      const HostedPartition hosted = partition(committing->index);
      if (!hosted) return;
      with_partition(*hosted.partition, [&](PartitionState& again) {
        if (again.leadership().epoch == committing->epoch) wait_until_committed(again, committing);
      });
    });
  });
}

template <class Kind>
void PartitionCoordinators<Kind>::give_up_held(Slot& slot, Instant now) {
  for (; !slot.held.empty() && slot.held.front().deadline <= now; slot.held.pop_front())
    if (auto held = slot.held.front().held.lock())
      held->shard->post([held] { held->finish(coordinator_error(ErrorCode::kRequestTimedOut)); });
}

template <class Kind>
ErrorCode PartitionCoordinators<Kind>::try_work(Slot& slot, PartitionState& state, Work& work) {
  if (work.may_write && !state.leader().has_min_isr())
    return coordinator_error(ErrorCode::kNotEnoughReplicas);
  if (work.transaction)
    if (const ErrorCode code = work.transaction->check(state); code != ErrorCode::kNone)
      return code;
  const auto ticket = static_cast<machine::Ticket>(++slot.last_ticket);
  slot.waiters.emplace(ticket, Waiter{work.shard, std::move(work.done)});
  perform(slot, state, work.step(*slot.coordinator, ticket),
          work.transaction ? work.transaction->batch : record::BatchOptions{});
  arm(slot);
  return ErrorCode::kNone;
}

template <class Kind>
void PartitionCoordinators<Kind>::run(Work work) {
  const HostedPartition hosted = hosted_of(work.key);
  if (!hosted) return post_error(*work.shard, std::move(work.done), ErrorCode::kNotCoordinator);
  const SlotPtr slot = slot_of(hosted);
  ErrorCode code = ErrorCode::kNone;
  const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
    const Offset before = state.log().log_end();
    code = ready(slot, state);
    if (code == ErrorCode::kNone) code = try_work(*slot, state, work);
    return state.log().log_end() != before;
  });
  if (grew) partitions_->appended(hosted);
  if (code != ErrorCode::kNone) post_error(*work.shard, std::move(work.done), code);
}

template <class Kind>
void PartitionCoordinators<Kind>::run_unasked(PartitionIndex index, bool later,
                                              const std::function<Decision(Machine&)>& step) {
  const HostedPartition hosted = partition(index);
  if (!hosted) return;
  const SlotPtr slot = slot_of(hosted);
  const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
    const Offset before = state.log().log_end();
    const ErrorCode code = ready(slot, state);
    if (code == ErrorCode::kCoordinatorLoadInProgress && later) slot->later.push_back(step);
    if (code == ErrorCode::kNone) perform(*slot, state, step(*slot->coordinator));
    arm(*slot);
    return state.log().log_end() != before;
  });
  if (grew) partitions_->appended(hosted);
}

template <class Kind>
ErrorCode PartitionCoordinators<Kind>::look_at(const HostedPartition& hosted,
                                               const ReadFunction& look) {
  const SlotPtr slot = slot_of(hosted);
  return with_partition(*hosted.partition, [&](PartitionState& state) {
    const ErrorCode code = ready(slot, state);
    if (code == ErrorCode::kNone) look(*slot->coordinator);
    return code;
  });
}

template <class Kind>
ErrorCode PartitionCoordinators<Kind>::read(const std::string& key, const ReadFunction& look) {
  const HostedPartition hosted = hosted_of(key);
  return hosted ? look_at(hosted, look) : ErrorCode::kNotCoordinator;
}

template <class Kind>
void PartitionCoordinators<Kind>::when_durable(const std::string& key, env::Shard& shard,
                                               AckDone done) {
  const HostedPartition hosted = hosted_of(key);
  if (!hosted)
    return shard.post([done = std::move(done)]() mutable { done(ErrorCode::kNotCoordinator); });
  const SlotPtr slot = slot_of(hosted);
  with_partition(*hosted.partition, [&](PartitionState& state) {
    hold(*slot, state, shard, std::move(done));
    arm(*slot);
  });
}

template <class Kind>
void PartitionCoordinators<Kind>::read_all(const ReadFunction& look, env::Shard& shard,
                                           AckDone done) {
  struct Pending {
    AckDone done;
    size_t left = 1;
    ErrorCode code = ErrorCode::kNone;
  };
  auto pending = std::make_shared<Pending>(std::move(done));
  const auto one_is_done = [pending](ErrorCode code) {
    if (code != ErrorCode::kNone && code != ErrorCode::kNotCoordinator) pending->code = code;
    if (--pending->left == 0) pending->done(pending->code);
  };
  for (int32_t i = 0; i < partition_count_; ++i) {
    const HostedPartition hosted = partition(PartitionIndex(i));
    if (!hosted) continue;
    const ErrorCode code = look_at(hosted, look);
    ++pending->left;
    if (code != ErrorCode::kNone) {
      shard.post([one_is_done, code] { one_is_done(code); });
      continue;
    }
    const SlotPtr slot = slot_of(hosted);
    with_partition(*hosted.partition, [&](PartitionState& state) {
      hold(*slot, state, shard, one_is_done);
      arm(*slot);
    });
  }
  shard.post([one_is_done] { one_is_done(ErrorCode::kNone); });
}

template <class Kind>
void PartitionCoordinators<Kind>::check_invariants() {
  std::vector<SlotPtr> slots;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [index, slot] : slots_) slots.push_back(slot);
  }
  for (const SlotPtr& slot : slots)
    with_partition(*slot->hosted.partition, [&](PartitionState&) {
      if (slot->coordinator) slot->coordinator->check_invariants();
    });
}

template <class Kind>
void PartitionCoordinators<Kind>::arm(Slot& slot) {
  Instant next = slot.held.empty() ? Instant::never() : slot.held.front().deadline;
  if (slot.coordinator) next = std::min(next, slot.coordinator->next_deadline());
  if (next >= slot.timer) return;
  slot.timer = next;
  env::Shard& shard = host_->shard(0);
  shard.post([this, &shard, index = slot.index(), next] {
    const Duration delay = std::max<Duration>(next - shard.clock().now(), Duration::zero());
    shard.after(delay, [this, index, next] { on_timer(index, next); });
  });
}

// A timer that an earlier one replaced finds another instant in the slot and does nothing.
template <class Kind>
void PartitionCoordinators<Kind>::on_timer(PartitionIndex index, Instant armed) {
  const HostedPartition hosted = partition(index);
  if (!hosted) return;
  const SlotPtr slot = slot_of(hosted);
  const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
    if (slot->timer != armed) return false;
    slot->timer = Instant::never();
    give_up_held(*slot, now());
    const Offset before = state.log().log_end();
    if (slot->coordinator && ready(slot, state) == ErrorCode::kNone)
      perform(*slot, state, tick(*slot->coordinator));
    arm(*slot);
    return state.log().log_end() != before;
  });
  if (grew) partitions_->appended(hosted);
}

template class PartitionCoordinators<GroupKind>;
template class PartitionCoordinators<TransactionKind>;
template class PartitionCoordinators<ShareStateKind>;

}  // namespace millrace::node
