// kafka.md 2.2: what a client of one listener is told of leaders and replicas.
#include "server/broker_view.h"

#include <gtest/gtest.h>

#include "metadata/directory_id.h"

namespace millrace::server {
namespace {

using wire::ErrorCode;

const Uuid kDirectory = Uuid::of_words({5, 5});

class BrokerViewTest : public ::testing::Test {
 protected:
  void add_broker(int32_t id, const std::string& listener, bool fenced = false) {
    wire::RegisterBrokerRecord record{.broker_id = id, .fenced = fenced};
    record.incarnation_id = Uuid::of_words({1, static_cast<uint64_t>(id)});
    record.end_points = {{.name = listener, .host = "h", .port = 9092}};
    record.log_dirs = {kDirectory};
    ASSERT_TRUE(image_.apply(record, image_.last_offset() + 1).has_value());
  }
  static metadata::PartitionState led_by(int32_t leader, std::vector<NodeId> replicas) {
    metadata::PartitionState state{.replicas = std::move(replicas), .leader = NodeId(leader)};
    state.directories.assign(state.replicas.size(), metadata::kUnassignedDirectory);
    return state;
  }

  metadata::Image image_;
  const std::string listener_ = "PLAINTEXT";
};

TEST_F(BrokerViewTest, a_leader_is_told_only_where_it_can_be_reached) {
  add_broker(1, "PLAINTEXT");
  add_broker(2, "INTERNAL");
  const BrokerView view(image_, listener_);
  EXPECT_EQ(view.leader_error(led_by(1, {NodeId(1)})), ErrorCode::kNone);
  EXPECT_EQ(view.leader_error(led_by(2, {NodeId(2)})), ErrorCode::kListenerNotFound);
  EXPECT_EQ(view.leader_error(led_by(-1, {NodeId(1)})), ErrorCode::kLeaderNotAvailable);
  EXPECT_EQ(view.leader_error(led_by(9, {NodeId(9)})), ErrorCode::kLeaderNotAvailable);
}

TEST_F(BrokerViewTest, offline_are_the_fenced_the_unknown_and_those_out_of_reach) {
  add_broker(1, "PLAINTEXT");
  add_broker(2, "PLAINTEXT", /*fenced=*/true);
  add_broker(3, "INTERNAL");
  const BrokerView view(image_, listener_);
  EXPECT_EQ(view.offline_replicas(led_by(1, {NodeId(4), NodeId(1), NodeId(3), NodeId(2)})),
            (std::vector<int32_t>{4, 3, 2}));
}

TEST_F(BrokerViewTest, a_replica_in_a_directory_that_failed_is_offline) {
  add_broker(1, "PLAINTEXT");
  const BrokerView view(image_, listener_);
  auto state = led_by(1, {NodeId(1)});
  state.directories = {kDirectory};
  EXPECT_TRUE(view.offline_replicas(state).empty());
  state.directories = {Uuid::of_words({6, 6})};
  EXPECT_EQ(view.offline_replicas(state), std::vector<int32_t>{1});
  state.directories = {metadata::kLostDirectory};
  EXPECT_EQ(view.offline_replicas(state), std::vector<int32_t>{1});
}

TEST_F(BrokerViewTest, clients_take_a_broker_that_lives_for_the_controller) {
  EXPECT_EQ(BrokerView(image_, listener_).some_alive_broker(7), -1);
  add_broker(1, "PLAINTEXT", /*fenced=*/true);
  add_broker(2, "PLAINTEXT");
  for (uint64_t random = 0; random < 4; ++random)
    EXPECT_EQ(BrokerView(image_, listener_).some_alive_broker(random), 2);
}

}  // namespace
}  // namespace millrace::server
