#include "group/streams/reconciler.h"

namespace millrace::group::streams {
namespace {

// From what is there to what shall be there, of one kind of tasks.
template <class Kind>
struct Difference {
  Kind kept;
  Kind revoked;
  Kind added;
  bool waits = false;  // some are not free
};

template <class IsFree>
Difference<EpochTasks> compare(const EpochTasks& has, const Tasks& target, int32_t epoch,
                               IsFree is_free) {
  Difference<EpochTasks> found;
  for (const auto& [subtopology, partitions] : has)
    for (const auto& [partition, since] : partitions)
      (contains(target, subtopology, partition) ? found.kept : found.revoked)[subtopology].emplace(
          partition, since);
  for (const auto& [subtopology, partitions] : target)
    for (const int32_t partition : partitions) {
      if (contains(has, subtopology, partition)) continue;
      if (is_free(subtopology, partition))
        found.added[subtopology].emplace(partition, epoch);
      else
        found.waits = true;
    }
  return found;
}

template <class IsFree>
Difference<Tasks> compare(const Tasks& has, const Tasks& target, IsFree is_free) {
  Difference<Tasks> found;
  for (const auto& [subtopology, partitions] : has)
    for (const int32_t partition : partitions)
      (contains(target, subtopology, partition) ? found.kept : found.revoked)[subtopology].insert(
          partition);
  for (const auto& [subtopology, partitions] : target)
    for (const int32_t partition : partitions) {
      if (contains(has, subtopology, partition)) continue;
      if (is_free(subtopology, partition))
        found.added[subtopology].insert(partition);
      else
        found.waits = true;
    }
  return found;
}

template <class Kind>
Kind united(Kind some, const Kind& more) {
  for (const auto& [subtopology, partitions] : more)
    some[subtopology].insert(partitions.begin(), partitions.end());
  return some;
}

CurrentTasks next(const Reconciliation& given, int32_t member_epoch) {
  const OwnedTasks& has = given.current.assigned;
  const auto is_elsewhere = [&](const std::string& subtopology, int32_t partition) {
    return !given.owners.is_at(given.process_id, subtopology, partition);
  };
  const auto is_nobodys = [&](const std::string& subtopology, int32_t partition) {
    return !given.owners.has_active(subtopology, partition) && is_elsewhere(subtopology, partition);
  };
  const auto active = compare(has.active, given.target.active, given.target_epoch, is_nobodys);
  const auto standby = compare(has.standby, given.target.standby, is_elsewhere);
  const auto warmup = compare(has.warmup, given.target.warmup, is_elsewhere);
  const OwnedTasks kept{active.kept, standby.kept, warmup.kept};
  const OwnedTasks revoked{active.revoked, standby.revoked, warmup.revoked};
  const bool has_to_revoke =
      !revoked.is_empty() && (!given.owned || contains_any(*given.owned, revoked));
  if (has_to_revoke)
    return {.member_epoch = member_epoch,
            .previous_epoch = given.current.member_epoch,
            .state = MemberState::kUnrevokedTasks,
            .assigned = kept,
            .revoking = revoked};
  const bool waits = active.waits || standby.waits || warmup.waits;
  return {.member_epoch = given.target_epoch,
          .previous_epoch = given.current.member_epoch,
          .state = waits ? MemberState::kUnreleasedTasks : MemberState::kStable,
          .assigned = {united(kept.active, active.added), united(kept.standby, standby.added),
                       united(kept.warmup, warmup.added)},
          .revoking = {}};
}

}  // namespace

MemberState member_state_of(int8_t value) {
  const auto state = static_cast<MemberState>(value);
  const bool known = state == MemberState::kStable || state == MemberState::kUnrevokedTasks ||
                     state == MemberState::kUnreleasedTasks;
  return known ? state : MemberState::kUnknown;
}

std::optional<CurrentTasks> reconcile(const Reconciliation& given) {
  const CurrentTasks& current = given.current;
  switch (current.state) {
    case MemberState::kStable:
      if (current.member_epoch == given.target_epoch) return current;
      return next(given, current.member_epoch);
    case MemberState::kUnrevokedTasks:
      if (!given.owned || contains_any(*given.owned, current.revoking)) return current;
      // Wraps where Java's int does; a log may hold any number.
      return next(given, static_cast<int32_t>(static_cast<uint32_t>(current.member_epoch) + 1));
    case MemberState::kUnreleasedTasks: return next(given, current.member_epoch);
    case MemberState::kUnknown: break;
  }
  if (!given.owned || !given.owned->is_empty()) return std::nullopt;
  return next(given, given.target_epoch);
}

}  // namespace millrace::group::streams
