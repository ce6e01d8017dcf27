#include "client/core/consumer_membership.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;
using Heartbeat = wire::ConsumerGroupHeartbeatRequest;

constexpr std::string_view kProtocol = "consumer";

std::vector<Heartbeat::TopicPartitions> to_wire(const AssignedTopics::Partitions& partitions) {
  std::vector<Heartbeat::TopicPartitions> topics;
  for (const auto& each : partitions) {
    if (topics.empty() || topics.back().topic_id != each.topic_id)
      topics.push_back({.topic_id = each.topic_id});
    topics.back().partitions.push_back(each.partition.value());
  }
  return topics;
}

AssignedTopics::Partitions without(const AssignedTopics::Partitions& all,
                                   const AssignedTopics::Partitions& some) {
  AssignedTopics::Partitions rest;
  std::ranges::set_difference(all, some, std::inserter(rest, rest.end()));
  return rest;
}

}  // namespace

ConsumerMembership::ConsumerMembership(ConsumerMembershipOptions options)
    : options_(std::move(options)), coordinator_(options_.group, options_.retry_backoff) {}

ConsumerMembership::Action ConsumerMembership::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  reconcile(now);
  pump(now);
  set_wake(now);
  return std::exchange(action_, {});
}

void ConsumerMembership::on(Start&, Instant) {
  if (state_ == State::kIdle) state_ = State::kJoining;
}

void ConsumerMembership::on(Coordinator& event, Instant now) {
  if (auto found = coordinator_.found(event.found, now); !found)
    fail_with(std::move(found).error());
}

void ConsumerMembership::on(Beaten& event, Instant now) {
  pace_.answered();
  if (state_ == State::kOut || state_ == State::kFenced) return;
  if (leave_sent_) return end();
  if (!event.response) {
    pace_.failed();
    if (event.response.error().code == Errc::kUnsupported)
      return fail_with(heartbeat_failure(kProtocol, options_.group, event.response.error()));
    return coordinator_.forget(now);
  }
  const auto error = static_cast<ErrorCode>(event.response->error_code);
  if (error == ErrorCode::kNone && event.response->member_epoch > kJoiningEpoch)
    return take_answer(*event.response);
  pace_.failed();
  if (error == ErrorCode::kNone)
    return fail_with(
        {Errc::kCorrupt, fmt::format("group '{}': the coordinator answers the epoch {}",
                                     options_.group, event.response->member_epoch)});
  handle_refusal(error, event.response->error_message, now);
}

void ConsumerMembership::take_answer(const wire::ConsumerGroupHeartbeatResponse& response) {
  epoch_ = response.member_epoch;
  pace_.agreed(milliseconds(response.heartbeat_interval_ms));
  if (state_ == State::kLeaving) return;
  state_ = State::kMember;
  if (response.assignment && topics_.take(partitions_of(*response.assignment)))
    target_is_new_ = true;
}

void ConsumerMembership::handle_refusal(ErrorCode error, const std::optional<std::string>& message,
                                        Instant now) {
  switch (verdict_on(error)) {
    case HeartbeatVerdict::kGoOn: return;
    case HeartbeatVerdict::kLater: return coordinator_.pause(now);
    case HeartbeatVerdict::kFindCoordinator: return coordinator_.forget(now);
    case HeartbeatVerdict::kFenced:
      if (state_ == State::kLeaving) return end();
      if (!is_member()) coordinator_.pause(now);
      return lose_all();
    case HeartbeatVerdict::kFatal:
      return fail_with(heartbeat_failure(kProtocol, options_.group, error, message));
  }
}

// --- Partitions.

// One step from what is owned to what shall be: first something is given up, then the rest is taken
// over and told to the coordinator.
void ConsumerMembership::reconcile(Instant now) {
  finish_revocation();
  if (state_ != State::kMember || !revoking_.empty()) return;
  const Partitions target = topics_.named();
  if (target != owned_ || (target_is_new_ && topics_.unnamed().empty())) {
    if (const auto gone = without(owned_, target); !gone.empty()) return revoke(gone);
    std::vector<TopicPartition> added;
    for (const auto& each : without(target, owned_)) added.push_back(topics_.name_of(each));
    action_.joined = action_.joined || !added.empty();
    offsets_.want(added);
    owned_ = target;
    tells_partitions_ = true;
    target_is_new_ = false;
    pace_.hurry();
    topics_.keep_names_of(owned_);
  }
  look_up_names(now);
}

void ConsumerMembership::revoke(const Partitions& partitions) {
  revoking_ = partitions;
  ++revocations_;
  const auto names = topics_.names_of(partitions);
  action_.revoke.assign(names.begin(), names.end());
  offsets_.stop_wanting(names);  // what is to be committed still is
}

void ConsumerMembership::finish_revocation() {
  if (revocations_ > 0) return;
  if (state_ == State::kFenced) state_ = State::kJoining;
  if (revoking_.empty() || state_ != State::kMember || !offsets_.all_committed()) return;
  owned_ = without(owned_, revoking_);
  revoking_.clear();
  topics_.keep_names_of(owned_);
  tells_partitions_ = true;
  pace_.hurry();
  action_.joined = true;
}

void ConsumerMembership::on(Revoked&, Instant) {
  if (revocations_ > 0) --revocations_;
}

void ConsumerMembership::lose_all() {
  const Partitions lost = without(owned_, revoking_);
  if (!lost.empty()) {
    const auto names = topics_.names_of(lost);
    action_.revoke.assign(names.begin(), names.end());
    action_.lost = true;
    ++revocations_;
  }
  owned_.clear();
  revoking_.clear();
  give_up_commits();
  topics_.take({});
  topics_.keep_names_of({});
  epoch_ = kJoiningEpoch;
  target_is_new_ = tells_partitions_ = false;
  state_ = State::kFenced;
}

void ConsumerMembership::look_up_names(Instant now) {
  if (resolving_ || now < next_resolve_) return;
  action_.resolve = topics_.unnamed();
  resolving_ = !action_.resolve.empty();
}

void ConsumerMembership::on(NamesKnown& event, Instant now) {
  resolving_ = false;
  topics_.learn(event.names);
  next_resolve_ = now + options_.retry_backoff;
}

std::set<TopicPartition> ConsumerMembership::owned() const {
  return topics_.names_of(without(owned_, revoking_));
}

// --- Offsets.

GroupOffsets::Identity ConsumerMembership::identity() const {
  return {.group = options_.group,
          .member_id = options_.member_id,
          .epoch = epoch_,
          .instance_id = options_.instance_id};
}

void ConsumerMembership::on(OffsetsFetched& event, Instant now) {
  auto fetched = offsets_.fetched(event.response);
  if (state_ != State::kMember) return;
  action_.assigned = std::move(fetched.offsets);
  if (fetched.again) coordinator_.pause(now);
  switch (fetched.error) {
    case ErrorCode::kNone: return;
    case ErrorCode::kStaleMemberEpoch:
    case ErrorCode::kUnknownMemberId:
    case ErrorCode::kFencedMemberEpoch: return learn_soon(now);
    case ErrorCode::kCoordinatorLoadInProgress: return coordinator_.pause(now);
    default:
      if (wire::is_retriable(fetched.error)) return coordinator_.forget(now);
      fail_with({Errc::kInvalid, fmt::format("committed offsets of group '{}': {}", options_.group,
                                             wire::error_name(fetched.error))});
  }
}

void ConsumerMembership::on(Commit& event, Instant) {
  if (is_member())
    offsets_.commit(event.offsets);
  else
    action_.committed = {ErrorCode::kUnknownMemberId, std::move(event.offsets)};
}

void ConsumerMembership::on(Committed& event, Instant now) {
  auto [error, offsets] = offsets_.committed(event.response);
  const bool stale = error == ErrorCode::kStaleMemberEpoch;
  if (error == ErrorCode::kCoordinatorLoadInProgress)
    coordinator_.pause(now);
  else if (GroupCoordinator::is_about(error))
    coordinator_.forget(now);
  else if (stale || error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedMemberEpoch)
    learn_soon(now);
  if (stale || GroupCoordinator::is_about(error)) {
    if (is_member() && offsets_.may_commit_again())
      return offsets_.commit_again(std::move(offsets));
    error = ErrorCode::kUnknownMemberId;  // the partitions are others' by now
  }
  action_.committed = {error, std::move(offsets)};
}

// The next heartbeat will say how it is.
void ConsumerMembership::learn_soon(Instant now) {
  pace_.hurry();
  coordinator_.pause(now);
}

// --- Requests.

void ConsumerMembership::pump(Instant now) {
  if (state_ == State::kIdle || state_ == State::kOut) return;
  if (!coordinator_.known()) {
    // Nobody has to be told: its session will end.
    if (state_ == State::kLeaving && !must_commit()) return end();
    action_.find_coordinator = coordinator_.looks(now);
    return;
  }
  action_.to = coordinator_.node();
  if (coordinator_.pauses(now) || state_ == State::kFenced) return;
  // Before the heartbeat, which may lead to another epoch.
  if (state_ == State::kMember && offsets_.has_to_fetch())
    action_.requests.push_back(offsets_.fetch(identity(), /*says_member=*/true));
  if (is_member() && offsets_.has_to_commit())
    action_.requests.push_back(offsets_.send_commits(identity()));
  // One that leaves is a member, and hears of new epochs, until everything is committed.
  if (state_ == State::kLeaving && !must_commit()) return send_leave();
  if (pace_.due(now)) send_heartbeat(now);
}

void ConsumerMembership::send_heartbeat(Instant now) {
  const bool joins = epoch_ == kJoiningEpoch;
  Heartbeat request{.group_id = options_.group,
                    .member_id = options_.member_id,
                    .member_epoch = epoch_,
                    .instance_id = options_.instance_id};
  if (joins) request.rack_id = options_.rack_id;
  if (joins || pace_.tells_all()) {
    request.rebalance_timeout_ms = static_cast<int32_t>(
        std::chrono::duration_cast<milliseconds>(options_.rebalance_timeout).count());
    request.subscribed_topic_names = options_.topics;
    request.subscribed_topic_regex = options_.regex;
    request.server_assignor = options_.server_assignor;
    tells_partitions_ = true;
  }
  ASSERT(!joins || owned_.empty(), "CM4: {}", describe());
  if (std::exchange(tells_partitions_, false)) request.topic_partitions = to_wire(owned_);
  pace_.sent(now);
  action_.requests.push_back(std::move(request));
}

void ConsumerMembership::on(Leave&, Instant) {
  if (state_ == State::kLeaving) return;
  if (state_ == State::kOut) return end();
  const bool never_was = !is_member() && !pace_.under_way();
  state_ = State::kLeaving;
  if (never_was) end();
}

void ConsumerMembership::send_leave() {
  if (leave_sent_ || pace_.under_way()) return;
  if (!is_member()) return end();
  leave_sent_ = true;
  const int32_t epoch = options_.instance_id ? kLeavingStaticEpoch : kLeavingEpoch;
  action_.requests.push_back(Heartbeat{.group_id = options_.group,
                                       .member_id = options_.member_id,
                                       .member_epoch = epoch,
                                       .instance_id = options_.instance_id});
}

void ConsumerMembership::end() {
  state_ = State::kOut;
  give_up_commits();
  action_.left = true;
}

void ConsumerMembership::give_up_commits() {
  auto dropped = offsets_.lose_all();
  if (dropped.empty()) return;
  if (!action_.committed) action_.committed = CommitOutcome{};
  action_.committed->error = ErrorCode::kUnknownMemberId;
  action_.committed->offsets.merge(dropped);
}

void ConsumerMembership::fail_with(Error error) {
  state_ = State::kOut;
  give_up_commits();
  action_.failed = std::move(error);
}

void ConsumerMembership::set_wake(Instant now) {
  auto wake_at = [&](Instant at) {
    if (at > now && (!action_.wake || at < *action_.wake)) action_.wake = at;
  };
  if (state_ == State::kIdle || state_ == State::kOut) return;
  wake_at(coordinator_.not_before());
  if (const auto next = pace_.wake()) wake_at(*next);
  if (state_ == State::kMember && !resolving_ && !topics_.unnamed().empty()) wake_at(next_resolve_);
}

const char* ConsumerMembership::name_of(State state) {
  static constexpr const char* kNames[] = {"idle", "joining", "member", "fenced", "leaving", "out"};
  return kNames[static_cast<size_t>(state)];
}

std::string ConsumerMembership::describe() const {
  return fmt::format("{} as '{}' in epoch {}, {} partitions, {} of them revoked", name_of(state_),
                     options_.member_id, epoch_, owned_.size(), revoking_.size());
}

}  // namespace millrace::client::core
