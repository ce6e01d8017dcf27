#include "group/simple_assignor.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace millrace::group {
namespace {

using Partition = std::pair<Uuid, int32_t>;

void add(TargetAssignment& to, const Partition& partition) {
  auto& indexes = to[partition.first];
  indexes.insert(std::ranges::lower_bound(indexes, partition.second), partition.second);
}

void remove(TargetAssignment& from, const Partition& partition) {
  const auto topic = from.find(partition.first);
  if (topic == from.end()) return;
  std::erase(topic->second, partition.second);
  if (topic->second.empty()) from.erase(topic);
}

// The partitions of some topics, and the members that subscribe to all of these: changes what all
// members of the group have of them.
class Deal {
 public:
  Deal(Assignments& assignments, std::vector<size_t> subscribers)
      : assignments_(assignments),
        subscribers_(std::move(subscribers)),
        desired_(assignments.size(), 0),
        held_(assignments.size()) {}

  void add_topic(const Uuid& topic_id, const std::vector<int32_t>& assignable) {
    for (const int32_t index : assignable) targets_.emplace_back(topic_id, index);
    for (size_t member = 0; member < assignments_.size(); ++member) {
      const auto had = assignments_[member].find(topic_id);
      if (had == assignments_[member].end()) continue;
      for (const int32_t index : had->second) {
        holders_[{topic_id, index}].insert(member);
        held_[member].insert({topic_id, index});
      }
    }
  }

  void run() {
    compute_shares();
    for (size_t member = 0; member < held_.size(); ++member)
      while (held_[member].size() > desired_[member]) take_away(*held_[member].begin(), member);
    for (auto& [partition, members] : holders_)
      while (members.size() > sharing_) take_away(Partition(partition), *members.begin());
    for (const Partition& partition : targets_) holders_.try_emplace(partition);
    deal_out();
  }

 private:
  // Kafka computes in doubles: so must we, for the same roundings.
  void compute_shares() {
    const size_t members = subscribers_.size();
    if (targets_.empty() || members == 0) return;
    sharing_ = (members + targets_.size() - 1) / targets_.size();
    const double share =
        static_cast<double>(sharing_ * targets_.size()) / static_cast<double>(members);
    for (size_t i = 0; i < members; ++i)
      desired_[subscribers_[i]] =
          static_cast<size_t>(std::ceil(share * static_cast<double>(i + 1)) -
                              std::ceil(share * static_cast<double>(i)));
  }

  void take_away(Partition partition, size_t member) {
    holders_[partition].erase(member);
    held_[member].erase(partition);
    remove(assignments_[member], partition);
  }

  // Goes round the members that want more, once through the partitions. A partition that all of
  // those have already stays with fewer, and ends it.
  void deal_out() {
    std::set<size_t> wanting;
    for (const size_t member : subscribers_)
      if (held_[member].size() < desired_[member]) wanting.insert(member);
    auto next = wanting.begin();
    bool gave = false;  // in this round
    for (auto& [partition, members] : holders_) {
      while (members.size() < sharing_ && !wanting.empty()) {
        if (next == wanting.end()) {
          if (!gave) break;
          next = wanting.begin();
          gave = false;
        }
        const size_t member = *next++;
        if (!members.insert(member).second) continue;
        add(assignments_[member], partition);
        held_[member].insert(partition);
        gave = true;
        if (held_[member].size() >= desired_[member]) wanting.erase(member);
      }
      if (wanting.empty()) return;
    }
  }

  Assignments& assignments_;
  std::vector<size_t> subscribers_;        // ascending
  std::vector<size_t> desired_;            // of each member how many
  std::vector<std::set<Partition>> held_;  // of each member
  std::map<Partition, std::set<size_t>> holders_;
  std::vector<Partition> targets_;
  size_t sharing_ = 0;  // members of a partition
};

const std::vector<int32_t>& assignable_of(const SimpleAssignmentSpec& spec, const Uuid& topic_id) {
  static const std::vector<int32_t> none;
  const auto at = spec.assignable.find(topic_id);
  return at == spec.assignable.end() ? none : at->second;
}

void assign_together(const SimpleAssignmentSpec& spec, Assignments& assignments) {
  const TopicIds& topics = *spec.members.front().topics;
  std::vector<size_t> everybody(spec.members.size());
  for (size_t i = 0; i < everybody.size(); ++i) everybody[i] = i;
  for (TargetAssignment& assignment : assignments)
    std::erase_if(assignment, [&](const auto& topic) { return !topics.contains(topic.first); });
  Deal deal(assignments, std::move(everybody));
  for (const Uuid& topic_id : topics) deal.add_topic(topic_id, assignable_of(spec, topic_id));
  deal.run();
}

}  // namespace

Assignments assign_simply(const SimpleAssignmentSpec& spec) {
  Assignments assignments(spec.members.size());
  std::map<Uuid, std::vector<size_t>> subscribers;
  for (size_t i = 0; i < spec.members.size(); ++i)
    for (const Uuid& topic_id : *spec.members[i].topics) subscribers[topic_id].push_back(i);
  if (subscribers.empty()) return assignments;
  for (size_t i = 0; i < spec.members.size(); ++i) assignments[i] = *spec.members[i].before;
  if (spec.is_homogeneous) {
    assign_together(spec, assignments);
    return assignments;
  }
  for (auto& [topic_id, members] : subscribers) {
    Deal deal(assignments, std::move(members));
    deal.add_topic(topic_id, assignable_of(spec, topic_id));
    deal.run();
  }
  return assignments;
}

}  // namespace millrace::group
