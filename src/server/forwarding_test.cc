// Requests that the controller decides, on both ends of KIP-590: in an envelope on the controller's
// listener, and on a broker's listener with and without an active controller.
#include "server/forwarding.h"

#include <gtest/gtest.h>

#include "node/controller_host.h"
#include "server/testing/broker.h"
#include "wire/alter_configs.h"
#include "wire/create_topics.h"
#include "wire/describe_quorum.h"
#include "wire/envelope.h"
#include "wire/errors.h"
#include "wire/incremental_alter_configs.h"
#include "wire/metadata.h"
#include "wire/principal.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;

class ForwardingTest : public ::testing::Test {
 protected:
  static wire::CreateTopicsRequest creation_of(const std::string& name) {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = name, .num_partitions = 1, .replication_factor = 1}};
    request.timeout_ms = 5000;
    return request;
  }
  template <class Request>
  static wire::EnvelopeRequest envelope_of(const Request& request,
                                           int16_t version = Request::kMaxVersion) {
    wire::EnvelopeRequest envelope;
    const ByteBuffer frame = Broker::Client::frame_of(request, version);
    envelope.request_data = copy_of(ByteView(frame).subspan(4));
    envelope.request_principal =
        wire::encode_value(wire::DefaultPrincipalData{.type = "User", .name = "alice"}, 0);
    envelope.client_host_address = {192, 0, 2, 7};
    return envelope;
  }
  ErrorCode code_of(const wire::EnvelopeRequest& envelope) {
    return static_cast<ErrorCode>(controller_.ask<wire::EnvelopeResponse>(envelope).error_code);
  }
  // The only voter leads again when its election timeout is over, not before.
  void lose_the_controller() {
    broker_.node().controller().driver().resign();
    broker_.shard().run();
    ASSERT_FALSE(broker_.node().is_active_controller());
  }

  Broker broker_;
  Broker::Client client_{broker_};
  Broker::Client controller_{broker_, "CONTROLLER"};
};

TEST_F(ForwardingTest, what_is_in_an_envelope_is_answered_in_one) {
  const auto answer = controller_.ask<wire::EnvelopeResponse>(envelope_of(creation_of("t")));
  EXPECT_EQ(answer.error_code, 0);
  ASSERT_TRUE(answer.response_data.has_value());
  const ByteView inner = *answer.response_data;
  EXPECT_EQ(load_big<int32_t>(inner.data()), 1) << "the correlation id of the client";
  const auto response = wire::decode<wire::CreateTopicsResponse>(inner.subspan(5), 7);
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->topics.at(0).error_code, 0);
  EXPECT_NE(broker_.node().image()->find_topic(std::string_view("t")), nullptr);
}

TEST_F(ForwardingTest, an_api_that_is_not_forwarded_is_refused_in_an_envelope) {
  EXPECT_EQ(code_of(envelope_of(wire::MetadataRequest{})), ErrorCode::kInvalidRequest);
  EXPECT_EQ(code_of(envelope_of(envelope_of(creation_of("t")))), ErrorCode::kInvalidRequest);
}

TEST_F(ForwardingTest, an_envelope_says_what_is_wrong_with_it) {
  auto envelope = envelope_of(creation_of("t"));
  envelope.client_host_address = {1, 2, 3};
  EXPECT_EQ(code_of(envelope), ErrorCode::kInvalidRequest);
  envelope = envelope_of(creation_of("t"));
  envelope.request_principal->resize(3);
  EXPECT_EQ(code_of(envelope), ErrorCode::kPrincipalDeserializationFailure);
  envelope.request_principal.reset();
  EXPECT_EQ(code_of(envelope), ErrorCode::kPrincipalDeserializationFailure);
}

// KIP-590: so that an error of the envelope is told apart from one of what is in it.
TEST_F(ForwardingTest, an_enclosed_request_that_cannot_be_read_is_of_an_unsupported_version) {
  auto envelope = envelope_of(creation_of("t"));
  store_big<int16_t>(envelope.request_data.data() + 2, 99);
  EXPECT_EQ(code_of(envelope), ErrorCode::kUnsupportedVersion);
  envelope = envelope_of(creation_of("t"));
  envelope.request_data.resize(envelope.request_data.size() - 4);
  EXPECT_EQ(code_of(envelope), ErrorCode::kUnsupportedVersion);
  envelope.request_data.resize(5);
  EXPECT_EQ(code_of(envelope), ErrorCode::kUnsupportedVersion);
}

TEST_F(ForwardingTest, a_controller_that_is_not_active_says_so_outside_of_the_envelope) {
  lose_the_controller();
  const auto answer = controller_.ask<wire::EnvelopeResponse>(envelope_of(creation_of("t")));
  EXPECT_EQ(static_cast<ErrorCode>(answer.error_code), ErrorCode::kNotController);
  EXPECT_FALSE(answer.response_data.has_value());
  wire::DescribeQuorumRequest quorum;
  quorum.topics = {{.topic_name = "__cluster_metadata", .partitions = {{.partition_index = 0}}}};
  EXPECT_EQ(code_of(envelope_of(quorum)), ErrorCode::kNotController);
}

TEST_F(ForwardingTest, a_controller_that_is_not_active_says_so_to_tools) {
  lose_the_controller();
  const auto response = controller_.ask<wire::CreateTopicsResponse>(creation_of("t"));
  EXPECT_EQ(static_cast<ErrorCode>(response.topics.at(0).error_code), ErrorCode::kNotController);
  wire::DescribeQuorumRequest quorum;
  quorum.topics = {{.topic_name = "__cluster_metadata", .partitions = {{.partition_index = 0}}}};
  const auto described = controller_.ask<wire::DescribeQuorumResponse>(quorum);
  EXPECT_EQ(static_cast<ErrorCode>(described.topics.at(0).partitions.at(0).error_code),
            ErrorCode::kNotLeaderOrFollower);
}

TEST_F(ForwardingTest, a_broker_without_a_controller_waits_as_long_as_the_request_may_take) {
  lose_the_controller();
  client_.receive(Broker::Client::frame_of(creation_of("t"), 7));
  broker_.shard().advance(milliseconds(4999));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(milliseconds(1));
  const ByteBuffer sent = std::exchange(client_.sent(), {});
  ASSERT_GT(sent.size(), 9u);
  const auto response = wire::decode<wire::CreateTopicsResponse>(ByteView(sent).subspan(9), 7);
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(static_cast<ErrorCode>(response->topics.at(0).error_code), ErrorCode::kRequestTimedOut);
}

// Kafka: the configs of a broker are checked by that broker, the rest by the controller.
TEST_F(ForwardingTest, a_broker_answers_for_its_own_configs_and_the_controller_for_the_rest) {
  wire::IncrementalAlterConfigsRequest request;
  request.resources = {
      {.resource_type = 4, .resource_name = "77", .configs = {}},
      {.resource_type = 4,
       .resource_name = "",
       .configs = {{.name = "log.retention.ms", .config_operation = 0, .value = "1000"}}}};
  const auto response = client_.ask<wire::IncrementalAlterConfigsResponse>(request);
  ASSERT_EQ(response.responses.size(), 2u);
  for (const auto& each : response.responses)
    EXPECT_EQ(static_cast<ErrorCode>(each.error_code),
              each.resource_name == "77" ? ErrorCode::kInvalidRequest : ErrorCode::kNone);
  EXPECT_EQ(code_of(envelope_of(request)), ErrorCode::kNone)
      << "another broker has answered for itself";
}

TEST(ServedApis, what_a_broker_forwards_its_controller_serves_at_the_same_versions) {
  for (const ServedApi& api : served_apis(ListenerKind::kBroker)) {
    if (!wire::find_api(static_cast<int16_t>(api.key))->forwardable) continue;
    const ServedApi* there = find_served(ListenerKind::kController, api.key);
    ASSERT_NE(there, nullptr) << wire::api_name(api.key);
    EXPECT_EQ(there->versions, api.versions) << wire::api_name(api.key);
  }
}

}  // namespace
}  // namespace millrace::server
