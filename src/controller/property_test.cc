// MD1 to MD3 under random lives of a cluster: brokers that come, go and die, topics, partitions,
// configs. After every decision a replay of the log, and of a snapshot through its bytes, give the
// same image.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "controller/testing/cluster.h"
#include "metadata/record_version.h"

namespace millrace::controller {
namespace {

class ImageProperty : public testing::ClusterTest {
 protected:
  void live(uint64_t seed, int steps) {
    random_.seed(seed);
    for (int step = 0; step < steps && !HasFatalFailure(); ++step) {
      now_ = now_ + milliseconds(static_cast<int64_t>(random_() % 3000));
      act();
      if (step % 10 == 0) check();
    }
    check();
  }

 private:
  std::string some_topic() { return "topic-" + std::to_string(random_() % 6); }
  int32_t some_broker() { return static_cast<int32_t>(1 + random_() % 4); }

  void act() {
    switch (random_() % 8) {
      case 0: return create_topic();
      case 1: return delete_topic();
      case 2: return add_partitions();
      case 3: return alter_config();
      case 4: register_broker(registration(some_broker(), ++incarnations_)); return;
      case 5:
      case 6: return beat();
      case 7: return commit(controller_.decide_expired_sessions(now_));
    }
  }

  void beat() {
    const int32_t id = some_broker();
    const auto kind = random_() % 6;
    heartbeat({.broker_id = id, .want_fence = kind == 0, .want_shut_down = kind == 1});
  }

  void create_topic() {
    wire::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = some_topic();
    topic.num_partitions = static_cast<int32_t>(1 + random_() % 4);
    topic.replication_factor = static_cast<int16_t>(1 + random_() % 3);
    if (random_() % 2) topic.configs.push_back({.name = "min.insync.replicas", .value = "2"});
    commit(controller_.decide_create_topics(request).records);
  }

  void delete_topic() {
    wire::DeleteTopicsRequest request;
    request.topics.push_back({.name = some_topic()});
    commit(controller_.decide_delete_topics(request).records);
  }

  void add_partitions() {
    wire::CreatePartitionsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = some_topic();
    topic.count = static_cast<int32_t>(1 + random_() % 8);
    commit(controller_.decide_create_partitions(request).records);
  }

  void alter_config() {
    wire::IncrementalAlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = some_topic();
    resource.configs.push_back({.name = "retention.ms",
                                .config_operation = static_cast<int8_t>(random_() % 2),
                                .value = std::to_string(1000 + random_() % 9)});
    commit(controller_.decide_incremental_alter_configs(request).records);
  }

  // IS9 beside: a fenced broker is in no ISR, eligible replicas are not in it either.
  void check_partitions(const metadata::Image& image) {
    for (const auto& [name, topic] : image.topics())
      for (const auto& p : topic->partitions) {
        for (NodeId member : p.isr)
          ASSERT_FALSE(image.find_broker(member)->fenced) << name << " has " << member.value();
        for (NodeId eligible : p.elr) ASSERT_EQ(std::ranges::count(p.isr, eligible), 0) << name;
      }
  }

  void check() {
    const metadata::Image& image = controller_.image();
    check_partitions(image);
    metadata::Image replayed;
    Offset offset(0);
    for (const auto& record : log_) {
      ASSERT_TRUE(replayed.apply(record, offset).has_value());
      ++offset;
    }
    ASSERT_TRUE(replayed.same_state(image));
    metadata::Image loaded;
    for (const auto& record : image.to_records()) {
      const auto bytes = metadata::encode_at(record, image.metadata_version());
      ASSERT_TRUE(loaded.apply(*wire::decode_metadata_record(bytes), Offset(0)).has_value());
    }
    loaded.check_invariants();
    ASSERT_TRUE(loaded.same_state(image));
    ASSERT_EQ(loaded.to_records(), image.to_records());
  }

  std::mt19937_64 random_;
  uint64_t incarnations_ = 10;
};

class ImageSeeds : public ImageProperty, public ::testing::WithParamInterface<int> {};

TEST_P(ImageSeeds, replay_and_snapshot_give_the_same_image) {
  live(static_cast<uint64_t>(GetParam()), 400);
}
INSTANTIATE_TEST_SUITE_P(Lives, ImageSeeds, ::testing::Range(0, 10));

}  // namespace
}  // namespace millrace::controller
