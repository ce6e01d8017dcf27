#include "server/connection.h"

#include <gtest/gtest.h>

#include "env/testing/manual_shard.h"
#include "env/testing/scripted_stream.h"
#include "wire/api_table.h"

namespace millrace::server {
namespace {

constexpr int16_t kFree = 0;     // may be overtaken, as Produce
constexpr int16_t kStrict = 11;  // stops the line

ByteBuffer frame(int16_t api_key, int32_t correlation_id, size_t padding = 0) {
  ByteBuffer bytes(4 + 8 + padding);
  store_big<int32_t>(bytes.data(), static_cast<int32_t>(8 + padding));
  store_big<int16_t>(bytes.data() + 4, api_key);
  store_big<int32_t>(bytes.data() + 8, correlation_id);
  return bytes;
}

// Keeps every request until the test answers it.
class HoldingHandler : public RequestHandler {
 public:
  struct Held {
    int32_t correlation_id;
    size_t size;
    Reply reply;
  };
  void handle(ByteView bytes, PeerInfo&, Reply reply) override {
    held.push_back({load_big<int32_t>(bytes.data() + 4), bytes.size(), std::move(reply)});
    if (held.back().correlation_id == stops) held.back().reply.stop_line();
  }
  bool may_be_overtaken(int16_t api_key) const override { return api_key == kFree; }

  void answer(size_t index) {
    ByteBuffer bytes(4);
    store_big<int32_t>(bytes.data(), held[index].correlation_id);
    held[index].reply.send(std::move(bytes));
  }

  std::vector<Held> held;
  int32_t stops = -1;  // the correlation id of one that stops the line
};

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest()
      : connection_(std::make_shared<Connection>(
            Connection::Parts{.stream = std::make_unique<env::testing::ScriptedStream>(script_),
                              .shard = &shard_,
                              .input = &input_,
                              .handler = &handler_,
                              .closed = [this](Connection&) { ++times_closed_; }},
            "PLAINTEXT", ConnectionLimits{.max_request_bytes = 1'000'000})) {
    connection_->start();
  }
  ~ConnectionTest() override { connection_->close("the test is over", true); }

  void receive(const ByteBuffer& bytes) {
    script_.incoming.insert(script_.incoming.end(), bytes.begin(), bytes.end());
    pump();
  }
  void pump() {
    while (script_.watches_read && !script_.incoming.empty() && connection_->is_open())
      static_cast<env::ConnectionEvents&>(*connection_).readable(), shard_.run();
    shard_.run();
  }
  std::vector<int32_t> answered() const {
    std::vector<int32_t> ids;
    for (size_t at = 0; at + 4 <= script_.outgoing.size(); at += 4)
      ids.push_back(load_big<int32_t>(script_.outgoing.data() + at));
    return ids;
  }

  env::testing::StreamScript script_;
  env::testing::ManualShard shard_;
  ShardInput input_;
  HoldingHandler handler_;
  int times_closed_ = 0;
  std::shared_ptr<Connection> connection_;
};

using Ids = std::vector<int32_t>;

TEST_F(ConnectionTest, responses_leave_in_request_order_whatever_order_they_are_answered_in) {
  for (int id : {1, 2, 3}) receive(frame(kFree, id));
  ASSERT_EQ(handler_.held.size(), 3u);
  handler_.answer(2);
  handler_.answer(0);
  shard_.run();
  EXPECT_EQ(answered(), Ids({1}));
  handler_.answer(1);
  shard_.run();
  EXPECT_EQ(answered(), Ids({1, 2, 3}));
}

TEST_F(ConnectionTest, a_strict_request_stops_the_line_until_it_is_answered) {
  receive(frame(kStrict, 1));
  receive(frame(kStrict, 2));
  script_.incoming.clear();
  EXPECT_EQ(handler_.held.size(), 1u);
  EXPECT_FALSE(script_.watches_read);
  handler_.answer(0);
  pump();
  EXPECT_TRUE(script_.watches_read);
}

TEST_F(ConnectionTest, a_request_may_stop_the_line_and_let_it_go_before_it_is_answered) {
  handler_.stops = 1;
  ByteBuffer both = frame(kFree, 1);
  const ByteBuffer second = frame(kFree, 2);
  both.insert(both.end(), second.begin(), second.end());
  receive(both);
  EXPECT_EQ(handler_.held.size(), 1u);
  EXPECT_FALSE(script_.watches_read);
  handler_.held[0].reply.let_line_go();
  EXPECT_EQ(handler_.held.size(), 1u) << "not within the turn";
  shard_.run();
  EXPECT_EQ(handler_.held.size(), 2u);
  EXPECT_TRUE(script_.watches_read);
  handler_.answer(1);
  handler_.answer(0);
  shard_.run();
  EXPECT_EQ(answered(), Ids({1, 2}));
}

TEST_F(ConnectionTest, frames_behind_a_stopped_line_are_served_when_it_moves) {
  ByteBuffer both = frame(kStrict, 1);
  ByteBuffer second = frame(kFree, 2);
  both.insert(both.end(), second.begin(), second.end());
  receive(both);
  ASSERT_EQ(handler_.held.size(), 1u);
  handler_.answer(0);
  pump();
  ASSERT_EQ(handler_.held.size(), 2u);
  EXPECT_EQ(handler_.held[1].correlation_id, 2);
}

TEST_F(ConnectionTest, a_frame_that_comes_byte_by_byte_is_put_together) {
  script_.most_per_read = 1;
  receive(frame(kFree, 7, 100));
  ASSERT_EQ(handler_.held.size(), 1u);
  EXPECT_EQ(handler_.held[0].size, 108u);
}

TEST_F(ConnectionTest, a_frame_larger_than_the_scratch_is_put_together_and_its_memory_given_back) {
  script_.most_per_read = 100'000;
  receive(frame(kFree, 7, 900'000));
  ASSERT_EQ(handler_.held.size(), 1u);
  EXPECT_EQ(handler_.held[0].size, 900'008u);
  EXPECT_EQ(input_.memory.room(), input_.memory.limit());
}

TEST_F(ConnectionTest, the_next_large_frame_comes_into_the_warm_buffer_of_the_last) {
  script_.most_per_read = 100'000;
  receive(frame(kFree, 7, 900'000));
  ASSERT_EQ(input_.memory.spares(), 1u);
  const size_t most = input_.memory.most_held();
  receive(frame(kFree, 8, 900'000));
  EXPECT_EQ(input_.memory.spares(), 1u);
  EXPECT_EQ(input_.memory.most_held(), most);
  receive(frame(kFree, 9, 990'000));  // more than fits there
  ASSERT_EQ(handler_.held.size(), 3u);
  EXPECT_EQ(handler_.held[2].size, 990'008u);
  EXPECT_EQ(input_.memory.room(), input_.memory.limit());
}

TEST_F(ConnectionTest,
       memory_for_a_large_frame_grows_with_what_arrived_not_with_what_was_declared) {
  ByteBuffer bytes = frame(kFree, 7, 900'000);
  bytes.resize(1000);
  receive(bytes);
  EXPECT_LE(input_.memory.held(), 4096u);
}

TEST_F(ConnectionTest, a_frame_larger_than_the_memory_comes_through_when_it_is_alone) {
  input_.memory = InputMemory(300'000);
  script_.most_per_read = 100'000;
  receive(frame(kFree, 7, 900'000));
  ASSERT_EQ(handler_.held.size(), 1u);
  EXPECT_LE(input_.memory.most_held(), 300'000 + 2 * 900'012u);
  EXPECT_EQ(input_.memory.held(), 0u);
}

// A second connection of the same shard.
class TwoConnectionsTest : public ConnectionTest {
 protected:
  TwoConnectionsTest()
      : other_(std::make_shared<Connection>(
            Connection::Parts{
                .stream = std::make_unique<env::testing::ScriptedStream>(other_script_),
                .shard = &shard_,
                .input = &input_,
                .handler = &handler_,
                .closed = [](Connection&) {}},
            "PLAINTEXT", ConnectionLimits{.max_request_bytes = 1'000'000})) {
    input_.memory = InputMemory(300'000);
    script_.most_per_read = other_script_.most_per_read = 100'000;
    other_->start();
  }
  ~TwoConnectionsTest() override { other_->close("the test is over", true); }
  void receive_other(const ByteBuffer& bytes) {
    other_script_.incoming.insert(other_script_.incoming.end(), bytes.begin(), bytes.end());
    pump_other();
  }
  void pump_other() {
    while (other_script_.watches_read && !other_script_.incoming.empty() && other_->is_open())
      static_cast<env::ConnectionEvents&>(*other_).readable(), shard_.run();
  }

  env::testing::StreamScript other_script_;
  std::shared_ptr<Connection> other_;
};

TEST_F(TwoConnectionsTest, one_that_finds_no_memory_is_not_read_until_the_other_is_done) {
  const ByteBuffer first = frame(kFree, 7, 900'000);
  receive({first.begin(), first.begin() + 500'000});
  receive_other(frame(kFree, 8, 900'000));
  EXPECT_FALSE(other_script_.watches_read);
  EXPECT_TRUE(handler_.held.empty());
  receive({first.begin() + 500'000, first.end()});
  pump_other();
  ASSERT_EQ(handler_.held.size(), 2u);
  EXPECT_EQ(handler_.held[1].correlation_id, 8);
  EXPECT_LE(input_.memory.most_held(), 300'000 + 2 * 4096u + 2 * 900'012u);
}

TEST_F(TwoConnectionsTest, one_that_waits_goes_on_when_the_favoured_one_is_gone) {
  const ByteBuffer first = frame(kFree, 7, 900'000);
  receive({first.begin(), first.begin() + 500'000});
  receive_other(frame(kFree, 8, 900'000));
  EXPECT_FALSE(other_script_.watches_read);
  connection_->close("the peer is gone", true);
  shard_.run();
  pump_other();
  EXPECT_EQ(handler_.held.size(), 1u);
}

TEST_F(TwoConnectionsTest, small_requests_go_on_while_there_is_no_memory) {
  const ByteBuffer first = frame(kFree, 7, 900'000);
  receive({first.begin(), first.begin() + 500'000});
  for (int id = 0; id < 20; ++id) receive_other(frame(kFree, id, 1000));
  EXPECT_EQ(handler_.held.size(), 20u);
}

TEST_F(ConnectionTest, too_large_a_frame_closes_the_connection) {
  receive(frame(kFree, 1, 2'000'000));
  EXPECT_TRUE(script_.closed);
  EXPECT_EQ(times_closed_, 1);
}

TEST_F(ConnectionTest, a_negative_size_closes_the_connection) {
  receive({0xFF, 0xFF, 0xFF, 0xFF});
  EXPECT_TRUE(script_.closed);
}

TEST_F(ConnectionTest, a_peer_that_does_not_read_is_not_read_from) {
  script_.window = 0;
  receive(frame(kFree, 1));
  handler_.held[0].reply.send(ByteBuffer(Connection::kMaxUnsentBytes + 1));
  shard_.run();
  EXPECT_FALSE(script_.watches_read);
  EXPECT_TRUE(script_.watches_write);
  script_.window = SIZE_MAX;
  static_cast<env::ConnectionEvents&>(*connection_).writable();
  EXPECT_TRUE(script_.watches_read);
  EXPECT_EQ(script_.outgoing.size(), Connection::kMaxUnsentBytes + 1);
}

TEST_F(ConnectionTest, a_reply_dropped_unanswered_closes_the_connection) {
  receive(frame(kFree, 1));
  handler_.held.clear();
  EXPECT_TRUE(script_.closed);
}

TEST_F(ConnectionTest, whoever_waits_for_others_has_no_work_under_way) {
  EXPECT_FALSE(connection_->has_work_under_way());
  for (const auto api : {wire::ApiKey::kFetch, wire::ApiKey::kShareFetch}) {
    receive(frame(static_cast<int16_t>(api), 1));
    EXPECT_TRUE(connection_->has_unanswered_requests());
    EXPECT_FALSE(connection_->has_work_under_way()) << wire::api_name(api);
    handler_.answer(handler_.held.size() - 1);
    shard_.run();
  }
  receive(frame(kFree, 2));
  ASSERT_EQ(handler_.held.size(), 3u);
  EXPECT_TRUE(connection_->has_work_under_way());
  handler_.answer(2);
  shard_.run();
  EXPECT_FALSE(connection_->has_work_under_way());
}

TEST_F(ConnectionTest, answers_still_leave_after_the_peer_finished_sending) {
  receive(frame(kFree, 1));
  script_.peer_finished = true;
  static_cast<env::ConnectionEvents&>(*connection_).readable();
  EXPECT_FALSE(script_.closed);
  handler_.answer(0);
  shard_.run();
  EXPECT_EQ(answered(), Ids({1}));
  EXPECT_TRUE(script_.closed);
}

TEST_F(ConnectionTest, at_most_the_pipeline_limit_is_under_way) {
  ByteBuffer many;
  for (int id = 0; id < 100; ++id) {
    ByteBuffer one = frame(kFree, id);
    many.insert(many.end(), one.begin(), one.end());
  }
  receive(many);
  EXPECT_EQ(handler_.held.size(), Connection::kMaxPipelined);
}

}  // namespace
}  // namespace millrace::server
