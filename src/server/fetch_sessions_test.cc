// KIP-227, and what Apache Kafka's broker does where the KIP leaves it open: which session goes
// when the slots are full, what is answered to whom.
#include "server/fetch_sessions.h"

#include <gtest/gtest.h>

#include <limits>

#include "env/testing/manual_shard.h"

namespace millrace::server {
namespace {

using Kind = FetchTicket::Kind;
using wire::ErrorCode;
using wire::FetchRequest;
using wire::FetchResponse;
using Names = std::vector<std::string>;

constexpr int16_t kByName = 12;
constexpr int16_t kById = 13;

FetchRequest request_of(int32_t session, int32_t epoch, const Names& partitions) {
  FetchRequest request{.session_id = session, .session_epoch = epoch};
  for (const auto& name : partitions) {
    const size_t dash = name.find('-');
    request.topics.push_back({.topic = name.substr(0, dash),
                              .partitions = {{.partition = std::stoi(name.substr(dash + 1))}}});
  }
  return request;
}

template <class Topics>
Names names_of(const Topics& topics) {
  Names names;
  for (const auto& topic : topics)
    for (const auto& each : topic.partitions) {
      if constexpr (requires { each.partition; })
        names.push_back(topic.topic + "-" + std::to_string(each.partition));
      else
        names.push_back(topic.topic + "-" + std::to_string(each.partition_index));
    }
  return names;
}

class FetchSessionsTest : public testing::Test {
 protected:
  // What reading gives: every partition of the request, with the high watermarks and records that
  // the test has set.
  FetchResponse look(const FetchRequest& request) {
    FetchResponse response;
    for (const auto& topic : request.topics) {
      auto& result = response.responses.emplace_back();
      result.topic = topic.topic;
      result.topic_id = topic.topic_id;
      for (const auto& wanted : topic.partitions) {
        const std::string name = topic.topic + "-" + std::to_string(wanted.partition);
        result.partitions.push_back({.partition_index = wanted.partition,
                                     .error_code = errors[name],
                                     .high_watermark = watermarks[name],
                                     .log_start_offset = log_starts[name],
                                     .records = wire::Records::of(as_bytes(records[name]))});
      }
    }
    return response;
  }

  // One fetch from begin to finish.
  FetchResponse fetch(FetchRequest request, int16_t version = kByName) {
    const FetchTicket ticket = sessions.begin(request, version, shard.now());
    last_request = request;
    FetchResponse response;
    response.error_code = wire::code_of(ticket.error);
    if (ticket.error != ErrorCode::kNone) return response;
    response = look(request);
    sessions.finish(ticket, {request, shard.now()}, response);
    sessions.check_invariants();
    return response;
  }
  int32_t begin_session(const Names& partitions) {
    return fetch(request_of(0, 0, partitions)).session_id;
  }
  int16_t error_of(FetchRequest request, int16_t version = kByName) {
    return fetch(std::move(request), version).error_code;
  }

  env::testing::ManualShard shard;
  FetchSessions sessions{3, {.index = 1, .count = 4}, shard};
  std::map<std::string, int64_t> watermarks, log_starts;
  std::map<std::string, int16_t> errors;
  std::map<std::string, std::string> records;
  FetchRequest last_request;
};

TEST_F(FetchSessionsTest, epoch_zero_begins_a_session_with_an_id_of_this_part) {
  const auto response = fetch(request_of(0, 0, {"a-0", "a-1"}));
  EXPECT_GT(response.session_id, 0);
  EXPECT_EQ(response.session_id % 4, 1);
  EXPECT_EQ(names_of(response.responses), Names({"a-0", "a-1"}));
  EXPECT_EQ(sessions.partitions(), 2u);
}

TEST_F(FetchSessionsTest, epoch_minus_one_has_no_session_and_ends_the_one_it_names) {
  const int32_t id = begin_session({"a-0"});
  EXPECT_EQ(fetch(request_of(id, -1, {"a-0"})).session_id, 0);
  EXPECT_EQ(sessions.size(), 0u);
  EXPECT_EQ(error_of(request_of(id, 1, {})), wire::code_of(ErrorCode::kFetchSessionIdNotFound));
}

TEST_F(FetchSessionsTest, epoch_zero_with_an_id_replaces_that_session) {
  const int32_t id = begin_session({"a-0"});
  const int32_t next = fetch(request_of(id, 0, {"b-0"})).session_id;
  EXPECT_NE(next, id);
  EXPECT_EQ(sessions.size(), 1u);
}

TEST_F(FetchSessionsTest, an_incremental_fetch_stands_for_all_partitions_of_the_session) {
  const int32_t id = begin_session({"a-0", "b-0", "b-1"});
  const auto response = fetch(request_of(id, 1, {}));
  EXPECT_EQ(names_of(last_request.topics), Names({"a-0", "b-0", "b-1"}));
  EXPECT_EQ(last_request.topics.size(), 2u);
  EXPECT_EQ(response.session_id, id);
  EXPECT_EQ(response.responses.size(), 0u) << "nothing is new";
}

TEST_F(FetchSessionsTest, an_incremental_fetch_adds_changes_and_forgets_partitions) {
  const int32_t id = begin_session({"a-0", "b-0"});
  FetchRequest request = request_of(id, 1, {"c-0", "a-0"});
  request.topics[1].partitions[0].fetch_offset = 77;
  request.forgotten_topics_data = {{.topic = "b", .partitions = {0, 9}}};
  EXPECT_EQ(names_of(fetch(request).responses), Names({"c-0"})) << "c-0 was never told";
  EXPECT_EQ(names_of(last_request.topics), Names({"a-0", "c-0"}));
  EXPECT_EQ(last_request.topics[0].partitions[0].fetch_offset, 77);
  fetch(request_of(id, 2, {}));
  EXPECT_EQ(last_request.topics[0].partitions[0].fetch_offset, 77) << "it is remembered";
}

TEST_F(FetchSessionsTest, forgetting_everything_ends_the_session) {
  const int32_t id = begin_session({"a-0"});
  FetchRequest request = request_of(id, 1, {});
  request.forgotten_topics_data = {{.topic = "a", .partitions = {0}}};
  EXPECT_EQ(fetch(request).session_id, 0);
  EXPECT_EQ(sessions.size(), 0u);
}

TEST_F(FetchSessionsTest, tells_a_partition_when_its_high_watermark_or_log_start_moved) {
  const int32_t id = begin_session({"a-0", "a-1"});
  watermarks["a-1"] = 5;
  EXPECT_EQ(names_of(fetch(request_of(id, 1, {})).responses), Names({"a-1"}));
  EXPECT_EQ(names_of(fetch(request_of(id, 2, {})).responses), Names());
  log_starts["a-0"] = 3;
  EXPECT_EQ(names_of(fetch(request_of(id, 3, {})).responses), Names({"a-0"}));
}

TEST_F(FetchSessionsTest, tells_an_error_every_time_and_its_end_once) {
  const int32_t id = begin_session({"a-0"});
  errors["a-0"] = wire::code_of(ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(names_of(fetch(request_of(id, 1, {})).responses), Names({"a-0"}));
  EXPECT_EQ(names_of(fetch(request_of(id, 2, {})).responses), Names({"a-0"}));
  errors.clear();
  EXPECT_EQ(names_of(fetch(request_of(id, 3, {})).responses), Names({"a-0"}));
  EXPECT_EQ(names_of(fetch(request_of(id, 4, {})).responses), Names());
}

TEST_F(FetchSessionsTest, tells_a_divergence_and_a_preferred_replica) {
  const int32_t id = begin_session({"a-0", "a-1", "a-2"});
  FetchRequest request = request_of(id, 1, {});
  const FetchTicket ticket = sessions.begin(request, kByName, shard.now());
  FetchResponse response = look(request);
  response.responses[0].partitions[0].diverging_epoch = {.epoch = 2, .end_offset = 9};
  response.responses[0].partitions[2].preferred_read_replica = 3;
  sessions.finish(ticket, {request, shard.now()}, response);
  EXPECT_EQ(names_of(response.responses), Names({"a-0", "a-2"}));
}

TEST_F(FetchSessionsTest, a_partition_that_gave_records_goes_to_the_back) {
  const int32_t id = begin_session({"a-0", "a-1", "a-2"});
  records = {{"a-0", "x"}, {"a-1", "y"}};
  EXPECT_EQ(names_of(fetch(request_of(id, 1, {})).responses), Names({"a-0", "a-1"}));
  records = {{"a-2", "z"}};
  fetch(request_of(id, 2, {}));
  EXPECT_EQ(names_of(last_request.topics), Names({"a-2", "a-0", "a-1"}));
}

TEST_F(FetchSessionsTest, an_unknown_id_and_a_wrong_epoch_are_refused) {
  const int32_t id = begin_session({"a-0"});
  for (int32_t unknown : {0, -5, id + 1})
    EXPECT_EQ(error_of(request_of(unknown, 1, {})),
              wire::code_of(ErrorCode::kFetchSessionIdNotFound));
  for (int32_t epoch : {2, 7, std::numeric_limits<int32_t>::min()})
    EXPECT_EQ(error_of(request_of(id, epoch, {})),
              wire::code_of(ErrorCode::kInvalidFetchSessionEpoch));
  EXPECT_EQ(error_of(request_of(id, 1, {})), 0) << "a refusal changes nothing";
}

TEST_F(FetchSessionsTest, a_session_stays_with_names_or_with_ids) {
  const int32_t named = begin_session({"a-0"});
  EXPECT_EQ(error_of(request_of(named, 1, {}), kById),
            wire::code_of(ErrorCode::kFetchSessionTopicIdError));
  const int32_t by_id = fetch(request_of(0, 0, {"a-0"}), kById).session_id;
  EXPECT_EQ(error_of(request_of(by_id, 1, {}), kByName),
            wire::code_of(ErrorCode::kFetchSessionTopicIdError));
}

TEST_F(FetchSessionsTest, a_session_by_id_tells_topics_apart_by_id) {
  const Uuid first = Uuid::of_words({7, 1}), second = Uuid::of_words({7, 2});
  FetchRequest request{.session_epoch = 0};
  request.topics = {{.topic_id = first, .partitions = {{.partition = 0}}},
                    {.topic_id = second, .partitions = {{.partition = 0}}}};
  const int32_t id = fetch(request, kById).session_id;
  FetchRequest next{.session_id = id, .session_epoch = 1};
  next.forgotten_topics_data = {{.topic_id = first, .partitions = {0}}};
  fetch(next, kById);
  ASSERT_EQ(last_request.topics.size(), 1u);
  EXPECT_EQ(last_request.topics[0].topic_id, second);
}

TEST_F(FetchSessionsTest, epochs_wrap_from_the_largest_to_one) {
  EXPECT_EQ(FetchSessions::epoch_after(1), 2);
  EXPECT_EQ(FetchSessions::epoch_after(std::numeric_limits<int32_t>::max()), 1);
}

TEST_F(FetchSessionsTest, an_answer_whose_session_went_on_elsewhere_is_refused) {
  const int32_t id = begin_session({"a-0"});
  FetchRequest slow = request_of(id, 1, {});
  const FetchTicket ticket = sessions.begin(slow, kByName, shard.now());
  EXPECT_EQ(error_of(request_of(id, 2, {})), 0);
  FetchResponse late = look(slow);
  sessions.finish(ticket, {slow, shard.now()}, late);
  EXPECT_EQ(late.error_code, wire::code_of(ErrorCode::kInvalidFetchSessionEpoch));
  EXPECT_EQ(late.session_id, 0);
  EXPECT_TRUE(late.responses.empty());
}

TEST_F(FetchSessionsTest, with_all_slots_in_use_the_client_goes_on_without_a_session) {
  for (int i = 0; i < 3; ++i) EXPECT_NE(begin_session({"a-0"}), 0);
  EXPECT_EQ(begin_session({"a-0", "a-1", "a-2"}), 0);
  EXPECT_EQ(sessions.size(), 3u);
}

TEST_F(FetchSessionsTest, a_session_unused_for_two_minutes_gives_way_the_oldest_first) {
  const int32_t oldest = begin_session({"a-0"});
  shard.advance(seconds(10));
  begin_session({"b-0"}), begin_session({"c-0"});
  shard.advance(FetchSessions::kEvictionAge - seconds(5));
  EXPECT_NE(begin_session({"d-0"}), 0);
  EXPECT_EQ(error_of(request_of(oldest, 1, {})), wire::code_of(ErrorCode::kFetchSessionIdNotFound));
  EXPECT_EQ(begin_session({"e-0"}), 0) << "the others were used within two minutes";
}

// `privileged && unprivileged` and the sizes of FetchSessionCacheShard.tryEvict.
TEST_F(FetchSessionsTest, a_larger_session_takes_the_place_of_a_smaller_one_that_is_old) {
  std::vector<int32_t> ids;
  for (const char* name : {"a-0", "b-0", "c-0"}) ids.push_back(begin_session({name, "x-0"}));
  shard.advance(FetchSessions::kEvictionAge + seconds(1));
  for (int32_t id : ids) ASSERT_EQ(error_of(request_of(id, 1, {})), 0);
  EXPECT_EQ(begin_session({"d-0"}), 0) << "smaller";
  EXPECT_EQ(begin_session({"d-0", "d-1"}), 0) << "as large";
  EXPECT_NE(begin_session({"d-0", "d-1", "d-2"}), 0);
  EXPECT_EQ(sessions.size(), 3u);
}

TEST_F(FetchSessionsTest, a_follower_takes_the_place_of_a_consumer_but_not_the_other_way_round) {
  for (int i = 0; i < 3; ++i) begin_session({"a-0", "a-1"});
  FetchRequest follower = request_of(0, 0, {"a-0"});
  follower.replica_id = 2;
  for (int i = 0; i < 3; ++i) EXPECT_NE(fetch(follower).session_id, 0);
  EXPECT_EQ(fetch(follower).session_id, 0);
  EXPECT_EQ(begin_session({"a-0", "a-1", "a-2"}), 0);
  FetchRequest newer = request_of(0, 0, {"a-0"});
  newer.replica_state.replica_id = 2;
  EXPECT_EQ(fetch(newer, 17).session_id, 0) << "a follower too, but none gives way to it";
}

TEST_F(FetchSessionsTest, without_slots_there_are_no_sessions) {
  FetchSessions none(0, {}, shard);
  FetchRequest request = request_of(0, 0, {"a-0"});
  const FetchTicket ticket = none.begin(request, kByName, shard.now());
  FetchResponse response = look(request);
  none.finish(ticket, {request, shard.now()}, response);
  EXPECT_EQ(response.session_id, 0);
  EXPECT_EQ(names_of(response.responses), Names({"a-0"}));
}

}  // namespace
}  // namespace millrace::server
