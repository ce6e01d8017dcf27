#include "node/partition_groups.h"

#include "env/random_uuid.h"

namespace millrace::node {

using wire::ErrorCode;

ImageTopics GroupHost::topics() const {
  return ImageTopics(knowledge_.image->load(), knowledge_.settings->load());
}

void GroupHost::follow(const metadata::Image& before, const metadata::Image& after) {
  follow_topic(before, after);
  tell_changes(before, after);
}

void GroupHost::tell_changes(const metadata::Image& before, const metadata::Image& after) {
  std::vector<group::DeletedTopic> deleted;
  group::TopicChanges changes;
  for (const auto& [name, topic] : before.topics()) {
    const auto now = after.topics().find(name);
    const bool stays = now != after.topics().end() && now->second->id == topic->id;
    if (!stays) deleted.push_back({name, topic->id});
    if (now == after.topics().end()) changes.names.push_back(name);
  }
  for (const auto& [name, topic] : after.topics()) {
    const auto former = before.topics().find(name);
    if (former != before.topics().end() && former->second == topic) continue;
    changes.names.push_back(name);
    const bool is_new = former == before.topics().end() || former->second->id != topic->id;
    changes.any_created |= is_new;
  }
  if (changes.names.empty()) return;
  for (int32_t i = 0; i < partition_count(); ++i)
    run_unasked(PartitionIndex(i), true, [this, deleted, changes](group::Coordinator& coordinator) {
      const ImageTopics now = topics();
      coordinator.on_topics_changed(changes, now);
      return coordinator.on_topics_deleted(deleted, now);
    });
}

group::Decision GroupHost::loaded(group::Coordinator& coordinator) {
  const env::Clock& clock = host().shard(0).clock();
  return coordinator.on_loaded(clock.now(), clock.wall(), topics());
}

group::Decision GroupHost::tick(group::Coordinator& coordinator) {
  const env::Clock& clock = host().shard(0).clock();
  return coordinator.on_tick(clock.now(), clock.wall(), topics());
}

void GroupHost::performed(Slot& slot, PartitionState& state, group::Decision& decision) {
  if (decision.share_wishes.empty()) return;
  const auto wishes =
      std::make_shared<std::vector<group::ShareStateWish>>(std::move(decision.share_wishes));
  when_committed(slot, state, [this, index = slot.index(), wishes] {
    for (group::ShareStateWish& each : *wishes) grant(index, std::move(each));
  });
}

struct GroupHost::Granting {
  group::ShareStateOutcome outcome;
  size_t left = 0;
};

// On shard 0.
void GroupHost::grant(PartitionIndex index, group::ShareStateWish wish) {
  auto granting = std::make_shared<Granting>();
  granting->left = wish.partitions.size();
  granting->outcome.errors.resize(wish.partitions.size(), ErrorCode::kCoordinatorNotAvailable);
  granting->outcome.wish = std::move(wish);
  const group::ShareStateWish& asked = granting->outcome.wish;
  if (persister_ == nullptr) return granted(index, granting->outcome);
  for (size_t i = 0; i < asked.partitions.size(); ++i)
    ask(asked, asked.partitions[i], [this, index, granting, i](ErrorCode error) {
      granting->outcome.errors[i] = error;
      if (--granting->left == 0) granted(index, granting->outcome);
    });
}

void GroupHost::ask(const group::ShareStateWish& wish,
                    const group::ShareStateWish::Partition& partition,
                    SharePersister::Done<ErrorCode> done) {
  env::Shard& shard = host().shard(0);
  share::SharePartitionKey key{
      .group = wish.group_id, .topic = partition.topic_id, .partition = partition.index};
  switch (wish.kind) {
    case group::ShareStateWish::Kind::kInitialize:
      return persister_->initialize(
          {.key = std::move(key), .state_epoch = wish.state_epoch, .start = partition.start_offset},
          shard, std::move(done));
    case group::ShareStateWish::Kind::kDelete:
      return persister_->remove(std::move(key), shard, std::move(done));
  }
}

void GroupHost::granted(PartitionIndex index, const group::ShareStateOutcome& outcome) {
  run_unasked(index, false, [&](group::Coordinator& coordinator) {
    const env::Clock& clock = host().shard(0).clock();
    const ImageTopics now = topics();
    return coordinator.finish_share_state(
        outcome, {.now = clock.now(), .wall = clock.wall(), .topics = &now});
  });
}

std::expected<Verification, ErrorCode> GroupHost::begin_verification(
    const std::string& group_id, const TransactionalBatch& batch) {
  const auto index = partition_of(group_id);
  const HostedPartition hosted = index ? partition(*index) : HostedPartition{};
  if (!hosted) return std::unexpected(ErrorCode::kNotCoordinator);
  const SlotPtr slot = slot_of(hosted);
  return with_partition(
      *hosted.partition, [&](PartitionState& state) -> std::expected<Verification, ErrorCode> {
        if (const ErrorCode code = ready(slot, state); code != ErrorCode::kNone)
          return std::unexpected(code);
        return node::begin_verification(state, batch, host().shard(0).clock().wall());
      });
}

void GroupHost::run(Request request) {
  Work work{.key = request.group_id,
            .may_write = request.may_write,
            .transaction = {},
            .step = {},
            .shard = request.shard,
            .done = std::move(request.done)};
  if (const auto& transaction = request.transaction)
    work.transaction =
        TransactionalWrite{.batch = {.producer_id = transaction->producer_id,
                                     .producer_epoch = transaction->producer_epoch,
                                     .transactional = true},
                           .check = [transaction = *transaction](PartitionState& state) {
                             return check_transactional_append(
                                 state, {transaction.producer_id, transaction.producer_epoch,
                                         transaction.guard, transaction.needs_guard});
                           }};
  work.step = [this, &request](group::Coordinator& coordinator, machine::Ticket ticket) {
    const env::Clock& clock = request.shard->clock();
    const ImageTopics now = topics();
    const group::RequestContext context{.ticket = ticket,
                                        .client_id = request.client_id,
                                        .client_host = request.client_host,
                                        .api_version = request.api_version,
                                        .now = clock.now(),
                                        .wall = clock.wall(),
                                        .fresh_id = random_uuid(request.shard->random()),
                                        .topics = &now};
    return request.step(coordinator, context);
  };
  PartitionCoordinators::run(std::move(work));
}

void GroupHost::write_marker(PartitionIndex index, const TransactionMarker& marker,
                             env::Shard& shard, AckDone done) {
  const HostedPartition hosted = partition(index);
  if (!hosted)
    return shard.post(
        [done = std::move(done)]() mutable { done(ErrorCode::kNotLeaderOrFollower); });
  const SlotPtr slot = slot_of(hosted);
  const bool grew = with_partition(*hosted.partition, [&](PartitionState& state) {
    const Offset before = state.log().log_end();
    ErrorCode code = ready(slot, state);
    // Whoever brings markers knows partitions, not coordinators.
    if (code != ErrorCode::kNone) code = ErrorCode::kNotLeaderOrFollower;
    if (code == ErrorCode::kNone) code = append_marker(state, marker, shard.clock().wall());
    const bool appended = state.log().log_end() != before;
    if (appended) slot->coordinator->apply_marker(marker.producer_id, marker.commit);
    if (code == ErrorCode::kNone)
      state.wait_for(state.log().log_end(), shard, std::move(done));
    else
      shard.post([done = std::move(done), code]() mutable { done(code); });
    return appended;
  });
  if (grew) partitions().appended(hosted);
}

}  // namespace millrace::node
