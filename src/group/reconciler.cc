#include "group/reconciler.h"

#include <algorithm>

namespace millrace::group {
namespace {

class Reconciler {
 public:
  explicit Reconciler(const Reconciliation& given) : given_(given), now_(given.current) {}

  std::expected<CurrentAssignment, Refusal> run() {
    switch (given_.current.state) {
      case MemberState::kStable:
        if (now_.member_epoch != given_.target_epoch)
          next_assignment(now_.member_epoch);
        else if (given_.subscription_changed)
          leave_topics();
        return now_;
      case MemberState::kUnrevokedPartitions:
        if (!owns_any_of(now_.revoking))
          next_assignment(now_.member_epoch);
        else if (given_.subscription_changed)
          leave_topics();
        return now_;
      case MemberState::kUnreleasedPartitions: next_assignment(now_.member_epoch); return now_;
      case MemberState::kUnknown: break;
    }
    // A later version's state: the member begins from nothing.
    if (given_.owned == nullptr || !given_.owned->empty())
      return std::unexpected(Refusal{wire::ErrorCode::kFencedMemberEpoch,
                                     "The consumer group member is in a unknown state. The member "
                                     "must abandon all its partitions and rejoin."});
    next_assignment(given_.target_epoch);
    return now_;
  }

 private:
  bool is_subscribed(const Uuid& topic_id) const {
    const auto name = given_.topics.name_of(topic_id);
    if (!name) return false;
    if (std::ranges::binary_search(given_.metadata.subscribed_topic_names, *name)) return true;
    // One that is not resolved yet names nothing.
    const auto& regex = given_.metadata.subscribed_topic_regex;
    const ResolvedRegex* resolved =
        regex && !regex->empty() ? given_.group.resolved(*regex) : nullptr;
    return resolved && resolved->topics.contains(*name);
  }

  // Whether the member says that it still has any of these, or does not say.
  bool owns_any_of(const OwnedPartitions& partitions) const {
    if (given_.owned == nullptr) return true;
    return std::ranges::any_of(*given_.owned, [&](const auto& topic) {
      return std::ranges::any_of(topic.partitions, [&](int32_t partition) {
        return contains(partitions, topic.topic_id, partition);
      });
    });
  }

  // Topics that it does not subscribe to any more are given up before a new target is made.
  void leave_topics() {
    OwnedPartitions kept;
    OwnedPartitions revoking = now_.revoking;
    for (const auto& [topic_id, partitions] : now_.assigned) {
      if (is_subscribed(topic_id))
        kept.emplace(topic_id, partitions);
      else
        revoking[topic_id].insert(partitions.begin(), partitions.end());
    }
    if (kept.size() == now_.assigned.size()) return;
    now_.assigned = std::move(kept);
    now_.advance_to(now_.member_epoch);
    if (!owns_any_of(revoking)) return;
    now_.state = MemberState::kUnrevokedPartitions;
    now_.revoking = std::move(revoking);
  }

  struct Split {
    OwnedPartitions kept;
    OwnedPartitions revoking;
    OwnedPartitions added;  // that nobody owns
    bool has_unreleased = false;
  };

  void split_owned(Split& split) const {
    for (const auto& [topic_id, partitions] : now_.assigned) {
      const auto target = given_.target.find(topic_id);
      const bool stays = target != given_.target.end() && is_subscribed(topic_id);
      for (const auto& [partition, epoch] : partitions) {
        const bool kept = stays && std::ranges::binary_search(target->second, partition);
        (kept ? split.kept : split.revoking)[topic_id].emplace(partition, epoch);
      }
    }
  }

  void split_target(Split& split) const {
    for (const auto& [topic_id, partitions] : given_.target) {
      if (!is_subscribed(topic_id)) continue;
      for (const int32_t partition : partitions) {
        if (contains(split.kept, topic_id, partition)) continue;
        // What it is giving up itself may come back to it.
        if (given_.group.is_owned(topic_id, partition) &&
            !contains(given_.current.revoking, topic_id, partition))
          split.has_unreleased = true;
        else
          split.added[topic_id].emplace(partition, given_.target_epoch);
      }
    }
  }

  void next_assignment(int32_t epoch) {
    Split split;
    split_owned(split);
    split_target(split);
    now_.assigned = std::move(split.kept);
    if (!split.revoking.empty() && owns_any_of(split.revoking)) {
      now_.state = MemberState::kUnrevokedPartitions;
      now_.advance_to(epoch);
      now_.revoking = std::move(split.revoking);
      return;
    }
    for (auto& [topic_id, partitions] : split.added) now_.assigned[topic_id].merge(partitions);
    now_.state = split.has_unreleased ? MemberState::kUnreleasedPartitions : MemberState::kStable;
    now_.advance_to(given_.target_epoch);
    now_.revoking.clear();
  }

  const Reconciliation& given_;
  CurrentAssignment now_;
};

}  // namespace

std::expected<CurrentAssignment, Refusal> reconcile(const Reconciliation& given) {
  return Reconciler(given).run();
}

}  // namespace millrace::group
