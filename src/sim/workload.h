// The clients of a scenario: producers, consumers, group members, an administrator, clients that
// cost memory, and what they were told (sim/oracle, sim/group_oracle).
// Not here: the brokers and what goes wrong with them (sim/scenario, sim/cluster_scenario).
// Threads: one.
#pragma once

#include <memory>
#include <vector>

#include "sim/admin.h"
#include "sim/consumer.h"
#include "sim/consumer_member.h"
#include "sim/group_member.h"
#include "sim/hog.h"
#include "sim/producer.h"

namespace millrace::sim {

struct WorkloadOptions {
  std::string topic;
  int32_t partitions = 1;
  int16_t replicas = 1;
  int producers = 1, members = 1, hogs = 0;
  bool compressed = false;
  bool keyed = false;  // for a topic that is compacted
  bool consumer_protocol = false;
};

class Workload {
 public:
  Workload(const Site& site, const WorkloadOptions& options);

  // `created` when the topic is there.
  void create_topic(const std::map<std::string, std::string>& configs,
                    std::function<void()> created);
  // Makes the clients, which begin.
  void start();
  // Producers begin nothing new while they are paused.
  void pause(bool paused);
  // What was begun is finished; whether it is.
  void finish();
  bool producers_are_done() const;
  bool hogs_are_done() const;
  bool groups_are_stable() const;
  // Every partition from its beginning to its end, checked against what clients were told. `done`
  // when all were read.
  void read_all(std::function<void()> done);

  Oracle& oracle() { return oracle_; }
  Admin& admin() { return admin_; }
  // A batch of the topic was acknowledged, this its last offset.
  std::function<void(int32_t partition, int64_t last_offset)> on_acknowledged;

 private:
  World& world() { return site_.host->world(); }
  void make_producers();
  void make_members();
  void make_consumer_members();

  Site site_;
  WorkloadOptions options_;
  Oracle oracle_;
  GroupOracle group_oracle_, static_oracle_;
  ConsumerOracle consumer_oracle_;
  Admin admin_;
  std::vector<std::unique_ptr<Producer>> producers_;
  std::vector<std::unique_ptr<Consumer>> consumers_;
  std::vector<std::unique_ptr<GroupMember>> members_;
  std::vector<std::unique_ptr<Hog>> hogs_;
  std::vector<std::unique_ptr<ConsumerMember>> consumer_members_;
};

}  // namespace millrace::sim
