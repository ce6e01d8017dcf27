#include "group/streams/tasks.h"

#include <algorithm>
#include <array>

namespace millrace::group::streams {
namespace {

template <class Some, class Others>
bool share_any(const Some& some, const Others& others) {
  return std::ranges::any_of(others, [&](const auto& subtopology) {
    return std::ranges::any_of(subtopology.second, [&](const auto& each) {
      if constexpr (requires { each.first; })
        return contains(some, subtopology.first, each.first);
      else
        return contains(some, subtopology.first, each);
    });
  });
}

}  // namespace

bool contains(const Tasks& tasks, std::string_view subtopology, int32_t partition) {
  const auto at = tasks.find(subtopology);
  return at != tasks.end() && at->second.contains(partition);
}

bool contains(const EpochTasks& tasks, std::string_view subtopology, int32_t partition) {
  const auto at = tasks.find(subtopology);
  return at != tasks.end() && at->second.contains(partition);
}

bool contains_any(const Assignment& assignment, const OwnedTasks& tasks) {
  return share_any(assignment.active, tasks.active) ||
         share_any(assignment.standby, tasks.standby) || share_any(assignment.warmup, tasks.warmup);
}

void TaskOwners::count(const Key& key, const std::string& process_id, int32_t by) {
  Processes& processes = owners_[key];
  int32_t& members = processes[process_id];
  members += by;
  if (members == 0) processes.erase(process_id);
  if (processes.empty()) owners_.erase(key);
}

void TaskOwners::count(const OwnedTasks& tasks, const std::string& process_id, int32_t by) {
  for (const auto& [subtopology, partitions] : tasks.active)
    for (const auto& [partition, epoch] : partitions)
      count({TaskKind::kActive, subtopology, partition}, process_id, by);
  for (const auto& [subtopology, partitions] : tasks.standby)
    for (const int32_t partition : partitions)
      count({TaskKind::kStandby, subtopology, partition}, process_id, by);
  for (const auto& [subtopology, partitions] : tasks.warmup)
    for (const int32_t partition : partitions)
      count({TaskKind::kWarmup, subtopology, partition}, process_id, by);
}

bool TaskOwners::has_active(std::string_view subtopology, int32_t partition) const {
  return owners_.contains({TaskKind::kActive, std::string(subtopology), partition});
}

bool TaskOwners::is_at(std::string_view process_id, std::string_view subtopology,
                       int32_t partition) const {
  return std::ranges::any_of(
      std::array{TaskKind::kActive, TaskKind::kStandby, TaskKind::kWarmup}, [&](TaskKind kind) {
        const auto at = owners_.find({kind, std::string(subtopology), partition});
        return at != owners_.end() && at->second.contains(process_id);
      });
}

}  // namespace millrace::group::streams
