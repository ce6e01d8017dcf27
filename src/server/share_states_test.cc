// The APIs of share coordinators through the dispatcher of a whole broker in memory.
#include <gtest/gtest.h>

#include "node/share_states.h"
#include "server/testing/broker.h"
#include "share/coordinator_key.h"
#include "wire/create_topics.h"
#include "wire/delete_share_group_state.h"
#include "wire/delete_topics.h"
#include "wire/find_coordinator.h"
#include "wire/initialize_share_group_state.h"
#include "wire/metadata.h"
#include "wire/read_share_group_state.h"
#include "wire/read_share_group_state_summary.h"
#include "wire/write_share_group_state.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;

const config::Values kOnePartition = {
    {"share.coordinator.state.topic.num.partitions", "1"},
    {"share.coordinator.state.topic.replication.factor", "1"},
    {"share.coordinator.state.topic.min.isr", "1"},
    {"share.coordinator.snapshot.update.records.per.snapshot", "2"}};

class ShareStatesTest : public ::testing::Test {
 protected:
  ShareStatesTest() {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = "t", .num_partitions = 2, .replication_factor = 1}};
    topic_ = client_.ask<wire::CreateTopicsResponse>(request).topics.at(0).topic_id;
  }

  std::string key(int32_t partition = 0) const {
    return share::coordinator_key({"g", topic_, PartitionIndex(partition)});
  }
  wire::FindCoordinatorResponse::Coordinator find(const std::string& key, int16_t version = 6) {
    wire::FindCoordinatorRequest request{.key_type = 2};
    request.coordinator_keys = {key};
    return client_.ask<wire::FindCoordinatorResponse>(request, version).coordinators.at(0);
  }
  bool has_topic() {
    return broker_.node().image()->find_topic(std::string_view("__share_group_state")) != nullptr;
  }

  template <class Request>
  Request request_for(int32_t partition = 0) const {
    Request request;
    request.group_id = "g";
    auto& topic = request.topics.emplace_back();
    topic.topic_id = topic_;
    topic.partitions.emplace_back().partition = partition;
    return request;
  }
  template <class Response, class Request>
  typename Response::PartitionResult ask(const Request& request) {
    const auto response = client_.ask<Response>(request);
    EXPECT_EQ(response.results.at(0).topic_id, topic_);
    return response.results.at(0).partitions.at(0);
  }
  ErrorCode initialize(int64_t start = 0) {
    auto request = request_for<wire::InitializeShareGroupStateRequest>();
    request.topics[0].partitions[0].start_offset = start;
    return static_cast<ErrorCode>(ask<wire::InitializeShareGroupStateResponse>(request).error_code);
  }
  ErrorCode write(int64_t first) {
    auto request = request_for<wire::WriteShareGroupStateRequest>();
    auto& partition = request.topics[0].partitions[0];
    partition.start_offset = -1;
    partition.state_batches = {{.first_offset = first,
                                .last_offset = first + 4,
                                .delivery_state = 2,
                                .delivery_count = 1}};
    return static_cast<ErrorCode>(ask<wire::WriteShareGroupStateResponse>(request).error_code);
  }

  void pass(Duration time) {
    broker_.shard().run();
    broker_.shard().advance(time);
    broker_.shard().run();
  }

  Broker broker_{kOnePartition};
  Broker::Client client_{broker_};
  Uuid topic_;
};

// --- FindCoordinator.

TEST_F(ShareStatesTest, the_coordinator_is_found_and_its_topic_made) {
  const auto found = find(key());
  EXPECT_EQ(found.error_code, 0);
  EXPECT_EQ(found.node_id, broker_.node().id().value());
  EXPECT_EQ(found.key, key());
  wire::MetadataRequest request;
  request.topics = {{{.name = "__share_group_state"}}};
  EXPECT_TRUE(client_.ask<wire::MetadataResponse>(request).topics.at(0).is_internal);
}

TEST_F(ShareStatesTest, what_is_no_key_is_no_request_and_makes_no_topic) {
  for (const std::string& wrong :
       {std::string("g"), std::string("g:t:0"), key() + "x", " " + key().substr(1)})
    EXPECT_EQ(find(wrong).error_code, wire::code_of(ErrorCode::kInvalidRequest)) << wrong;
  EXPECT_FALSE(has_topic());
}

TEST_F(ShareStatesTest, versions_before_the_sixth_know_no_share_coordinators) {
  EXPECT_EQ(find(key(), 5).error_code, wire::code_of(ErrorCode::kInvalidRequest));
  EXPECT_FALSE(has_topic());
}

// --- The five APIs.

TEST_F(ShareStatesTest, what_is_written_is_read) {
  find(key());
  EXPECT_EQ(initialize(), ErrorCode::kNone);
  EXPECT_EQ(write(10), ErrorCode::kNone);
  EXPECT_EQ(write(20), ErrorCode::kNone);
  const auto read =
      ask<wire::ReadShareGroupStateResponse>(request_for<wire::ReadShareGroupStateRequest>());
  EXPECT_EQ(read.error_code, 0);
  ASSERT_EQ(read.state_batches.size(), 2u);
  EXPECT_EQ(read.state_batches[1].first_offset, 20);
  EXPECT_EQ(read.state_batches[1].delivery_state, 2);
  const auto summary = ask<wire::ReadShareGroupStateSummaryResponse>(
      request_for<wire::ReadShareGroupStateSummaryRequest>());
  EXPECT_EQ(summary.start_offset, 0);
  EXPECT_EQ(summary.delivery_complete_count, -1) << "the last write said so";
}

TEST_F(ShareStatesTest, every_partition_has_its_own_error) {
  find(key());
  initialize();
  auto request = request_for<wire::ReadShareGroupStateRequest>();
  request.topics[0].partitions.push_back({.partition = 1});
  request.topics.push_back({.topic_id = Uuid::of_words({1, 2}), .partitions = {{.partition = -1}}});
  const auto response = client_.ask<wire::ReadShareGroupStateResponse>(request);
  ASSERT_EQ(response.results.size(), 2u);
  EXPECT_EQ(response.results[0].partitions.at(0).error_code, 0);
  EXPECT_EQ(response.results[0].partitions.at(1).error_code,
            wire::code_of(ErrorCode::kInvalidRequest));
  EXPECT_EQ(response.results[0].partitions[1].error_message,
            "Read operation on uninitialized share partition not allowed.");
  EXPECT_EQ(response.results[1].partitions.at(0).error_message,
            "The partition id cannot be a negative number.");
}

TEST_F(ShareStatesTest, who_asks_nothing_is_answered_nothing) {
  find(key());
  auto request = request_for<wire::WriteShareGroupStateRequest>();
  request.topics.emplace_back();
  EXPECT_TRUE(client_.ask<wire::WriteShareGroupStateResponse>(request).results.empty());
  request = request_for<wire::WriteShareGroupStateRequest>();
  request.group_id = "";
  EXPECT_TRUE(client_.ask<wire::WriteShareGroupStateResponse>(request).results.empty());
  auto initialize = request_for<wire::InitializeShareGroupStateRequest>();
  initialize.topics.emplace_back();
  EXPECT_EQ(client_.ask<wire::InitializeShareGroupStateResponse>(initialize).results.size(), 1u);
}

TEST_F(ShareStatesTest, where_no_topic_is_nobody_coordinates) {
  const auto result =
      ask<wire::DeleteShareGroupStateResponse>(request_for<wire::DeleteShareGroupStateRequest>());
  EXPECT_EQ(result.error_code, wire::code_of(ErrorCode::kNotCoordinator));
  EXPECT_EQ(result.error_message,
            "Unable to delete share group state: This is not the correct coordinator.");
}

TEST_F(ShareStatesTest, what_is_kept_goes_with_the_topic) {
  find(key());
  initialize();
  wire::DeleteTopicsRequest request{.timeout_ms = 1000};
  request.topics = {{.name = "t"}};
  EXPECT_EQ(client_.ask<wire::DeleteTopicsResponse>(request).responses.at(0).error_code, 0);
  size_t kept = 1;
  broker_.node().share_states().host().read(key(), [&](const share::ShareCoordinator& coordinator) {
    kept = coordinator.find({"g", topic_, PartitionIndex(0)}) != nullptr;
  });
  EXPECT_EQ(kept, 0u);
}

// --- The log.

TEST_F(ShareStatesTest, the_log_begins_with_what_counts) {
  find(key());
  initialize();
  for (int64_t first : {0, 10, 20, 30, 40, 50}) write(first);
  const auto hosted =
      broker_.node().partitions().find(TopicPartition{"__share_group_state", PartitionIndex(0)});
  const auto log_start = [&] {
    return with_partition(*hosted.partition,
                          [](node::PartitionState& state) { return state.log().log_start(); });
  };
  EXPECT_EQ(log_start(), Offset(0));
  pass(seconds(301));
  EXPECT_EQ(log_start(), Offset(6)) << "the snapshot behind two updates, twice";
}

// --- The persister, where the coordinator is here.

TEST_F(ShareStatesTest, the_persister_has_the_topic_made_and_waits_for_it) {
  node::SharePersister& persister = broker_.node().share_states().persister();
  const share::SharePartitionKey partition{"g", topic_, PartitionIndex(0)};
  std::optional<ErrorCode> code;
  persister.initialize({.key = partition, .state_epoch = 1, .start = Offset(5)}, broker_.shard(),
                       [&](ErrorCode answer) { code = answer; });
  pass(seconds(2));
  EXPECT_EQ(code, ErrorCode::kNone);
  EXPECT_TRUE(has_topic());
  std::optional<node::SharePersister::ReadResult> read;
  persister.read(partition, LeaderEpoch(3), broker_.shard(),
                 [&](node::SharePersister::ReadResult answer) { read = std::move(answer); });
  broker_.shard().run();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->error, ErrorCode::kNone);
  EXPECT_EQ(read->state.start_offset, Offset(5));
  EXPECT_EQ(read->state.state_epoch, 1);
  persister.read(partition, LeaderEpoch(2), broker_.shard(),
                 [&](node::SharePersister::ReadResult answer) { read = std::move(answer); });
  broker_.shard().run();
  EXPECT_EQ(read->error, ErrorCode::kFencedLeaderEpoch);
}

TEST_F(ShareStatesTest, what_does_not_pass_is_given_up) {
  find(key());
  std::optional<ErrorCode> code;
  broker_.node().share_states().persister().remove({"g", Uuid::of_words({1, 2}), PartitionIndex(0)},
                                                   broker_.shard(),
                                                   [&](ErrorCode answer) { code = answer; });
  pass(seconds(1));
  EXPECT_FALSE(code) << "the coordinator may not have heard of the topic yet";
  pass(seconds(15));
  EXPECT_EQ(code, ErrorCode::kUnknownTopicOrPartition);
}

}  // namespace
}  // namespace millrace::server
