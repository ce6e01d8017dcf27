#include "telemetry/client_metrics.h"

#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>

#include "record/compression.h"
#include "wire/errors.h"

namespace millrace::telemetry {
namespace {

using protozero::pbf_writer;
using wire::ErrorCode;

struct Point {
  std::string name;
  double value = 0;
  bool is_sum = false;
  bool is_delta = false;
};

// As OpenTelemetry's protocol has it.
ByteBuffer payload_of(const std::vector<Point>& points, const std::string& group = "g") {
  std::string bytes;
  {
    pbf_writer data(bytes);
    pbf_writer resource_metrics(data, 1);
    pbf_writer scope_metrics(resource_metrics, 2);
    for (const Point& each : points) {
      pbf_writer metric(scope_metrics, 2);
      {
        pbf_writer of_kind(metric, each.is_sum ? 7 : 5);
        pbf_writer point(of_kind, 1);
        point.add_double(4, each.value);
        {
          pbf_writer attribute(point, 7);
          attribute.add_string(1, "node_id");
          pbf_writer value(attribute, 2);
          value.add_int64(3, 1);
        }
        point.commit();
        if (each.is_sum) of_kind.add_enum(2, each.is_delta ? 1 : 2);
        if (each.is_sum) of_kind.add_bool(3, true);
      }
      metric.add_string(1, each.name);
    }
    scope_metrics.commit();
    pbf_writer resource(resource_metrics, 1);
    pbf_writer attribute(resource, 1);
    attribute.add_string(1, "group_id");
    pbf_writer value(attribute, 2);
    value.add_string(1, group);
  }
  return copy_of(as_bytes(bytes));
}

class ClientMetricsTest : public ::testing::Test {
 protected:
  ClientMetricsTest() {
    subscribe({{"all", {{"metrics", "org.apache.kafka."}, {"interval.ms", "1000"}}}});
  }
  void subscribe(const std::map<std::string, config::Values>& subscriptions) {
    machine_.subscribe(subscriptions);
  }
  Asker asker() const {
    return {.attributes = {{"client_id", "app-1"}, {"client_software_name", "kgo"}},
            .fresh_id = Uuid::of_words({7, 7})};
  }
  wire::GetTelemetrySubscriptionsResponse ask(const Uuid& id = {}) {
    wire::GetTelemetrySubscriptionsRequest request;
    request.client_instance_id = id;
    auto answer = machine_.get_subscriptions(request, asker(), now_);
    if (answer.error_code == 0) {
      id_ = answer.client_instance_id;
      subscription_ = answer.subscription_id;
    }
    return answer;
  }
  wire::PushTelemetryRequest pushed(const ByteBuffer& payload) const {
    wire::PushTelemetryRequest request;
    request.client_instance_id = id_;
    request.subscription_id = subscription_;
    request.metrics = payload;
    return request;
  }
  ErrorCode push(const wire::PushTelemetryRequest& request) {
    return static_cast<ErrorCode>(machine_.push(request, asker(), now_).error_code);
  }
  ErrorCode push(const std::vector<Point>& points) { return push(pushed(payload_of(points))); }
  double value(const std::string& name) {
    const auto series = machine_.series(now_);
    const auto found = series.find(name);
    return found == series.end() ? -1 : found->second.at(0).reading.value;
  }
  void later(Duration by) { now_ = now_ + by; }

  ClientMetrics machine_{100'000};
  Instant now_{seconds(100)};
  Uuid id_;
  int32_t subscription_ = 0;
};

TEST_F(ClientMetricsTest, a_client_gets_an_id_and_what_it_shall_push) {
  const auto answer = ask();
  EXPECT_EQ(answer.client_instance_id, Uuid::of_words({7, 7}));
  EXPECT_EQ(answer.requested_metrics, (std::vector<std::string>{"org.apache.kafka."}));
  EXPECT_EQ(answer.push_interval_ms, 1000);
  EXPECT_EQ(answer.telemetry_max_bytes, 100'000);
  EXPECT_TRUE(answer.delta_temporality);
  EXPECT_EQ(answer.accepted_compression_types, (std::vector<int8_t>{4, 3, 1, 2}));
}

TEST_F(ClientMetricsTest, subscriptions_that_match_are_united) {
  subscribe({{"a", {{"metrics", "a."}, {"match", "client_id=app-.*"}}},
             {"b", {{"metrics", "b."}, {"interval.ms", "200"}, {"match", "client_id = app"}}},
             {"c",
              {{"metrics", "c."},
               {"interval.ms", "500"},
               {"match", "client_id=.*,client_software_name=kgo"}}},
             {"d", {{"metrics", "d."}, {"match", "client_source_port=.*"}}}});
  const auto answer = ask();
  EXPECT_EQ(answer.requested_metrics, (std::vector<std::string>{"a.", "c."}));
  EXPECT_EQ(answer.push_interval_ms, 500);
  subscribe({{"a", {{"metrics", "a."}}}, {"b", {{"metrics", "*"}}}});
  EXPECT_EQ(ask(id_).requested_metrics, (std::vector<std::string>{"*"}));
}

TEST_F(ClientMetricsTest, who_asks_again_too_early_is_throttled) {
  ask();
  EXPECT_EQ(ask(id_).error_code, wire::code_of(ErrorCode::kThrottlingQuotaExceeded));
  later(seconds(1));
  EXPECT_EQ(ask(id_).error_code, 0);
  EXPECT_EQ(machine_.counts().throttled, 1);
}

TEST_F(ClientMetricsTest, the_first_push_may_come_at_any_time_others_at_the_interval) {
  ask();
  EXPECT_EQ(push({{.name = "m", .value = 3}}), ErrorCode::kNone);
  EXPECT_EQ(value("m"), 3);
  later(milliseconds(900));
  EXPECT_EQ(push({{.name = "m", .value = 4}}), ErrorCode::kThrottlingQuotaExceeded);
  EXPECT_EQ(value("m"), 3);
  later(milliseconds(100));
  EXPECT_EQ(push({{.name = "m", .value = 4}}), ErrorCode::kNone);
  EXPECT_EQ(value("m"), 4);
}

TEST_F(ClientMetricsTest, when_subscriptions_change_a_client_has_to_ask_again) {
  ask();
  subscribe({{"all", {{"metrics", "*"}}}});
  EXPECT_EQ(push({{.name = "m", .value = 3}}), ErrorCode::kUnknownSubscriptionId);
  EXPECT_EQ(ask(id_).error_code, 0);
  later(seconds(300));
  EXPECT_EQ(push({{.name = "m", .value = 3}}), ErrorCode::kNone);
  EXPECT_EQ(machine_.counts().unknown_subscriptions, 1);
}

TEST_F(ClientMetricsTest, the_last_push_may_come_early_and_nothing_behind_it) {
  ask();
  push({{.name = "m", .value = 3}});
  auto last = pushed(payload_of({{.name = "m", .value = 5}}));
  last.terminating = true;
  EXPECT_EQ(push(last), ErrorCode::kNone);
  EXPECT_EQ(value("m"), 5);
  later(seconds(5));
  EXPECT_EQ(push(last), ErrorCode::kInvalidRequest);
}

TEST_F(ClientMetricsTest, what_cannot_be_taken_is_refused) {
  ask();
  auto request = pushed(payload_of({{.name = "m"}}));
  request.client_instance_id = {};
  EXPECT_EQ(push(request), ErrorCode::kInvalidRequest);
  request.client_instance_id = Uuid::of_words({0, 1});
  EXPECT_EQ(push(request), ErrorCode::kInvalidRequest);
  request.client_instance_id = id_;
  request.compression_type = 9;
  EXPECT_EQ(push(request), ErrorCode::kUnsupportedCompressionType);
  later(seconds(1));
  request.compression_type = 0;
  request.metrics = ByteBuffer(100'001);
  EXPECT_EQ(push(request), ErrorCode::kTelemetryTooLarge);
  later(seconds(1));
  request.metrics = copy_of(as_bytes("\x0a\x7fnothing"));
  EXPECT_EQ(push(request), ErrorCode::kInvalidRecord);
  later(seconds(1));
  EXPECT_EQ(push({{.name = "m\xff"}}), ErrorCode::kInvalidRecord);
  later(seconds(1));
  ByteBuffer packed;
  record::compress(record::Codec::kZstd, 3, ByteBuffer(1'000'000), packed);
  request.metrics = packed;
  request.compression_type = 4;
  EXPECT_EQ(push(request), ErrorCode::kInvalidRecord);
  EXPECT_EQ(machine_.counts().refused_pushes, 3);
  EXPECT_TRUE(machine_.series(now_).empty());
}

TEST_F(ClientMetricsTest, what_is_told_since_the_last_push_is_summed_up) {
  ask();
  push({{.name = "d", .value = 3, .is_sum = true, .is_delta = true},
        {.name = "c", .value = 3, .is_sum = true}});
  later(seconds(1));
  push({{.name = "d", .value = 4, .is_sum = true, .is_delta = true},
        {.name = "c", .value = 4, .is_sum = true}});
  EXPECT_EQ(value("d"), 7);
  EXPECT_EQ(value("c"), 4);
  const auto series = machine_.series(now_);
  EXPECT_TRUE(series.at("d").at(0).reading.is_counter);
  EXPECT_EQ(series.at("d").at(0).labels, (Labels{{"client_id", "app-1"},
                                                 {"client_instance_id", id_.to_string()},
                                                 {"group_id", "g"},
                                                 {"node_id", "1"}}));
}

TEST_F(ClientMetricsTest, packed_pushes_are_read) {
  ask();
  for (const auto codec :
       {record::Codec::kGzip, record::Codec::kSnappy, record::Codec::kLz4, record::Codec::kZstd}) {
    ByteBuffer packed;
    record::compress(codec, record::level_range(codec).preset,
                     payload_of({{.name = "m", .value = static_cast<double>(codec)}}), packed);
    auto request = pushed(packed);
    request.compression_type = static_cast<int8_t>(codec);
    EXPECT_EQ(push(request), ErrorCode::kNone);
    EXPECT_EQ(value("m"), static_cast<double>(codec));
    later(seconds(1));
  }
}

TEST_F(ClientMetricsTest, who_is_silent_is_forgotten) {
  ask();
  push({{.name = "m", .value = 3}});
  later(seconds(59));
  EXPECT_EQ(value("m"), 3);
  later(seconds(1));
  EXPECT_EQ(value("m"), -1);
  EXPECT_EQ(machine_.counts().clients, 0u);
}

TEST_F(ClientMetricsTest, neither_clients_nor_series_are_without_bound) {
  for (uint64_t i = 0; i < ClientMetrics::kMaxClients + 10; ++i) ask(Uuid::of_words({9, i + 2}));
  EXPECT_EQ(machine_.counts().clients, ClientMetrics::kMaxClients);
  const std::string long_name(20'000, 'x');
  for (int i = 0; i < 2000; ++i) {
    std::vector<Point> points;
    for (int k = 0; k < 4; ++k) points.push_back({.name = long_name + std::to_string(4 * i + k)});
    ASSERT_EQ(push(points), ErrorCode::kNone);
    later(seconds(1));
  }
  EXPECT_GT(machine_.counts().series_left_out, 1000);
}

TEST(Otlp, fields_that_are_encoded_otherwise_are_passed_over) {
  for (const std::string_view odd :
       {"\x08\x0a", "\x0a\x02\x10\x01", "\x0a\x05\x12\x03\x12\x01\x0a"}) {
    const auto samples = decode_metrics(as_bytes(odd));
    EXPECT_TRUE(!samples || samples->empty());
  }
}

TEST(Otlp, more_than_is_taken_is_refused) {
  std::vector<Point> points(kMaxSamples + 1, Point{.name = "m"});
  EXPECT_EQ(decode_metrics(payload_of(points)).error().code, Errc::kLimit);
  points.resize(200);
  EXPECT_EQ(decode_metrics(payload_of(points, std::string(100'000, 'g'))).error().code,
            Errc::kLimit);
}

}  // namespace
}  // namespace millrace::telemetry
