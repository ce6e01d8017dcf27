// The target assignment of a consumer group: when a new one is made, and of what.
#include <algorithm>
#include <map>

#include "base/assert.h"
#include "base/log.h"
#include "group/consumer_protocol.h"

namespace millrace::group {
namespace {

// Topic ids by subscription: members that subscribe to the same share them.
class SubscribedIds {
 public:
  SubscribedIds(const ConsumerGroup& group, const Topics& topics, std::map<Uuid, int32_t>& counts)
      : group_(group), topics_(topics), counts_(counts) {}

  std::shared_ptr<const TopicIds> of(const MemberMetadata& metadata) {
    const auto& regex = metadata.subscribed_topic_regex;
    const ResolvedRegex* resolved = regex ? group_.resolved(*regex) : nullptr;
    auto& ids = known_[{metadata.subscribed_topic_names, resolved}];
    if (ids) return ids;
    auto made = std::make_shared<TopicIds>();
    for (const std::string& name : metadata.subscribed_topic_names) add(name, *made);
    if (resolved != nullptr)
      for (const std::string& name : resolved->topics) add(name, *made);
    return ids = std::move(made);
  }

 private:
  void add(const std::string& name, TopicIds& ids) {
    const auto id = topics_.id_of(name);
    if (!id) return;
    ids.insert(*id);
    counts_[*id] = topics_.partition_count(name);
  }

  const ConsumerGroup& group_;
  const Topics& topics_;
  std::map<Uuid, int32_t>& counts_;
  std::map<std::pair<std::vector<std::string>, const ResolvedRegex*>,
           std::shared_ptr<const TopicIds>>
      known_;
};

}  // namespace

bool ConsumerProtocol::is_target_due(const ConsumerGroup& group) const {
  const AssignmentPace pace{
      .last = group.assignment_timestamp(),
      .interval = topics_.times_of(group.id())
                      .assignment_interval.value_or(state_.config.assignment_interval)};
  return pace.is_due(step_.wall);
}

// What most members prefer; the first of the config when none says.
std::string_view ConsumerProtocol::preferred_assignor(const Change& change) const {
  Counts counts = change.group->assignors();
  const auto& before = change.member.metadata.server_assignor;
  if (before && counts.contains(*before)) count(counts, *before, -1);
  if (change.metadata.server_assignor) count(counts, *change.metadata.server_assignor, 1);
  const auto most =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  if (most != counts.end()) {
    const auto known = std::ranges::find(state_.config.consumer_assignors, most->first);
    if (known != state_.config.consumer_assignors.end()) return *known;
  }
  return state_.config.consumer_assignors.front();
}

AssignmentSpec ConsumerProtocol::assignment_spec(const Change& change) const {
  const ConsumerGroup& group = *change.group;
  std::map<std::string_view, const MemberMetadata*> members;
  for (const auto& [member_id, member] : group.members()) members[member_id] = &member.metadata;
  const TargetAssignment* before = &group.target(change.member.id);
  if (const auto& instance = change.metadata.instance_id)
    if (const ConsumerMember* replaced = group.static_member(*instance);
        replaced && replaced->id != change.member.id) {
      members.erase(replaced->id);
      before = &group.target(replaced->id);
    }
  members[change.member.id] = &change.metadata;
  AssignmentSpec spec;
  spec.is_homogeneous = will_be_homogeneous(change);
  SubscribedIds ids(group, topics_, spec.partitions);
  for (const auto& [member_id, metadata] : members)
    spec.members.push_back(
        {.id = std::string(member_id),
         .instance_id = metadata->instance_id,
         .topics = ids.of(*metadata),
         .before = member_id == change.member.id ? before : &group.target(member_id)});
  return spec;
}

void ConsumerProtocol::update_target(Change& change) {
  const ConsumerGroup& group = *change.group;
  change.target_epoch = group.assignment_epoch();
  if (group.assignment_epoch() >= change.epoch || !is_target_due(group)) {
    const auto& instance = change.metadata.instance_id;
    const ConsumerMember* owner = instance ? group.static_member(*instance) : nullptr;
    if (!instance)
      change.target = &group.target(change.member.id);
    else if (owner != nullptr)
      change.target = &group.target(owner->id);
    return;
  }
  const AssignmentSpec spec = assignment_spec(change);
  const std::string_view name = preferred_assignor(change);
  const Assignor assignor = find_assignor(name);
  ASSERT(assignor != nullptr, "{}", name);
  Assignments assignments = assignor(spec);
  const ConsumerRecords write(group.id());
  for (size_t i = 0; i < spec.members.size(); ++i) {
    const auto known = group.targets().find(spec.members[i].id);
    if (known == group.targets().end() || known->second != assignments[i])
      append(write.target(spec.members[i].id, assignments[i]));
    if (spec.members[i].id == change.member.id) change.new_target = std::move(assignments[i]);
  }
  append(write.assignment_epoch(change.epoch, step_.wall));
  LOG_DEBUG("group {}: a target of epoch {} by {}", group.id(), change.epoch, name);
  change.target_epoch = change.epoch;
  change.target = &change.new_target;
}

}  // namespace millrace::group
