#include "group/streams/sticky_assignor.h"

#include <algorithm>
#include <optional>
#include <ranges>
#include <tuple>

#include "base/assert.h"

namespace millrace::group::streams {
namespace {

struct Task {
  std::string subtopology;
  int32_t partition = 0;
  auto operator<=>(const Task&) const = default;
};

bool by_partition(const Task& a, const Task& b) {
  return std::tie(a.partition, a.subtopology) < std::tie(b.partition, b.subtopology);
}

// A process of the application, with so many members (threads) of the group.
struct Process {
  std::set<std::pair<int32_t, size_t>> members;  // with as many tasks
  int32_t count = 0;                             // of tasks
  std::set<Task> tasks;
  size_t least_loaded() const { return members.begin()->second; }
  double load() const { return static_cast<double>(count) / static_cast<double>(members.size()); }
};

// How many tasks a member may have: the rest by the members that have not got as many. It falls as
// members fill up.
class Share {
 public:
  Share(int64_t tasks, size_t members) : tasks_(tasks), members_(members) { divide(); }
  bool leaves_room(int32_t has) const { return has < each_; }
  void note(int32_t has) {
    if (has != each_) return;
    --members_;
    tasks_ -= has;
    divide();
  }

 private:
  void divide() { each_ = members_ > 0 ? (tasks_ + members_ - 1) / members_ : 0; }
  int64_t tasks_;
  int64_t members_;
  int64_t each_ = 0;
};

class StickyAssignor {
 public:
  explicit StickyAssignor(const AssignmentSpec& spec)
      : spec_(spec),
        counts_(spec.members.size()),
        result_(spec.members.size()),
        active_share_(number_of_tasks(0), spec.members.size()),
        share_(number_of_tasks(spec.standby_replicas), spec.members.size()) {
    for (size_t i = 0; i < spec.members.size(); ++i) note_member(i);
    for (auto& [id, process] : processes_) queue_.emplace(process.load(), id);
  }

  std::vector<Assignment> assign() && {
    assign_active();
    if (spec_.standby_replicas > 0) assign_standby();
    return std::move(result_);
  }

 private:
  // By load, then id. Loads in it are those of processes_.
  using Queue = std::set<std::pair<double, std::string_view>>;
  struct Missing {
    Task task;
    int32_t replicas = 0;
  };

  int64_t number_of_tasks(int64_t standby_replicas) const {
    int64_t sum = 0;
    for (const SubtopologySpec& each : spec_.subtopologies)
      sum += each.tasks * (1 + (each.is_stateful ? standby_replicas : 0));
    return sum;
  }
  void note_member(size_t member) {
    const MemberSpec& spec = spec_.members[member];
    processes_[spec.process_id].members.emplace(0, member);
    for (const auto& [subtopology, partitions] : spec.before.active)
      for (const int32_t partition : partitions) had_active_[{subtopology, partition}] = member;
    for (const auto& [subtopology, partitions] : spec.before.standby)
      for (const int32_t partition : partitions)
        had_standby_[{subtopology, partition}].push_back(member);
  }
  std::vector<Task> tasks(bool stateful_only) const {
    std::vector<Task> all;
    for (const SubtopologySpec& each : spec_.subtopologies)
      for (int32_t i = 0; i < each.tasks && (each.is_stateful || !stateful_only); ++i)
        all.push_back({each.id, i});
    return all;
  }
  Process& process_of(size_t member) {
    return processes_.find(spec_.members[member].process_id)->second;
  }

  void give(size_t member, const Task& task, TaskKind kind) {
    const auto at = processes_.find(spec_.members[member].process_id);
    Process& process = at->second;
    queue_.erase({process.load(), at->first});
    ++process.count;
    process.tasks.insert(task);
    queue_.emplace(process.load(), at->first);
    Assignment& to = result_[member];
    (kind == TaskKind::kActive ? to.active : to.standby)[task.subtopology].insert(task.partition);
    process.members.erase({counts_[member], member});
    const int32_t has = ++counts_[member];
    process.members.emplace(has, member);
    if (kind == TaskKind::kActive) active_share_.note(has);
    share_.note(has);
  }
  // Of members that have had the task as a standby: with `elsewhere`, only where the process has
  // nothing of it now.
  std::optional<size_t> had_standby(const Task& task, bool elsewhere) {
    std::optional<size_t> best;
    const auto known = had_standby_.find(task);
    if (known == had_standby_.end()) return best;
    const auto load = [&](size_t member) {
      return std::pair(process_of(member).load(), counts_[member]);
    };
    for (const size_t member : known->second) {
      if (elsewhere && process_of(member).tasks.contains(task)) continue;
      if (!best || load(member) < load(*best)) best = member;
    }
    return best;
  }

  void assign_active();
  void assign_standby();
  bool give_standby_back(const Task& task);
  bool give_standby_to_least_loaded(const Task& task);

  const AssignmentSpec& spec_;
  std::map<std::string, Process, std::less<>> processes_;
  std::map<Task, size_t> had_active_;
  std::map<Task, std::vector<size_t>> had_standby_;
  std::vector<int32_t> counts_;  // of tasks, by member
  std::vector<Assignment> result_;
  Share active_share_;
  Share share_;  // of active and standby tasks
  Queue queue_;
};

void StickyAssignor::assign_active() {
  std::vector<Task> left = tasks(false);
  // As tasks were given out subtopology by subtopology, what belongs together has one partition.
  std::ranges::sort(left, by_partition);
  std::erase_if(left, [&](const Task& task) {
    const auto had = had_active_.find(task);
    if (had == had_active_.end() || !active_share_.leaves_room(counts_[had->second])) return false;
    give(had->second, task, TaskKind::kActive);
    return true;
  });
  std::erase_if(left, [&](const Task& task) {
    const auto member = had_standby(task, false);
    if (!member || !active_share_.leaves_room(counts_[*member])) return false;
    give(*member, task, TaskKind::kActive);
    return true;
  });
  std::ranges::sort(left);
  for (const Task& task : left) {
    const Process& process = processes_.find(queue_.begin()->second)->second;
    give(process.least_loaded(), task, TaskKind::kActive);
  }
}

// To who had it, active or as a standby.
bool StickyAssignor::give_standby_back(const Task& task) {
  const auto had = had_active_.find(task);
  if (had != had_active_.end() && !process_of(had->second).tasks.contains(task) &&
      share_.leaves_room(counts_[had->second])) {
    give(had->second, task, TaskKind::kStandby);
    return true;
  }
  const auto member = had_standby(task, true);
  if (!member || !share_.leaves_room(counts_[*member])) return false;
  give(*member, task, TaskKind::kStandby);
  return true;
}

// False: each process has it already.
bool StickyAssignor::give_standby_to_least_loaded(const Task& task) {
  const auto at = std::ranges::find_if(queue_, [&](const auto& entry) {
    return !processes_.find(entry.second)->second.tasks.contains(task);
  });
  if (at == queue_.end()) return false;
  give(processes_.find(at->second)->second.least_loaded(), task, TaskKind::kStandby);
  return true;
}

void StickyAssignor::assign_standby() {
  std::vector<Task> stateful = tasks(true);
  std::ranges::sort(stateful, by_partition);
  std::vector<Missing> missing;
  for (const Task& task : stateful | std::views::reverse) {
    int32_t given = 0;
    while (given < spec_.standby_replicas && give_standby_back(task)) ++given;
    if (given < spec_.standby_replicas) missing.push_back({task, spec_.standby_replicas - given});
  }
  std::ranges::sort(missing, std::ranges::greater{}, &Missing::task);
  for (const Missing& each : missing) {
    int32_t left = each.replicas;
    while (left > 0 && give_standby_to_least_loaded(each.task)) --left;
  }
}

}  // namespace

std::vector<Assignment> assign_sticky(const AssignmentSpec& spec) {
  ASSERT(!spec.members.empty());
  return StickyAssignor(spec).assign();
}

}  // namespace millrace::group::streams
