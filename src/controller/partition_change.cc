#include "controller/partition_change.h"

#include <algorithm>

#include "controller/node_sets.h"
#include "metadata/directory_id.h"
#include "metadata/features.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using metadata::numbers_of;
using metadata::PartitionState;

struct Elected {
  NodeId leader = kNoNode;
  bool is_unclean = false;
};

class Change {
 public:
  Change(const PartitionState& now, PartitionGoal goal, const PartitionRules& rules)
      : now_(now), goal_(std::move(goal)), rules_(rules), next_(now) {}

  std::optional<wire::PartitionChangeRecord> record() {
    complete_reassignment();
    find_eligible();
    elect();
    keep_last_known_leader();
    place();
    return difference();
  }

 private:
  // Who was added has caught up, and where more leave than come all that stay have: then who is to
  // leave leaves.
  void complete_reassignment() {
    const auto& adding = goal_.adding_replicas;
    const auto& removing = goal_.removing_replicas;
    if (adding.empty() && removing.empty()) return;
    auto replicas = without_all(goal_.replicas, removing);
    auto isr = without_all(goal_.isr, removing);
    if (replicas.empty() || isr.empty() || !contains_all(isr, adding)) return;
    if (adding.size() < removing.size() && !contains_all(isr, replicas)) return;
    goal_.replicas = std::move(replicas);
    goal_.isr = std::move(isr);
    goal_.adding_replicas.clear();
    goal_.removing_replicas.clear();
  }

  bool has_min_isr() const {
    return goal_.isr.size() >= std::min(rules_.min_isr, goal_.replicas.size());
  }

  void find_eligible() {
    next_.elr.clear();
    if (rules_.keeps_elr && has_min_isr()) return;
    std::vector<NodeId> eligible;
    add_eligible(now_.elr, eligible);
    // Where none are kept (any more), those that there are serve for the last time.
    if (rules_.keeps_elr) add_eligible(now_.isr, eligible);
    std::ranges::sort(eligible);
    // An order alone is no change.
    const bool same = eligible.size() == now_.elr.size() && contains_all(now_.elr, eligible);
    next_.elr = same ? *now_.elr : eligible;
  }

  void add_eligible(const std::vector<NodeId>& members, std::vector<NodeId>& eligible) const {
    for (NodeId member : members)
      if (contains(goal_.replicas, member) && !contains(goal_.isr, member) &&
          !contains(goal_.may_have_lost, member) && !contains(goal_.has_lost, member) &&
          !contains(eligible, member))
        eligible.push_back(member);
  }

  bool may_lead(NodeId id) const {
    auto directory = goal_.directories.find(id);
    return rules_.may_lead(id, directory == goal_.directories.end() ? metadata::kUnassignedDirectory
                                                                    : directory->second);
  }

  bool may_lead_cleanly(NodeId id) const {
    const auto& from = goal_.isr.empty() ? *next_.elr : goal_.isr;
    return contains(from, id) && may_lead(id);
  }

  // Who led last has at least all that was acknowledged but by those who may have lost it.
  bool may_lead_again() const {
    return rules_.keeps_elr && goal_.isr.empty() && next_.elr.empty() &&
           now_.last_known_elr.size() == 1 &&
           contains(goal_.replicas, now_.last_known_elr.front()) &&
           !contains(goal_.has_lost, now_.last_known_elr.front()) &&
           may_lead(now_.last_known_elr.front());
  }

  Elected choose() const {
    if (goal_.election == Election::kPreferred && !goal_.replicas.empty() &&
        may_lead_cleanly(goal_.replicas.front()))
      return {goal_.replicas.front()};
    if (may_lead_cleanly(now_.leader)) return {now_.leader};
    for (NodeId id : goal_.replicas)
      if (may_lead_cleanly(id)) return {id};
    if (may_lead_again()) return {now_.last_known_elr.front(), true};
    if (goal_.election == Election::kUnclean)
      for (NodeId id : goal_.replicas)
        if (may_lead(id)) return {id, true};
    return {};
  }

  void elect() {
    const Elected elected = choose();
    next_.leader = elected.leader;
    const bool is_new = elected.leader != now_.leader;
    is_unclean_ = is_new && elected.is_unclean;
    if (is_new && contains(next_.elr, elected.leader)) {
      goal_.isr = {elected.leader};
      next_.elr = without(next_.elr, elected.leader);
      if (has_min_isr()) next_.elr.clear();
    } else if (is_unclean_) {
      goal_.isr = {elected.leader};
      next_.elr.clear();
    }
    if (!rules_.keeps_elr && !goal_.isr.empty()) next_.elr.clear();
    // Without eligible replicas the last of the ISR stays in it, so that it leads again when it
    // comes back with what it had.
    if (!goal_.isr.empty() || rules_.keeps_elr || !goal_.has_lost.empty()) next_.isr = goal_.isr;
    if (is_unclean_) next_.recovery_state = kRecovering;
    if (goal_.recovery_state != now_.recovery_state) next_.recovery_state = goal_.recovery_state;
  }

  void keep_last_known_leader() {
    if (next_.leader != kNoNode) return next_.last_known_elr.clear();
    next_.last_known_elr = without_all(now_.last_known_elr, goal_.has_lost);
    if (!rules_.keeps_elr || !now_.last_known_elr.empty()) return;
    if (now_.leader != kNoNode)
      next_.last_known_elr = {now_.leader};
    else if (next_.isr.empty() && !now_.isr.empty())
      next_.last_known_elr = {now_.isr.front()};
    next_.last_known_elr = without_all(next_.last_known_elr, goal_.has_lost);
  }

  void place() {
    next_.replicas = goal_.replicas;
    next_.adding_replicas = goal_.adding_replicas;
    next_.removing_replicas = goal_.removing_replicas;
    if (rules_.metadata_version < metadata::kDirectoryAssignmentLevel) return;
    next_.directories.clear();
    for (NodeId id : next_.replicas) {
      auto known = goal_.directories.find(id);
      next_.directories.push_back(known == goal_.directories.end() ? rules_.default_directory(id)
                                                                   : known->second);
    }
  }

  bool raises_epoch() const {
    const bool shrinks = !contains_all(next_.isr, now_.isr);
    return next_.leader != now_.leader || !contains_all(next_.replicas, now_.replicas) ||
           (shrinks && rules_.metadata_version < metadata::kNoEpochForIsrShrinkLevel);
  }

  // A partition of before there were directory ids has none; that is no difference.
  bool moves_directories() const {
    auto now = now_.directories;
    now.resize(now_.replicas.size(), metadata::kMigratingDirectory);
    return !next_.directories.empty() && next_.directories != now;
  }

  std::optional<wire::PartitionChangeRecord> difference() const {
    wire::PartitionChangeRecord change;
    if (next_.isr != now_.isr || is_unclean_) change.isr = numbers_of(next_.isr);
    if (raises_epoch()) change.leader = next_.leader.value();
    if (next_.replicas != now_.replicas) change.replicas = numbers_of(next_.replicas);
    if (next_.removing_replicas != now_.removing_replicas)
      change.removing_replicas = numbers_of(next_.removing_replicas);
    if (next_.adding_replicas != now_.adding_replicas)
      change.adding_replicas = numbers_of(next_.adding_replicas);
    if (next_.recovery_state != now_.recovery_state)
      change.leader_recovery_state = next_.recovery_state;
    if (moves_directories()) change.directories = next_.directories;
    if (next_.elr != now_.elr) change.eligible_leader_replicas = numbers_of(next_.elr);
    if (next_.last_known_elr != now_.last_known_elr)
      change.last_known_elr = numbers_of(next_.last_known_elr);
    if (change == wire::PartitionChangeRecord{}) return std::nullopt;
    return change;
  }

  const PartitionState& now_;
  PartitionGoal goal_;
  const PartitionRules& rules_;
  PartitionState next_;
  bool is_unclean_ = false;
};

}  // namespace

PartitionGoal::PartitionGoal(const PartitionState& now)
    : replicas(now.replicas),
      isr(now.isr),
      adding_replicas(now.adding_replicas),
      removing_replicas(now.removing_replicas),
      recovery_state(now.recovery_state) {
  for (size_t i = 0; i < now.replicas.size(); ++i)
    directories[now.replicas[i]] =
        i < now.directories.size() ? now.directories[i] : metadata::kMigratingDirectory;
}

bool is_reassigning(const PartitionState& partition) {
  return !partition.adding_replicas.empty() || !partition.removing_replicas.empty();
}

std::optional<wire::PartitionChangeRecord> change_partition(const PartitionState& now,
                                                            PartitionGoal goal,
                                                            const PartitionRules& rules) {
  return Change(now, std::move(goal), rules).record();
}

}  // namespace millrace::controller
