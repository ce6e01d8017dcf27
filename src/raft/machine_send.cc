// What this replica asks others, and when.
#include <algorithm>

#include "raft/machine.h"

namespace millrace::raft {

// One request at a time to a peer; after a failure a pause.
bool Machine::may_send(NodeId to) const { return !exchanges_.contains(to); }

void Machine::send(NodeId to, Message message, const Now& now) {
  const uint64_t correlation = next_correlation_++;
  exchanges_[to] = {.correlation = correlation, .due = now.time + options_.request_timeout};
  output_.send.push_back({to, correlation, std::move(message)});
}

void Machine::send_due(const Now& now) {
  switch (role()) {
    case Role::kProspective:
      return send_votes(std::get<Prospective>(role_).votes, /*pre_vote=*/true, now);
    case Role::kCandidate:
      return send_votes(std::get<Candidate>(role_).votes, /*pre_vote=*/false, now);
    case Role::kLeader: return send_begin_epoch(std::get<Leader>(role_), now);
    case Role::kResigned:
      send_end_epoch(now);
      return send_fetch(now);  // whoever leads by now is found by asking
    case Role::kFollower:
    case Role::kUnattached: return send_fetch(now);
  }
}

void Machine::send_votes(const std::map<NodeId, bool>& answered, bool pre_vote, const Now& now) {
  for (const auto& [id, voter] : log_.voters().voters) {
    if (answered.contains(id) || !may_send(id)) continue;
    send(id,
         VoteRequest{.candidate = options_.self,
                     .epoch = election_.epoch,
                     .voter = {id, voter.directory_id},
                     .log_end = log_.position(),
                     .pre_vote = pre_vote},
         now);
  }
}

Instant Machine::next_begin_epoch(const Progress& progress) const {
  const Instant told = progress.last_told.value_or(Instant{});
  return std::max(told, progress.last_fetch.value_or(told)) + options_.fetch_timeout / 2;
}

// Voters that do not fetch may not know of this leader.
void Machine::send_begin_epoch(Leader& leader, const Now& now) {
  for (const auto& [id, voter] : log_.voters().voters) {
    if (id == options_.self.id) continue;
    Progress& progress = leader.replicas[{id, voter.directory_id}];
    if (progress.last_told && now.time < next_begin_epoch(progress)) continue;
    if (!may_send(id)) continue;
    progress.last_told = now.time;
    send(id,
         BeginQuorumEpochRequest{.leader = options_.self.id,
                                 .epoch = election_.epoch,
                                 .voter = {id, voter.directory_id},
                                 .endpoints = options_.endpoints},
         now);
  }
}

void Machine::send_end_epoch(const Now& now) {
  const auto& resigned = std::get<Resigned>(role_);
  for (NodeId id : resigned.to_tell)
    if (may_send(id))
      send(id,
           EndQuorumEpochRequest{.leader = options_.self.id,
                                 .epoch = election_.epoch,
                                 .preferred = resigned.preferred,
                                 .endpoints = options_.endpoints},
           now);
}

// The leader; where it is not known, any of the quorum, whose answer names it.
NodeId Machine::whom_to_fetch_from() {
  if (role() == Role::kFollower && !endpoints_of(election_.leader).empty()) return election_.leader;
  std::vector<NodeId> choices = options_.bootstrap;
  for (const auto& [id, voter] : log_.voters().voters)
    if (id != options_.self.id) choices.push_back(id);
  for (NodeId each : choices)
    if (exchanges_.contains(each)) return kNoNode;  // one is being asked
  return choices.empty() ? kNoNode : choices[random_() % choices.size()];
}

// Only from the durable end: a fetch says that everything below is durable here.
void Machine::send_fetch(const Now& now) {
  if (durable_end_ != log_.end()) return;
  if (snapshot_fetch_ && snapshot_fetch_->complete) return;
  const NodeId to = whom_to_fetch_from();
  if (to == kNoNode || !may_send(to)) return;
  if (snapshot_fetch_ && role() == Role::kFollower)
    return send(to,
                FetchSnapshotRequest{.replica = options_.self,
                                     .current_epoch = election_.epoch,
                                     .snapshot = snapshot_fetch_->id,
                                     .position = snapshot_fetch_->position,
                                     .max_bytes = options_.max_fetch_bytes},
                now);
  send(to,
       FetchRequest{.replica = options_.self,
                    .current_epoch = election_.epoch,
                    .from = log_.end(),
                    .last_fetched_epoch = log_.last_epoch(),
                    .max_wait = options_.fetch_max_wait,
                    .max_bytes = options_.max_fetch_bytes,
                    .high_watermark = high_watermark_.value_or(Offset(0))},
       now);
}

}  // namespace millrace::raft
