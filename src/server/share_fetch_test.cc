// ShareFetch and ShareAcknowledge through a whole broker in memory, whose share partitions' state
// is kept by the test.
#include <gtest/gtest.h>

#include <set>

#include "node/testing/share_keeper.h"
#include "record/builder.h"
#include "server/testing/broker.h"
#include "wire/create_topics.h"
#include "wire/delete_records.h"
#include "wire/delete_topics.h"
#include "wire/incremental_alter_configs.h"
#include "wire/produce.h"
#include "wire/share_acknowledge.h"
#include "wire/share_fetch.h"
#include "wire/update_features.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;
using FetchRequest = wire::ShareFetchRequest;
using FetchResponse = wire::ShareFetchResponse;
using AcknowledgeRequest = wire::ShareAcknowledgeRequest;
using AcknowledgeResponse = wire::ShareAcknowledgeResponse;

constexpr int8_t kAccept = 1, kRelease = 2;
constexpr auto kNone = wire::code_of(ErrorCode::kNone);

struct Said {
  int64_t first, last;
  std::vector<int8_t> types;
};

class ShareFetchTest : public ::testing::Test {
 protected:
  ShareFetchTest() {
    broker_.node().share_partitions().set_persister(keeper_);
    create("t");
    configure("g", "share.auto.offset.reset", "earliest");
  }
  ~ShareFetchTest() override { broker_.node().share_partitions().check_invariants(); }

  void create(const std::string& name) {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = name, .num_partitions = 1, .replication_factor = 1}};
    const auto response = client_.ask<wire::CreateTopicsResponse>(request);
    ASSERT_EQ(response.topics[0].error_code, 0) << response.topics[0].error_message.value_or("");
    topic_id_ = response.topics[0].topic_id;
  }
  void configure(const std::string& group, const std::string& name, const std::string& value) {
    wire::IncrementalAlterConfigsRequest request;
    request.resources = {
        {.resource_type = 32, .resource_name = group, .configs = {{.name = name, .value = value}}}};
    const auto response = client_.ask<wire::IncrementalAlterConfigsResponse>(request);
    ASSERT_EQ(response.responses[0].error_code, 0)
        << response.responses[0].error_message.value_or("");
  }
  static ByteBuffer batch_of(int records) {
    record::BatchBuilder builder({});
    for (int i = 0; i < records; ++i)
      builder.append({.timestamp = TimestampMs(1), .value = as_bytes("value")});
    return std::move(builder).build();
  }
  void produce(int records) {
    const ByteBuffer batch = batch_of(records);
    wire::ProduceRequest request{.acks = -1, .timeout_ms = 1000};
    auto& topic = request.topic_data.emplace_back();
    topic.topic_id = topic_id_;
    topic.partition_data.push_back({.index = 0, .records = wire::Records::of(batch)});
    const auto response = client_.ask<wire::ProduceResponse>(request);
    ASSERT_EQ(response.responses[0].partition_responses[0].error_code, 0);
  }

  FetchRequest fetch_of(const std::string& member, int32_t epoch, std::vector<Said> said = {}) {
    FetchRequest request{.group_id = "g",
                         .member_id = member,
                         .share_session_epoch = epoch,
                         .max_wait_ms = 500,
                         .min_bytes = 1,
                         .max_bytes = 1 << 20,
                         .max_records = 100,
                         .batch_size = 100};
    if (epoch == 0 || !said.empty()) {
      auto& partition = request.topics.emplace_back(topic_id_).partitions.emplace_back();
      for (Said& each : said)
        partition.acknowledgement_batches.push_back({each.first, each.last, each.types});
    }
    return request;
  }
  // As fetched: "0-4 x1", with an error's number in front if there is one.
  static std::string text(const FetchResponse& response) {
    std::string result;
    if (response.error_code != 0) return fmt::format("error {}", response.error_code);
    for (const auto& topic : response.responses)
      for (const auto& data : topic.partitions) {
        if (!result.empty()) result += ", ";
        if (data.error_code != 0) result += fmt::format("error {}", data.error_code);
        if (data.acknowledge_error_code != 0)
          result += fmt::format("unacknowledged {}", data.acknowledge_error_code);
        for (const auto& range : data.acquired_records)
          result += fmt::format("{}-{} x{} ", range.first_offset, range.last_offset,
                                range.delivery_count);
        EXPECT_EQ(data.acquired_records.empty(), data.records.size() == 0);
      }
    return result;
  }
  std::string fetch(Broker::Client& client, const FetchRequest& request) {
    return text(client.ask<FetchResponse>(request));
  }
  AcknowledgeRequest acknowledgement(const std::string& member, int32_t epoch,
                                     const std::vector<Said>& said) const {
    AcknowledgeRequest request{.group_id = "g", .member_id = member, .share_session_epoch = epoch};
    auto& partition = request.topics.emplace_back(topic_id_).partitions.emplace_back();
    for (const Said& each : said)
      partition.acknowledgement_batches.push_back({each.first, each.last, each.types});
    return request;
  }
  // That of the one acknowledgement that it waits for.
  static std::string answer_in(Broker::Client& client) {
    const ByteBuffer frame = std::exchange(client.sent(), {});
    if (frame.empty()) return "nothing yet";
    const auto answer = wire::decode<AcknowledgeResponse>(ByteView(frame).subspan(9), 2);
    if (!answer) return answer.error().message;
    return fmt::format("{}", answer->responses.at(0).partitions.at(0).error_code);
  }
  void set_share_version(int16_t level) {
    wire::UpdateFeaturesRequest request{.timeout_ms = 1000};
    request.feature_updates = {{.feature = "share.version",
                                .max_version_level = level,
                                .upgrade_type = static_cast<int8_t>(level == 0 ? 2 : 1)}};
    const auto response = client_.ask<wire::UpdateFeaturesResponse>(request);
    ASSERT_EQ(response.error_code, kNone) << response.error_message.value_or("");
  }
  std::string acknowledge(const std::string& member, int32_t epoch, const std::vector<Said>& said,
                          bool renews = false) {
    AcknowledgeRequest request = acknowledgement(member, epoch, said);
    request.is_renew_ack = renews;
    const auto response = client_.ask<AcknowledgeResponse>(request);
    if (response.error_code != 0) return fmt::format("error {}", response.error_code);
    EXPECT_EQ(response.acquisition_lock_timeout_ms, 30'000);
    if (response.responses.empty()) return "nothing";
    return fmt::format("{}", response.responses[0].partitions[0].error_code);
  }
  static std::string error(ErrorCode code) { return fmt::format("error {}", wire::code_of(code)); }
  static std::string number(ErrorCode code) { return fmt::format("{}", wire::code_of(code)); }
  share::SharePartitionKey key() const { return {"g", topic_id_, PartitionIndex(0)}; }

  node::testing::ShareKeeper keeper_;
  Broker broker_;
  Broker::Client client_{broker_};
  Broker::Client other_{broker_};
  Uuid topic_id_;
};

TEST_F(ShareFetchTest, records_go_to_one_member_and_are_done_with_when_accepted) {
  produce(5);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-4 x1 ");
  produce(3);
  EXPECT_EQ(fetch(other_, fetch_of("bert", 0)), "5-7 x1 ");
  EXPECT_EQ(acknowledge("anna", 1, {{0, 4, {kAccept}}}), "0");
  EXPECT_EQ(keeper_.kept(key())->start_offset, Offset(0));
  // With the next fetch, and what is kept then knows the new start.
  produce(2);
  EXPECT_EQ(fetch(other_, fetch_of("bert", 1, {{5, 7, {kAccept, kAccept, kRelease}}})), "8-9 x1 ");
  EXPECT_EQ(keeper_.kept(key())->start_offset, Offset(5));
}

TEST_F(ShareFetchTest, a_batch_that_was_not_read_whole_is_not_acquired) {
  for (int i = 0; i < 3; ++i) produce(5);
  const auto size = static_cast<int32_t>(batch_of(5).size());
  auto request = fetch_of("anna", 0);
  request.max_bytes = size + 20;  // not even its header
  EXPECT_EQ(fetch(client_, request), "0-4 x1 ");
  request = fetch_of("anna", 1);
  request.max_bytes = 2 * size - 1;
  const auto response = client_.ask<FetchResponse>(request);
  EXPECT_EQ(text(response), "5-9 x1 ");
  EXPECT_EQ(response.responses.at(0).partitions.at(0).records.size(), static_cast<size_t>(size));
  EXPECT_EQ(fetch(client_, fetch_of("anna", 2)), "10-14 x1 ");
}

TEST_F(ShareFetchTest, waits_for_records) {
  client_.receive(Broker::Client::frame_of(fetch_of("anna", 0), 2));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(milliseconds(499));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(milliseconds(1));
  EXPECT_FALSE(std::exchange(client_.sent(), {}).empty());
  other_.receive(Broker::Client::frame_of(fetch_of("bert", 0), 2));
  EXPECT_TRUE(other_.sent().empty());
  produce(1);
  EXPECT_FALSE(other_.sent().empty());
}

TEST_F(ShareFetchTest, waits_for_records_that_others_give_back) {
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  other_.receive(Broker::Client::frame_of(fetch_of("bert", 0), 2));
  EXPECT_TRUE(other_.sent().empty());
  EXPECT_EQ(acknowledge("anna", 1, {{0, 0, {kRelease}}}), "0");
  EXPECT_FALSE(other_.sent().empty());
}

TEST_F(ShareFetchTest, locks_end_in_time) {
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  broker_.shard().advance(seconds(29));
  auto patient = fetch_of("bert", 0);
  patient.max_wait_ms = 5000;
  other_.receive(Broker::Client::frame_of(patient, 2));
  EXPECT_TRUE(other_.sent().empty());
  broker_.shard().advance(seconds(1));
  EXPECT_FALSE(other_.sent().empty());
  EXPECT_EQ(acknowledge("anna", 1, {{0, 0, {kAccept}}}), number(ErrorCode::kInvalidRecordState));
}

TEST_F(ShareFetchTest, a_session_that_closes_gives_back_what_it_has) {
  produce(2);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-1 x1 ");
  EXPECT_EQ(fetch(client_, fetch_of("anna", -1, {{0, 0, {kAccept}}})), "");
  EXPECT_EQ(fetch(client_, fetch_of("anna", -1)), error(ErrorCode::kShareSessionNotFound));
  EXPECT_EQ(fetch(other_, fetch_of("bert", 0)), "1-1 x2 ");
  EXPECT_EQ(acknowledge("bert", -1, {{1, 1, {kAccept}}}), "0");
  EXPECT_EQ(acknowledge("bert", 2, {{1, 1, {kAccept}}}), error(ErrorCode::kShareSessionNotFound));
}

// An administrator may have moved the offsets since.
TEST_F(ShareFetchTest, who_comes_when_nobody_is_left_begins_with_what_is_kept) {
  produce(4);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-3 x1 ");
  EXPECT_EQ(fetch(client_, fetch_of("anna", -1, {{0, 3, {kAccept}}})), "");
  keeper_.keep(key(), {.state_epoch = 1, .start_offset = Offset(2)});
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "2-3 x1 ");
  EXPECT_EQ(acknowledge("anna", -1, {{2, 3, {kAccept}}}), "0");
  keeper_.keep(key(), {.state_epoch = 2, .start_offset = Offset(1)});
  EXPECT_EQ(fetch(client_, fetch_of("bert", 0)), "1-3 x1 ");
}

TEST_F(ShareFetchTest, a_connection_that_goes_ends_its_sessions) {
  produce(2);
  {
    Broker::Client gone(broker_);
    EXPECT_EQ(fetch(gone, fetch_of("anna", 0)), "0-1 x1 ");
  }
  broker_.shard().run();
  EXPECT_EQ(fetch(client_, fetch_of("anna", 1)), error(ErrorCode::kShareSessionNotFound));
  EXPECT_EQ(fetch(client_, fetch_of("bert", 0)), "0-1 x2 ");
}

TEST_F(ShareFetchTest, whoever_has_gone_while_waiting_acquires_nothing) {
  {
    Broker::Client gone(broker_);
    gone.receive(Broker::Client::frame_of(fetch_of("anna", 0), 2));
  }
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("bert", 0)), "0-0 x1 ");
}

TEST_F(ShareFetchTest, nothing_is_kept_of_whoever_has_gone_while_waiting) {
  auto hurried = fetch_of("bert", 0);  // the group has somebody left
  hurried.min_bytes = 0;
  EXPECT_EQ(fetch(client_, hurried), "");
  std::weak_ptr<const void> connection;
  {
    Broker::Client gone(broker_);
    connection = gone.connection();
    gone.receive(Broker::Client::frame_of(fetch_of("anna", 0), 2));
  }
  broker_.shard().run();
  EXPECT_TRUE(connection.expired());
}

TEST_F(ShareFetchTest, nobody_waits_for_more_than_a_minute) {
  auto patient = fetch_of("anna", 0);
  patient.max_wait_ms = INT32_MAX;
  client_.receive(Broker::Client::frame_of(patient, 2));
  broker_.shard().advance(seconds(59));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(seconds(1));
  EXPECT_FALSE(client_.sent().empty());
}

TEST_F(ShareFetchTest, epochs_count_on) {
  EXPECT_EQ(fetch(client_, fetch_of("anna", 3)), error(ErrorCode::kShareSessionNotFound));
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0, {{0, 0, {kAccept}}})),
            error(ErrorCode::kInvalidRequest));
  auto hurried = fetch_of("anna", 0);
  hurried.min_bytes = 0;
  EXPECT_EQ(fetch(client_, hurried), "");
  EXPECT_EQ(fetch(client_, fetch_of("anna", 2)), error(ErrorCode::kInvalidShareSessionEpoch));
  EXPECT_EQ(acknowledge("anna", 0, {}), error(ErrorCode::kInvalidShareSessionEpoch));
  EXPECT_EQ(acknowledge("anna", 1, {}), "nothing");
  EXPECT_EQ(acknowledge("anna", 1, {}), error(ErrorCode::kInvalidShareSessionEpoch));
}

TEST_F(ShareFetchTest, acknowledgements_are_checked) {
  produce(5);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-4 x1 ");
  const std::string invalid = number(ErrorCode::kInvalidRequest);
  EXPECT_EQ(acknowledge("anna", 1, {{3, 2, {kAccept}}}), invalid);
  EXPECT_EQ(acknowledge("anna", 2, {{2, 3, {kAccept}}, {0, 1, {kAccept}}}), invalid);
  EXPECT_EQ(acknowledge("anna", 3, {{0, 1, {}}}), invalid);
  EXPECT_EQ(acknowledge("anna", 4, {{0, 2, {kAccept, kAccept}}}), invalid);
  EXPECT_EQ(acknowledge("anna", 5, {{0, 2, {5}}}), invalid);
  EXPECT_EQ(acknowledge("anna", 6, {{0, 2, {share::kRenew}}}),
            invalid);  // does not say that it does
  EXPECT_EQ(acknowledge("anna", 7, {{0, 2, {share::kRenew}}}, true), "0");
  EXPECT_EQ(acknowledge("anna", 8, {{9, 9, {kAccept}}}), invalid);
  EXPECT_EQ(acknowledge("bert", 9, {{0, 2, {kAccept}}}), error(ErrorCode::kShareSessionNotFound));
  EXPECT_EQ(acknowledge("anna", 9, {{0, 2, {kAccept}}}), "0");
  EXPECT_EQ(acknowledge("anna", 10, {{0, 2, {kAccept}}}), "0");  // below the start already
  const Uuid known = std::exchange(topic_id_, Uuid::of_words({1, 2}));
  EXPECT_EQ(acknowledge("anna", 11, {{3, 3, {kAccept}}}), number(ErrorCode::kUnknownTopicId));
  topic_id_ = known;
}

TEST_F(ShareFetchTest, a_fetch_that_renews_asks_for_nothing_else) {
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  auto request = fetch_of("anna", 1, {{0, 0, {share::kRenew}}});
  request.is_renew_ack = true;
  EXPECT_EQ(fetch(client_, request), error(ErrorCode::kInvalidRequest));
  request.max_bytes = request.min_bytes = request.max_records = request.max_wait_ms = 0;
  broker_.shard().advance(seconds(20));
  EXPECT_EQ(fetch(client_, request), "");
  broker_.shard().advance(seconds(20));
  EXPECT_EQ(acknowledge("anna", 2, {{0, 0, {kAccept}}}), "0");
}

TEST_F(ShareFetchTest, what_cannot_be_kept_is_said) {
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  keeper_.error = ErrorCode::kCoordinatorNotAvailable;
  EXPECT_EQ(acknowledge("anna", 1, {{0, 0, {kAccept}}}),
            number(ErrorCode::kCoordinatorNotAvailable));
  keeper_.error = ErrorCode::kNone;
  EXPECT_EQ(acknowledge("anna", 2, {{0, 0, {kAccept}}}), "0");
}

TEST_F(ShareFetchTest, what_cannot_be_loaded_is_said_and_tried_again) {
  produce(1);
  keeper_.error = ErrorCode::kGroupIdNotFound;
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), error(ErrorCode::kGroupIdNotFound));
  keeper_.error = ErrorCode::kNone;
  EXPECT_EQ(fetch(client_, fetch_of("anna", 1)), "0-0 x1 ");
}

TEST_F(ShareFetchTest, what_was_kept_of_records_that_are_not_there_does_not_count) {
  produce(5);
  keeper_.keep(key(), {.start_offset = Offset(0),
                       .batches = {{.first = Offset(0),
                                    .last = Offset(4'000'000'000'000'000'000),
                                    .state = share::DeliveryState::kAvailable,
                                    .delivery_count = 1}}});
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-4 x2 ");
  EXPECT_EQ(acknowledge("anna", 1, {{0, 4, {kAccept}}}), "0");
}

TEST_F(ShareFetchTest, whoever_says_that_another_leads_ends_the_share_partition) {
  produce(2);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-1 x1 ");
  keeper_.error = ErrorCode::kFencedStateEpoch;
  EXPECT_EQ(acknowledge("anna", 1, {{0, 0, {kAccept}}}), number(ErrorCode::kNotLeaderOrFollower));
  keeper_.error = ErrorCode::kNone;
  EXPECT_EQ(acknowledge("anna", 2, {{0, 0, {kAccept}}}),
            number(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(fetch(client_, fetch_of("anna", 3)), "0-1 x1 ");  // loaded anew
}

TEST_F(ShareFetchTest, behind_a_write_that_ends_the_share_partition_nothing_is_written) {
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  produce(1);
  EXPECT_EQ(fetch(other_, fetch_of("bert", 0)), "1-1 x1 ");
  const auto accepts = [&](Broker::Client& client, const std::string& member, int64_t offset) {
    AcknowledgeRequest request{.group_id = "g", .member_id = member, .share_session_epoch = 1};
    request.topics.emplace_back(topic_id_).partitions.push_back(
        {.acknowledgement_batches = {{offset, offset, {kAccept}}}});
    client.receive(Broker::Client::frame_of(request, 2));
  };
  keeper_.delay = seconds(1);
  keeper_.error = ErrorCode::kUnknownTopicOrPartition;
  accepts(client_, "anna", 0);
  keeper_.error = ErrorCode::kNone;
  accepts(other_, "bert", 1);
  EXPECT_TRUE(other_.sent().empty());
  broker_.shard().advance(seconds(1));
  EXPECT_FALSE(std::exchange(other_.sent(), {}).empty());
  EXPECT_EQ(keeper_.writes, 1);
  EXPECT_TRUE(keeper_.kept(key())->batches.empty());
  keeper_.delay = Duration::zero();
  EXPECT_EQ(fetch(other_, fetch_of("bert", 2)), "0-1 x1 ");
}

TEST_F(ShareFetchTest, a_group_begins_where_it_is_told_to) {
  produce(3);
  configure("g", "share.auto.offset.reset", "latest");
  auto hurried = fetch_of("anna", 0);
  hurried.min_bytes = 0;
  EXPECT_EQ(fetch(client_, hurried), "");
  broker_.shard().run();
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 1)), "3-3 x1 ");
}

TEST_F(ShareFetchTest, a_strict_limit_is_kept) {
  produce(10);
  auto request = fetch_of("anna", 0);
  request.max_records = 4;
  request.share_acquire_mode = 1;
  EXPECT_EQ(fetch(client_, request), "0-3 x1 ");
  request = fetch_of("anna", 1);
  request.max_records = 4;
  EXPECT_EQ(fetch(client_, request), "4-9 x1 ");
  request = fetch_of("anna", 2);
  request.share_acquire_mode = 2;
  EXPECT_EQ(fetch(client_, request), error(ErrorCode::kUnknownServerError));
}

TEST_F(ShareFetchTest, a_batch_that_does_not_fit_is_nobodys) {
  produce(5);
  const auto size = static_cast<int32_t>(client_.ask<FetchResponse>(fetch_of("anna", 0))
                                             .responses.at(0)
                                             .partitions.at(0)
                                             .records.size());
  produce(5);
  int times = 1;
  for (const int32_t more : {1, size - 1}) {
    auto request = fetch_of("anna", 0);
    (void)fetch(client_, fetch_of("anna", -1));
    request.max_bytes = size + more;
    const auto response = client_.ask<FetchResponse>(request);
    EXPECT_EQ(text(response), fmt::format("0-4 x{} ", ++times));
    EXPECT_EQ(response.responses.at(0).partitions.at(0).records.size(), static_cast<size_t>(size));
  }
}

TEST_F(ShareFetchTest, who_wants_nothing_is_told_nothing) {
  produce(5);
  auto request = fetch_of("anna", 0);
  request.max_records = 0;
  EXPECT_TRUE(client_.ask<FetchResponse>(request).responses.empty());
  EXPECT_EQ(fetch(client_, fetch_of("anna", 1)), "0-4 x1 ");
}

TEST_F(ShareFetchTest, deleted_records_are_passed) {
  produce(2);
  produce(2);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-3 x1 ");
  EXPECT_EQ(acknowledge("anna", 1, {{0, 3, {kRelease}}}), "0");
  wire::DeleteRecordsRequest request{.timeout_ms = 1000};
  request.topics = {{.name = "t", .partitions = {{.partition_index = 0, .offset = 3}}}};
  (void)client_.ask<wire::DeleteRecordsResponse>(request);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 2)), "3-3 x2 ");
}

TEST_F(ShareFetchTest, who_is_no_valid_member_is_refused) {
  EXPECT_EQ(fetch(client_, fetch_of("", 0)), error(ErrorCode::kInvalidRequest));
  EXPECT_EQ(fetch(client_, fetch_of(std::string(37, 'm'), 0)), error(ErrorCode::kInvalidRequest));
  // Who may join may fetch: 36 UTF-16 units are 72 bytes here.
  std::string cyrillic;
  for (int i = 0; i < 36; ++i) cyrillic += "\u0436";
  auto hurried = fetch_of(cyrillic, 0);
  hurried.min_bytes = 0;
  EXPECT_EQ(fetch(client_, hurried), "");
  EXPECT_EQ(acknowledge(cyrillic, 1, {}), "nothing");
  EXPECT_EQ(fetch(client_, fetch_of(cyrillic + "\u0436", 0)), error(ErrorCode::kInvalidRequest));
  auto nameless = fetch_of("anna", 0);
  nameless.group_id.reset();
  EXPECT_EQ(fetch(client_, nameless), error(ErrorCode::kInvalidRequest));
}

TEST_F(ShareFetchTest, a_topic_that_is_deleted_is_told) {
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  wire::DeleteTopicsRequest request{.timeout_ms = 1000};
  request.topics = {{.topic_id = topic_id_}};
  (void)client_.ask<wire::DeleteTopicsResponse>(request);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 1)), error(ErrorCode::kUnknownTopicId));
  EXPECT_EQ(acknowledge("anna", 2, {{0, 0, {kAccept}}}), number(ErrorCode::kUnknownTopicId));
}

TEST_F(ShareFetchTest, what_is_dropped_writes_no_more_and_the_next_waits_for_its_last_write) {
  produce(4);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-3 x1 ");
  keeper_.delay = seconds(60);
  Broker::Client third(broker_);
  other_.receive(Broker::Client::frame_of(acknowledgement("anna", 1, {{0, 0, {kAccept}}}), 2));
  third.receive(Broker::Client::frame_of(acknowledgement("anna", 2, {{1, 1, {kAccept}}}), 2));
  EXPECT_EQ(keeper_.writes, 1);
  EXPECT_TRUE(third.sent().empty());
  set_share_version(0);
  EXPECT_EQ(answer_in(third), number(ErrorCode::kNotLeaderOrFollower)) << "it waited for a write";
  EXPECT_TRUE(other_.sent().empty()) << "its write is under way";
  set_share_version(1);
  const int reads = std::exchange(keeper_.reads, 0);
  EXPECT_EQ(reads, 1);
  auto patient = fetch_of("bert", 0);
  patient.max_wait_ms = 40'000;
  client_.receive(Broker::Client::frame_of(patient, 2));
  broker_.shard().advance(seconds(35));  // locks of the one before are over
  EXPECT_EQ(keeper_.writes, 1);
  EXPECT_EQ(keeper_.reads, 0);
  keeper_.delay = Duration::zero();
  broker_.shard().advance(seconds(25));
  EXPECT_EQ(answer_in(other_), "0");
  EXPECT_EQ(keeper_.reads, 1);
  client_.sent().clear();
  EXPECT_EQ(fetch(client_, fetch_of("bert", 1)), "1-3 x1 ");
  EXPECT_EQ(keeper_.writes, 1);
}

TEST_F(ShareFetchTest, an_error_of_one_partition_is_told_at_once_but_for_one_that_was_not_loaded) {
  const Uuid first = topic_id_;
  auto two_topics = [&](const std::string& member) {
    auto request = fetch_of(member, 0);
    request.topics.push_back({.topic_id = first, .partitions = {{.partition_index = 0}}});
    return request;
  };
  create("t2");
  produce(1);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-0 x1 ");
  other_.receive(Broker::Client::frame_of(two_topics("bert"), 2));
  EXPECT_TRUE(other_.sent().empty());
  keeper_.error = ErrorCode::kFencedStateEpoch;
  EXPECT_EQ(acknowledge("anna", 1, {{0, 0, {kAccept}}}), number(ErrorCode::kNotLeaderOrFollower));
  EXPECT_FALSE(std::exchange(other_.sent(), {}).empty());
  // t is loaded and has nothing, t2 cannot be loaded.
  keeper_.error = ErrorCode::kCoordinatorNotAvailable;
  other_.receive(Broker::Client::frame_of(two_topics("bert"), 2));
  EXPECT_TRUE(other_.sent().empty());
  broker_.shard().advance(milliseconds(500));
  EXPECT_FALSE(other_.sent().empty());
}

// As many as fit into a request.
TEST_F(ShareFetchTest, each_partition_of_many_is_told_of_once) {
  auto request = fetch_of("anna", 0);
  request.max_wait_ms = 0;
  constexpr uint64_t kTopics = 30'000;
  for (uint64_t i = 1; i < kTopics; ++i)
    request.topics.push_back({.topic_id = Uuid::of_words({9, i % (kTopics / 2)}),
                              .partitions = {{.partition_index = static_cast<int32_t>(i % 7)}}});
  const auto response = client_.ask<FetchResponse>(request);
  std::set<TopicIdPartition> told;
  std::set<Uuid> topics;
  for (const auto& topic : response.responses) {
    EXPECT_TRUE(topics.insert(topic.topic_id).second);
    for (const auto& data : topic.partitions) {
      EXPECT_TRUE(told.insert({topic.topic_id, PartitionIndex(data.partition_index)}).second);
      EXPECT_EQ(data.error_code,
                topic.topic_id == topic_id_ ? kNone : wire::code_of(ErrorCode::kUnknownTopicId));
    }
  }
  EXPECT_EQ(topics.size(), kTopics / 2 + 1);
  EXPECT_EQ(told.size(), kTopics);
}

TEST_F(ShareFetchTest, what_is_said_twice_of_a_partition_is_answered_once) {
  produce(2);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), "0-1 x1 ");
  AcknowledgeRequest request = acknowledgement("anna", 1, {{0, 0, {kAccept}}});
  request.topics.push_back(request.topics[0]);
  request.topics[1].partitions[0].acknowledgement_batches = {{1, 1, {kAccept}}};
  const auto response = client_.ask<AcknowledgeResponse>(request);
  ASSERT_EQ(response.responses.size(), 1u);
  ASSERT_EQ(response.responses[0].partitions.size(), 1u);
  EXPECT_EQ(response.responses[0].partitions[0].error_code, kNone);
}

TEST_F(ShareFetchTest, nothing_is_served_without_the_feature) {
  set_share_version(0);
  EXPECT_EQ(fetch(client_, fetch_of("anna", 0)), error(ErrorCode::kUnsupportedVersion));
  EXPECT_EQ(acknowledge("anna", 1, {}), error(ErrorCode::kUnsupportedVersion));
}

TEST(ShareSessionLimit, who_is_over_it_is_told_late) {
  node::testing::ShareKeeper keeper;
  Broker broker({{"group.share.max.share.sessions", "1"}, {"group.share.max.size", "1"}});
  broker.node().share_partitions().set_persister(keeper);
  Broker::Client client(broker);
  FetchRequest request{.group_id = "g", .member_id = "anna", .max_wait_ms = 500};
  EXPECT_EQ(client.ask<FetchResponse>(request).error_code, kNone);
  request.member_id = "bert";
  client.receive(Broker::Client::frame_of(request, 2));
  EXPECT_TRUE(client.sent().empty());
  broker.shard().advance(milliseconds(500));
  const auto answer =
      wire::decode<FetchResponse>(ByteView(std::exchange(client.sent(), {})).subspan(9), 2);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error_code, wire::code_of(ErrorCode::kShareSessionLimitReached));
}

}  // namespace
}  // namespace millrace::server
