// A controller for unit tests, whose decisions are applied as they would be from the log. It begins
// with broker 1.
#pragma once

#include <gtest/gtest.h>

#include "controller/controller.h"

namespace millrace::controller::testing {

class ClusterTest : public ::testing::Test {
 protected:
  static constexpr const char* kClusterId = "JBnGmM1nQnKjv6nDT2mAzQ";
  static constexpr int16_t kKraftVersion = 1;

  ClusterTest() {
    controller_.activate(kClusterId, kKraftVersion, now_);
    commit(Controller::bootstrap_records());
    add_broker(1);
  }

  static wire::BrokerRegistrationRequest registration(int32_t id, uint64_t incarnation = 1) {
    wire::BrokerRegistrationRequest request{
        .broker_id = id,
        .cluster_id = kClusterId,
        .incarnation_id = Uuid::of_words({incarnation, 7}),
        .rack = std::nullopt,
        .log_dirs = {Uuid::of_words({9, static_cast<uint64_t>(id)})}};
    request.features.push_back(
        {.name = "metadata.version", .min_supported_version = 7, .max_supported_version = 30});
    for (const char* name : {"eligible.leader.replicas.version", "group.version", "share.version",
                             "streams.version", "transaction.version"})
      request.features.push_back({.name = name, .max_supported_version = 2});
    return request;
  }

  wire::BrokerRegistrationResponse register_broker(const wire::BrokerRegistrationRequest& request) {
    auto decided = controller_.decide_broker_registration(request, {next_, now_});
    commit(decided.records);
    return decided.response;
  }

  // By default of the epoch that the broker has, and of one that has seen everything.
  wire::BrokerHeartbeatResponse heartbeat(wire::BrokerHeartbeatRequest request,
                                          int64_t behind = 0) {
    const auto* broker = controller_.image().find_broker(NodeId(request.broker_id));
    if (request.broker_epoch < 0 && broker) request.broker_epoch = broker->epoch.value();
    request.current_metadata_offset = next_.value() - 1 - behind;
    auto decided = controller_.decide_broker_heartbeat(request, {next_, now_});
    commit(decided.records);
    return decided.response;
  }

  void add_broker(int32_t id, uint64_t incarnation = 1) {
    ASSERT_EQ(register_broker(registration(id, incarnation)).error_code, 0);
    ASSERT_FALSE(heartbeat({.broker_id = id}).is_fenced);
  }

  void commit(const Records& records) {
    for (const auto& record : records) {
      auto applied = controller_.image().apply(record, next_);
      ASSERT_TRUE(applied.has_value()) << applied.error().message;
      log_.push_back(record);
      ++next_;
    }
    controller_.image().check_invariants();
  }

  uint64_t drawn_ = 100;
  static config::NodeProperties properties() {
    return *config::NodeProperties::of({{"node.id", "1"},
                                        {"process.roles", "broker,controller"},
                                        {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"},
                                        {"controller.listener.names", "CONTROLLER"},
                                        {"controller.quorum.voters", "1@localhost:9093"},
                                        {"num.partitions", "4"}});
  }
  const config::NodeProperties properties_ = properties();
  Controller controller_{properties_, [this] { return Uuid::of_words({1, ++drawn_}); }};
  Offset next_{0};
  Instant now_{seconds(100)};
  Records log_;
};

}  // namespace millrace::controller::testing
