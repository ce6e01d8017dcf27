// A controller for unit tests, whose decisions are applied as they would be from the log. It begins
// with broker 1.
#pragma once

#include <gtest/gtest.h>

#include "controller/controller.h"

namespace millrace::controller::testing {

class ClusterTest : public ::testing::Test {
 protected:
  static constexpr const char* kClusterId = "JBnGmM1nQnKjv6nDT2mAzQ";

  ClusterTest() {
    activate();
    commit(Controller::bootstrap_records());
    add_broker(1);
  }

  void activate() {
    controller_.activate(kClusterId,
                         {.level = [this] { return kraft_version_; },
                          .upgrade_problem = [this](int16_t) { return quorum_problem_; }},
                         now_);
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
    for (const char* name : {"eligible.leader.replicas.version", "group.version", "kraft.version",
                             "share.version", "streams.version", "transaction.version"})
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

  const metadata::Broker& broker(int32_t id) {
    return *controller_.image().find_broker(NodeId(id));
  }
  // Of the topic that create_topic() makes: "t", of one partition.
  const metadata::Topic& topic() { return *controller_.image().find_topic("t"); }
  const metadata::PartitionState& partition() { return topic().partitions[0]; }
  void create_topic(std::vector<int32_t> replicas, const std::string& min_isr = "1") {
    wire::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    topic.num_partitions = topic.replication_factor = -1;
    topic.assignments.push_back({.partition_index = 0, .broker_ids = std::move(replicas)});
    topic.configs.push_back({.name = "min.insync.replicas", .value = min_isr});
    auto decided = controller_.decide_create_topics(request);
    ASSERT_EQ(decided.response.topics[0].error_code, 0);
    commit(decided.records);
  }
  static std::vector<NodeId> ids(std::initializer_list<int> numbers) {
    std::vector<NodeId> result;
    for (int each : numbers) result.push_back(NodeId(each));
    return result;
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

  int16_t kraft_version_ = 1;
  std::optional<std::string> quorum_problem_;  // why it cannot be raised
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
