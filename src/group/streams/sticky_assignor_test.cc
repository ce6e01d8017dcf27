#include "group/streams/sticky_assignor.h"

#include <gtest/gtest.h>

#include "base/testing/dice.h"

namespace millrace::group::streams {
namespace {

std::vector<MemberSpec> members(size_t count, size_t processes) {
  std::vector<MemberSpec> all;
  for (size_t i = 0; i < count; ++i)
    all.push_back({std::string("m") + static_cast<char>('a' + i),
                   std::string("p") + static_cast<char>('a' + i % processes),
                   {}});
  return all;
}

size_t count(const Tasks& tasks) {
  size_t sum = 0;
  for (const auto& [subtopology, partitions] : tasks) sum += partitions.size();
  return sum;
}

// What each has becomes what it had.
void settle(AssignmentSpec& spec) {
  const auto assigned = assign_sticky(spec);
  for (size_t i = 0; i < assigned.size(); ++i) spec.members[i].before = assigned[i];
}

TEST(StickyAssignor, gives_each_task_once_and_as_many_to_each) {
  const AssignmentSpec spec{.members = members(3, 3),
                            .subtopologies = {{"0", 5, true}, {"1", 4, false}}};
  const auto assigned = assign_sticky(spec);
  std::map<std::pair<std::string, int32_t>, int> owners;
  for (const Assignment& each : assigned) {
    EXPECT_EQ(count(each.active), 3u);
    EXPECT_TRUE(each.standby.empty());
    for (const auto& [subtopology, partitions] : each.active)
      for (const int32_t partition : partitions) ++owners[{subtopology, partition}];
  }
  EXPECT_EQ(owners.size(), 9u);
}

TEST(StickyAssignor, gives_the_same_again) {
  AssignmentSpec spec{.members = members(4, 2),
                      .subtopologies = {{"0", 7, true}, {"1", 3, true}},
                      .standby_replicas = 1};
  settle(spec);
  const auto again = assign_sticky(spec);
  for (size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i], spec.members[i].before) << i;
}

TEST(StickyAssignor, moves_no_more_than_a_new_member_needs) {
  AssignmentSpec spec{.members = members(2, 2), .subtopologies = {{"0", 6, true}}};
  settle(spec);
  spec.members.push_back({"mc", "pc", {}});
  const auto assigned = assign_sticky(spec);
  EXPECT_EQ(count(assigned[2].active), 2u);
  for (size_t i = 0; i < 2; ++i)
    for (const int32_t partition : assigned[i].active.at("0"))
      EXPECT_TRUE(contains(spec.members[i].before.active, "0", partition));
}

TEST(StickyAssignor, a_standby_is_never_where_the_task_is_active) {
  AssignmentSpec spec{
      .members = members(4, 2), .subtopologies = {{"0", 6, true}}, .standby_replicas = 1};
  const auto assigned = assign_sticky(spec);
  std::map<int32_t, std::string> active, standby;
  for (size_t i = 0; i < 4; ++i) {
    for (const int32_t task : assigned[i].active.at("0")) active[task] = spec.members[i].process_id;
    for (const int32_t task : assigned[i].standby.at("0"))
      standby[task] = spec.members[i].process_id;
  }
  ASSERT_EQ(standby.size(), 6u);
  for (const auto& [task, process] : standby) EXPECT_NE(process, active[task]) << task;
}

TEST(StickyAssignor, one_process_has_no_place_for_standbys) {
  AssignmentSpec spec{
      .members = members(3, 1), .subtopologies = {{"0", 6, true}}, .standby_replicas = 2};
  for (const Assignment& each : assign_sticky(spec)) EXPECT_TRUE(each.standby.empty());
}

TEST(StickyAssignor, only_tasks_with_state_have_standbys) {
  AssignmentSpec spec{.members = members(2, 2),
                      .subtopologies = {{"0", 2, false}, {"1", 2, true}},
                      .standby_replicas = 1};
  size_t standbys = 0;
  for (const Assignment& each : assign_sticky(spec)) {
    EXPECT_FALSE(each.standby.contains("0"));
    standbys += count(each.standby);
  }
  EXPECT_EQ(standbys, 2u);
}

TEST(StickyAssignor, a_task_goes_to_where_its_standby_was_when_its_member_is_gone) {
  AssignmentSpec spec{
      .members = members(3, 3), .subtopologies = {{"0", 3, true}}, .standby_replicas = 1};
  settle(spec);
  const Tasks orphans = spec.members[0].before.active;
  spec.members.erase(spec.members.begin());
  const auto assigned = assign_sticky(spec);
  for (const int32_t task : orphans.at("0"))
    for (size_t i = 0; i < 2; ++i)
      EXPECT_EQ(contains(assigned[i].active, "0", task),
                contains(spec.members[i].before.standby, "0", task))
          << task;
}

TEST(StickyAssignor, a_process_with_more_members_has_more_tasks) {
  AssignmentSpec spec{.members = {{"a", "p", {}}, {"b", "p", {}}, {"c", "q", {}}},
                      .subtopologies = {{"0", 6, false}}};
  for (const Assignment& each : assign_sticky(spec)) EXPECT_EQ(count(each.active), 2u);
}

// Whatever was before: each task is active once, nobody has more than its share, a standby is
// elsewhere, and there are as many as there are other processes.
TEST(StickyAssignor, holds_in_random_groups) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    millrace::testing::Dice dice{seed};
    AssignmentSpec spec{.members = members(static_cast<size_t>(1 + dice.below(9)),
                                           static_cast<size_t>(1 + dice.below(5))),
                        .standby_replicas = static_cast<int32_t>(dice.below(3))};
    for (int i = 0; i < 3; ++i)
      spec.subtopologies.push_back({std::string(1, static_cast<char>('0' + i)),
                                    static_cast<int32_t>(1 + dice.below(7)), dice.one_in(2)});
    for (int round = 0; round < 3; ++round) {
      settle(spec);
      std::set<std::string> processes;
      size_t tasks = 0;
      for (const MemberSpec& member : spec.members) processes.insert(member.process_id);
      std::map<std::pair<std::string, int32_t>, std::set<std::string>> places;
      std::map<std::pair<std::string, int32_t>, int> active, standby;
      for (const MemberSpec& member : spec.members) {
        for (const auto& [subtopology, partitions] : member.before.active)
          for (const int32_t partition : partitions) {
            ++active[{subtopology, partition}];
            EXPECT_TRUE((places[{subtopology, partition}].insert(member.process_id).second));
          }
        for (const auto& [subtopology, partitions] : member.before.standby)
          for (const int32_t partition : partitions) {
            ++standby[{subtopology, partition}];
            EXPECT_TRUE((places[{subtopology, partition}].insert(member.process_id).second));
          }
      }
      for (const SubtopologySpec& subtopology : spec.subtopologies)
        for (int32_t i = 0; i < subtopology.tasks; ++i) {
          ++tasks;
          EXPECT_EQ((active[{subtopology.id, i}]), 1) << seed;
          const int wanted =
              std::min<int>(spec.standby_replicas, static_cast<int>(processes.size()) - 1);
          EXPECT_EQ((standby[{subtopology.id, i}]), subtopology.is_stateful ? wanted : 0) << seed;
        }
      EXPECT_EQ(active.size(), tasks) << seed;
      if (dice.one_in(2) && spec.members.size() > 1) spec.members.pop_back();
      if (dice.one_in(2)) spec.members.push_back({"z" + std::to_string(round), "pz", {}});
    }
  }
}

}  // namespace
}  // namespace millrace::group::streams
