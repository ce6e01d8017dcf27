#include "client/core/share_membership.h"

#include <fmt/format.h>

#include <utility>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

constexpr std::string_view kProtocol = "share";

}  // namespace

ShareMembership::ShareMembership(ShareMembershipOptions options)
    : options_(std::move(options)), coordinator_(options_.group, options_.retry_backoff) {}

ShareMembership::Action ShareMembership::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  reassign();
  pump(now);
  set_wake(now);
  return std::exchange(action_, {});
}

void ShareMembership::on(Start&, Instant) {
  if (state_ == State::kIdle) state_ = State::kJoining;
}

void ShareMembership::on(Coordinator& event, Instant now) {
  if (auto found = coordinator_.found(event.found, now); !found)
    fail_with(std::move(found).error());
}

void ShareMembership::on(Beaten& event, Instant now) {
  pace_.answered();
  if (state_ == State::kOut) return;
  if (leave_sent_) return end();
  if (!event.response) {
    pace_.failed();
    if (event.response.error().code == Errc::kUnsupported)
      return fail_with(heartbeat_failure(kProtocol, options_.group, event.response.error()));
    return coordinator_.forget(now);
  }
  if (event.response->error_code != 0) return handle_refusal(*event.response, now);
  if (event.response->member_epoch > kJoiningEpoch) return take_answer(*event.response);
  fail_with({Errc::kCorrupt, fmt::format("group '{}': the coordinator answers the epoch {}",
                                         options_.group, event.response->member_epoch)});
}

void ShareMembership::take_answer(const wire::ShareGroupHeartbeatResponse& response) {
  epoch_ = response.member_epoch;
  pace_.agreed(milliseconds(response.heartbeat_interval_ms));
  if (state_ == State::kLeaving) return;
  state_ = State::kMember;
  if (response.assignment) topics_.take(partitions_of(*response.assignment));
}

void ShareMembership::handle_refusal(const wire::ShareGroupHeartbeatResponse& response,
                                     Instant now) {
  const auto error = static_cast<ErrorCode>(response.error_code);
  pace_.failed();
  switch (verdict_on(error)) {
    case HeartbeatVerdict::kGoOn: return;
    case HeartbeatVerdict::kLater: return coordinator_.pause(now);
    case HeartbeatVerdict::kFindCoordinator: return coordinator_.forget(now);
    case HeartbeatVerdict::kFenced:
      if (state_ == State::kLeaving) return end();
      if (epoch_ == kJoiningEpoch) coordinator_.pause(now);
      return join_anew();
    case HeartbeatVerdict::kFatal:
      return fail_with(heartbeat_failure(kProtocol, options_.group, error, response.error_message));
  }
}

void ShareMembership::join_anew() {
  topics_.take({});
  epoch_ = kJoiningEpoch;
  state_ = State::kJoining;
}

// Who leaves reads no more, but is a member until it has said so.
void ShareMembership::reassign() {
  Assignment now;
  if (state_ == State::kMember)
    for (const auto& each : topics_.named()) now[each] = topics_.name_of(each).topic;
  if (now == assigned_) return;
  assigned_ = std::move(now);
  topics_.keep_names_of({});
  action_.assignment = assigned_;
}

void ShareMembership::on(NamesKnown& event, Instant now) {
  resolving_ = false;
  topics_.learn(event.names);
  next_resolve_ = now + options_.retry_backoff;
}

void ShareMembership::pump(Instant now) {
  if (state_ == State::kIdle || state_ == State::kOut) return;
  if (!coordinator_.known()) {
    // Nobody has to be told: its session will end.
    if (state_ == State::kLeaving) return end();
    action_.find_coordinator = coordinator_.looks(now);
    return;
  }
  if (state_ == State::kMember && !resolving_ && now >= next_resolve_) {
    action_.resolve = topics_.unnamed();
    resolving_ = !action_.resolve.empty();
  }
  const bool is_due = state_ == State::kLeaving ? !pace_.under_way() : pace_.due(now);
  if (is_due && !leave_sent_ && !coordinator_.pauses(now)) send_heartbeat(now);
}

void ShareMembership::send_heartbeat(Instant now) {
  if (state_ == State::kLeaving) {
    if (epoch_ == kJoiningEpoch) return end();
    leave_sent_ = true;
    epoch_ = kLeavingEpoch;
  }
  action_.to = coordinator_.node();
  action_.request = {.group_id = options_.group,
                     .member_id = options_.member_id,
                     .member_epoch = epoch_,
                     .rack_id = {},
                     .subscribed_topic_names = {}};
  if (epoch_ == kJoiningEpoch) action_.request->rack_id = options_.rack_id;
  if (state_ != State::kLeaving && (epoch_ == kJoiningEpoch || pace_.tells_all()))
    action_.request->subscribed_topic_names = options_.topics;
  pace_.sent(now);
}

void ShareMembership::on(Leave&, Instant) {
  if (state_ == State::kLeaving) return;
  if (state_ == State::kOut) return end();
  const bool never_was = epoch_ == kJoiningEpoch && !pace_.under_way();
  state_ = State::kLeaving;
  if (never_was) end();
}

void ShareMembership::end() {
  state_ = State::kOut;
  action_.left = true;
}

void ShareMembership::fail_with(Error error) {
  state_ = State::kOut;
  action_.failed = std::move(error);
}

void ShareMembership::set_wake(Instant now) {
  const auto wake_at = [&](Instant at) {
    if (at > now && (!action_.wake || at < *action_.wake)) action_.wake = at;
  };
  if (state_ == State::kIdle || state_ == State::kOut) return;
  wake_at(coordinator_.not_before());
  if (const auto next = pace_.wake()) wake_at(*next);
  if (state_ == State::kMember && !resolving_ && !topics_.unnamed().empty()) wake_at(next_resolve_);
}

std::string ShareMembership::describe() const {
  static constexpr const char* kNames[] = {"idle", "joining", "member", "leaving", "out"};
  return fmt::format("{} as '{}' in epoch {}, {} partitions", kNames[static_cast<size_t>(state_)],
                     options_.member_id, epoch_, assigned_.size());
}

}  // namespace millrace::client::core
