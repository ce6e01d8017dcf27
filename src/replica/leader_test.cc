// The leader's rules one by one. Leader and followers under chaos: replication_test.cc.
#include "replica/leader.h"

#include <gtest/gtest.h>

#include "replica/testing/brokers.h"

namespace millrace::replica {
namespace {

using wire::ErrorCode;

constexpr NodeId kSelf{1}, kSecond{2}, kThird{3};
constexpr Duration kLag = seconds(30);

std::vector<NodeId> ids_of(const IsrChange& change) {
  std::vector<NodeId> ids;
  for (const auto& member : change.isr) ids.push_back(member.id);
  return ids;
}

class LeaderTest : public ::testing::Test {
 protected:
  LeaderTest() {
    for (NodeId id : {kSelf, kSecond, kThird}) {
      brokers_.add(id, id == kThird ? "b" : "a");
      brokers_.unfence(id);
    }
  }
  metadata::PartitionState state(std::vector<NodeId> isr, int32_t partition_epoch = 1) {
    return {.replicas = {kSelf, kSecond, kThird},
            .isr = std::move(isr),
            .leader = kSelf,
            .leader_epoch = LeaderEpoch(5),
            .partition_epoch = PartitionEpoch(partition_epoch)};
  }
  void lead(std::vector<NodeId> isr, int32_t min_isr = 1) {
    lead(state(std::move(isr)), {}, min_isr);
  }
  void lead(const metadata::PartitionState& state, const LeaderLog& log, int32_t min_isr = 1) {
    leader_.emplace(LeaderOptions{.self = kSelf, .lag_max = kLag, .min_insync_replicas = min_isr},
                    state, log, now_);
    end_ = log.log_end;
  }
  void append(int64_t end) {
    end_ = Offset(end);
    leader_->on_durable(end_);
  }
  ErrorCode fetch(NodeId id, int64_t offset) { return fetch(id, offset, brokers_.epoch(id)); }
  ErrorCode fetch(NodeId id, int64_t offset, BrokerEpoch epoch) {
    auto code = leader_->on_fetch({.replica = id,
                                   .broker_epoch = epoch,
                                   .fetch_offset = Offset(offset),
                                   .log_start = Offset(0)},
                                  end_, brokers_.image(), now_);
    leader_->check_invariants();
    return code;
  }
  void tick(Duration later) {
    now_ = now_ + later;
    leader_->on_tick(end_, brokers_.image(), now_);
    leader_->check_invariants();
  }
  int64_t hw() const { return leader_->high_watermark().value(); }
  void answer(ErrorCode error) {
    leader_->on_answer(leader_->partition_epoch(), {.error = error});
    leader_->check_invariants();
  }
  void accept(std::vector<NodeId> isr) {
    leader_->on_answer(leader_->partition_epoch(),
                       {.leader_epoch = LeaderEpoch(5),
                        .partition_epoch = leader_->partition_epoch() + 1,
                        .isr = std::move(isr)});
    leader_->check_invariants();
  }

  replica::testing::Brokers brokers_;
  std::optional<Leader> leader_;
  Instant now_{seconds(100)};
  Offset end_;
};

TEST_F(LeaderTest, alone_in_the_isr_commits_what_is_durable) {
  lead({kSelf});
  append(10);
  EXPECT_EQ(hw(), 10);
}

TEST_F(LeaderTest, waits_for_every_replica_in_the_isr) {
  lead({kSelf, kSecond, kThird});
  append(10);
  EXPECT_EQ(hw(), 0);
  fetch(kSecond, 10);
  EXPECT_EQ(hw(), 0) << "the third has not fetched in this epoch";
  fetch(kThird, 7);
  EXPECT_EQ(hw(), 7);
}

TEST_F(LeaderTest, knows_a_follower_that_asks_again_for_what_it_could_have_had) {
  lead({kSelf, kSecond});
  append(10);
  EXPECT_FALSE(leader_->asks_again(kSecond, Offset(5))) << "it has not asked before";
  fetch(kSecond, 5);
  EXPECT_FALSE(leader_->asks_again(kSecond, Offset(5))) << "it was not answered";
  leader_->gave(kSecond);
  EXPECT_TRUE(leader_->asks_again(kSecond, Offset(5)));
  EXPECT_FALSE(leader_->asks_again(kSecond, Offset(10)));
  fetch(kSecond, 10);
  EXPECT_FALSE(leader_->asks_again(kSecond, Offset(10))) << "there was nothing";
}

TEST_F(LeaderTest, who_cannot_take_what_it_is_given_leaves_the_isr_before_its_lag_says_so) {
  lead({kSelf, kSecond, kThird});
  append(10);
  auto ask = [&](NodeId id, int64_t offset) {
    fetch(id, offset);
    leader_->gave(id);
  };
  for (int64_t i = 0; i < 5; ++i) {
    ask(kSecond, 5);
    ask(kThird, i);  // slow, but it gets on
    tick(seconds(1));
    EXPECT_EQ(leader_->has_change(), i == 3);
    if (auto change = leader_->take_change()) {
      EXPECT_EQ(ids_of(*change), (std::vector{kSelf, kThird}));
      accept({kSelf, kThird});
    }
  }
  fetch(kThird, 10);
  EXPECT_EQ(hw(), 10);
  fetch(kSecond, 10);
  EXPECT_TRUE(leader_->has_change()) << "there is room again";
}

TEST_F(LeaderTest, who_asked_twice_and_then_got_on_stays) {
  lead({kSelf, kSecond});
  append(10);
  for (int64_t offset : {5, 5, 6, 6, 7, 7}) {
    fetch(kSecond, offset);
    leader_->gave(kSecond);
    tick(seconds(1));
    EXPECT_FALSE(leader_->has_change()) << offset;
  }
}

TEST_F(LeaderTest, its_own_end_counts_when_it_is_durable) {
  lead({kSelf, kSecond});
  end_ = Offset(10);
  fetch(kSecond, 10);
  EXPECT_EQ(hw(), 0);
  leader_->on_durable(Offset(10));
  EXPECT_EQ(hw(), 10);
}

TEST_F(LeaderTest, the_high_watermark_stands_still_below_min_isr) {  // KIP-966
  lead({kSelf}, /*min_isr=*/2);
  append(10);
  EXPECT_EQ(hw(), 0);
  EXPECT_FALSE(leader_->has_min_isr());
  fetch(kSecond, 10);
  EXPECT_EQ(hw(), 0) << "asked for is not committed";
  accept({kSelf, kSecond});
  EXPECT_EQ(hw(), 10);
}

TEST_F(LeaderTest, min_isr_is_at_most_the_replication_factor) {
  auto single = state({kSelf});
  single.replicas = {kSelf};
  lead(single, {}, /*min_isr=*/2);
  append(10);
  EXPECT_EQ(hw(), 10);
}

TEST_F(LeaderTest, the_high_watermark_does_not_fall_with_a_fetch_from_before) {
  lead({kSelf, kSecond});
  append(10);
  fetch(kSecond, 10);
  fetch(kSecond, 4);
  EXPECT_EQ(hw(), 10);
}

TEST_F(LeaderTest, a_follower_that_caught_up_is_proposed_with_the_epoch_that_it_fetched_under) {
  lead({kSelf});
  append(10);
  fetch(kSecond, 9);
  EXPECT_FALSE(leader_->has_change());
  fetch(kSecond, 10);
  auto change = leader_->take_change();
  ASSERT_TRUE(change);
  EXPECT_EQ(ids_of(*change), (std::vector{kSelf, kSecond}));
  EXPECT_EQ(change->isr[1].epoch, brokers_.epoch(kSecond));
  EXPECT_EQ(change->partition_epoch, PartitionEpoch(1));
  EXPECT_FALSE(leader_->take_change()) << "one at a time";
}

TEST_F(LeaderTest, a_replica_that_may_be_in_the_isr_counts) {  // KIP-497
  lead({kSelf});
  append(10);
  fetch(kSecond, 10);
  append(20);
  EXPECT_EQ(hw(), 10) << "the controller may have taken it in";
  fetch(kSecond, 20);
  EXPECT_EQ(hw(), 20);
}

TEST_F(LeaderTest, a_follower_behind_the_epoch_start_does_not_join) {  // KAFKA-7128
  lead(state({kSelf}),
       {.high_watermark = Offset(4), .durable_end = Offset(4), .log_end = Offset(10)},
       /*min_isr=*/2);
  fetch(kSecond, 6);
  EXPECT_FALSE(leader_->has_change());
  fetch(kSecond, 10);
  EXPECT_TRUE(leader_->has_change());
}

TEST_F(LeaderTest, a_fenced_broker_does_not_join) {  // KIP-841
  lead({kSelf});
  brokers_.fence(kSecond);
  fetch(kSecond, 0);
  EXPECT_FALSE(leader_->has_change());
  brokers_.shut_down(kThird);
  fetch(kThird, 0);
  EXPECT_FALSE(leader_->has_change());
}

TEST_F(LeaderTest, a_fetch_from_before_the_brokers_restart_is_refused) {  // KIP-903
  lead({kSelf});
  const BrokerEpoch before = brokers_.epoch(kSecond);
  brokers_.add(kSecond);
  brokers_.unfence(kSecond);
  EXPECT_EQ(fetch(kSecond, 0, before), ErrorCode::kNotLeaderOrFollower);
  EXPECT_FALSE(leader_->has_change());
  EXPECT_EQ(fetch(kSecond, 0, brokers_.epoch(kSecond) + 1), ErrorCode::kNone);
  EXPECT_FALSE(leader_->has_change()) << "registered anew, and we have not heard of it";
  EXPECT_EQ(fetch(kSecond, 0, BrokerEpoch(-1)), ErrorCode::kNone);
  EXPECT_TRUE(leader_->has_change()) << "a version that cannot say";
}

TEST_F(LeaderTest, who_is_no_replica_is_not_known) {
  lead({kSelf});
  brokers_.add(NodeId(9));
  EXPECT_EQ(fetch(NodeId(9), 0), ErrorCode::kUnknownLeaderEpoch);
}

TEST_F(LeaderTest, who_does_not_keep_up_is_taken_out_and_counts_until_the_controller_says_so) {
  lead({kSelf, kSecond, kThird});
  append(10);
  fetch(kThird, 10);
  tick(kLag - seconds(1));
  fetch(kThird, 10);
  EXPECT_FALSE(leader_->has_change());
  tick(seconds(2));
  auto change = leader_->take_change();
  ASSERT_TRUE(change);
  EXPECT_EQ(ids_of(*change), (std::vector{kSelf, kThird}));
  EXPECT_EQ(hw(), 0);
  accept({kSelf, kThird});
  EXPECT_EQ(hw(), 10) << "without another append (KAFKA-13091)";
}

TEST_F(LeaderTest, a_follower_that_is_always_one_fetch_behind_keeps_up) {
  lead({kSelf, kSecond});
  for (int i = 1; i < 10; ++i) {
    append(i * 10);
    fetch(kSecond, (i - 1) * 10);
    tick(kLag / 2);
  }
  EXPECT_FALSE(leader_->has_change());
}

TEST_F(LeaderTest, an_ineligible_replica_is_given_up) {
  lead({kSelf});
  fetch(kSecond, 0);
  ASSERT_TRUE(leader_->take_change());
  answer(ErrorCode::kIneligibleReplica);
  EXPECT_FALSE(leader_->has_change());
  append(5);
  fetch(kSecond, 5);
  EXPECT_TRUE(leader_->has_change()) << "it may try again";
}

TEST_F(LeaderTest, a_change_that_failed_on_its_way_is_asked_for_again) {
  lead({kSelf});
  fetch(kSecond, 0);
  const auto first = leader_->take_change();
  answer(ErrorCode::kNotController);
  const auto second = leader_->take_change();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->isr, second->isr);
}

TEST_F(LeaderTest, with_another_partition_epoch_the_metadata_decide) {
  lead({kSelf});
  fetch(kSecond, 0);
  ASSERT_TRUE(leader_->take_change());
  answer(ErrorCode::kInvalidUpdateVersion);
  EXPECT_FALSE(leader_->has_change());
  append(10);
  EXPECT_EQ(hw(), 0) << "it may be in the ISR: both count";
  leader_->on_metadata(state({kSelf}, 2), now_);
  EXPECT_EQ(leader_->partition_epoch(), PartitionEpoch(2));
  EXPECT_EQ(leader_->isr(), std::vector{kSelf});
}

TEST_F(LeaderTest, an_answer_to_what_the_metadata_overtook_is_ignored) {
  lead({kSelf});
  fetch(kSecond, 0);
  ASSERT_TRUE(leader_->take_change());
  leader_->on_metadata(state({kSelf, kSecond}, 2), now_);
  fetch(kThird, 0);
  ASSERT_TRUE(leader_->take_change());
  leader_->on_answer(PartitionEpoch(1), {.error = ErrorCode::kIneligibleReplica});
  append(10);
  fetch(kSecond, 10);
  EXPECT_EQ(hw(), 0) << "the third still counts";
}

TEST_F(LeaderTest, metadata_from_before_change_nothing) {
  lead({kSelf});
  fetch(kSecond, 0);
  ASSERT_TRUE(leader_->take_change());
  accept({kSelf, kSecond});
  leader_->on_metadata(state({kSelf}, 1), now_);
  EXPECT_EQ(leader_->isr(), (std::vector{kSelf, kSecond}));
}

TEST_F(LeaderTest, tells_the_controller_that_it_has_recovered) {
  auto unclean = state({kSelf});
  unclean.recovery_state = 1;
  lead(unclean, {});
  auto change = leader_->take_change();
  ASSERT_TRUE(change);
  EXPECT_EQ(ids_of(*change), std::vector{kSelf});
  accept({kSelf});
  tick(seconds(1));
  EXPECT_FALSE(leader_->has_change());
}

TEST_F(LeaderTest, the_low_watermark_is_that_of_the_living) {
  lead({kSelf, kSecond, kThird});
  fetch(kSecond, 0);
  EXPECT_EQ(leader_->low_watermark(Offset(8), brokers_.image()), Offset(-1));
  brokers_.fence(kThird);
  EXPECT_EQ(leader_->low_watermark(Offset(8), brokers_.image()), Offset(0));
}

TEST_F(LeaderTest, sends_a_reader_to_the_replica_in_its_rack) {  // KIP-392
  lead({kSelf, kSecond, kThird});
  append(10);
  fetch(kSecond, 10);
  fetch(kThird, 5);
  const auto& image = brokers_.image();
  EXPECT_EQ(leader_->read_replica("b", Offset(3), image), kThird);
  EXPECT_FALSE(leader_->read_replica("b", Offset(6), image)) << "it does not have it yet";
  EXPECT_FALSE(leader_->read_replica("a", Offset(3), image)) << "here it is";
  EXPECT_FALSE(leader_->read_replica("c", Offset(3), image));
  EXPECT_FALSE(leader_->read_replica("", Offset(3), image));
  brokers_.fence(kThird);
  EXPECT_FALSE(leader_->read_replica("b", Offset(3), image));
}

}  // namespace
}  // namespace millrace::replica
