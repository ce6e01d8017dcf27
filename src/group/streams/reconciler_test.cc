#include "group/streams/reconciler.h"

#include <gtest/gtest.h>

namespace millrace::group::streams {
namespace {

const std::string kProcess = "p";

struct Case {
  CurrentTasks current;
  TaskOwners owners;
  int32_t epoch = 0;
  Assignment target;
  std::optional<Assignment> owned;

  std::optional<CurrentTasks> next() {
    owners.add(current.assigned, kProcess);
    owners.add(current.revoking, kProcess);
    return reconcile({current, kProcess, owners, epoch, target, owned});
  }
};

TEST(Reconciler, a_new_member_gets_what_is_free_at_the_targets_epoch) {
  Case given{.epoch = 5, .target = {.active = {{"0", {0, 1}}}, .standby = {{"0", {2}}}}};
  const auto next = given.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->state, MemberState::kStable);
  EXPECT_EQ(next->member_epoch, 5);
  EXPECT_EQ(next->assigned.active, (EpochTasks{{"0", {{0, 5}, {1, 5}}}}));
  EXPECT_EQ(next->assigned.standby, (Tasks{{"0", {2}}}));
}

TEST(Reconciler, what_is_not_its_any_more_is_given_up_first) {
  Case given{.current = {.member_epoch = 5, .assigned = {.active = {{"0", {{0, 4}, {1, 5}}}}}},
             .epoch = 6,
             .target = {.active = {{"0", {1, 2}}}}};
  auto next = given.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->state, MemberState::kUnrevokedTasks);
  EXPECT_EQ(next->member_epoch, 5);
  EXPECT_EQ(next->assigned.active, (EpochTasks{{"0", {{1, 5}}}}));
  EXPECT_EQ(next->revoking.active, (EpochTasks{{"0", {{0, 4}}}}));

  Case silent{.current = *next, .epoch = 6, .target = given.target};
  EXPECT_EQ(silent.next(), *next);
  Case holding = silent;
  holding.owners = {};
  holding.owned = Assignment{.active = {{"0", {0, 1}}}};
  EXPECT_EQ(holding.next(), *next);
  Case done = silent;
  done.owners = {};
  done.owned = Assignment{.active = {{"0", {1}}}};
  next = done.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->state, MemberState::kStable);
  EXPECT_EQ(next->member_epoch, 6);
  EXPECT_EQ(next->previous_epoch, 5);
  EXPECT_EQ(next->assigned.active, (EpochTasks{{"0", {{1, 5}, {2, 6}}}}));
  EXPECT_TRUE(next->revoking.is_empty());
}

TEST(Reconciler, what_it_says_that_it_has_not_need_not_be_given_up) {
  Case given{.current = {.member_epoch = 5, .assigned = {.active = {{"0", {{0, 5}}}}}},
             .epoch = 6,
             .owned = Assignment{}};
  const auto next = given.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->state, MemberState::kStable);
  EXPECT_EQ(next->member_epoch, 6);
}

TEST(Reconciler, an_active_task_waits_for_whoever_has_it) {
  Case given{.epoch = 3, .target = {.active = {{"0", {0, 1}}}}};
  given.owners.add({.active = {{"0", {{0, 2}}}}}, "another");
  const auto next = given.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->state, MemberState::kUnreleasedTasks);
  EXPECT_EQ(next->member_epoch, 3);
  EXPECT_EQ(next->assigned.active, (EpochTasks{{"0", {{1, 3}}}}));
  Case later{.current = *next, .epoch = 3, .target = given.target};
  const auto then = later.next();
  ASSERT_TRUE(then);
  EXPECT_EQ(then->state, MemberState::kStable);
  EXPECT_EQ(then->assigned.active, (EpochTasks{{"0", {{0, 3}, {1, 3}}}}));
}

TEST(Reconciler, a_process_has_a_task_in_one_kind_only) {
  Case given{.epoch = 3, .target = {.active = {{"0", {0}}}, .standby = {{"0", {1}}}}};
  given.owners.add({.active = {{"0", {{1, 2}}}}, .standby = {{"0", {0}}}}, kProcess);
  const auto next = given.next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->state, MemberState::kUnreleasedTasks);
  EXPECT_TRUE(next->assigned.is_empty());
  // Elsewhere a standby is nobody's hindrance.
  Case other{.epoch = 3, .target = {.active = {{"0", {0}}}, .standby = {{"0", {1}}}}};
  other.owners.add({.active = {{"0", {{1, 2}}}}, .standby = {{"0", {0}}}}, "another");
  EXPECT_EQ(other.next()->state, MemberState::kStable);
}

TEST(Reconciler, a_member_in_a_state_of_a_later_version_begins_anew) {
  Case given{.current = {.member_epoch = 5, .state = MemberState::kUnknown}, .epoch = 6};
  EXPECT_FALSE(given.next());
  given.owned = Assignment{.active = {{"0", {0}}}};
  EXPECT_FALSE(given.next());
  given.owned = Assignment{};
  ASSERT_TRUE(given.next());
  EXPECT_EQ(given.next()->member_epoch, 6);
  EXPECT_EQ(member_state_of(9), MemberState::kUnknown);
  EXPECT_EQ(member_state_of(3), MemberState::kUnreleasedTasks);
}

}  // namespace
}  // namespace millrace::group::streams
