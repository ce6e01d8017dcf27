// KIP-631's broker lifecycle and what it does to partitions (KIP-966).
#include <gtest/gtest.h>

#include "controller/testing/cluster.h"
#include "wire/errors.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

class BrokersTest : public testing::ClusterTest {
 protected:
  ErrorCode code_of(const wire::BrokerRegistrationRequest& request) {
    return static_cast<ErrorCode>(register_broker(request).error_code);
  }
  void expire_sessions() {
    // One sweep at a time, as often as the host does.
    for (int i = 0; i < 20; ++i) {
      now_ = now_ + seconds(1);
      commit(controller_.decide_expired_sessions(now_));
    }
  }
};

TEST_F(BrokersTest, a_registration_is_fenced_and_its_epoch_is_its_offset) {
  const Offset at = next_;
  const auto response = register_broker(registration(2));
  EXPECT_EQ(response.broker_epoch, at.value());
  EXPECT_TRUE(broker(2).fenced);
  EXPECT_EQ(broker(2).epoch.value(), at.value());
}

TEST_F(BrokersTest, a_broker_that_is_gone_is_fenced_unless_it_spoke_since) {
  register_broker(registration(2));
  heartbeat({.broker_id = 2});
  const BrokerEpoch epoch = broker(2).epoch;
  commit(controller_.decide_gone_broker(NodeId(2), epoch, now_ - milliseconds(1)));
  EXPECT_FALSE(broker(2).fenced);
  commit(controller_.decide_gone_broker(NodeId(2), BrokerEpoch(epoch.value() - 1), now_));
  EXPECT_FALSE(broker(2).fenced);
  commit(controller_.decide_gone_broker(NodeId(2), epoch, now_));
  EXPECT_TRUE(broker(2).fenced);
}

TEST_F(BrokersTest, a_heartbeat_unfences_once_it_has_seen_the_registration) {
  register_broker(registration(2));
  auto response = heartbeat({.broker_id = 2}, /*behind=*/1);
  EXPECT_TRUE(response.is_fenced);
  EXPECT_FALSE(response.is_caught_up);
  response = heartbeat({.broker_id = 2});
  EXPECT_FALSE(response.is_fenced);
  EXPECT_TRUE(response.is_caught_up);
  EXPECT_FALSE(broker(2).fenced);
}

TEST_F(BrokersTest, a_heartbeat_of_a_stranger_or_of_an_old_epoch_is_refused) {
  EXPECT_EQ(heartbeat({.broker_id = 9}).error_code, wire::code_of(ErrorCode::kStaleBrokerEpoch));
  EXPECT_EQ(heartbeat({.broker_id = 1, .broker_epoch = 0}).error_code,
            wire::code_of(ErrorCode::kStaleBrokerEpoch));
}

TEST_F(BrokersTest, another_process_waits_for_the_session_unless_it_has_the_same_directories) {
  auto other = registration(1, /*incarnation=*/2);
  other.log_dirs = {Uuid::of_words({9, 77})};
  EXPECT_EQ(code_of(other), ErrorCode::kDuplicateBrokerRegistration);
  EXPECT_EQ(code_of(registration(1, /*incarnation=*/2)), ErrorCode::kNone);
  expire_sessions();
  EXPECT_EQ(code_of(other), ErrorCode::kNone);
}

TEST_F(BrokersTest, the_same_process_registers_again_under_its_epoch) {
  const BrokerEpoch epoch = broker(1).epoch;
  EXPECT_EQ(register_broker(registration(1)).broker_epoch, epoch.value());
  EXPECT_FALSE(broker(1).fenced);
}

TEST_F(BrokersTest, what_cannot_be_registered_is_refused_for_its_own_reason) {
  auto request = registration(2);
  request.cluster_id = "other";
  EXPECT_EQ(code_of(request), ErrorCode::kInconsistentClusterId);
  request = registration(2);
  request.features[0].max_supported_version = 29;  // below the level finalised
  EXPECT_EQ(code_of(request), ErrorCode::kUnsupportedVersion);
  request = registration(2);
  request.features.pop_back();  // one that is finalised
  EXPECT_EQ(code_of(request), ErrorCode::kUnsupportedVersion);
  request.features.clear();
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidRegistration);
  request = registration(2);
  request.log_dirs.clear();
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidRegistration);
  request.log_dirs = {Uuid::of_words({0, 1})};
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidRegistration);
  request.log_dirs = {Uuid::of_words({9, 2}), Uuid::of_words({9, 2})};
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidRegistration);
  request.log_dirs = {Uuid::of_words({9, 1})};  // broker 1's
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidRegistration);
  EXPECT_EQ(controller_.image().find_broker(NodeId(2)), nullptr);
}

TEST_F(BrokersTest, a_silent_broker_is_fenced_when_its_session_is_over) {
  add_broker(2);
  for (int second = 1; second <= 9; ++second) {
    now_ = now_ + seconds(1);
    heartbeat({.broker_id = 1});
    commit(controller_.decide_expired_sessions(now_));
    EXPECT_EQ(broker(2).fenced, second == 9) << second;
  }
  EXPECT_FALSE(broker(1).fenced);
  heartbeat({.broker_id = 2});
  EXPECT_FALSE(broker(2).fenced);
}

TEST_F(BrokersTest, a_controller_that_stood_still_fences_nobody) {
  now_ = now_ + seconds(30);
  EXPECT_TRUE(controller_.decide_expired_sessions(now_).empty());
  EXPECT_FALSE(broker(1).fenced);
}

TEST_F(BrokersTest, a_fenced_leader_is_replaced_by_the_next_replica_in_the_isr) {
  add_broker(2);
  create_topic({1, 2});
  ASSERT_EQ(partition().leader, NodeId(1));
  heartbeat({.broker_id = 1, .want_fence = true});
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
  EXPECT_TRUE(partition().elr.empty());  // min.insync.replicas is met
}

TEST_F(BrokersTest, a_replica_stays_eligible_where_the_isr_falls_below_its_minimum) {
  add_broker(2);
  create_topic({1, 2}, "2");
  heartbeat({.broker_id = 1, .want_fence = true});
  EXPECT_EQ(partition().isr, ids({2}));
  EXPECT_EQ(partition().elr, ids({1}));
}

// As Apache Kafka 4.3.1 wrote it for a single broker that stopped: isr [], leader -1, elr [1],
// lastKnownElr [1]; and when it came back.
TEST_F(BrokersTest, the_last_replica_gives_everything_up_and_gets_it_back) {
  create_topic({1});
  const LeaderEpoch epoch = partition().leader_epoch;
  auto response = heartbeat({.broker_id = 1, .want_shut_down = true});
  EXPECT_FALSE(response.should_shut_down);
  EXPECT_TRUE(broker(1).in_controlled_shutdown);
  EXPECT_TRUE(partition().isr.empty());
  EXPECT_EQ(partition().leader, kNoNode);
  EXPECT_EQ(partition().elr, ids({1}));
  EXPECT_EQ(partition().last_known_elr, ids({1}));
  response = heartbeat({.broker_id = 1, .want_shut_down = true});
  EXPECT_TRUE(response.should_shut_down);
  EXPECT_TRUE(broker(1).fenced);

  auto back = registration(1, /*incarnation=*/2);
  back.previous_broker_epoch = broker(1).epoch.value();
  register_broker(back);
  EXPECT_EQ(partition().elr, ids({1}));
  heartbeat({.broker_id = 1});
  EXPECT_EQ(partition().leader, NodeId(1));
  EXPECT_EQ(partition().isr, ids({1}));
  EXPECT_TRUE(partition().elr.empty());
  EXPECT_TRUE(partition().last_known_elr.empty());
  EXPECT_EQ(partition().leader_epoch, epoch + 2);
}

TEST_F(BrokersTest, one_that_did_not_stop_cleanly_is_eligible_no_more_but_the_last_known_leader) {
  create_topic({1});
  register_broker(registration(1, /*incarnation=*/2));
  EXPECT_TRUE(partition().isr.empty());
  EXPECT_TRUE(partition().elr.empty());
  EXPECT_EQ(partition().last_known_elr, ids({1}));
  heartbeat({.broker_id = 1});
  EXPECT_EQ(partition().leader, NodeId(1));
  EXPECT_EQ(partition().isr, ids({1}));
}

// All lost their power; what they say of it is that nothing acknowledged was lost.
TEST_F(BrokersTest, who_lost_nothing_stays_eligible_and_an_empty_one_does_not) {
  for (int32_t id : {2, 3}) add_broker(id);
  create_topic({3, 1, 2}, "2");
  for (int32_t id : {1, 2}) {
    auto back = registration(id, /*incarnation=*/2);
    back.previous_broker_epoch = broker(id).epoch.value();
    register_broker(back);
  }
  EXPECT_EQ(partition().isr, ids({3}));
  EXPECT_EQ(partition().elr, ids({2}));
  now_ = now_ + seconds(20);  // one with other directories waits for the session's end
  auto wiped = registration(3, /*incarnation=*/2);
  wiped.log_dirs = {Uuid::of_words({9, 33})};
  ASSERT_EQ(register_broker(wiped).error_code, 0);
  for (int32_t id : {3, 1}) heartbeat({.broker_id = id});
  EXPECT_EQ(partition().leader, kNoNode);
  heartbeat({.broker_id = 2});
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
}

TEST_F(BrokersTest, a_controlled_shutdown_ends_when_all_others_know_the_new_leaders) {
  add_broker(2);
  create_topic({1, 2});
  heartbeat({.broker_id = 2});
  EXPECT_FALSE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_FALSE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
  commit({wire::NoOpRecord{}});
  heartbeat({.broker_id = 2});
  EXPECT_TRUE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
}

TEST_F(BrokersTest, brokers_that_are_gone_together_are_not_elected_for_each_other) {
  for (int32_t id : {2, 3}) add_broker(id);
  create_topic({1, 2, 3});
  for (int second = 1; second <= 9; ++second) {
    now_ = now_ + seconds(1);
    heartbeat({.broker_id = 3});
    commit(controller_.decide_periodic(now_));
  }
  EXPECT_TRUE(broker(1).fenced);
  EXPECT_TRUE(broker(2).fenced);
  EXPECT_EQ(partition().leader, NodeId(3));
  EXPECT_EQ(partition().isr, ids({3}));
}

TEST_F(BrokersTest, an_unregistered_broker_leaves_its_partitions_and_is_unknown) {
  add_broker(2);
  create_topic({1, 2}, "2");
  auto decided = controller_.decide_unregister_broker({.broker_id = 1});
  EXPECT_EQ(decided.response.error_code, 0);
  EXPECT_EQ(decided.response.error_message, std::nullopt);
  commit(decided.records);
  EXPECT_EQ(controller_.image().find_broker(NodeId(1)), nullptr);
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
  EXPECT_EQ(partition().elr, ids({1}));
  decided = controller_.decide_unregister_broker({.broker_id = 1});
  EXPECT_EQ(decided.response.error_code, wire::code_of(ErrorCode::kBrokerIdNotRegistered));
  EXPECT_TRUE(decided.records.empty());
  // Whoever comes under its name is not known to have what it had.
  EXPECT_EQ(code_of(registration(1)), ErrorCode::kNone);
  EXPECT_TRUE(partition().elr.empty());
}

TEST_F(BrokersTest, a_clean_stop_keeps_a_broker_eligible_and_an_unclean_one_does_not) {
  for (int32_t id : {2, 3}) add_broker(id);
  create_topic({1, 2, 3}, "3");
  auto back = registration(2, /*incarnation=*/2);
  back.previous_broker_epoch = broker(2).epoch.value();
  EXPECT_EQ(code_of(back), ErrorCode::kNone);
  EXPECT_EQ(code_of(registration(3, /*incarnation=*/2)), ErrorCode::kNone);
  EXPECT_EQ(partition().isr, ids({1}));
  EXPECT_EQ(partition().elr, ids({2}));
}

TEST_F(BrokersTest, others_take_over_before_a_broker_shuts_down) {
  for (int32_t id : {2, 3}) add_broker(id);
  create_topic({1, 2, 3});
  for (int32_t id : {2, 3}) heartbeat({.broker_id = id});
  EXPECT_FALSE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
  EXPECT_EQ(partition().leader, NodeId(2));
  heartbeat({.broker_id = 2});
  EXPECT_FALSE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
  heartbeat({.broker_id = 3});
  EXPECT_TRUE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
}

TEST_F(BrokersTest, a_shutdown_goes_on_under_the_next_controller) {
  for (int32_t id : {2, 3}) add_broker(id);
  create_topic({1, 2, 3});
  heartbeat({.broker_id = 1, .want_shut_down = true});
  activate();
  EXPECT_FALSE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
  for (int32_t id : {2, 3}) heartbeat({.broker_id = id});
  EXPECT_TRUE(heartbeat({.broker_id = 1, .want_shut_down = true}).should_shut_down);
}

TEST_F(BrokersTest, under_the_next_controller_every_broker_has_a_whole_session) {
  add_broker(2);
  now_ = now_ + seconds(60);
  activate();
  for (int second = 1; second <= 8; ++second) {
    now_ = now_ + seconds(1);
    EXPECT_TRUE(controller_.decide_periodic(now_).empty());
  }
  now_ = now_ + seconds(1);
  commit(controller_.decide_periodic(now_));
  EXPECT_TRUE(broker(2).fenced);
}

TEST_F(BrokersTest, the_same_process_stays_on_its_way_out) {
  add_broker(2);
  create_topic({1, 2});
  heartbeat({.broker_id = 1, .want_shut_down = true});
  ASSERT_TRUE(broker(1).in_controlled_shutdown);
  EXPECT_EQ(code_of(registration(1)), ErrorCode::kNone);
  EXPECT_TRUE(broker(1).in_controlled_shutdown);
}

TEST_F(BrokersTest, new_replicas_go_where_a_directory_is_not_cordoned) {
  add_broker(2);
  heartbeat({.broker_id = 2, .cordoned_log_dirs = broker(2).log_dirs});
  wire::CreateTopicsRequest request;
  request.topics = {{.name = "u", .num_partitions = 1, .replication_factor = 2}};
  EXPECT_EQ(controller_.decide_create_topics(request).response.topics[0].error_code,
            wire::code_of(ErrorCode::kInvalidReplicationFactor));
  heartbeat({.broker_id = 2, .cordoned_log_dirs = std::vector<Uuid>{}});
  EXPECT_EQ(controller_.decide_create_topics(request).response.topics[0].error_code, 0);
}

TEST_F(BrokersTest, a_controller_is_registered_with_its_listeners) {
  wire::ControllerRegistrationRequest request{.controller_id = 3};
  for (const auto& feature : registration(3).features)
    request.features.push_back({.name = feature.name,
                                .min_supported_version = feature.min_supported_version,
                                .max_supported_version = feature.max_supported_version});
  request.listeners.push_back({.name = "CONTROLLER", .host = "host", .port = 9093});
  commit(controller_.decide_controller_registration(request).records);
  const auto& known = controller_.image().controllers().at(NodeId(3));
  EXPECT_EQ(known.end_points[0].port, 9093);
  request.features.clear();
  EXPECT_EQ(controller_.decide_controller_registration(request).response.error_code,
            wire::code_of(ErrorCode::kUnsupportedVersion));
}

}  // namespace
}  // namespace millrace::controller
