// What a seed decides about a group whose members migrate between protocols (KIP-848).
// Threads: one.
#pragma once

#include <array>
#include <string>

#include "config/properties.h"
#include "sim/migration_workload.h"

namespace millrace::sim {

struct MigrationKnobs {
  // Every fourteenth pair of seeds of brokers and clusters has one. What it decides is drawn apart,
  // so that the course of the other seeds does not depend on it.
  explicit MigrationKnobs(uint64_t seed) : MigrationKnobs(seed / 2 % 14 == 4, Stream(~seed + 3)) {}

  MigrationKnobs(bool wanted, Stream dice)
      : members(wanted ? static_cast<int>(dice.between({2, 4})) : 0),
        has_static(dice.chance(0.4)),
        is_cooperative(dice.chance(0.5)),
        policy(dice.chance(0.6) ? MigrationPolicy::kBidirectional
                                : static_cast<MigrationPolicy>(dice.between({0, 2}))) {}

  const char* policy_name() const {
    static constexpr std::array kNames{"disabled", "upgrade", "downgrade", "bidirectional"};
    return kNames.at(static_cast<size_t>(policy));
  }
  void add_to(config::Values& values) const {
    if (members > 0) values["group.consumer.migration.policy"] = policy_name();
  }
  MigrationOptions group(const std::string& topic, int32_t partitions) const {
    return {.topic = topic,
            .partitions = partitions,
            .members = members,
            .has_static = has_static,
            .is_cooperative = is_cooperative,
            .policy = policy};
  }
  std::string to_string() const {
    if (members == 0) return "";
    return fmt::format(" migrating group: members={} {}{}{}", members, policy_name(),
                       has_static ? " static" : "", is_cooperative ? " cooperative" : "");
  }

  int members;
  bool has_static, is_cooperative;
  MigrationPolicy policy;
};

}  // namespace millrace::sim
