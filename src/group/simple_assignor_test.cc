#include "group/simple_assignor.h"

#include <gtest/gtest.h>

#include "group/testing/dice.h"

namespace millrace::group {
namespace {

const Uuid kOne = Uuid::of_words({1, 1}), kTwo = Uuid::of_words({1, 2});

struct Case {
  struct Member {
    TopicIds topics;
    TargetAssignment before;
  };
  std::vector<Member> members;
  std::map<Uuid, std::vector<int32_t>> assignable;

  Assignments assign() const {
    SimpleAssignmentSpec spec{.assignable = assignable};
    for (const Member& member : members) {
      spec.members.push_back({.id = std::to_string(spec.members.size()),
                              .topics = std::make_shared<const TopicIds>(member.topics),
                              .before = &member.before});
      spec.is_homogeneous &= member.topics == members.front().topics;
    }
    return assign_simply(spec);
  }
};

TEST(SimpleAssignor, members_that_are_as_many_as_partitions_get_one_each) {
  const Case given{.members = {{{kOne}, {}}, {{kOne}, {}}}, .assignable = {{kOne, {0, 1}}}};
  EXPECT_EQ(given.assign(), (Assignments{{{kOne, {0}}}, {{kOne, {1}}}}));
}

TEST(SimpleAssignor, a_partition_is_shared_so_that_every_member_has_one) {
  const Case given{.members = {{{kOne}, {}}, {{kOne}, {}}, {{kOne}, {}}, {{kOne}, {}}},
                   .assignable = {{kOne, {0, 1}}}};
  EXPECT_EQ(given.assign(),
            (Assignments{{{kOne, {0}}}, {{kOne, {0}}}, {{kOne, {1}}}, {{kOne, {1}}}}));
}

TEST(SimpleAssignor, an_odd_member_takes_a_second_partition_where_sharing_leaves_room) {
  const Case given{.members = {{{kOne}, {}}, {{kOne}, {}}, {{kOne}, {}}},
                   .assignable = {{kOne, {0, 1}}}};
  EXPECT_EQ(given.assign(), (Assignments{{{kOne, {0, 1}}}, {{kOne, {0}}}, {{kOne, {1}}}}));
}

TEST(SimpleAssignor, what_a_member_had_it_keeps) {
  const Case given{.members = {{{kOne}, {{kOne, {2, 3}}}}, {{kOne}, {{kOne, {0, 1}}}}},
                   .assignable = {{kOne, {0, 1, 2, 3}}}};
  EXPECT_EQ(given.assign(), (Assignments{{{kOne, {2, 3}}}, {{kOne, {0, 1}}}}));
}

TEST(SimpleAssignor, who_has_too_many_gives_some_to_a_new_member) {
  const Case given{.members = {{{kOne}, {{kOne, {0, 1, 2, 3}}}}, {{kOne}, {}}},
                   .assignable = {{kOne, {0, 1, 2, 3}}}};
  EXPECT_EQ(given.assign(), (Assignments{{{kOne, {2, 3}}}, {{kOne, {0, 1}}}}));
}

TEST(SimpleAssignor, only_what_is_initialised_is_assigned) {
  const Case given{.members = {{{kOne, kTwo}, {}}}, .assignable = {{kOne, {1, 3}}}};
  EXPECT_EQ(given.assign(), (Assignments{{{kOne, {1, 3}}}}));
}

TEST(SimpleAssignor, topics_that_nobody_subscribes_to_go) {
  const Case given{.members = {{{kTwo}, {{kOne, {0}}}}}, .assignable = {{kOne, {0}}, {kTwo, {0}}}};
  EXPECT_EQ(given.assign(), (Assignments{{{kTwo, {0}}}}));
  const Case none{.members = {{{}, {{kOne, {0}}}}}, .assignable = {{kOne, {0}}}};
  EXPECT_EQ(none.assign(), Assignments{{}});
}

TEST(SimpleAssignor, members_of_different_topics_share_each_topic_by_itself) {
  const Case given{
      .members = {{{kOne}, {}}, {{kOne, kTwo}, {{kTwo, {1}}}}, {{kTwo}, {{kOne, {0, 1}}}}},
      .assignable = {{kOne, {0, 1}}, {kTwo, {0, 1}}}};
  EXPECT_EQ(given.assign(),
            (Assignments{{{kOne, {0}}}, {{kOne, {1}}, {kTwo, {1}}}, {{kTwo, {0}}}}));
}

// Of one topic set: everything is assigned, to as many as it takes, and nobody has two more than
// another; who changes nothing changes nothing.
TEST(SimpleAssignor, homogeneous_groups_are_balanced_and_steady) {
  testing::Dice dice{7};
  for (int round = 0; round < 300; ++round) {
    Case given;
    const auto members = static_cast<size_t>(1 + dice.below(9));
    const auto partitions = static_cast<size_t>(1 + dice.below(9));
    for (size_t i = 0; i < partitions; ++i)
      given.assignable[i % 3 ? kOne : kTwo].push_back(static_cast<int32_t>(i));
    given.members.resize(members, {{kOne, kTwo}, {}});
    const auto first = given.assign();
    std::map<std::pair<Uuid, int32_t>, size_t> sharing;
    size_t least = SIZE_MAX, most = 0;
    for (const auto& assignment : first) {
      size_t count = 0;
      for (const auto& [topic_id, indexes] : assignment)
        for (const int32_t index : indexes) ++sharing[{topic_id, index}], ++count;
      least = std::min(least, count);
      most = std::max(most, count);
    }
    EXPECT_EQ(sharing.size(), partitions);
    for (const auto& [partition, count] : sharing)
      EXPECT_EQ(count, (members + partitions - 1) / partitions);
    EXPECT_LE(most - least, 1u) << members << " members, " << partitions << " partitions";
    for (size_t i = 0; i < members; ++i) given.members[i].before = first[i];
    EXPECT_EQ(given.assign(), first);
  }
}

}  // namespace
}  // namespace millrace::group
