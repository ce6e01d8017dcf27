// Looking inside the coordinator: its invariants and what it says of itself.
#include "base/assert.h"
#include "group/coordinator.h"
#include "group/state.h"

namespace millrace::group {
namespace {

std::string hex(const ByteBuffer& bytes) {
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string replicated(const ClassicGroup& group) {
  std::string text = fmt::format("classic {}", group.id());
  if (!group.is_in(ClassicState::kEmpty) && !group.is_in(ClassicState::kStable))
    return text + " rebalancing\n";
  text +=
      fmt::format(" {} generation {} type {} protocol {} leader {} since {}\n",
                  state_name(group.state()), group.generation(), group.protocol_type().value_or(""),
                  group.protocol().value_or(""), group.leader().value_or(""), group.changed());
  for (const auto& [id, member] : group.members())
    text +=
        fmt::format("  member {} instance {} client {} {} timeouts {} {} metadata {} has {}\n", id,
                    member.instance_id.value_or(""), member.client_id, member.client_host,
                    member.session_timeout_ms, member.rebalance_timeout_ms,
                    hex(member.metadata_of(group.protocol().value_or(""))), hex(member.assignment));
  return text;
}

std::string replicated(const CommittedOffset& offset) {
  return fmt::format("{} epoch {} at {} until {} topic {} metadata {}", offset.offset,
                     offset.leader_epoch, offset.commit_timestamp, offset.expire_timestamp,
                     offset.topic_id, offset.metadata);
}

}  // namespace

void Coordinator::check_invariants() const {
  for (const auto& [id, group] : state_->groups)
    if (const auto* classic = std::get_if<ClassicGroup>(&group))
      classic->check_invariants(state_->loaded);
  state_->offsets.check_invariants();
}

std::string Coordinator::describe() const {
  size_t members = 0;
  size_t parked = 0;
  for (const auto& [id, group] : state_->groups) {
    const auto* classic = std::get_if<ClassicGroup>(&group);
    if (classic == nullptr) continue;
    members += classic->members().size();
    for (const auto& [member_id, member] : classic->members())
      parked += (member.join ? 1 : 0) + (member.sync ? 1 : 0);
  }
  return fmt::format("{} groups, {} members, {} offsets, {} parked requests", state_->groups.size(),
                     members, state_->offsets.size(), parked);
}

std::string Coordinator::describe_replicated() const {
  std::string text;
  for (const auto& [id, group] : state_->groups) {
    if (const auto* classic = std::get_if<ClassicGroup>(&group)) {
      text += replicated(*classic);
      continue;
    }
    const auto& preserved = std::get<PreservedGroup>(group);
    text += fmt::format("{} {}\n", kind_name(preserved.kind()), id);
    for (const auto& [key, value] : preserved.records())
      text += fmt::format("  {} = {}\n", hex(key), hex(value));
  }
  for (const auto& [group, topics] : state_->offsets.committed())
    for (const auto& [topic, partitions] : topics)
      for (const auto& [index, offset] : partitions)
        text += fmt::format("offset {} {}-{}: {}\n", group, topic, index, replicated(offset));
  state_->offsets.for_each_pending(
      [&](std::string_view group, const PartitionRef& partition, const CommittedOffset& offset) {
        text += fmt::format("pending {} {}-{}: {}\n", group, partition.topic, partition.partition,
                            replicated(offset));
      });
  return text;
}

std::optional<CommittedOffset> Coordinator::committed(std::string_view group_id,
                                                      const TopicPartition& partition) const {
  const CommittedOffset* offset =
      state_->offsets.find(group_id, {partition.topic, partition.partition});
  if (offset == nullptr) return std::nullopt;
  return *offset;
}

}  // namespace millrace::group
