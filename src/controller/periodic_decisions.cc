// Decisions that nobody asks for but the clock; and the ones about partitions, which other files
// take over a view.
#include "controller/controller.h"
#include "controller/reassignment.h"
#include "controller/replication_decisions.h"

namespace millrace::controller {

Decided<wire::AlterPartitionResponse> Controller::decide_alter_partition(
    const wire::AlterPartitionRequest& request) {
  return alter_partition(view(), request);
}

Decided<wire::ElectLeadersResponse> Controller::decide_elect_leaders(
    const wire::ElectLeadersRequest& request) {
  return elect_leaders(view(), request);
}

Decided<wire::AssignReplicasToDirsResponse> Controller::decide_assign_replicas_to_dirs(
    const wire::AssignReplicasToDirsRequest& request) {
  return assign_replicas_to_dirs(view(), request);
}

Decided<wire::AlterPartitionReassignmentsResponse> Controller::decide_alter_partition_reassignments(
    const wire::AlterPartitionReassignmentsRequest& request) {
  return alter_partition_reassignments(view(), request);
}

Decided<wire::ListPartitionReassignmentsResponse> Controller::decide_list_partition_reassignments(
    const wire::ListPartitionReassignmentsRequest& request) {
  return {.records = {}, .response = list_partition_reassignments(view(), request)};
}

Duration Controller::interval(const char* config, Duration unit) const {
  return properties_->number(config) * unit;
}

// Where there is more to do than one decision takes, the next call goes on.
Records Controller::elect_when_due(Instant now) {
  if (properties_->flag("auto.leader.rebalance.enable") && now >= periodic_.balance_at) {
    Records records = elect_preferred_leaders(view());
    if (records.size() < kMaxElections)
      periodic_.balance_at = now + interval("leader.imbalance.check.interval.seconds", seconds(1));
    if (!records.empty()) return records;
  }
  if (now < periodic_.unclean_at) return {};
  Records records = elect_unclean_leaders(view());
  if (records.size() < kMaxElections)
    periodic_.unclean_at = now + interval("unclean.leader.election.interval.ms", milliseconds(1));
  return records;
}

Records Controller::decide_periodic(Instant now) {
  Records records = decide_expired_sessions(now);
  return records.empty() ? elect_when_due(now) : records;
}

}  // namespace millrace::controller
