#include "client/core/connection.h"

#include <gtest/gtest.h>

#include "client/core/testing/cluster.h"
#include "wire/errors.h"

namespace millrace::client::core {
namespace {

using testing::answer_frame;

struct SentFrame {
  wire::RequestHeader header;
  ByteBuffer body;
};

// Takes apart what a connection wrote.
std::vector<SentFrame> frames_of(ByteView written) {
  std::vector<SentFrame> frames;
  while (!written.empty()) {
    const auto size = static_cast<size_t>(load_big<int32_t>(written.data()));
    const ByteView frame = written.subspan(4, size);
    written = written.subspan(4 + size);
    const wire::ApiInfo* api = wire::find_api(load_big<int16_t>(frame.data()));
    const auto version = load_big<int16_t>(frame.data() + 2);
    wire::Reader reader(frame);
    SentFrame sent;
    wire::read(reader, wire::request_header_version(*api, version), sent.header);
    EXPECT_TRUE(reader.status());
    sent.body = copy_of(frame.subspan(reader.position()));
    frames.push_back(std::move(sent));
  }
  return frames;
}

wire::ApiVersionsResponse served(std::vector<std::tuple<int16_t, int16_t, int16_t>> apis) {
  wire::ApiVersionsResponse response;
  for (const auto& [key, min, max] : apis)
    response.api_keys.push_back({.api_key = key, .min_version = min, .max_version = max});
  return response;
}

class ConnectionTest : public ::testing::Test {
 protected:
  Connection::Action connect() { return connection.resume(Connection::Connected{}); }
  // What came of it when all was there.
  Connection::Action receive(const ByteBuffer& all) {
    ByteView bytes = all;
    Connection::Action action;
    do {
      const MutableByteView room = connection.room();
      const size_t count = std::min(bytes.size(), room.size());
      std::ranges::copy(bytes.first(count), room.begin());
      bytes = bytes.subspan(count);
      action = connection.resume(Connection::Received{count});
    } while (!bytes.empty());
    return action;
  }
  Connection::Action submit(uint64_t id, Call call) {
    return connection.resume(Connection::Submitted{static_cast<CallId>(id), std::move(call)});
  }
  void agree() {
    connect();
    receive(answer_frame(served({{18, 0, 4}, {3, 0, 12}, {0, 3, 9}}), 4, 0));
    ASSERT_TRUE(connection.ready());
  }

  Connection connection;
};

TEST_F(ConnectionTest, asks_for_versions_first_and_says_who_it_is) {
  const auto frames = frames_of(connect().write);
  ASSERT_EQ(frames.size(), 1);
  EXPECT_EQ(frames[0].header.request_api_key, 18);
  EXPECT_EQ(frames[0].header.request_api_version, 4);
  EXPECT_EQ(frames[0].header.client_id, "millrace");
  const auto request = wire::decode<wire::ApiVersionsRequest>(frames[0].body, 4);
  EXPECT_EQ(request->client_software_name, "millrace");
}

TEST_F(ConnectionTest, falls_back_to_the_version_that_the_broker_names) {
  connect();
  wire::ApiVersionsResponse refused = served({{18, 0, 2}});
  refused.error_code = wire::code_of(wire::ErrorCode::kUnsupportedVersion);
  const auto again = frames_of(receive(answer_frame(refused, 0, 0)).write);
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].header.request_api_version, 2);
  receive(answer_frame(served({{18, 0, 2}}), 2, 1));
  EXPECT_TRUE(connection.ready());
}

TEST_F(ConnectionTest, a_broker_that_refuses_every_version_is_given_up) {
  connect();
  wire::ApiVersionsResponse refused;
  refused.error_code = wire::code_of(wire::ErrorCode::kUnsupportedVersion);
  receive(answer_frame(refused, 0, 0));
  const auto action = receive(answer_frame(refused, 0, 1));
  EXPECT_TRUE(action.close);
  EXPECT_TRUE(connection.over());
}

TEST_F(ConnectionTest, calls_wait_until_versions_are_agreed_on_and_go_in_order) {
  EXPECT_TRUE(submit(1, call_of(wire::MetadataRequest{})).write.empty());
  connect();
  EXPECT_TRUE(submit(2, call_of(wire::MetadataRequest{})).write.empty());
  const auto frames = frames_of(receive(answer_frame(served({{3, 0, 9}}), 4, 0)).write);
  ASSERT_EQ(frames.size(), 2);
  EXPECT_EQ(frames[0].header.correlation_id, 1);
  EXPECT_EQ(frames[1].header.correlation_id, 2);
}

TEST_F(ConnectionTest, takes_the_newest_version_that_both_have) {
  agree();
  const auto metadata = frames_of(submit(1, call_of(wire::MetadataRequest{})).write);
  EXPECT_EQ(metadata[0].header.request_api_version, 12);
  const auto produce = frames_of(submit(2, call_of(wire::ProduceRequest{})).write);
  EXPECT_EQ(produce[0].header.request_api_version, 9);
}

TEST_F(ConnectionTest, an_api_that_is_not_served_fails_its_call_alone) {
  agree();
  const auto action = submit(1, call_of(wire::FetchRequest{}));
  ASSERT_EQ(action.ended.size(), 1);
  EXPECT_EQ(action.ended[0].answer.error().code, Errc::kUnsupported);
  EXPECT_FALSE(action.close);
}

TEST_F(ConnectionTest, an_answer_ends_its_call_however_it_is_cut_into_pieces) {
  agree();
  submit(7, call_of(wire::MetadataRequest{}));
  wire::MetadataResponse response;
  response.cluster_id = "c";
  const ByteBuffer frame = answer_frame(response, 12, 1);
  for (size_t i = 0; i + 1 < frame.size(); ++i) EXPECT_TRUE(receive({frame[i]}).ended.empty());
  const auto action = receive({frame.back()});
  ASSERT_EQ(action.ended.size(), 1);
  EXPECT_EQ(action.ended[0].id, static_cast<CallId>(7));
  EXPECT_EQ(response_to<wire::MetadataRequest>(*action.ended[0].answer)->cluster_id, "c");
}

TEST_F(ConnectionTest, answers_that_come_together_end_all_their_calls) {
  agree();
  submit(1, call_of(wire::MetadataRequest{}));
  submit(2, call_of(wire::MetadataRequest{}));
  ByteBuffer both = answer_frame(wire::MetadataResponse{}, 12, 1);
  const ByteBuffer second = answer_frame(wire::MetadataResponse{}, 12, 2);
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_EQ(receive(both).ended.size(), 2);
  EXPECT_EQ(connection.outstanding(), 0);
}

TEST_F(ConnectionTest, a_call_without_an_answer_ends_when_it_is_written) {
  agree();
  Call call = call_of(wire::ProduceRequest{});
  call.has_answer = false;
  const auto action = submit(1, std::move(call));
  EXPECT_FALSE(action.write.empty());
  ASSERT_EQ(action.ended.size(), 1);
  EXPECT_TRUE(action.ended[0].answer);
}

TEST_F(ConnectionTest, an_answer_to_another_question_ends_the_conversation) {
  agree();
  submit(1, call_of(wire::MetadataRequest{}));
  const auto action = receive(answer_frame(wire::MetadataResponse{}, 12, 5));
  EXPECT_TRUE(action.close);
  ASSERT_EQ(action.ended.size(), 1);
  EXPECT_EQ(action.ended[0].answer.error().code, Errc::kCorrupt);
}

TEST_F(ConnectionTest, a_long_answer_stays_where_it_was_received) {
  agree();
  wire::MetadataResponse response;
  for (int i = 0; i < 4; ++i) response.topics.emplace_back().name = std::string(25'000, 'c');
  const ByteBuffer frame = answer_frame(response, 12, 1);
  submit(1, call_of(wire::MetadataRequest{}));
  const auto first = receive(frame);
  ASSERT_EQ(first.ended.size(), 1);
  EXPECT_EQ(response_to<wire::MetadataRequest>(*first.ended[0].answer), response);

  // The next one of that size is received at once.
  submit(2, call_of(wire::MetadataRequest{}));
  const MutableByteView room = connection.room();
  ASSERT_GE(room.size(), frame.size());
  std::ranges::copy(answer_frame(response, 12, 2), room.begin());
  const auto second = connection.resume(Connection::Received{frame.size()});
  ASSERT_EQ(second.ended.size(), 1);
  const ByteView body = second.ended[0].answer->body;
  EXPECT_EQ(body.data() + body.size(), room.data() + frame.size());
  EXPECT_EQ(response_to<wire::MetadataRequest>(*second.ended[0].answer), response);
}

TEST_F(ConnectionTest, a_long_answer_with_another_behind_it_ends_both_calls) {
  agree();
  wire::MetadataResponse response;
  response.cluster_id = std::string(30'000, 'c');
  ByteBuffer bytes = answer_frame(response, 12, 1);
  const ByteBuffer second = answer_frame(response, 12, 2);
  bytes.insert(bytes.end(), second.begin(), second.end());
  submit(1, call_of(wire::MetadataRequest{}));
  submit(2, call_of(wire::MetadataRequest{}));
  const auto action = receive(bytes);
  ASSERT_EQ(action.ended.size(), 2);
  for (const auto& ended : action.ended)
    EXPECT_EQ(response_to<wire::MetadataRequest>(*ended.answer), response);
}

TEST_F(ConnectionTest, an_announced_size_allocates_a_few_times_of_what_has_arrived) {
  agree();
  submit(1, call_of(wire::MetadataRequest{}));
  receive(ByteBuffer{0x0F, 0xFF, 0xFF, 0xFF});
  EXPECT_LE(connection.room().size(), Connection::kReadBytes);
  receive(ByteBuffer(Connection::kReadBytes));
  EXPECT_LE(connection.room().size(), 4 * Connection::kReadBytes);
}

TEST_F(ConnectionTest, an_answer_that_nobody_asked_for_ends_the_conversation) {
  agree();
  EXPECT_TRUE(receive(answer_frame(wire::MetadataResponse{}, 12, 1)).close);
}

TEST_F(ConnectionTest, an_announced_size_over_the_bound_ends_the_conversation) {
  agree();
  submit(1, call_of(wire::MetadataRequest{}));
  const auto action = receive({0x7F, 0xFF, 0xFF, 0xFF});
  EXPECT_TRUE(action.close);
  EXPECT_EQ(action.ended[0].answer.error().code, Errc::kLimit);
}

TEST_F(ConnectionTest, what_is_no_kafka_answer_ends_the_conversation) {
  connect();
  EXPECT_TRUE(receive(copy_of(as_bytes("HTTP/1.1 400 Bad Request\r\n"))).close);
}

TEST_F(ConnectionTest, a_lost_stream_ends_every_call_once) {
  agree();
  submit(1, call_of(wire::MetadataRequest{}));
  submit(2, call_of(wire::MetadataRequest{}));
  const auto action = connection.resume(Connection::Lost{{Errc::kClosed, "reset"}});
  ASSERT_EQ(action.ended.size(), 2);
  EXPECT_EQ(action.ended[0].answer.error().message, "reset");
  const auto late = submit(3, call_of(wire::MetadataRequest{}));
  ASSERT_EQ(late.ended.size(), 1);
  EXPECT_FALSE(late.ended[0].answer);
}

TEST_F(ConnectionTest, a_stream_lost_before_the_agreement_ends_waiting_calls) {
  submit(1, call_of(wire::MetadataRequest{}));
  connect();
  const auto action = connection.resume(Connection::Lost{{Errc::kTimedOut, "slow"}});
  ASSERT_EQ(action.ended.size(), 1);
  EXPECT_EQ(action.ended[0].answer.error().code, Errc::kTimedOut);
}

TEST(Messages, a_group_and_its_offsets_are_said_in_the_form_of_old_versions) {
  wire::OffsetFetchRequest request{.require_stable = true};
  request.groups.push_back({.group_id = "g"});
  request.groups[0].topics->push_back({.name = "t", .partition_indexes = {1}});
  const auto old = call_of(request).encode(5);
  ASSERT_TRUE(old) << old.error().message;
  const auto read = wire::decode<wire::OffsetFetchRequest>(*old, 5);
  EXPECT_EQ(read->group_id, "g");
  EXPECT_EQ(read->topics->at(0).name, "t");

  wire::OffsetFetchResponse response;
  response.topics.push_back(
      {.name = "t", .partitions = {{.partition_index = 1, .committed_offset = 9}}});
  const Answer answer{.version = 5, .body = *wire::encode(response, 5)};
  const auto unified = response_to<wire::OffsetFetchRequest>(answer);
  ASSERT_EQ(unified->groups.size(), 1);
  EXPECT_EQ(unified->groups[0].topics[0].partitions[0].committed_offset, 9);
}

TEST(Messages, every_request_encodes_in_every_version_that_is_spoken) {
  auto check = []<class Request>(Request request) {
    const Call call = call_of(std::move(request));
    for (int16_t version = call.versions.min; version <= call.versions.max; ++version)
      EXPECT_TRUE(call.encode(version)) << Request::kName << " " << version;
  };
  check(wire::FindCoordinatorRequest{.coordinator_keys = {"g"}});
  wire::LeaveGroupRequest leave{.group_id = "g"};
  leave.members.push_back({.member_id = "m", .reason = "r"});
  check(leave);
  wire::DeleteTopicsRequest remove;
  remove.topics.push_back({.name = "t"});
  check(remove);
  check(wire::SyncGroupRequest{
      .group_id = "g", .member_id = "m", .protocol_type = "consumer", .protocol_name = "range"});
  check(wire::ListOffsetsRequest{.replica_id = -1, .timeout_ms = 1000});
}

}  // namespace
}  // namespace millrace::client::core
