// Quotas of clients through a whole broker in memory, where the clock is the test's.
#include <gtest/gtest.h>

#include <cmath>

#include "node/client_quotas.h"
#include "record/builder.h"
#include "server/testing/broker.h"
#include "wire/alter_client_quotas.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/describe_client_quotas.h"
#include "wire/envelope.h"
#include "wire/fetch.h"
#include "wire/metadata.h"
#include "wire/principal.h"
#include "wire/produce.h"

namespace millrace::server {
namespace {

using metadata::QuotaEntity;
using testing::Broker;
using wire::ErrorCode;

constexpr auto kAny = std::nullopt;
constexpr int16_t kByName = 12;  // Produce and Fetch

class ClientQuotasTest : public ::testing::Test {
 protected:
  ClientQuotasTest() { EXPECT_EQ(create("t", 1), ErrorCode::kNone); }

  void set(const QuotaEntity& entity, const std::string& key, double value) {
    using Request = wire::AlterClientQuotasRequest;
    Request request;
    request.entries = {
        {.entity = metadata::quota_parts_of<decltype(Request::EntryData::entity)>(entity),
         .ops = {{.key = key, .value = value, .remove = value < 0}}}};
    const auto answer = admin_.ask<wire::AlterClientQuotasResponse>(request);
    ASSERT_EQ(answer.entries.at(0).error_code, 0) << answer.entries[0].error_message.value_or("");
  }
  wire::CreateTopicsResponse create_topic(const std::string& name, int32_t partitions,
                                          int16_t version = 7) {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = name, .num_partitions = partitions, .replication_factor = 1}};
    return client_.ask<wire::CreateTopicsResponse>(request, version);
  }
  ErrorCode create(const std::string& name, int32_t partitions, int16_t version = 7) {
    last_ = create_topic(name, partitions, version);
    return static_cast<ErrorCode>(last_.topics.at(0).error_code);
  }
  static ByteBuffer batch_of(size_t bytes) {
    record::BatchBuilder builder({});
    const ByteBuffer value(bytes, 'x');
    builder.append({.timestamp = TimestampMs(1), .value = ByteView(value)});
    return std::move(builder).build();
  }
  static wire::ProduceRequest produce_of(ByteView batch, int16_t acks = 1) {
    wire::ProduceRequest request{.acks = acks, .timeout_ms = 1000};
    auto& topic = request.topic_data.emplace_back();
    topic.name = "t";
    topic.partition_data.push_back({.index = 0, .records = wire::Records::of(batch)});
    return request;
  }
  // What the request costs: its frame without the size.
  static size_t cost(const wire::ProduceRequest& request) {
    return Broker::Client::frame_of(request, kByName).size() - sizeof(int32_t);
  }
  int32_t produce(size_t bytes) {
    const ByteBuffer batch = batch_of(bytes);
    const auto answer = client_.ask<wire::ProduceResponse>(produce_of(batch), kByName);
    EXPECT_EQ(answer.responses.at(0).partition_responses.at(0).error_code, 0);
    return answer.throttle_time_ms;
  }
  static wire::FetchRequest fetch_of(int32_t max_bytes = 1 << 20, int64_t offset = 0) {
    wire::FetchRequest request{
        .max_wait_ms = 0, .min_bytes = 1, .max_bytes = max_bytes, .session_epoch = 0};
    request.topics = {
        {.topic = "t", .partitions = {{.fetch_offset = offset, .partition_max_bytes = 1 << 20}}}};
    return request;
  }
  bool is_heard() {
    client_.receive(Broker::Client::frame_of(wire::MetadataRequest{}, 12));
    return !std::exchange(client_.sent(), {}).empty();
  }
  void pass(int64_t ms) {
    broker_.shard().advance(milliseconds(ms));
    client_.receive({});  // what waits on the socket, if it is read again
  }

  Broker broker_;
  Broker::Client client_{broker_};
  Broker::Client admin_{broker_};
  wire::CreateTopicsResponse last_;
};

TEST_F(ClientQuotasTest, are_described_as_they_were_set) {
  set({{"user", "u"}, {"client-id", kAny}}, "producer_byte_rate", 1000);
  set({{"client-id", "c"}}, "request_percentage", 2.5);
  set({{"ip", "127.0.0.1"}}, "connection_creation_rate", 3);
  using Request = wire::DescribeClientQuotasRequest;
  auto count = [&](std::vector<Request::ComponentData> components, bool strict = false) {
    const auto answer = client_.ask<wire::DescribeClientQuotasResponse>(
        Request{.components = std::move(components), .strict = strict});
    EXPECT_EQ(answer.error_code, 0);
    return answer.entries->size();
  };
  EXPECT_EQ(count({}), 3u);
  EXPECT_EQ(count({}, true), 0u) << "an entity of no part";
  EXPECT_EQ(count({{.entity_type = "client-id", .match_type = 2, .match = kAny}}), 2u);
  EXPECT_EQ(count({{.entity_type = "client-id", .match_type = 2, .match = kAny}}, true), 1u);
  EXPECT_EQ(count({{.entity_type = "client-id", .match_type = 1, .match = kAny}}), 1u);
  EXPECT_EQ(count({{.entity_type = "user", .match_type = 0, .match = "u"},
                   {.entity_type = "client-id", .match_type = 1, .match = kAny}},
                  true),
            1u);
  EXPECT_EQ(count({{.entity_type = "user", .match_type = 0, .match = "x"}}), 0u);
  EXPECT_EQ(count({{.entity_type = "ip", .match_type = 0, .match = "127.0.0.1"}}), 1u);
}

TEST_F(ClientQuotasTest, filters_that_make_no_sense_are_told_so) {
  using Request = wire::DescribeClientQuotasRequest;
  auto problem = [&](std::vector<Request::ComponentData> components) {
    const auto answer = client_.ask<wire::DescribeClientQuotasResponse>(
        Request{.components = std::move(components)});
    EXPECT_FALSE(answer.entries);
    EXPECT_NE(answer.error_code, 0);
    return answer.error_message.value_or("");
  };
  EXPECT_EQ(problem({{.entity_type = "", .match = "x"}}), "Invalid empty entity type.");
  EXPECT_EQ(problem({{.entity_type = "user", .match = "x"}, {.entity_type = "user", .match = "y"}}),
            "Entity type user cannot appear more than once in the filter.");
  EXPECT_EQ(problem({{.entity_type = "group", .match = "x"}}), "Unsupported entity type group");
  EXPECT_EQ(problem({{.entity_type = "user", .match = kAny}}),
            "Request specified MATCH_TYPE_EXACT, but set match string to null.");
  EXPECT_EQ(problem({{.entity_type = "user", .match_type = 1, .match = "x"}}),
            "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.");
  EXPECT_EQ(problem({{.entity_type = "user", .match_type = 2, .match = "x"}}),
            "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.");
  EXPECT_EQ(problem({{.entity_type = "user", .match_type = 3, .match = "x"}}),
            "Unknown match type 3");
  EXPECT_EQ(problem({{.entity_type = "ip", .match = "x"}, {.entity_type = "user", .match = "x"}}),
            "Invalid entity filter component combination. IP filter component should not be used "
            "with user or clientId filter component.");
}

// Ten windows of one second: what is over a tenth of the rate of ten seconds is waited for.
TEST_F(ClientQuotasTest, a_producer_over_its_rate_is_told_at_once_and_then_not_heard) {
  const ByteBuffer batch = batch_of(9000);
  const auto cost_of_one = static_cast<double>(cost(produce_of(batch)));
  set({{"client-id", "tests"}}, "producer_byte_rate", 500);
  EXPECT_EQ(produce(9000), std::llround((cost_of_one / 10 - 500) / 500 * 10'000));
  EXPECT_FALSE(is_heard());
  const auto wait = static_cast<int64_t>(std::llround((cost_of_one / 10 - 500) / 500 * 10'000));
  pass(wait - 1);
  EXPECT_TRUE(client_.sent().empty());
  pass(1);
  EXPECT_FALSE(client_.sent().empty()) << "what came meanwhile is served now";
}

TEST_F(ClientQuotasTest, what_is_pipelined_behind_waits_too) {
  set({{"user", kAny}}, "producer_byte_rate", 500);
  const ByteBuffer batch = batch_of(9000);
  ByteBuffer frames = Broker::Client::frame_of(produce_of(batch, -1), kByName);
  const size_t one = frames.size();
  const ByteBuffer again = frames;
  frames.insert(frames.end(), again.begin(), again.end());
  client_.receive(frames);
  ASSERT_GT(client_.sent().size(), sizeof(int32_t));
  EXPECT_EQ(client_.sent().size(), sizeof(int32_t) + load_big<uint32_t>(client_.sent().data()))
      << "one answer";
  EXPECT_GT(one, 9000u);
  pass(60'000);
  EXPECT_GT(client_.sent().size(), sizeof(int32_t) + load_big<uint32_t>(client_.sent().data()));
}

TEST_F(ClientQuotasTest, acks_of_zero_mute_without_an_answer) {
  set({{"user", "ANONYMOUS"}}, "producer_byte_rate", 500);
  const ByteBuffer batch = batch_of(9000);
  client_.receive(Broker::Client::frame_of(produce_of(batch, 0), kByName));
  EXPECT_FALSE(is_heard());
  pass(60'000);
  EXPECT_FALSE(client_.sent().empty());
}

TEST_F(ClientQuotasTest, another_client_and_one_below_the_rate_are_left_alone) {
  set({{"client-id", "other"}}, "producer_byte_rate", 1);
  EXPECT_EQ(produce(9000), 0);
  set({{"client-id", "tests"}}, "producer_byte_rate", 100'000);
  EXPECT_EQ(produce(9000), 0);
  EXPECT_TRUE(is_heard());
}

TEST_F(ClientQuotasTest, a_quota_that_is_taken_back_holds_nobody) {
  set({{"client-id", "tests"}}, "producer_byte_rate", 1);
  set({{"client-id", "tests"}}, "producer_byte_rate", -1);
  EXPECT_FALSE(broker_.node().client_quotas().has(quota::Kind::kProduce));
  EXPECT_EQ(produce(9000), 0);
}

TEST_F(ClientQuotasTest, a_consumer_over_its_rate_gets_nothing_and_is_charged_nothing) {
  EXPECT_EQ(produce(3000), 0);
  set({{"client-id", "tests"}}, "consumer_byte_rate", 500);
  auto fetch = [&] { return client_.ask<wire::FetchResponse>(fetch_of(), kByName); };
  const auto first = fetch();
  EXPECT_EQ(first.throttle_time_ms, 0);
  EXPECT_GT(first.responses.at(0).partitions.at(0).records.size(), 3000u);
  const auto second = fetch();
  EXPECT_GT(second.throttle_time_ms, 2000);
  EXPECT_TRUE(second.responses.empty());
  EXPECT_EQ(second.session_id, 0);
  EXPECT_FALSE(is_heard());
  pass(second.throttle_time_ms);
  EXPECT_FALSE(std::exchange(client_.sent(), {}).empty());
  pass(11'000 - second.throttle_time_ms);
  EXPECT_EQ(fetch().responses.size(), 1u) << "the first one is forgotten";
}

TEST_F(ClientQuotasTest, a_consumer_gets_no_more_at_once_than_its_quota_has_for_ten_seconds) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(produce(3000), 0);
  set({{"client-id", "tests"}}, "consumer_byte_rate", 800);
  size_t got = 0;
  for (int tries = 0; got == 0 && tries < 5; ++tries) {
    const auto answer = client_.ask<wire::FetchResponse>(fetch_of(), kByName);
    if (!answer.responses.empty()) got = answer.responses[0].partitions.at(0).records.size();
    EXPECT_LT(answer.throttle_time_ms, 500) << "what stands around the records is a little more";
    pass(answer.throttle_time_ms);
  }
  EXPECT_EQ(got, 8000u);
}

TEST_F(ClientQuotasTest, an_incremental_fetch_over_its_rate_keeps_its_session) {
  const auto begun = client_.ask<wire::FetchResponse>(fetch_of(), kByName);
  ASSERT_NE(begun.session_id, 0);
  EXPECT_EQ(produce(3000), 0);
  set({{"client-id", "tests"}}, "consumer_byte_rate", 1);
  wire::FetchRequest next{
      .max_wait_ms = 0, .min_bytes = 1, .session_id = begun.session_id, .session_epoch = 1};
  const auto held = client_.ask<wire::FetchResponse>(next, kByName);
  EXPECT_GT(held.throttle_time_ms, 0);
  EXPECT_EQ(held.session_id, begun.session_id);
  EXPECT_TRUE(held.responses.empty());
  pass(held.throttle_time_ms);
  set({{"client-id", "tests"}}, "consumer_byte_rate", 1e6);
  next.session_epoch = 2;
  const auto after = client_.ask<wire::FetchResponse>(next, kByName);
  EXPECT_EQ(after.error_code, 0);
  EXPECT_EQ(after.responses.size(), 1u) << "nothing of it was told before";
}

TEST_F(ClientQuotasTest, changes_of_topics_are_refused_while_earlier_ones_are_worked_off) {
  set({{"user", kAny}}, "controller_mutation_rate", 1);  // a burst of eleven
  EXPECT_EQ(create("a", 15), ErrorCode::kNone) << "a full bucket lets one of any size through";
  EXPECT_EQ(last_.throttle_time_ms, 0);
  EXPECT_EQ(create("b", 1), ErrorCode::kThrottlingQuotaExceeded);
  EXPECT_EQ(last_.topics[0].error_message, "The throttling quota has been exceeded.");
  EXPECT_EQ(last_.throttle_time_ms, 4000);
  EXPECT_FALSE(is_heard());
  pass(4000);
  EXPECT_FALSE(std::exchange(client_.sent(), {}).empty());
  EXPECT_EQ(create("b", 1), ErrorCode::kNone);
}

TEST_F(ClientQuotasTest, old_versions_change_topics_and_wait) {
  set({{"user", kAny}}, "controller_mutation_rate", 1);
  EXPECT_EQ(create("a", 15, 5), ErrorCode::kNone);
  EXPECT_EQ(last_.throttle_time_ms, 4000);
  pass(4000);
  wire::CreatePartitionsRequest more{.timeout_ms = 1000};
  more.topics.push_back({.name = "a", .count = 17, .assignments = kAny});
  const auto grown = client_.ask<wire::CreatePartitionsResponse>(more, 2);
  EXPECT_EQ(grown.results.at(0).error_code, 0);
  EXPECT_EQ(grown.throttle_time_ms, 2000);
  pass(2000);
  wire::DeleteTopicsRequest gone{.topic_names = {"a"}, .timeout_ms = 1000};
  const auto deleted = client_.ask<wire::DeleteTopicsResponse>(gone, 4);
  EXPECT_EQ(deleted.responses.at(0).error_code, 0);
  EXPECT_EQ(deleted.throttle_time_ms, 17'000);
}

// KIP-590: the controller charges the client, whose broker holds it back.
TEST_F(ClientQuotasTest, what_comes_in_an_envelope_is_charged_to_whom_it_names) {
  set({{"user", "alice"}}, "controller_mutation_rate", 1);
  Broker::Client peer(broker_, "CONTROLLER");
  auto create_as = [&](const char* user, const char* name, int32_t partitions) {
    wire::CreateTopicsRequest request{.timeout_ms = 1000};
    request.topics = {{.name = name, .num_partitions = partitions, .replication_factor = 1}};
    wire::EnvelopeRequest envelope{.client_host_address = {192, 0, 2, 7}};
    envelope.request_data =
        copy_of(ByteView(Broker::Client::frame_of(request, 7)).subspan(sizeof(int32_t)));
    envelope.request_principal =
        wire::encode_value(wire::DefaultPrincipalData{.type = "User", .name = user}, 0);
    const auto answer = peer.ask<wire::EnvelopeResponse>(envelope);
    constexpr size_t kHeader = 5;
    return *wire::decode<wire::CreateTopicsResponse>(
        ByteView(*answer.response_data).subspan(kHeader), 7);
  };
  EXPECT_EQ(create_as("alice", "a", 12).topics.at(0).error_code, 0);
  const auto refused = create_as("alice", "b", 1);
  EXPECT_EQ(refused.topics.at(0).error_code, wire::code_of(ErrorCode::kThrottlingQuotaExceeded));
  EXPECT_EQ(refused.throttle_time_ms, 1000);
  EXPECT_EQ(create_as("bob", "b", 1).topics.at(0).error_code, 0)
      << "the connection of the broker is heard, and bob has no quota";
}

TEST_F(ClientQuotasTest, use_is_shown_by_whom_it_is_shared) {
  set({{"client-id", "tests"}}, "producer_byte_rate", 500);
  EXPECT_EQ(produce(3000), 0);
  const auto now = broker_.shard().clock().now();
  const auto readings = broker_.node().client_quotas().readings(now);
  ASSERT_EQ(readings.size(), 1u);
  EXPECT_EQ(readings[0].tags, (quota::Tags{"", "tests"}));
  EXPECT_GT(readings[0].value, 300);
}

// Time that requests take does not pass here: it is charged as the broker would.
TEST(ClientQuotas, request_time_is_waited_for_one_window_at_most) {
  node::ClientQuotas quotas(
      *config::NodeProperties::of(config::NodeProperties::embedded_default()));
  metadata::ClientQuotas set;
  set.apply({.entity = {{.entity_type = "user", .entity_name = kAny}},
             .key = "request_percentage",
             .value = 1});
  quotas.follow(&set);
  const quota::Client client{"u", "c"};
  const Instant now{};
  EXPECT_EQ(quotas.charge(quota::Kind::kRequest, client, 10, now), Duration::zero());
  EXPECT_EQ(quotas.charge(quota::Kind::kRequest, client, 0.5, now), milliseconds(500));
  EXPECT_EQ(quotas.charge(quota::Kind::kRequest, client, 50, now), milliseconds(1000));
  EXPECT_EQ(quotas.charge(quota::Kind::kProduce, client, 1e9, now), Duration::zero());
}

}  // namespace
}  // namespace millrace::server
