// What a seed decides about share groups (KIP-932).
// Threads: one.
#pragma once

#include <string>

#include "config/properties.h"
#include "sim/share_workload.h"
#include "sim/txn_workload.h"

namespace millrace::sim {

struct ShareKnobs {
  // Every twelfth pair of seeds of brokers and clusters has one. What it decides is drawn apart, so
  // that the course of the other seeds does not depend on it.
  explicit ShareKnobs(uint64_t seed) : ShareKnobs(seed / 2 % 12 == 8, Stream(~seed + 1)) {}

  ShareKnobs(bool wanted, Stream dice)
      : members(wanted ? static_cast<int>(dice.between({1, 4})) : 0),
        lock(milliseconds(dice.between({1000, 8000}))),
        delivery_limit(dice.between({2, 10})),
        most_locks(dice.chance(0.5) ? dice.between({100, 300}) : 2000),
        updates_per_snapshot(dice.between({0, 30})),
        snapshot_ms(dice.between({500, 20'000})),
        prune_ms(dice.between({500, 10'000})),
        of_transactions(wanted && dice.chance(0.5) ? static_cast<int>(dice.between({1, 2})) : 0) {}

  void add_to(config::Values& values, int64_t state_partitions) const {
    if (members == 0) return;
    const auto set = [&](const char* name, int64_t value) { values[name] = std::to_string(value); };
    set("share.coordinator.state.topic.num.partitions", state_partitions);
    set("share.coordinator.state.topic.replication.factor", 1);
    set("share.coordinator.state.topic.min.isr", 1);
    set("share.coordinator.snapshot.update.records.per.snapshot", updates_per_snapshot);
    set("share.coordinator.cold.partition.snapshot.interval.ms", snapshot_ms);
    set("share.coordinator.state.topic.prune.interval.ms", prune_ms);
    set("group.share.min.record.lock.duration.ms", 1000);
    set("group.share.record.lock.duration.ms", lock / milliseconds(1));
    set("group.share.delivery.count.limit", delivery_limit);
    set("group.share.partition.max.record.locks", most_locks);
    set("group.share.min.session.timeout.ms", 1000);
    set("group.share.session.timeout.ms", ShareMember::kSessionMs);
    set("group.share.min.heartbeat.interval.ms", 100);
    set("group.share.heartbeat.interval.ms", 500);
    set("group.share.initialize.retry.interval.ms", 2000);
  }
  // Where little is promised there is none.
  void leave_out() { members = of_transactions = 0; }
  ShareRules rules() const {
    return {.lock = lock, .delivery_limit = static_cast<int16_t>(delivery_limit)};
  }
  ShareWorkloadOptions group(const std::string& topic, int32_t partitions) const {
    return {.group = "sharers",
            .topic = topic,
            .partitions = partitions,
            .members = members,
            .rules = rules()};
  }
  ShareWorkloadOptions group_of_transactions() const {
    return {.group = "committed-sharers",
            .topic = TxnWorkload::kTopic,
            .partitions = TxnWorkloadOptions{}.partitions,
            .committed_only = true,
            .members = of_transactions,
            .rules = rules()};
  }
  std::string to_string() const {
    if (members == 0) return "";
    return fmt::format(" share groups: members={}+{} lock={}ms limit={} locks={} updates={}",
                       members, of_transactions, lock / milliseconds(1), delivery_limit, most_locks,
                       updates_per_snapshot);
  }

  int members;
  Duration lock;
  int64_t delivery_limit, most_locks, updates_per_snapshot, snapshot_ms, prune_ms;
  int of_transactions;  // members of a group that reads committed records
};

}  // namespace millrace::sim
