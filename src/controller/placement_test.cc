#include "controller/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace millrace::controller {
namespace {

using ::testing::Each;
using Assignment = ReplicaPlacer::Assignment;

constexpr uint64_t kSeeds = 50;

std::vector<PlaceableBroker> brokers_in(const std::vector<std::string>& racks) {
  std::vector<PlaceableBroker> brokers;
  for (const auto& rack : racks)
    brokers.push_back({.id = NodeId(static_cast<int32_t>(brokers.size())), .rack = rack});
  return brokers;
}

std::vector<Assignment> place(const std::vector<PlaceableBroker>& brokers, int partitions,
                              int16_t replication_factor, uint64_t seed = 1) {
  ReplicaPlacer placer(brokers, {}, seed);
  std::vector<Assignment> assignments;
  while (std::cmp_less(assignments.size(), partitions))
    assignments.push_back(placer.next(replication_factor));
  return assignments;
}

std::multiset<std::string> racks_of(const Assignment& assignment,
                                    const std::vector<PlaceableBroker>& brokers) {
  std::multiset<std::string> racks;
  for (NodeId id : assignment)
    racks.insert(brokers[static_cast<size_t>(id.value())].rack.value_or(""));
  return racks;
}

// Three racks of three brokers: the pattern that gives the placer its name.
TEST(ReplicaPlacer, lays_stripes_over_racks_and_over_the_brokers_of_each) {
  const auto brokers = brokers_in({"a", "a", "a", "b", "b", "b", "c", "c", "c"});
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto assignments = place(brokers, 9, 3, seed);
    std::map<NodeId, int> had;
    for (size_t i = 0; i < assignments.size(); ++i) {
      EXPECT_EQ(racks_of(assignments[i], brokers), (std::multiset<std::string>{"a", "b", "c"}));
      EXPECT_EQ(assignments[(i + 3) % 9].front().value() / 3, assignments[i].front().value() / 3)
          << "each rack leads every third partition";
      for (NodeId id : assignments[i]) ++had[id];
    }
    for (const auto& broker : brokers)
      EXPECT_EQ(had[broker.id], 3) << "broker " << broker.id.value();
  }
}

TEST(ReplicaPlacer, spreads_over_racks_even_when_one_of_them_is_small) {
  const auto brokers = brokers_in({"a", "a", "a", "a", "b", "b", "b", "b", "c"});
  for (const auto& each : place(brokers, 100, 3))
    EXPECT_EQ(racks_of(each, brokers), (std::multiset<std::string>{"a", "b", "c"}));
}

TEST(ReplicaPlacer, begins_a_rack_again_only_when_all_had_one) {
  const auto brokers = brokers_in({"a", "a", "a", "b", "b", "b"});
  for (const auto& each : place(brokers, 100, 4))
    EXPECT_EQ(racks_of(each, brokers), (std::multiset<std::string>{"a", "a", "b", "b"}));
}

TEST(ReplicaPlacer, takes_brokers_without_a_rack_for_one_rack) {
  auto brokers = brokers_in({"a", "", ""});
  for (auto& broker : brokers)
    if (broker.rack->empty()) broker.rack.reset();
  for (const auto& each : place(brokers, 20, 2))
    EXPECT_EQ(racks_of(each, brokers), (std::multiset<std::string>{"", "a"}));
}

TEST(ReplicaPlacer, begins_somewhere_else_with_another_seed) {
  const auto brokers = brokers_in({"", "", "", ""});
  std::set<NodeId> leaders;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) leaders.insert(place(brokers, 1, 1, seed)[0][0]);
  EXPECT_EQ(leaders.size(), brokers.size());
}

TEST(ReplicaPlacer, has_no_broker_twice_and_leaders_that_are_not_fenced_whatever_the_cluster) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    std::vector<PlaceableBroker> brokers = brokers_in({});
    const auto count = static_cast<int32_t>(1 + seed % 7);
    for (int32_t id = 0; id < count; ++id)
      brokers.push_back({.id = NodeId(id),
                         .rack = std::to_string((seed >> id) % 3),
                         .fenced = id > 0 && ((seed * 31) >> id) % 2 == 1});
    const auto replicas = static_cast<int16_t>(1 + seed % static_cast<uint64_t>(count));
    for (const auto& each : place(brokers, 40, replicas, seed)) {
      EXPECT_FALSE(brokers[static_cast<size_t>(each.front().value())].fenced);
      EXPECT_EQ(std::set<NodeId>(each.begin(), each.end()).size(), static_cast<size_t>(replicas));
    }
  }
}

TEST(ReplicaPlacer, takes_fenced_brokers_of_a_rack_last) {
  auto brokers = brokers_in({"a", "a", "b", "b"});
  brokers[0].fenced = brokers[2].fenced = true;
  EXPECT_THAT(place(brokers, 20, 2), Each(::testing::UnorderedElementsAre(NodeId(1), NodeId(3))));
  // A rack whose brokers are all fenced has its share, but leads nothing.
  brokers[3].fenced = true;
  for (const auto& each : place(brokers, 20, 2)) {
    EXPECT_EQ(each.front(), NodeId(1));
    EXPECT_EQ(racks_of(each, brokers), (std::multiset<std::string>{"a", "b"}));
  }
}

TEST(ReplicaPlacer, goes_on_behind_the_partitions_that_are_there) {
  const auto brokers = brokers_in({"a", "a", "b", "b"});
  const std::vector<Assignment> existing{{NodeId(0), NodeId(2)}};
  for (uint64_t seed = 0; seed < kSeeds; ++seed)
    EXPECT_EQ(ReplicaPlacer(brokers, existing, seed).next(2), (Assignment{NodeId(3), NodeId(1)}));
}

TEST(ReplicaPlacer, says_why_there_cannot_be_so_many_replicas) {
  auto brokers = brokers_in({"a", "b"});
  EXPECT_EQ(ReplicaPlacer(brokers, {}, 1).problem(2), std::nullopt);
  EXPECT_EQ(ReplicaPlacer(brokers, {}, 1).problem(3),
            "The target replication factor of 3 cannot be reached because only 2 broker(s) are "
            "registered or some brokers have all their log directories cordoned.");
  brokers[0].fenced = brokers[1].fenced = true;
  EXPECT_EQ(ReplicaPlacer(brokers, {}, 1).problem(1),
            "All brokers are currently fenced, or have all their log directories cordoned.");
}

}  // namespace
}  // namespace millrace::controller
