// Changes as Apache Kafka 4.3.1's own PartitionChangeBuilder decided them, asked at random for
// states, goals and brokers alive. Each line of the file: rules, state | goal | record; "=" is no
// change, "-" an empty list. Left out are the cases in which we differ on purpose: Kafka keeps
// replicas eligible that a reassignment has removed, calls -1 the last known leader, and knows none
// when the ISR of a partition empties that had no leader.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <fstream>
#include <map>
#include <sstream>

#include "controller/node_sets.h"
#include "controller/partition_change.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using metadata::PartitionState;

class Fields {
 public:
  explicit Fields(const std::string& text) {
    std::istringstream in(text);
    for (std::string each; in >> each;)
      if (const size_t at = each.find('='); at == std::string::npos)
        bare_.push_back(std::stoi(each));
      else
        values_[each.substr(0, at)] = each.substr(at + 1);
  }
  int bare(size_t i) const { return bare_.at(i); }
  bool has(const std::string& name) const { return values_.at(name) != "="; }
  int number(const std::string& name) const { return std::stoi(values_.at(name)); }
  std::vector<NodeId> ids(const std::string& name) const {
    std::vector<NodeId> result;
    if (values_.at(name) == "-") return result;
    std::istringstream in(values_.at(name));
    for (std::string each; std::getline(in, each, ',');) result.push_back(NodeId(std::stoi(each)));
    return result;
  }
  void set(const std::string& name, std::vector<NodeId>& target) const {
    if (has(name)) target = ids(name);
  }

 private:
  std::vector<int> bare_;
  std::map<std::string, std::string> values_;
};

PartitionState state_of(const Fields& fields) {
  PartitionState state{.replicas = fields.ids("replicas"),
                       .isr = fields.ids("isr"),
                       .elr = fields.ids("elr"),
                       .last_known_elr = fields.ids("last"),
                       .adding_replicas = fields.ids("adding"),
                       .removing_replicas = fields.ids("removing"),
                       .leader = NodeId(fields.number("leader")),
                       .recovery_state = static_cast<int8_t>(fields.number("recovery"))};
  for (NodeId id : state.replicas)
    state.directories.push_back(Uuid::of_words({7, static_cast<uint64_t>(id.value())}));
  return state;
}

PartitionRules rules_of(const Fields& fields) {
  return {.metadata_version = static_cast<int16_t>(fields.bare(0)),
          .keeps_elr = fields.bare(1) == 1,
          .min_isr = static_cast<size_t>(fields.bare(2)),
          .may_lead = [alive = fields.ids("alive")](NodeId id,
                                                    const Uuid&) { return contains(alive, id); },
          .default_directory =
              [](NodeId id) { return Uuid::of_words({8, static_cast<uint64_t>(id.value())}); }};
}

PartitionGoal goal_of(const PartitionState& state, int election, const Fields& fields) {
  constexpr Election kElections[] = {Election::kPreferred, Election::kOnline, Election::kUnclean};
  PartitionGoal goal(state);
  goal.election = kElections[election];
  fields.set("isr", goal.isr);
  fields.set("replicas", goal.replicas);
  fields.set("adding", goal.adding_replicas);
  fields.set("removing", goal.removing_replicas);
  goal.may_have_lost = fields.ids("lost");
  if (fields.number("recovery") >= 0)
    goal.recovery_state = static_cast<int8_t>(fields.number("recovery"));
  return goal;
}

std::string shown(const std::optional<std::vector<int32_t>>& ids) {
  if (!ids) return "=";
  return ids->empty() ? "-" : fmt::format("{}", fmt::join(*ids, ","));
}

std::string shown(const std::optional<wire::PartitionChangeRecord>& record) {
  if (!record) return "none";
  std::string directories = "=";
  if (record->directories) {
    std::vector<std::string> each;
    for (const Uuid& id : *record->directories)
      each.push_back(fmt::format("{}.{}", id.bytes[7], id.bytes[15]));
    directories = fmt::format("{}", fmt::join(each, ","));
  }
  return fmt::format(
      "leader={} isr={} replicas={} adding={} removing={} elr={} last={} recovery={} dirs={}",
      record->leader, shown(record->isr), shown(record->replicas), shown(record->adding_replicas),
      shown(record->removing_replicas), shown(record->eligible_leader_replicas),
      shown(record->last_known_elr), record->leader_recovery_state, directories);
}

TEST(PartitionChangeGolden, every_change_is_the_one_that_kafka_makes) {
  std::ifstream file(MILLRACE_SOURCE_DIR "/src/controller/testdata/partition_changes.txt");
  ASSERT_TRUE(file.is_open());
  size_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const size_t first = line.find(" | "), second = line.find(" | ", first + 3);
    const Fields before(line.substr(0, first));
    const PartitionState state = state_of(before);
    const PartitionGoal goal =
        goal_of(state, before.bare(3), Fields(line.substr(first + 3, second - first - 3)));
    EXPECT_EQ(shown(change_partition(state, goal, rules_of(before))), line.substr(second + 3))
        << line.substr(0, second);
  }
  EXPECT_GT(cases, 500u);
}

}  // namespace
}  // namespace millrace::controller
