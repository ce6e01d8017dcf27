// The changes of partitions that one decision makes, each on top of those before: a decision never
// contradicts itself, whatever order it asks in.
// Not here: what a change may be (partition_change), who wants it.
// Ownership: the view, and with it the image, outlive this and do not change meanwhile.
#pragma once

#include <map>
#include <set>

#include "controller/cluster_view.h"
#include "controller/decided.h"
#include "controller/partition_change.h"

namespace millrace::controller {

class PartitionChanges {
 public:
  explicit PartitionChanges(const ClusterView& view) : view_(&view) {}
  PartitionChanges(const PartitionChanges&) = delete;
  PartitionChanges& operator=(const PartitionChanges&) = delete;

  // For elections the broker is (or is not) active from now on: its record comes with the changes.
  void assume(NodeId broker, bool is_active) { assumed_[broker] = is_active; }

  // As it is behind the changes so far; nullptr: the topic has no such partition.
  const metadata::PartitionState* find(const metadata::Topic& topic, int32_t index) const;
  bool is_changed(const metadata::Topic& topic, int32_t index) const {
    return changed_.contains({topic.id, index});
  }
  // To begin with: what the partition is, and an election as the topic's configs allow.
  PartitionGoal goal(const metadata::Topic& topic, int32_t index);
  // Of a partition that there is. The record, which this keeps, or nullptr: nothing changes.
  const wire::PartitionChangeRecord* change(const metadata::Topic& topic, int32_t index,
                                            PartitionGoal goal);

  Records& records() { return records_; }

 private:
  struct TopicRules {
    Uuid topic_id;
    PartitionRules partition;
    bool unclean_election = false;
  };
  const TopicRules& rules_of(const metadata::Topic& topic);
  bool may_lead(NodeId broker, const Uuid& directory) const;

  const ClusterView* view_;
  std::map<NodeId, bool> assumed_;
  std::map<metadata::PartitionKey, metadata::PartitionState> changed_;
  std::optional<TopicRules> rules_;  // of the topic asked for last
  Records records_;
};

}  // namespace millrace::controller
