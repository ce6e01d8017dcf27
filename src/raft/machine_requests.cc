// What other replicas ask, and what they are answered.
#include <algorithm>

#include "raft/machine.h"

namespace millrace::raft {

void Machine::on_message(Envelope envelope, const Now& now) {
  if (fault_) return;
  // A request's handler needs the sender; the message itself stays where it is.
  std::visit([&](auto& message) { on(message, envelope, now); }, envelope.message);
  finish(now);
}

Standing Machine::standing(ErrorCode error) const {
  return {.error = error,
          .leader = election_.leader,
          .epoch = election_.epoch,
          .leader_endpoints = endpoints_of(election_.leader)};
}

template <class Response>
void Machine::answer(const Envelope& to, Response response, ErrorCode error) {
  response.standing = standing(error);
  output_.send.push_back({to.peer, to.correlation, std::move(response)});
}

bool Machine::is_meant_for_us(const ReplicaKey& voter) const {
  if (voter.id == kNoNode) return true;  // versions that do not name the voter
  return voter.id == options_.self.id &&
         (voter.directory_id.is_zero() || voter.directory_id == options_.self.directory_id);
}

ErrorCode Machine::check_vote(const VoteRequest& request) const {
  // A candidate stands for an epoch that nothing in its log can have; a pre-vote names the epoch
  // that it is in.
  const bool illegal = request.pre_vote ? request.log_end.epoch > request.epoch
                                        : request.log_end.epoch >= request.epoch;
  if (illegal || request.log_end.epoch < LeaderEpoch(0) || request.log_end.offset < Offset(0) ||
      request.candidate.id < NodeId(0) || request.candidate.id == options_.self.id ||
      !options_.can_vote)
    return ErrorCode::kInvalidRequest;
  if (request.epoch < election_.epoch) return ErrorCode::kFencedLeaderEpoch;
  return ErrorCode::kNone;
}

// KIP-595 and KIP-996. Whoever still hears of a leader refuses a pre-vote, so that a replica that
// was cut off does not depose it.
bool Machine::can_grant(const VoteRequest& request) const {
  const bool is_newer = request.log_end >= log_.position();
  if (request.pre_vote) {
    if (const auto* follower = std::get_if<Follower>(&role_))
      return is_newer && !follower->has_fetched;
    if (const auto* leader = std::get_if<Leader>(&role_)) return is_newer && !leader->has_committed;
    return is_newer;
  }
  const Role role = this->role();
  if (role != Role::kUnattached && role != Role::kProspective) return false;
  if (election_.voted)
    return election_.voted->id == request.candidate.id &&
           (election_.voted->directory_id.is_zero() ||
            election_.voted->directory_id == request.candidate.directory_id);
  return election_.leader == kNoNode && is_newer;
}

void Machine::on(const VoteRequest& request, const Envelope& from, const Now& now) {
  if (const auto error = check_vote(request); error != ErrorCode::kNone)
    return answer(from, VoteResponse{}, error);
  if (request.epoch > election_.epoch) become_unattached(request.epoch, kNoNode, now);
  if (!is_meant_for_us(request.voter))
    return answer(from, VoteResponse{}, ErrorCode::kInvalidVoterKey);
  const bool granted = can_grant(request);
  if (granted && !request.pre_vote) {
    // Given before, and perhaps read back without the directory (data version 0): it stands.
    if (!election_.voted) {
      ElectionState voted = election_;
      voted.voted = request.candidate;
      set_election(std::move(voted));
    }
    // The candidate gets the time to win.
    if (auto* unattached = std::get_if<Unattached>(&role_))
      unattached->election_due = now.time + random_election_timeout();
  }
  answer(from, VoteResponse{.granted = granted}, ErrorCode::kNone);
}

ErrorCode Machine::check_claim(NodeId leader, LeaderEpoch epoch) const {
  if (leader < NodeId(0) || leader == options_.self.id) return ErrorCode::kInvalidRequest;
  if (epoch < election_.epoch) return ErrorCode::kFencedLeaderEpoch;
  const bool other =
      epoch == election_.epoch && election_.leader != kNoNode && election_.leader != leader;
  return other || (epoch == election_.epoch && is_leader()) ? ErrorCode::kInvalidRequest
                                                            : ErrorCode::kNone;
}

void Machine::on(const BeginQuorumEpochRequest& request, const Envelope& from, const Now& now) {
  if (const auto error = check_claim(request.leader, request.epoch); error != ErrorCode::kNone)
    return answer(from, BeginQuorumEpochResponse{}, error);
  const bool known = role() == Role::kFollower && request.epoch == election_.epoch;
  if (!known) become_follower(request.epoch, request.leader, now);
  if (!request.endpoints.empty()) leader_endpoints_ = request.endpoints;
  answer(from, BeginQuorumEpochResponse{},
         is_meant_for_us(request.voter) ? ErrorCode::kNone : ErrorCode::kInvalidVoterKey);
}

// The leader goes: its preferred successor stands at once, the i-th waits twice as long as the one
// before it.
void Machine::on(const EndQuorumEpochRequest& request, const Envelope& from, const Now& now) {
  if (const auto error = check_claim(request.leader, request.epoch); error != ErrorCode::kNone)
    return answer(from, EndQuorumEpochResponse{}, error);
  const bool known = role() == Role::kFollower && request.epoch == election_.epoch;
  if (!known) become_follower(request.epoch, request.leader, now);
  if (!request.endpoints.empty()) leader_endpoints_ = request.endpoints;
  auto& follower = std::get<Follower>(role_);
  follower.has_fetched = false;  // it is known to be gone: its last fetch protects it no more
  const auto place = std::ranges::find_if(
      request.preferred, [this](const ReplicaKey& each) { return is_meant_for_us(each); });
  const auto index = static_cast<size_t>(place - request.preferred.begin());
  const size_t others = request.preferred.size();
  Duration wait = options_.election_backoff_max;
  if (index == 0 && others > 0)
    wait = Duration(0);
  else if (index < others && others - index < 20)
    wait = options_.election_backoff_max / (int64_t{1} << (others - index));
  follower.fetch_due = now.time + wait;
  answer(from, EndQuorumEpochResponse{}, ErrorCode::kNone);
}

ErrorCode Machine::check_epoch_of_leader(LeaderEpoch asked) const {
  if (asked < election_.epoch) return ErrorCode::kFencedLeaderEpoch;
  if (asked > election_.epoch) return ErrorCode::kUnknownLeaderEpoch;
  return is_leader() ? ErrorCode::kNone : ErrorCode::kNotLeaderOrFollower;
}

void Machine::on(const FetchRequest& request, const Envelope& from, const Now& now) {
  if (request.from < Offset(0) || request.last_fetched_epoch < LeaderEpoch(0) ||
      request.current_epoch < LeaderEpoch(0) || request.replica.id == options_.self.id)
    return answer(from, FetchResponse{}, ErrorCode::kInvalidRequest);
  if (const auto error = check_epoch_of_leader(request.current_epoch); error != ErrorCode::kNone)
    return answer(from, FetchResponse{}, error);
  note_fetch(request, now);
  // What it has may have committed the removal of this leader.
  if (!is_leader()) return answer(from, FetchResponse{}, ErrorCode::kNotLeaderOrFollower);
  if (auto response = answer_to(request))
    return answer(from, std::move(*response), ErrorCode::kNone);
  if (request.max_wait <= Duration(0) || parked_.size() >= kMaxParkedFetches)
    return answer(from, nothing_new(), ErrorCode::kNone);
  parked_.push_back({from.peer, from.correlation, request,
                     now.time + std::min<Duration>(request.max_wait, options_.fetch_max_wait)});
}

FetchResponse Machine::nothing_new() const {
  FetchResponse response{
      .log_start = log_.start(), .read_from = log_.end(), .read_below = log_.end()};
  const auto* leader = std::get_if<Leader>(&role_);
  if (leader && leader->has_committed) response.high_watermark = *high_watermark_;
  return response;
}

// Whether the replica's log is a prefix of ours, and from where it has to go on. Nothing: it has
// everything that there is to know.
std::optional<FetchResponse> Machine::answer_to(const FetchRequest& request) const {
  FetchResponse response = nothing_new();
  const auto verdict = compare(request);
  response.snapshot = verdict.snapshot;
  response.diverging = verdict.diverging;
  if (response.snapshot || response.diverging) return response;
  response.read_from = request.from;
  response.max_bytes = std::min(request.max_bytes, options_.max_fetch_bytes);
  if (request.from < log_.end() || response.high_watermark > request.high_watermark)
    return response;
  return std::nullopt;
}

Machine::Verdict Machine::compare(const FetchRequest& request) const {
  const LeaderEpoch epoch = request.last_fetched_epoch;
  if (log_.start() == Offset(0) && request.from == Offset(0) && epoch == LeaderEpoch(0)) return {};
  if (const auto earliest = log_.earliest_snapshot();
      earliest && (request.from < log_.start() || epoch < earliest->epoch ||
                   (request.from == log_.start() && epoch != earliest->epoch)))
    return {.snapshot = log_.latest_snapshot()};
  const LogPosition ours = log_.end_of(epoch);
  if (ours.epoch != epoch || ours.offset < request.from) return {.diverging = ours};
  return {};
}

Progress* Machine::progress_of(const ReplicaKey& key) {
  auto* leader = std::get_if<Leader>(&role_);
  if (!leader || key.id < NodeId(0)) return nullptr;
  ReplicaKey known = key;
  if (log_.voters().contains(key))
    known.directory_id = log_.voters().voters.at(key.id).directory_id;
  if (auto found = leader->replicas.find(known); found != leader->replicas.end())
    return &found->second;
  if (leader->replicas.size() >= kMaxObservers) return nullptr;
  return &leader->replicas[known];
}

// What a replica asks for is what it has: its log up to there is durable, and ours.
void Machine::note_fetch(const FetchRequest& request, const Now& now) {
  Progress* progress = progress_of(request.replica);
  if (!progress) return;
  progress->last_fetch = now.time;
  const auto verdict = compare(request);
  if (verdict.snapshot || verdict.diverging) return;
  progress->end = request.from;
  if (request.from >= log_.end()) progress->last_caught_up = now.time;
  update_high_watermark(now);
}

void Machine::wake_parked_fetches() {
  std::erase_if(parked_, [this](const ParkedFetch& parked) {
    auto response = answer_to(parked.request);
    if (!response) return false;
    answer({.peer = parked.peer, .correlation = parked.correlation}, std::move(*response),
           ErrorCode::kNone);
    return true;
  });
}

void Machine::fail_parked_fetches() {
  for (const auto& parked : std::exchange(parked_, {}))
    answer({.peer = parked.peer, .correlation = parked.correlation}, FetchResponse{},
           ErrorCode::kNotLeaderOrFollower);
}

void Machine::expire(const Now& now) {
  std::erase_if(exchanges_, [&](const auto& each) { return each.second.due <= now.time; });
  std::erase_if(parked_, [&](const ParkedFetch& parked) {
    if (parked.due > now.time) return false;
    answer({.peer = parked.peer, .correlation = parked.correlation}, nothing_new(),
           ErrorCode::kNone);
    return true;
  });
}

void Machine::on(const FetchSnapshotRequest& request, const Envelope& from, const Now& now) {
  if (const auto error = check_epoch_of_leader(request.current_epoch); error != ErrorCode::kNone)
    return answer(from, FetchSnapshotResponse{.snapshot = request.snapshot}, error);
  if (!log_.has_snapshot(request.snapshot))
    return answer(from, FetchSnapshotResponse{.snapshot = request.snapshot},
                  ErrorCode::kSnapshotNotFound);
  if (Progress* progress = progress_of(request.replica)) progress->last_fetch = now.time;
  answer(from,
         FetchSnapshotResponse{.snapshot = request.snapshot,
                               .position = request.position,
                               .max_bytes = std::min(request.max_bytes, options_.max_fetch_bytes)},
         ErrorCode::kNone);
}

}  // namespace millrace::raft
