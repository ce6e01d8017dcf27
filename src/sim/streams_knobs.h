// What a seed decides about streams groups (KIP-1071).
// Threads: one.
#pragma once

#include <map>
#include <string>

#include "config/properties.h"
#include "sim/streams_workload.h"

namespace millrace::sim {

struct StreamsKnobs {
  // Every thirteenth pair of seeds of brokers and clusters has one. What it decides is drawn apart,
  // so that the course of the other seeds does not depend on it.
  explicit StreamsKnobs(uint64_t seed) : StreamsKnobs(seed / 2 % 13 == 9, Stream(~seed + 2)) {}

  StreamsKnobs(bool wanted, Stream dice)
      : members(wanted ? static_cast<int>(dice.chance(0.8) ? dice.between({2, 3}) : 1) : 0),
        processes(static_cast<int>(dice.between({1, 3}))),
        standbys(dice.between({0, 2})),
        first_delay_ms(dice.between({0, 1000})),
        interval_ms(dice.between({0, 1500})),
        has_second(dice.chance(0.6)),
        repartitions(dice.chance(0.5) ? static_cast<int32_t>(dice.between({1, 4})) : 0),
        changes_standbys(dice.chance(0.5)),
        has_endpoints(dice.chance(0.7)) {
    if (dice.chance(0.4)) first_delay_ms = 0;
  }

  void add_to(config::Values& values) const {
    if (members == 0) return;
    const auto set = [&](const char* name, int64_t value) { values[name] = std::to_string(value); };
    set("group.streams.min.session.timeout.ms", 1000);
    set("group.streams.session.timeout.ms", StreamsMember::kSessionMs);
    set("group.streams.min.heartbeat.interval.ms", 100);
    set("group.streams.heartbeat.interval.ms", 500);
    set("group.streams.initial.rebalance.delay.ms", first_delay_ms);
    set("group.streams.assignment.interval.ms", interval_ms);
    set("group.streams.num.standby.replicas", standbys);
  }
  // Of a topic with so many partitions; the application's own is like it.
  StreamsWorkloadOptions group(const std::string& topic, int32_t partitions, int16_t replicas,
                               const std::map<std::string, std::string>& configs) const {
    return {.topology = {.topic = topic,
                         .partitions = partitions,
                         .replicas = replicas,
                         .configs = configs,
                         .has_second = has_second,
                         .repartitions = repartitions},
            .members = members,
            .processes = processes,
            .standbys = standbys,
            .changes_standbys = changes_standbys,
            .has_endpoints = has_endpoints};
  }
  std::string to_string() const {
    if (members == 0) return "";
    return fmt::format(" streams group: members={} processes={} standbys={}{}{}{}", members,
                       processes, standbys, changes_standbys ? "..." : "",
                       has_second ? fmt::format(" repartitions={}", repartitions) : "",
                       has_endpoints ? " endpoints" : "");
  }

  int members, processes;
  int64_t standbys, first_delay_ms, interval_ms;
  bool has_second;
  int32_t repartitions;
  bool changes_standbys, has_endpoints;
};

}  // namespace millrace::sim
