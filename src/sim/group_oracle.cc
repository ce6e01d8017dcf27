#include "sim/group_oracle.h"

#include <algorithm>

namespace millrace::sim {

int64_t GroupOracle::committed(int32_t partition) const {
  auto found = committed_.find(partition);
  return found == committed_.end() ? -1 : found->second;
}

void GroupOracle::has_member(Duration session) {
  if (world_->now() - last_seen_ >= session) committed_.clear();
  last_seen_ = world_->now();
}

void GroupOracle::joined(const std::string& member, Generations generations) {
  if (generations.told < generations.newest)
    world_->violated("GR2", fmt::format("{} joined generation {} after {} was known", member,
                                        generations.told, generations.newest));
}

void GroupOracle::leader_assigns(int32_t generation, const Assignment& assignment) {
  proposals_[generation].push_back(assignment);
}

void GroupOracle::was_assigned(const std::string& member, int32_t generation,
                               const std::set<int32_t>& partitions) {
  const auto was_not_given = [&](const Assignment& assignment) {
    const auto own = assignment.find(member);
    return (own == assignment.end() ? std::set<int32_t>{} : own->second) != partitions;
  };
  const auto [known, is_first] = assignments_.try_emplace(generation, proposals_[generation]);
  std::erase_if(known->second, was_not_given);
  if (known->second.empty() && is_first)
    return world_->violated("GR2", fmt::format("{} was given an assignment in generation {} that "
                                               "no leader made",
                                               member, generation));
  if (known->second.empty())
    return world_->violated("GR1", fmt::format("{} was given another assignment in generation {} "
                                               "than the others",
                                               member, generation));
  newest_ = std::max(newest_, generation);
}

void GroupOracle::commit_answered(int32_t partition, int64_t offset, Generations generations) {
  if (generations.told < generations.newest)
    world_->violated("GR3", fmt::format("a commit of generation {} was taken after {} was known",
                                        generations.told, generations.newest));
  auto& committed = committed_[partition];
  if (generations.told == newest_) committed = std::max(committed, offset);
}

void GroupOracle::fetched(int32_t partition, FetchedOffset offset) {
  if (offset.told < offset.committed)
    world_->violated("GR4", fmt::format("the committed offset of {} is {} after {} was committed",
                                        partition, offset.told, offset.committed));
}

}  // namespace millrace::sim
