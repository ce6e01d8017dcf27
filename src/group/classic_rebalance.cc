// A rebalance from its cause to the answers of JoinGroup, and the timers that drive it.
#include <algorithm>

#include "base/log.h"
#include "group/classic_protocol.h"
#include "group/records.h"

namespace millrace::group {
namespace {

// Static members that do not come back keep a group from completing its join; how soon to look
// again when they ask for no time at all.
constexpr Duration kLeastPostponement = milliseconds(100);

}  // namespace

void ClassicProtocol::write(ClassicGroup& group) {
  step_.append(group_metadata_record(group.id(), group.to_record()));
}

void ClassicProtocol::arm_session(ClassicGroup& group, ClassicMember& member, Duration timeout) {
  state_.timers.arm(member.session, step_.now + timeout,
                    {TimerKind::kSession, group.id(), member.id});
}

void ClassicProtocol::keep_alive(ClassicGroup& group, ClassicMember& member) {
  arm_session(group, member, milliseconds(member.session_timeout_ms));
}

void ClassicProtocol::arm_join_timer(ClassicGroup& group, Duration delay) {
  state_.timers.arm(group.phases().join_timer, step_.now + delay,
                    {TimerKind::kJoin, group.id(), ""});
}

void ClassicProtocol::rebalance_or_complete(ClassicGroup& group) {
  if (group.can_rebalance())
    prepare_rebalance(group);
  else
    complete_if_all_joined(group);
}

void ClassicProtocol::prepare_rebalance(ClassicGroup& group) {
  if (group.is_in(ClassicState::kCompletingRebalance))
    fail_syncs(group, ErrorCode::kRebalanceInProgress);
  group.phases().sync_timer.cancel();
  for (auto& [id, member] : group.members()) member.awaits_sync = false;
  group.become(ClassicState::kPreparingRebalance, step_.wall);
  LOG_DEBUG("group {}: rebalance, generation {} ends", group.id(), group.generation());
  const Duration longest = milliseconds(group.rebalance_timeout_ms());
  if (group.is_initial_rebalance()) {
    ClassicGroup::Phases& phases = group.phases();
    phases.initial_delay = state_.config.initial_rebalance_delay;
    phases.initial_delay_left = std::max(longest - phases.initial_delay, Duration::zero());
    phases.joined_during_delay = false;
    return arm_join_timer(group, phases.initial_delay);
  }
  arm_join_timer(group, longest);
  complete_if_all_joined(group);
}

void ClassicProtocol::complete_if_all_joined(ClassicGroup& group) {
  if (!group.is_in(ClassicState::kPreparingRebalance) || group.is_initial_rebalance()) return;
  if (group.all_joined()) complete_join(group);
}

void ClassicProtocol::on_join_timeout(ClassicGroup& group) {
  if (!group.is_in(ClassicState::kPreparingRebalance)) return;
  ClassicGroup::Phases& phases = group.phases();
  const bool prolong = group.is_initial_rebalance() && phases.joined_during_delay &&
                       phases.initial_delay_left > Duration::zero();
  if (!prolong) return complete_join(group);
  phases.joined_during_delay = false;
  const Duration delay = std::min(state_.config.initial_rebalance_delay, phases.initial_delay_left);
  phases.initial_delay_left =
      std::max(phases.initial_delay_left - phases.initial_delay, Duration::zero());
  phases.initial_delay = delay;
  arm_join_timer(group, delay);
}

void ClassicProtocol::complete_join(ClassicGroup& group) {
  group.phases().join_timer.cancel();
  std::vector<std::string> missing;
  for (const auto& [id, member] : group.members())
    if (!member.join && !member.instance_id) missing.push_back(id);
  for (const std::string& id : missing) group.remove(id);
  if (!group.members().empty() && !group.elect_leader()) {
    const Duration longest = milliseconds(group.rebalance_timeout_ms());
    return arm_join_timer(group, std::max(longest, kLeastPostponement));
  }
  group.begin_generation(step_.wall);
  if (group.is_in(ClassicState::kEmpty)) return write(group);
  answer_joins(group);
  state_.timers.arm(group.phases().sync_timer,
                    step_.now + milliseconds(group.rebalance_timeout_ms()),
                    {TimerKind::kSync, group.id(), ""});
}

void ClassicProtocol::answer_joins(ClassicGroup& group) {
  for (auto& [id, member] : group.members()) {
    if (const auto parked = group.unpark_join(member))
      reply_join(*parked, current_generation(group, member));
    member.is_new = false;
    member.awaits_sync = true;
    keep_alive(group, member);
  }
}

void ClassicProtocol::fail_syncs(ClassicGroup& group, ErrorCode error) {
  for (auto& [id, member] : group.members()) {
    member.assignment.clear();
    const auto parked = std::exchange(member.sync, std::nullopt);
    if (!parked) continue;
    refuse_sync(parked->ticket, error);
    keep_alive(group, member);
  }
}

void ClassicProtocol::remove_member(ClassicGroup& group, const std::string& member_id) {
  ClassicMember& member = *group.find(member_id);
  if (const auto parked = group.unpark_join(member))
    refuse_join(*parked, ErrorCode::kUnknownMemberId, "");
  if (const auto parked = std::exchange(member.sync, std::nullopt))
    refuse_sync(parked->ticket, ErrorCode::kUnknownMemberId);
  group.remove(member_id);
}

void ClassicProtocol::remove_and_rebalance(ClassicGroup& group, const std::string& member_id) {
  remove_member(group, member_id);
  if (group.can_rebalance())
    prepare_rebalance(group);
  else if (group.all_joined())
    complete_join(group);
}

void ClassicProtocol::on_session_expired(ClassicGroup& group, const std::string& member_id) {
  if (group.unused_ids().erase(member_id) != 0) {
    if (group.is_in(ClassicState::kPreparingRebalance) && group.all_joined()) complete_join(group);
    return;
  }
  const ClassicMember* member = group.find(member_id);
  if (member == nullptr || member->is_parked()) return;
  LOG_INFO("group {}: member {} is silent and removed", group.id(), member_id);
  remove_and_rebalance(group, member_id);
}

void ClassicProtocol::on_sync_timeout(ClassicGroup& group) {
  if (group.can_rebalance() && !group.is_in(ClassicState::kEmpty)) {
    std::vector<std::string> missing;
    for (const auto& [id, member] : group.members())
      if (member.awaits_sync) missing.push_back(id);
    if (missing.empty()) return;
    for (const std::string& id : missing) remove_member(group, id);
    prepare_rebalance(group);
  }
}

void ClassicProtocol::answer_all(ClassicGroup& group, ErrorCode error) {
  for (auto& [id, member] : group.members()) {
    if (const auto parked = group.unpark_join(member)) refuse_join(*parked, error, id);
    if (const auto parked = std::exchange(member.sync, std::nullopt))
      refuse_sync(parked->ticket, error);
  }
}

void ClassicProtocol::adopt(ClassicGroup& group, bool rebalance) {
  for (auto& [id, member] : group.members()) keep_alive(group, member);
  if (rebalance) prepare_rebalance(group);
}

void ClassicProtocol::on_loaded(ClassicGroup& group) {
  if (group.is_simple()) return;
  for (auto& [id, member] : group.members()) keep_alive(group, member);
  if (group.members().size() > static_cast<size_t>(std::max(state_.config.max_size, 0)))
    prepare_rebalance(group);
}

}  // namespace millrace::group
