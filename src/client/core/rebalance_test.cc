#include "client/core/rebalance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace millrace::client::core {
namespace {

struct Load {
  std::map<int32_t, int> carried, led;
};

Assignment after(Assignment now, const BrokerRacks& brokers) {
  for (auto& [partition, replicas] : rebalanced(now, brokers)) now[partition] = replicas;
  return now;
}

Load load_of(const Assignment& assignment, const BrokerRacks& brokers) {
  Load load;
  for (const auto& [broker, rack] : brokers) load.carried[broker] = load.led[broker] = 0;
  for (const auto& [partition, replicas] : assignment) {
    ++load.led[replicas.front()];
    for (int32_t each : replicas) ++load.carried[each];
  }
  return load;
}

int spread(const std::map<int32_t, int>& load) {
  const auto [least, most] =
      std::ranges::minmax_element(load, {}, [](const auto& each) { return each.second; });
  return most->second - least->second;
}

Assignment all_on(int32_t count, const Replicas& replicas) {
  Assignment result;
  for (int32_t i = 0; i < count; ++i) result[{"t", PartitionIndex(i)}] = replicas;
  return result;
}

const BrokerRacks kFour = {{1, ""}, {2, ""}, {3, ""}, {4, ""}};

TEST(Rebalance, what_is_balanced_stays) {
  const Assignment even = {{{"t", PartitionIndex(0)}, {1, 2}}, {{"t", PartitionIndex(1)}, {2, 1}}};
  EXPECT_TRUE(rebalanced(even, {{1, ""}, {2, ""}}).empty());
}

TEST(Rebalance, a_new_broker_gets_its_share_and_no_more_moves_than_that) {
  const Assignment now = all_on(12, {1, 2, 3});
  const Assignment then = after(now, kFour);
  EXPECT_EQ(spread(load_of(then, kFour).carried), 0);
  EXPECT_LE(spread(load_of(then, kFour).led), 1);
  int moves = 0;
  for (const auto& [partition, replicas] : then)
    moves += static_cast<int>(std::ranges::count(replicas, 4));
  EXPECT_EQ(moves, 9) << "36 replicas on four brokers";
}

TEST(Rebalance, nothing_stays_on_a_broker_that_leaves) {
  const Assignment then = after(all_on(7, {4, 2, 3}), {{1, ""}, {2, ""}, {3, ""}});
  for (const auto& [partition, replicas] : then) {
    EXPECT_EQ(std::set<int32_t>(replicas.begin(), replicas.end()), (std::set<int32_t>{1, 2, 3}));
    EXPECT_EQ(replicas.size(), 3U);
  }
}

TEST(Rebalance, with_too_few_brokers_the_replicas_become_fewer) {
  const Assignment then = after(all_on(2, {1, 2, 3}), {{1, ""}, {2, ""}});
  for (const auto& [partition, replicas] : then) EXPECT_EQ(replicas.size(), 2U);
}

TEST(Rebalance, replicas_stay_in_racks_of_their_own) {
  const BrokerRacks racks = {{1, "a"}, {2, "b"}, {3, "a"}, {4, "b"}};
  const Assignment then = after(all_on(10, {1, 2}), racks);
  for (const auto& [partition, replicas] : then)
    EXPECT_NE(racks.at(replicas[0]), racks.at(replicas[1]));
  EXPECT_LE(spread(load_of(then, racks).carried), 1);
}

TEST(Rebalance, leaders_are_spread_by_order_alone) {
  const Assignment now = all_on(9, {1, 2, 3});
  const BrokerRacks brokers = {{1, ""}, {2, ""}, {3, ""}};
  const Assignment then = after(now, brokers);
  EXPECT_EQ(spread(load_of(then, brokers).led), 0);
  for (const auto& [partition, replicas] : then)
    EXPECT_EQ(std::set<int32_t>(replicas.begin(), replicas.end()), (std::set<int32_t>{1, 2, 3}));
}

TEST(Rebalance, with_no_broker_at_all_there_is_no_plan) {
  EXPECT_TRUE(rebalanced(all_on(2, {1, 2}), {}).empty());
}

}  // namespace
}  // namespace millrace::client::core
