#include "client/core/membership.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

constexpr const char* kProtocolType = "consumer";
// How often a leader looks whether its topics have got more partitions.
constexpr Duration kLookInterval = seconds(30);

int32_t ms_of(Duration duration) {
  return static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(duration).count());
}

}  // namespace

Membership::Membership(MembershipOptions options)
    : options_(std::move(options)), coordinator_(options_.group, options_.retry_backoff) {}

Membership::Action Membership::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  pump(now);
  set_wake(now);
  return std::exchange(action_, {});
}

void Membership::on(Start&, Instant) {
  if (state_ == State::kIdle) state_ = State::kUnjoined;
}

void Membership::on(Coordinator& event, Instant now) {
  if (auto found = coordinator_.found(event.found, now); !found)
    return fail_with(std::move(found).error());
  if (coordinator_.known())
    next_heartbeat_ = now;
  else
    beating_ = false;
}

void Membership::pump(Instant now) {
  if (state_ == State::kIdle || state_ == State::kOut) return;
  if (!coordinator_.known()) {
    if (state_ == State::kLeaving) {
      state_ = State::kOut;
      action_.left = true;
    } else {
      action_.find_coordinator = coordinator_.looks(now);
    }
    return;
  }
  action_.to = coordinator_.node();
  if (coordinator_.pauses(now) && state_ != State::kLeaving) return;
  const bool commit = offsets_.has_to_commit() && generation_.value() >= 0;
  if (state_ == State::kStable) return pump_stable(now);
  if (commit && state_ != State::kJoining && state_ != State::kAssigning &&
      state_ != State::kSyncing)
    return send_commit();
  if (state_ == State::kUnjoined && !offsets_.committing()) return send_join();
  if (state_ == State::kLeaving && !offsets_.committing() && !leave_sent_) send_leave();
}

void Membership::pump_stable(Instant now) {
  if (offsets_.has_to_fetch())
    action_.requests.push_back(offsets_.fetch(identity(), /*says_member=*/false));
  if (offsets_.has_to_commit()) send_commit();
  if (!beating_ && now >= next_heartbeat_) send_heartbeat(now);
  if (leads_ && now >= next_look_) {
    next_look_ = now + kLookInterval;
    std::set<std::string> topics;
    for (const auto& [topic, count] : counts_) topics.insert(topic);
    action_.know = std::move(topics);
  }
}

void Membership::send_join() {
  wire::JoinGroupRequest request{.group_id = options_.group,
                                 .session_timeout_ms = ms_of(options_.session_timeout),
                                 .rebalance_timeout_ms = ms_of(options_.rebalance_timeout),
                                 .member_id = member_id_,
                                 .group_instance_id = options_.instance_id,
                                 .protocol_type = kProtocolType};
  const Subscription subscription{.topics = options_.topics,
                                  .owned = {owned_.begin(), owned_.end()},
                                  .generation = generation_};
  for (Assignor assignor : options_.assignors)
    request.protocols.push_back({.name = std::string(assignor_name(assignor)),
                                 .metadata = encode_subscription(assignor, subscription)});
  state_ = State::kJoining;
  leads_ = false;
  action_.requests.push_back(std::move(request));
}

void Membership::on(Joined& event, Instant now) {
  if (state_ == State::kLeaving && event.response && member_id_.empty())
    member_id_ = event.response->member_id;
  if (state_ != State::kJoining) return;
  state_ = State::kUnjoined;
  if (!event.response) return forget_coordinator(now);
  const auto error = static_cast<ErrorCode>(event.response->error_code);
  if (error == ErrorCode::kMemberIdRequired) {
    member_id_ = event.response->member_id;
    return;
  }
  if (handle_error(error, now)) return;
  member_id_ = event.response->member_id;
  generation_ = GenerationId(event.response->generation_id);
  protocol_ = event.response->protocol_name.value_or("");
  if (event.response->leader == member_id_ && !event.response->skip_assignment)
    lead(*event.response, now);
  else
    send_sync({});
}

void Membership::lead(const wire::JoinGroupResponse& response, Instant now) {
  members_.clear();
  std::set<std::string> topics;
  for (const auto& member : response.members) {
    // Who sends what is no subscription gets nothing.
    auto subscription = decode_subscription(member.metadata);
    if (!subscription) subscription = Subscription{};
    topics.insert(subscription->topics.begin(), subscription->topics.end());
    members_.push_back({.id = member.member_id,
                        .instance_id = member.group_instance_id,
                        .subscription = std::move(*subscription)});
  }
  state_ = State::kAssigning;
  leads_ = true;
  next_look_ = now + kLookInterval;
  action_.know = std::move(topics);
}

void Membership::on(PartitionsKnown& event, Instant) {
  if (state_ == State::kStable && leads_ && event.counts != counts_) begin_rejoin();
  if (state_ != State::kAssigning) return;
  const auto assignor = assignor_of_name(protocol_);
  if (!assignor)
    return fail_with(
        {Errc::kUnsupported, fmt::format("the group chose the assignor '{}'", protocol_)});
  counts_ = event.counts;
  send_sync(assign(*assignor, std::exchange(members_, {}), counts_));
}

void Membership::send_sync(const Assignment& assignment) {
  wire::SyncGroupRequest request{.group_id = options_.group,
                                 .generation_id = generation_.value(),
                                 .member_id = member_id_,
                                 .group_instance_id = options_.instance_id,
                                 .protocol_type = kProtocolType,
                                 .protocol_name = protocol_};
  for (const auto& [member, partitions] : assignment)
    request.assignments.push_back(
        {.member_id = member, .assignment = encode_assignment(partitions)});
  state_ = State::kSyncing;
  action_.requests.push_back(std::move(request));
}

void Membership::on(Synced& event, Instant now) {
  if (state_ != State::kSyncing) return;
  state_ = State::kUnjoined;
  if (!event.response) return forget_coordinator(now);
  if (handle_error(static_cast<ErrorCode>(event.response->error_code), now)) return;
  auto partitions = decode_assignment(event.response->assignment);
  if (!partitions) return fail_with(std::move(partitions).error().within("assignment"));
  take_assignment(std::move(*partitions), now);
}

void Membership::take_assignment(std::vector<TopicPartition> partitions, Instant now) {
  const std::set<TopicPartition> ours(partitions.begin(), partitions.end());
  std::ranges::set_difference(owned_, ours, std::back_inserter(action_.revoke));
  std::vector<TopicPartition> added;
  std::ranges::set_difference(ours, owned_, std::back_inserter(added));
  owned_ = ours;
  action_.joined = true;
  offsets_.want(added);
  offsets_.keep_only(ours);
  next_heartbeat_ = now + options_.heartbeat_interval;
  // What was revoked goes to others in a further rebalance (KIP-429).
  state_ = action_.revoke.empty() ? State::kStable : State::kRevoking;
}

void Membership::on(Revoked&, Instant) {
  if (state_ == State::kRevoking) state_ = State::kUnjoined;
}

void Membership::begin_rejoin() {
  state_ = State::kUnjoined;
  if (cooperative() || owned_.empty()) return;
  action_.revoke.assign(owned_.begin(), owned_.end());
  owned_.clear();
  offsets_.want_nothing();
  state_ = State::kRevoking;
}

void Membership::lose_all() {
  generation_ = GenerationId(-1);
  offsets_.lose_all();
  state_ = owned_.empty() ? State::kUnjoined : State::kRevoking;
  if (owned_.empty()) return;
  action_.revoke.assign(owned_.begin(), owned_.end());
  action_.lost = true;
  owned_.clear();
}

bool Membership::handle_error(ErrorCode error, Instant now) {
  switch (error) {
    case ErrorCode::kNone: return false;
    case ErrorCode::kUnknownMemberId:
      member_id_.clear();
      lose_all();
      return true;
    case ErrorCode::kIllegalGeneration: lose_all(); return true;
    case ErrorCode::kRebalanceInProgress: begin_rejoin(); return true;
    case ErrorCode::kCoordinatorLoadInProgress: coordinator_.pause(now); return true;
    default:
      if (wire::is_retriable(error)) {
        forget_coordinator(now);
      } else {
        fail_with({Errc::kInvalid, fmt::format("group '{}': the coordinator answers {}",
                                               options_.group, wire::error_name(error))});
      }
      return true;
  }
}

void Membership::send_heartbeat(Instant now) {
  beating_ = true;
  next_heartbeat_ = now + options_.heartbeat_interval;
  action_.requests.push_back(wire::HeartbeatRequest{.group_id = options_.group,
                                                    .generation_id = generation_.value(),
                                                    .member_id = member_id_,
                                                    .group_instance_id = options_.instance_id});
}

void Membership::on(Beaten& event, Instant now) {
  beating_ = false;
  if (state_ != State::kStable) return;
  if (!event.response) return forget_coordinator(now);
  handle_error(static_cast<ErrorCode>(event.response->error_code), now);
}

GroupOffsets::Identity Membership::identity() const {
  return {.group = options_.group,
          .member_id = member_id_,
          .epoch = generation_.value(),
          .instance_id = options_.instance_id};
}

void Membership::on(OffsetsFetched& event, Instant now) {
  auto fetched = offsets_.fetched(event.response);
  if (state_ == State::kLeaving || state_ == State::kOut) return;
  action_.assigned = std::move(fetched.offsets);
  if (fetched.error == ErrorCode::kNetworkException) return forget_coordinator(now);
  if (fetched.error != ErrorCode::kNone) {
    if (state_ == State::kStable) handle_error(fetched.error, now);
  } else if (fetched.again) {
    coordinator_.pause(now);
  }
}

void Membership::on(Commit& event, Instant) { offsets_.commit(event.offsets); }

void Membership::send_commit() { action_.requests.push_back(offsets_.send_commits(identity())); }

void Membership::on(Committed& event, Instant now) {
  auto [error, offsets] = offsets_.committed(event.response);
  if (GroupCoordinator::is_about(error) && offsets_.may_commit_again()) {
    offsets_.commit_again(std::move(offsets));
    if (error == ErrorCode::kCoordinatorLoadInProgress)
      coordinator_.pause(now);
    else
      forget_coordinator(now);
    return;
  }
  action_.committed = {error, std::move(offsets)};
  const bool about_member =
      error == ErrorCode::kUnknownMemberId || error == ErrorCode::kIllegalGeneration ||
      error == ErrorCode::kRebalanceInProgress || error == ErrorCode::kFencedInstanceId;
  if (state_ == State::kStable && about_member) handle_error(error, now);
}

void Membership::on(Leave&, Instant) {
  if (state_ == State::kOut) {
    action_.left = true;
    return;
  }
  const bool member = state_ == State::kStable || state_ == State::kRevoking;
  if (!member) offsets_.drop_commits();  // of a generation that is over
  state_ = State::kLeaving;
}

void Membership::send_leave() {
  leave_sent_ = true;
  // A static member keeps its place until its session ends (KIP-345).
  if (member_id_.empty() || options_.instance_id) {
    state_ = State::kOut;
    action_.left = true;
    return;
  }
  wire::LeaveGroupRequest request{.group_id = options_.group};
  request.members.push_back({.member_id = member_id_, .reason = "the consumer was closed"});
  action_.requests.push_back(std::move(request));
}

void Membership::on(Left&, Instant) {
  if (state_ != State::kLeaving) return;
  state_ = State::kOut;
  action_.left = true;
}

void Membership::forget_coordinator(Instant now) {
  coordinator_.forget(now);
  beating_ = false;
}

void Membership::fail_with(Error error) {
  state_ = State::kOut;
  action_.failed = std::move(error);
}

bool Membership::cooperative() const {
  return std::ranges::all_of(options_.assignors,
                             [](Assignor each) { return each == Assignor::kCooperativeSticky; });
}

void Membership::set_wake(Instant now) {
  auto wake_at = [&](Instant at) {
    if (at > now && (!action_.wake || at < *action_.wake)) action_.wake = at;
  };
  if (state_ == State::kIdle || state_ == State::kOut) return;
  wake_at(coordinator_.not_before());
  if (state_ == State::kStable) {
    wake_at(next_heartbeat_);
    if (leads_) wake_at(next_look_);
  }
}

const char* Membership::name_of(State state) {
  static constexpr const char* kNames[] = {"idle",    "unjoined",  "revoking",
                                           "joining", "assigning", "syncing",
                                           "stable",  "leaving",   "out"};
  return kNames[static_cast<size_t>(state)];
}

std::string Membership::describe() const {
  return fmt::format("{} as '{}' in generation {}, {} partitions", name_of(state_), member_id_,
                     generation_, owned_.size());
}

}  // namespace millrace::client::core
