#include "client/core/assignor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace millrace::client::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TopicPartition tp(const std::string& topic, int32_t index) {
  return {topic, PartitionIndex(index)};
}

GroupMember member(const std::string& id, std::vector<std::string> topics,
                   std::vector<TopicPartition> owned = {}, int32_t generation = -1) {
  return {.id = id,
          .instance_id = std::nullopt,
          .subscription = {.topics = std::move(topics),
                           .owned = std::move(owned),
                           .generation = GenerationId(generation)}};
}

TEST(Assignor, range_gives_the_first_members_one_more_of_each_topic) {
  const auto result = assign(Assignor::kRange, {member("b", {"t", "u"}), member("a", {"t", "u"})},
                             {{"t", 3}, {"u", 3}});
  EXPECT_THAT(result.at("a"), ElementsAre(tp("t", 0), tp("t", 1), tp("u", 0), tp("u", 1)));
  EXPECT_THAT(result.at("b"), ElementsAre(tp("t", 2), tp("u", 2)));
}

TEST(Assignor, round_robin_skips_those_who_do_not_subscribe) {
  const auto result = assign(Assignor::kRoundRobin, {member("a", {"t"}), member("b", {"t", "u"})},
                             {{"t", 3}, {"u", 2}});
  EXPECT_THAT(result.at("a"), ElementsAre(tp("t", 0), tp("t", 2)));
  EXPECT_THAT(result.at("b"), ElementsAre(tp("t", 1), tp("u", 0), tp("u", 1)));
}

TEST(Assignor, static_members_are_ordered_by_their_instance) {
  auto first = member("z", {"t"});
  first.instance_id = "1";
  auto second = member("a", {"t"});
  second.instance_id = "2";
  const auto result = assign(Assignor::kRange, {second, first}, {{"t", 2}});
  EXPECT_THAT(result.at("z"), ElementsAre(tp("t", 0)));
}

TEST(Assignor, a_topic_that_does_not_exist_is_nobodys) {
  for (auto assignor : {Assignor::kRange, Assignor::kRoundRobin, Assignor::kCooperativeSticky})
    EXPECT_THAT(assign(assignor, {member("a", {"gone"})}, {{"gone", 0}}).at("a"), IsEmpty());
}

TEST(Assignor, cooperative_sticky_takes_away_first_and_gives_in_the_next_round) {
  const std::vector<TopicPartition> all = {tp("t", 0), tp("t", 1), tp("t", 2), tp("t", 3)};
  auto a = member("a", {"t"}, all, 1);
  const auto first = assign(Assignor::kCooperativeSticky, {a, member("b", {"t"})}, {{"t", 4}});
  EXPECT_THAT(first.at("a"), ElementsAre(tp("t", 0), tp("t", 1)));
  EXPECT_THAT(first.at("b"), IsEmpty());

  a.subscription.owned = first.at("a");
  const auto second = assign(Assignor::kCooperativeSticky, {a, member("b", {"t"})}, {{"t", 4}});
  EXPECT_THAT(second.at("a"), ElementsAre(tp("t", 0), tp("t", 1)));
  EXPECT_THAT(second.at("b"), ElementsAre(tp("t", 2), tp("t", 3)));
}

TEST(Assignor, an_older_generation_does_not_own_what_a_newer_one_claims) {
  const auto result = assign(Assignor::kCooperativeSticky,
                             {member("a", {"t"}, {tp("t", 0), tp("t", 1)}, 1),
                              member("b", {"t"}, {tp("t", 0), tp("t", 1)}, 2)},
                             {{"t", 2}});
  EXPECT_THAT(result.at("b"), ElementsAre(tp("t", 0)));
  EXPECT_THAT(result.at("a"), IsEmpty()) << "b has yet to give up the other one";
}

// AS1, over random groups in which members come, go and change their topics.
TEST(Assignor, every_partition_goes_to_exactly_one_subscriber_and_numbers_are_even) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    PartitionCounts counts;
    for (int topic = 0; topic < 3; ++topic)
      counts["t" + std::to_string(topic)] = static_cast<int32_t>(random() % 7);
    std::vector<GroupMember> members;
    for (unsigned i = 0; i < 1 + random() % 5; ++i)
      members.push_back(member("m" + std::to_string(i), {"t0", "t1", "t2"}));
    for (auto assignor : {Assignor::kRange, Assignor::kRoundRobin, Assignor::kCooperativeSticky}) {
      const auto result = assign(assignor, members, counts);
      std::multiset<TopicPartition> given;
      size_t least = SIZE_MAX, most = 0;
      for (const auto& [id, partitions] : result) {
        given.insert(partitions.begin(), partitions.end());
        least = std::min(least, partitions.size());
        most = std::max(most, partitions.size());
      }
      std::multiset<TopicPartition> expected;
      for (const auto& [topic, count] : counts)
        for (int32_t i = 0; i < count; ++i) expected.insert(tp(topic, i));
      EXPECT_EQ(given, expected);
      if (assignor != Assignor::kRange) EXPECT_LE(most - least, 1);
    }
  }
}

TEST(Assignor, names_are_those_of_kafka) {
  for (auto assignor : {Assignor::kRange, Assignor::kRoundRobin, Assignor::kCooperativeSticky})
    EXPECT_EQ(assignor_of_name(assignor_name(assignor)), assignor);
  EXPECT_EQ(assignor_of_name("sticky"), std::nullopt);
}

TEST(Assignor, a_subscription_comes_back_as_it_was_said) {
  const Subscription said{.topics = {"a", "b"},
                          .owned = {tp("a", 0), tp("a", 2), tp("b", 1)},
                          .generation = GenerationId(5)};
  const auto read = decode_subscription(encode_subscription(Assignor::kRange, said));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->topics, said.topics);
  EXPECT_EQ(read->owned, said.owned);
  EXPECT_EQ(read->generation, said.generation);
}

TEST(Assignor, before_kip_792_the_generation_is_in_the_bytes_of_the_assignor) {
  // Version 1: topics [t], user data of four bytes (9), owned [].
  const ByteBuffer bytes = {0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0};
  const auto read = decode_subscription(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->generation, GenerationId(9));
}

TEST(Assignor, an_assignment_of_a_later_version_is_read_as_ours) {
  ByteBuffer bytes = encode_assignment({tp("t", 1)});
  bytes[1] = 9;
  bytes.push_back(0xFF);
  EXPECT_THAT(*decode_assignment(bytes), ElementsAre(tp("t", 1)));
}

TEST(Assignor, bytes_that_are_none_are_refused) {
  EXPECT_FALSE(decode_assignment(ByteBuffer{0}));
  EXPECT_FALSE(decode_assignment(ByteBuffer{0, 0, 0x7F, 0xFF, 0xFF, 0xFF}));
  EXPECT_FALSE(decode_subscription(ByteBuffer{0xFF, 0xFF}));
  EXPECT_TRUE(decode_assignment(ByteBuffer{})->empty());
}

}  // namespace
}  // namespace millrace::client::core
