// The assignors: what each gives to whom, and what it leaves where it was.
#include "group/assignor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace millrace::group {
namespace {

Uuid topic(uint64_t number) { return Uuid::of_words({9, number}); }

// Members with their subscriptions; what they get becomes what they had.
class World {
 public:
  World(std::map<uint64_t, int32_t> topics, bool homogeneous) {
    spec_.is_homogeneous = homogeneous;
    for (const auto& [number, count] : topics) spec_.partitions[topic(number)] = count;
  }
  void add(std::string id, const std::set<uint64_t>& topics,
           std::optional<std::string> instance_id = std::nullopt) {
    auto ids = std::make_shared<TopicIds>();
    for (const uint64_t number : topics) ids->insert(topic(number));
    had_[id];
    spec_.members.push_back({std::move(id), std::move(instance_id), std::move(ids), nullptr});
    std::ranges::sort(spec_.members, {}, &AssignedMember::id);
  }
  void remove(const std::string& id) {
    std::erase_if(spec_.members, [&](const auto& member) { return member.id == id; });
    had_.erase(id);
  }
  // How many partitions changed hands.
  int assign(Assignor assignor) {
    for (auto& member : spec_.members) member.before = &had_.at(member.id);
    const Assignments now = assignor(spec_);
    int moved = 0;
    std::set<std::pair<Uuid, int32_t>> seen;
    for (size_t i = 0; i < spec_.members.size(); ++i) {
      for (const auto& [id, partitions] : now[i]) {
        EXPECT_TRUE(spec_.members[i].topics->contains(id));
        EXPECT_TRUE(std::ranges::is_sorted(partitions));
        for (const int32_t partition : partitions) {
          EXPECT_TRUE(seen.emplace(id, partition).second) << "two have it";
          const auto& before = had_.at(spec_.members[i].id);
          const auto at = before.find(id);
          if (at == before.end() || !std::ranges::binary_search(at->second, partition)) ++moved;
        }
      }
    }
    for (size_t i = 0; i < spec_.members.size(); ++i) had_[spec_.members[i].id] = now[i];
    return moved;
  }
  size_t size(const std::string& id) const {
    size_t size = 0;
    for (const auto& [topic_id, partitions] : had_.at(id)) size += partitions.size();
    return size;
  }
  const TargetAssignment& of(const std::string& id) const { return had_.at(id); }

 private:
  AssignmentSpec spec_;
  std::map<std::string, TargetAssignment> had_;
};

TEST(UniformAssignor, gives_all_as_many_and_moves_as_few_as_it_can) {
  World world({{1, 5}, {2, 4}}, true);
  world.add("a", {1, 2});
  EXPECT_EQ(world.assign(assign_uniformly), 9);
  world.add("b", {1, 2});
  EXPECT_EQ(world.assign(assign_uniformly), 4);
  world.add("c", {1, 2});
  EXPECT_EQ(world.assign(assign_uniformly), 3);
  for (const char* id : {"a", "b", "c"}) EXPECT_EQ(world.size(id), 3u);
  world.remove("b");
  EXPECT_EQ(world.assign(assign_uniformly), 3);
  EXPECT_EQ(world.size("a") + world.size("c"), 9u);
  EXPECT_EQ(world.assign(assign_uniformly), 0);
}

TEST(UniformAssignor, leaves_an_extra_partition_where_it_is) {
  World world({{1, 3}}, true);
  world.add("b", {1});
  world.assign(assign_uniformly);
  world.add("a", {1});
  EXPECT_EQ(world.assign(assign_uniformly), 1);
  EXPECT_EQ(world.size("b"), 2u);
}

TEST(UniformAssignor, with_different_subscriptions_it_balances_what_it_can) {
  World world({{1, 6}, {2, 6}}, false);
  world.add("a", {1});
  world.add("b", {1, 2});
  world.add("c", {2});
  world.assign(assign_uniformly);
  // Among the subscribers of each topic it is balanced; over all it could be better by one.
  EXPECT_EQ(world.size("a"), 3u);
  EXPECT_EQ(world.size("b"), 4u);
  EXPECT_EQ(world.size("c"), 5u);
  EXPECT_EQ(world.assign(assign_uniformly), 0);
  world.add("d", {2});
  EXPECT_LE(world.assign(assign_uniformly), 6);
  EXPECT_EQ(world.size("a") + world.size("b") + world.size("c") + world.size("d"), 12u);
  EXPECT_GE(world.size("d"), 2u);
}

TEST(UniformAssignor, a_member_without_topics_gets_nothing) {
  World world({{1, 2}}, false);
  world.add("a", {1});
  world.add("b", {});
  world.assign(assign_uniformly);
  EXPECT_EQ(world.size("a"), 2u);
  EXPECT_EQ(world.size("b"), 0u);
}

TEST(RangeAssignor, gives_the_same_ranges_of_topics_alike) {
  World world({{1, 5}, {2, 5}}, true);
  world.add("a", {1, 2});
  world.add("b", {1, 2});
  world.assign(assign_ranges);
  EXPECT_EQ(world.of("a"), (TargetAssignment{{topic(1), {0, 1, 2}}, {topic(2), {0, 1, 2}}}));
  EXPECT_EQ(world.of("b"), (TargetAssignment{{topic(1), {3, 4}}, {topic(2), {3, 4}}}));
}

TEST(RangeAssignor, static_members_come_first_by_their_instance_ids) {
  World world({{1, 3}}, true);
  world.add("a", {1});
  world.add("b", {1}, "i2");
  world.add("c", {1}, "i1");
  world.assign(assign_ranges);
  EXPECT_EQ(world.of("c"), (TargetAssignment{{topic(1), {0}}}));
  EXPECT_EQ(world.of("b"), (TargetAssignment{{topic(1), {1}}}));
  EXPECT_EQ(world.of("a"), (TargetAssignment{{topic(1), {2}}}));
}

TEST(RangeAssignor, divides_a_topic_among_its_subscribers_only) {
  World world({{1, 2}, {2, 2}}, false);
  world.add("a", {1});
  world.add("b", {1, 2});
  world.assign(assign_ranges);
  EXPECT_EQ(world.of("a"), (TargetAssignment{{topic(1), {0}}}));
  EXPECT_EQ(world.of("b"), (TargetAssignment{{topic(1), {1}}, {topic(2), {0, 1}}}));
}

TEST(Assignors, are_found_by_name) {
  EXPECT_EQ(find_assignor("uniform"), &assign_uniformly);
  EXPECT_EQ(find_assignor("range"), &assign_ranges);
  EXPECT_EQ(find_assignor("sticky"), nullptr);
}

// Any change of members keeps what an assignor promises.
TEST(UniformAssignor, is_balanced_after_any_change_of_members) {
  uint64_t dice = 7;
  const auto roll = [&] { return (dice = dice * 6364136223846793005u + 1) >> 33; };
  World world({{1, 17}, {2, 30}, {3, 1}}, true);
  std::set<std::string> members;
  for (int step = 0; step < 200; ++step) {
    const std::string id(1, static_cast<char>('a' + roll() % 9));
    if (members.erase(id) != 0) {
      world.remove(id);
    } else {
      members.insert(id);
      world.add(id, {1, 2, 3});
    }
    if (members.empty()) continue;
    world.assign(assign_uniformly);
    size_t least = 100, most = 0, sum = 0;
    for (const std::string& each : members) {
      least = std::min(least, world.size(each));
      most = std::max(most, world.size(each));
      sum += world.size(each);
    }
    EXPECT_EQ(sum, 48u);
    EXPECT_LE(most - least, 1u);
    EXPECT_EQ(world.assign(assign_uniformly), 0);
  }
}

}  // namespace
}  // namespace millrace::group
