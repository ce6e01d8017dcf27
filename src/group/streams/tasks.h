// Tasks of a streams group (KIP-1071): a task is a partition of a subtopology. Who shall have which
// (Assignment), who has which (OwnedTasks), and which processes have each (TaskOwners).
// Not here: who gets which (sticky_assignor.h), how a member comes to it (reconciler.h).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace millrace::group::streams {

// Partitions by subtopology; no subtopology is without any.
using Tasks = std::map<std::string, std::set<int32_t>, std::less<>>;
// With the epoch at which each was assigned.
using EpochTasks = std::map<std::string, std::map<int32_t, int32_t>, std::less<>>;

// What a member shall have, or says that it has. A standby task keeps a copy of the state of one
// that is active elsewhere, a warm-up task makes one for a task that will move there.
struct Assignment {
  Tasks active;
  Tasks standby;
  Tasks warmup;
  bool is_empty() const { return active.empty() && standby.empty() && warmup.empty(); }
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

// What a member has.
struct OwnedTasks {
  EpochTasks active;
  Tasks standby;
  Tasks warmup;
  bool is_empty() const { return active.empty() && standby.empty() && warmup.empty(); }
  friend bool operator==(const OwnedTasks&, const OwnedTasks&) = default;
};

bool contains(const Tasks& tasks, std::string_view subtopology, int32_t partition);
bool contains(const EpochTasks& tasks, std::string_view subtopology, int32_t partition);
// Whether a task of the second is one of the first, of the same kind.
bool contains_any(const Assignment& assignment, const OwnedTasks& tasks);

enum class TaskKind : uint8_t { kActive, kStandby, kWarmup };

// The processes that have each task, as often as members of them have it. Kept by who adds and
// takes away what each member has.
class TaskOwners {
 public:
  void add(const OwnedTasks& tasks, const std::string& process_id) { count(tasks, process_id, 1); }
  void remove(const OwnedTasks& tasks, const std::string& process_id) {
    count(tasks, process_id, -1);
  }
  bool has_active(std::string_view subtopology, int32_t partition) const;
  // In any of the kinds.
  bool is_at(std::string_view process_id, std::string_view subtopology, int32_t partition) const;
  friend bool operator==(const TaskOwners&, const TaskOwners&) = default;

 private:
  struct Key {
    TaskKind kind;
    std::string subtopology;
    int32_t partition;
    auto operator<=>(const Key&) const = default;
  };
  using Processes = std::map<std::string, int32_t, std::less<>>;  // none is zero

  void count(const OwnedTasks& tasks, const std::string& process_id, int32_t by);
  void count(const Key& key, const std::string& process_id, int32_t by);

  std::map<Key, Processes> owners_;  // no task is without any
};

}  // namespace millrace::group::streams
