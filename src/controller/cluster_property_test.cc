// The lives of whole clusters, at random: brokers that come, stop, crash and lose directories,
// leaders that shrink and grow ISRs, reassignments, elections, configs. Beside MD1-MD4 a model of
// what was acknowledged: a leader takes records, all of its ISR have them at once, and while the
// ISR has its minimum they are acknowledged. A broker that crashes loses all that it has.
//   EL1 a leader comes from the ISR or the ELR before, or was the last known, or unclean elections
//       were allowed or asked for; else nobody is recovering.
//   EL2 leader epochs never fall, partition epochs rise with every change.
//   EL3 whoever leads after a clean election has all that was acknowledged.
//   EL4 ISR and ELR are disjoint, within the replicas, nobody of the ISR is fenced; a partition of
//       which some replica may still have everything says who: its ISR, ELR or last known leader.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "controller/node_sets.h"
#include "controller/partition_change.h"
#include "controller/testing/cluster.h"

namespace millrace::controller {
namespace {

using metadata::PartitionKey;
using metadata::PartitionState;

class ClusterProperty : public testing::ClusterTest {
 protected:
  static constexpr int32_t kBrokers = 5;

  void live(uint64_t seed, int steps) {
    random_.seed(seed);
    for (int32_t id = 2; id <= kBrokers; ++id) add_broker(id);
    for (int32_t id = 1; id <= kBrokers; ++id) clean_epoch_[id] = broker(id).epoch.value();
    for (int i = 0; i < 4; ++i) create(i);
    watch();
    for (int step = 0; step < steps && !HasFatalFailure(); ++step) {
      now_ = now_ + milliseconds(static_cast<int64_t>(random_() % 400));
      produce();
      act();
      if (step % 50 == 0) check_index();
    }
    check_index();
  }

 private:
  // What the model knows of a partition: how much each replica has, how much was acknowledged.
  struct Model {
    PartitionState last;
    std::map<NodeId, int> has;
    int acknowledged = 0;
  };

  uint64_t below(uint64_t bound) { return random_() % bound; }
  int32_t some_broker() { return static_cast<int32_t>(1 + below(kBrokers)); }
  bool is_up(int32_t id) { return !broker(id).fenced && !broker(id).in_controlled_shutdown; }
  static std::string name_of(uint64_t i) { return "topic-" + std::to_string(i); }

  void create(int i) {
    wire::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = name_of(static_cast<uint64_t>(i));
    topic.num_partitions = 3;
    topic.replication_factor = 3;
    topic.configs.push_back({.name = "min.insync.replicas", .value = i % 2 ? "2" : "1"});
    step(controller_.decide_create_topics(request).records);
  }

  void act() {
    switch (below(12)) {
      case 0: return crash(some_broker());
      case 1: return stop(some_broker());
      case 2:
      case 3: return come_back(some_broker());
      case 4:
      case 5:
      case 6: return alter_isr();
      case 7: return reassign();
      case 8: return elect();
      case 9: return fence(some_broker());
      case 10: return tick();
      case 11: return below(10) == 0 ? alter_min_isr() : deliver_delayed();
    }
  }

  // A fenced broker is one that the controller does not hear; it goes on with what it has.
  void fence(int32_t id) { beat({.broker_id = id, .want_fence = true}); }
  void beat(wire::BrokerHeartbeatRequest request) {
    request.broker_epoch = broker(request.broker_id).epoch.value();
    request.current_metadata_offset = next_.value() - 1;
    step(controller_.decide_broker_heartbeat(request, {next_, now_}).records);
  }
  void stop(int32_t id) {
    beat({.broker_id = id, .want_shut_down = true});
    beat({.broker_id = id, .want_shut_down = true});
    down_.insert(id);
    clean_epoch_[id] = broker(id).epoch.value();
  }
  // It forgets all, and comes back as another process.
  void crash(int32_t id) {
    for (auto& [key, model] : models_) model.has[NodeId(id)] = 0;
    down_.insert(id);
    clean_epoch_[id] = -1;
    come_back(id);
  }
  void come_back(int32_t id) {
    if (down_.erase(id)) {
      auto request = registration(id, ++incarnations_);
      request.previous_broker_epoch = clean_epoch_[id];
      step(controller_.decide_broker_registration(request, {next_, now_}).records);
    }
    beat({.broker_id = id});
  }
  void tick() {
    for (int32_t id = 1; id <= kBrokers; ++id)
      if (!broker(id).fenced && below(20) != 0) beat({.broker_id = id});
    step(controller_.decide_periodic(now_));
  }

  const metadata::Topic& some_topic() {
    return *controller_.image().find_topic(std::string_view(name_of(below(4))));
  }

  // As a leader does it: who leaves may be anyone, who joins has all that the leader has.
  void alter_isr() {
    const metadata::Topic& topic = some_topic();
    const auto index = static_cast<int32_t>(below(3));
    const PartitionState& now = topic.partitions[static_cast<size_t>(index)];
    if (now.leader == kNoNode || is_delayed(topic, now)) return;
    wire::AlterPartitionRequest request{.broker_id = now.leader.value(),
                                        .broker_epoch = broker(now.leader.value()).epoch.value()};
    auto& wanted = request.topics.emplace_back();
    wanted.topic_id = topic.id;
    wanted.partitions.push_back({.partition_index = index,
                                 .leader_epoch = now.leader_epoch.value(),
                                 .partition_epoch = now.partition_epoch.value()});
    Model& model = models_[{topic.id, index}];
    for (NodeId id : now.replicas) {
      const bool stays = id == now.leader || below(3) != 0;
      if (!stays || !(contains(now.isr, id) || is_up(id.value()))) continue;
      model.has[id] = model.has[now.leader];
      wanted.partitions[0].new_isr_with_epochs.push_back(
          {.broker_id = id.value(), .broker_epoch = broker(id.value()).epoch.value()});
    }
    if (!delayed_ && below(3) == 0) {
      delayed_ = request;
    } else {
      decide(request);
    }
  }

  // It was long on its way: who caught up then may have crashed since.
  void deliver_delayed() {
    if (delayed_) decide(*std::exchange(delayed_, std::nullopt));
  }

  void decide(const wire::AlterPartitionRequest& request) {
    for (const auto& member : request.topics[0].partitions[0].new_isr_with_epochs)
      joining_.insert(NodeId(member.broker_id));
    step(controller_.decide_alter_partition(request).records);
    joining_.clear();
  }

  void reassign() {
    wire::AlterPartitionReassignmentsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = some_topic().name;
    for (int32_t index = 0; index < 3; ++index) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = index;
      if (below(4) == 0) continue;  // cancel
      std::vector<int32_t> all{1, 2, 3, 4, 5};
      std::ranges::shuffle(all, random_);
      all.resize(1 + below(4));
      partition.replicas = all;
    }
    step(controller_.decide_alter_partition_reassignments(request).records);
  }

  void elect() {
    wire::ElectLeadersRequest request{.topic_partitions = std::nullopt};
    const bool unclean = below(20) == 0;
    request.election_type = unclean ? 1 : 0;
    step(controller_.decide_elect_leaders(request).records, unclean);
  }

  void alter_min_isr() {
    wire::IncrementalAlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = name_of(below(4));
    resource.configs.push_back(
        {.name = "min.insync.replicas", .value = std::to_string(1 + below(3))});
    step(controller_.decide_incremental_alter_configs(request).records);
  }

  size_t min_isr(const metadata::Topic& topic, const PartitionState& now) {
    const auto& configs =
        controller_.image().configs({metadata::ConfigResourceType::kTopic, topic.name});
    return std::min(std::stoul(configs.at("min.insync.replicas")), now.replicas.size());
  }

  // Every partition with a leader takes a record. Those whom it asks to have in its ISR count from
  // then on, so that it does not matter when the answer comes.
  void produce() {
    for_all([&](const metadata::Topic& topic, const PartitionState& now, Model& model) {
      if (now.leader == kNoNode) return;
      const int end = ++model.has[now.leader];
      bool all_have_it = true;
      for (NodeId id : maximal_isr(topic, now)) {
        if (model.has[id] == end - 1) model.has[id] = end;
        all_have_it = all_have_it && model.has[id] == end;
      }
      if (all_have_it && now.isr.size() >= min_isr(topic, now)) model.acknowledged = end;
    });
  }

  bool is_delayed(const metadata::Topic& topic, const PartitionState& now) {
    if (!delayed_ || delayed_->topics[0].topic_id != topic.id) return false;
    const auto& wanted = delayed_->topics[0].partitions[0];
    return &topic.partitions[static_cast<size_t>(wanted.partition_index)] == &now &&
           wanted.leader_epoch == now.leader_epoch.value() &&
           wanted.partition_epoch == now.partition_epoch.value();
  }

  std::vector<NodeId> maximal_isr(const metadata::Topic& topic, const PartitionState& now) {
    std::vector<NodeId> isr = now.isr;
    if (is_delayed(topic, now))
      for (const auto& member : delayed_->topics[0].partitions[0].new_isr_with_epochs)
        if (!contains(isr, NodeId(member.broker_id))) isr.push_back(NodeId(member.broker_id));
    return isr;
  }

  template <class Visit>
  void for_all(const Visit& visit) {
    for (const auto& [name, topic] : controller_.image().topics())
      for (size_t i = 0; i < topic->partitions.size(); ++i)
        visit(*topic, topic->partitions[i], models_[{topic->id, static_cast<int32_t>(i)}]);
  }

  void watch() {
    for_all([](const auto&, const PartitionState& now, Model& model) { model.last = now; });
  }

  void step(const Records& records, bool unclean = false) {
    commit(records);
    for_all([&](const metadata::Topic&, const PartitionState& now, Model& model) {
      if (now == model.last) return;
      check_epochs(now, model);
      if (now.leader != kNoNode && now.leader != model.last.leader)
        check_leader(now, model, unclean);
      if (now.leader == kNoNode) check_hope(now, model);
      check_members(now, model);
      model.last = now;
    });
  }

  void check_epochs(const PartitionState& now, const Model& model) {
    if (model.last.replicas.empty()) return;
    EXPECT_GE(now.leader_epoch, model.last.leader_epoch);
    EXPECT_GT(now.partition_epoch, model.last.partition_epoch);
    if (now.leader != model.last.leader) {
      EXPECT_GT(now.leader_epoch, model.last.leader_epoch);
    }
  }

  void check_members(const PartitionState& now, Model& model) {
    for (NodeId id : now.isr) {
      ASSERT_TRUE(contains(now.replicas, id));
      ASSERT_FALSE(contains(now.elr, id));
      ASSERT_FALSE(broker(id.value()).fenced);
      EXPECT_GE(model.has[id], model.acknowledged) << "of the ISR: " << id.value();
    }
    ASSERT_TRUE(contains_all(now.replicas, now.elr));
    ASSERT_TRUE(now.leader == kNoNode || now.last_known_elr.empty());
  }

  // EL1, EL3.
  void check_leader(const PartitionState& now, Model& model, bool unclean) {
    const PartitionState& before = model.last;
    if (before.replicas.empty()) return;
    const bool is_clean = contains(before.isr, now.leader) || contains(before.elr, now.leader) ||
                          joining_.contains(now.leader);
    if (!is_clean) {
      ASSERT_TRUE(contains(before.last_known_elr, now.leader) || unclean);
      ASSERT_EQ(now.recovery_state, kRecovering);
      ASSERT_EQ(now.isr, std::vector<NodeId>{now.leader});
      // What is lost is lost; from here on it counts anew.
      model.acknowledged = std::min(model.acknowledged, model.has[now.leader]);
    }
    EXPECT_GE(model.has[now.leader], model.acknowledged) << "leader " << now.leader.value();
  }

  // EL4: whoever has all that was acknowledged is not forgotten while it could lead.
  void check_hope(const PartitionState& now, Model& model) {
    ASSERT_FALSE(now.isr.empty() && now.elr.empty() && now.last_known_elr.empty());
    for (NodeId id : now.elr) EXPECT_GE(model.has[id], model.acknowledged);
  }

  void check_index() {
    metadata::Image fresh = controller_.image();
    ASSERT_EQ(fresh.index(), controller_.image().index()) << "MD4";
  }

  std::mt19937_64 random_;
  uint64_t incarnations_ = 10;
  std::map<int32_t, int64_t> clean_epoch_;
  std::set<NodeId> joining_;  // the ISR that the change at hand asks for
  std::set<int32_t> down_;
  std::optional<wire::AlterPartitionRequest> delayed_;
  std::map<PartitionKey, Model> models_;
};

class ClusterSeeds : public ClusterProperty, public ::testing::WithParamInterface<int> {};

TEST_P(ClusterSeeds, nothing_acknowledged_is_forgotten) {
  live(static_cast<uint64_t>(GetParam()), 600);
}
INSTANTIATE_TEST_SUITE_P(Lives, ClusterSeeds, ::testing::Range(0, 20));

}  // namespace
}  // namespace millrace::controller
