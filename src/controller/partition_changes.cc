#include "controller/partition_changes.h"

#include "base/assert.h"

namespace millrace::controller {

using metadata::PartitionState;

const PartitionState* PartitionChanges::find(const metadata::Topic& topic, int32_t index) const {
  if (index < 0 || std::cmp_greater_equal(index, topic.partitions.size())) return nullptr;
  auto changed = changed_.find({topic.id, index});
  return changed == changed_.end() ? &topic.partitions[static_cast<size_t>(index)]
                                   : &changed->second;
}

bool PartitionChanges::may_lead(NodeId broker, const Uuid& directory) const {
  auto assumed = assumed_.find(broker);
  const bool is_active = assumed == assumed_.end() ? view_->is_active(broker) : assumed->second;
  return is_active && view_->has_online(broker, directory);
}

const PartitionChanges::TopicRules& PartitionChanges::rules_of(const metadata::Topic& topic) {
  if (rules_ && rules_->topic_id == topic.id) return *rules_;
  rules_ = TopicRules{
      .topic_id = topic.id,
      .partition = {
          .metadata_version = view_->image().metadata_version(),
          .keeps_elr = view_->keeps_elr(),
          .min_isr = view_->min_isr(topic),
          .may_lead = [this](NodeId id, const Uuid& at) { return may_lead(id, at); },
          .default_directory = [this](NodeId id) { return view_->default_directory(id); }},
      .unclean_election = view_->allows_unclean_election(topic)};
  return *rules_;
}

PartitionGoal PartitionChanges::goal(const metadata::Topic& topic, int32_t index) {
  const PartitionState* now = find(topic, index);
  ASSERT(now != nullptr, "{} has no partition {}", topic.name, index);
  PartitionGoal goal(*now);
  if (rules_of(topic).unclean_election) goal.election = Election::kUnclean;
  return goal;
}

const wire::PartitionChangeRecord* PartitionChanges::change(const metadata::Topic& topic,
                                                            int32_t index, PartitionGoal goal) {
  const PartitionState* now = find(topic, index);
  ASSERT(now != nullptr, "{} has no partition {}", topic.name, index);
  auto record = change_partition(*now, std::move(goal), rules_of(topic).partition);
  if (!record) return nullptr;
  record->topic_id = topic.id;
  record->partition_id = index;
  changed_.insert_or_assign({topic.id, index}, metadata::merged(*now, *record));
  return &std::get<wire::PartitionChangeRecord>(records_.emplace_back(std::move(*record)));
}

}  // namespace millrace::controller
