#include "raft/machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "raft/control_records.h"

namespace millrace::raft {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kUnattached: return "unattached";
    case Role::kProspective: return "prospective";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
    case Role::kFollower: return "follower";
    case Role::kResigned: return "resigned";
  }
  return "?";
}

// A node that led when it stopped may have lost what it had not synced: it must neither vote nor
// lead in that epoch again, and begins resigned.
Machine::Machine(Options options, Recovered recovered, Random random, const Now& now)
    : options_(std::move(options)),
      random_(std::move(random)),
      election_(std::move(recovered.election)),
      log_(std::move(recovered.log)),
      durable_end_(log_.end()),
      last_now_(now.time) {
  if (log_.last_epoch() > election_.epoch) election_ = {.epoch = log_.last_epoch()};
  if (const auto snapshot = log_.latest_snapshot(); snapshot && snapshot->offset > Offset(0))
    high_watermark_ = snapshot->offset;
  if (election_.leader == options_.self.id)
    role_ = Resigned{.due = now.time + random_election_timeout()};
  else if (election_.leader != kNoNode)
    role_ = Follower{.fetch_due = now.time + options_.fetch_timeout};
  else  // a pre-vote disturbs nobody, and a quorum that starts as a whole need not wait
    role_ = Unattached{.election_due = now.time + random_election_timeout() / 8};
  if (is_only_voter()) become_prospective(now);
  finish(now);
}

Role Machine::role() const {
  constexpr Role kRoles[] = {Role::kUnattached, Role::kProspective, Role::kCandidate,
                             Role::kLeader,     Role::kFollower,    Role::kResigned};
  return kRoles[role_.index()];
}

bool Machine::is_established() const {
  const auto* leader = std::get_if<Leader>(&role_);
  return leader && leader->has_committed;
}

bool Machine::hears_of_a_leader() const {
  const auto* follower = std::get_if<Follower>(&role_);
  return is_established() || (follower && follower->has_fetched);
}

bool Machine::is_caught_up() const {
  if (is_leader()) return is_established();
  const auto* follower = std::get_if<Follower>(&role_);
  return follower && follower->leaders_high_watermark > Offset(0) && high_watermark_ &&
         *high_watermark_ >= follower->leaders_high_watermark;
}

bool Machine::is_only_voter() const { return is_voter() && log_.voters().voters.size() == 1; }

// A replica whose removal is not known to be committed stands too: its log may be the only one that
// the voters left can go on from (Ongaro's thesis, 4.2.2). Its own vote does not count.
bool Machine::may_stand() const {
  if (is_voter()) return true;
  const Offset changed = log_.voters_offset();
  return options_.can_vote && changed >= high_watermark_.value_or(Offset(0)) &&
         log_.voters_below(changed).contains(options_.self);
}

Duration Machine::random_election_timeout() {
  const auto most = static_cast<uint64_t>(options_.election_timeout.count());
  return options_.election_timeout + Duration(static_cast<int64_t>(random_() % (most + 1)));
}

void Machine::set_election(ElectionState next) {
  ASSERT(next.epoch >= election_.epoch, "RM1: epoch {} after {}", next.epoch, election_.epoch);
  ASSERT(next.epoch > election_.epoch || !next.voted || !election_.voted ||
             next.voted == election_.voted,
         "RM2: a second vote in epoch {}", next.epoch);
  if (next == election_) return;
  election_ = std::move(next);
  output_.election = election_;
}

// Requests under way belonged to the old role: their answers mean nothing to the new one.
template <class Next>
void Machine::enter(Next next) {
  const bool led = is_leader();
  role_ = std::move(next);
  exchanges_.clear();
  if (led) fail_parked_fetches();
}

void Machine::become_unattached(LeaderEpoch epoch, NodeId leader, const Now& now) {
  const bool newer = epoch > election_.epoch;
  set_election({.epoch = epoch, .leader = leader, .voted = newer ? std::nullopt : election_.voted});
  leader_endpoints_.clear();
  if (std::holds_alternative<Unattached>(role_)) return;  // its timer goes on
  enter(Unattached{.election_due = now.time + random_election_timeout()});
}

void Machine::become_prospective(const Now& now) {
  if (is_only_voter()) return become_candidate(now);
  enter(Prospective{.votes = {{options_.self.id, true}},
                    .due = now.time + random_election_timeout()});
}

void Machine::become_candidate(const Now& now) {
  set_election({.epoch = election_.epoch + 1, .voted = options_.self});
  enter(
      Candidate{.votes = {{options_.self.id, true}}, .due = now.time + random_election_timeout()});
  count_votes(now);
}

void Machine::become_leader(const std::vector<NodeId>& granting, const Now& now) {
  set_election({.epoch = election_.epoch, .leader = options_.self.id});
  leader_endpoints_ = options_.endpoints;
  snapshot_fetch_.reset();
  enter(Leader{.epoch_start = log_.end(), .since = now.time, .told = log_.voters()});
  if (log_.kraft_version() < 1) (void)note_voter(options_.self.id, own_entry());
  append_epoch_start(granting, now);
}

void Machine::become_follower(LeaderEpoch epoch, NodeId leader, const Now& now) {
  const bool newer = epoch > election_.epoch;
  set_election({.epoch = epoch, .leader = leader, .voted = newer ? std::nullopt : election_.voted});
  leader_endpoints_.clear();
  if (snapshot_fetch_ && !snapshot_fetch_->complete) snapshot_fetch_.reset();
  enter(Follower{.fetch_due = now.time + options_.fetch_timeout});
}

void Machine::become_resigned(const Now& now) {
  Resigned next{.due = now.time + random_election_timeout(), .preferred = successors()};
  for (const auto& [id, voter] : log_.voters().voters)
    if (id != options_.self.id) next.to_tell.insert(id);
  enter(std::move(next));
}

// Nobody wants a new leader: the old one is asked again where it is known.
void Machine::lose_prospect(const Now& now) {
  if (election_.leader != kNoNode && election_.leader != options_.self.id)
    return become_follower(election_.epoch, election_.leader, now);
  become_unattached(election_.epoch, election_.leader, now);
}

void Machine::count_votes(const Now& now) {
  auto* prospective = std::get_if<Prospective>(&role_);
  auto* candidate = std::get_if<Candidate>(&role_);
  if (!prospective && !candidate) return;
  const auto& voters = log_.voters();
  std::vector<NodeId> granting;
  size_t rejected = 0;
  for (const auto& [id, granted] : prospective ? prospective->votes : candidate->votes) {
    if (!voters.contains(id)) continue;
    if (granted)
      granting.push_back(id);
    else
      ++rejected;
  }
  if (granting.size() >= voters.majority())
    return prospective ? become_candidate(now) : become_leader(granting, now);
  if (voters.voters.size() - rejected >= voters.majority()) return;
  if (prospective)
    lose_prospect(now);
  else
    become_prospective(now);
}

void Machine::append_epoch_start(const std::vector<NodeId>& granting, const Now& now) {
  ControlRecords records;
  records.emplace_back(record::ControlType::kLeaderChange,
                       leader_change_record(options_.self.id, log_.voters(), granting));
  if (const auto voters = voters_to_write()) {
    records.emplace_back(record::ControlType::kKraftVersion,
                         kraft_version_record(log_.kraft_version()));
    records.emplace_back(record::ControlType::kKraftVoters, voters_record(*voters));
  }
  append_at_end(control_batch(records, {.base_offset = log_.end(), .leader_epoch = election_.epoch},
                              now.wall));
}

// Of the leader's own making.
void Machine::append_at_end(ByteBuffer batch) {
  record::patch_base_offset(batch, log_.end());
  record::patch_leader_epoch(batch, election_.epoch);
  const auto noted = note_batch(log_, *record::BatchView::parse(batch));
  ASSERT(noted.has_value(), "{}", noted.error().message);
  output_.append.push_back(std::move(batch));
}

Result<Offset> Machine::append(ByteBuffer batch, const Now& now) {
  if (!is_leader() || fault_)
    return fail(Errc::kUnsupported, fmt::format("this node does not lead: {}", describe()));
  const Offset base = log_.end();
  append_at_end(std::move(batch));
  wake_parked_fetches();
  finish(now);
  return base;
}

void Machine::resign(const Now& now) {
  if (is_leader() && !fault_) become_resigned(now);
  finish(now);
}

void Machine::on_persisted(uint64_t sequence, const Now& now) {
  while (!handed_over_.empty() && handed_over_.front().sequence <= sequence) {
    durable_end_ = std::max(durable_end_, handed_over_.front().end);
    handed_over_.erase(handed_over_.begin());
  }
  if (auto* follower = std::get_if<Follower>(&role_))
    set_high_watermark(std::min(follower->leaders_high_watermark, durable_end_), now);
  update_high_watermark(now);
  finish(now);
}

void Machine::on_append_failed() {
  ASSERT(!handed_over_.empty());
  handed_over_.pop_back();
  const Offset end = handed_over_.empty() ? durable_end_ : handed_over_.back().end;
  log_.truncate_to(end);
  auto* leader = std::get_if<Leader>(&role_);
  if (leader && leader->pending_voters && *leader->pending_voters >= end)
    leader->pending_voters.reset();
  name_replicas_anew();
}

// The largest offset that a majority of the voters has; counted only when it covers a record of
// this epoch (Raft, 5.4.2). The leader counts with what is durable here, if it is a voter.
void Machine::update_high_watermark(const Now& now) {
  auto* leader = std::get_if<Leader>(&role_);
  if (!leader) return;
  std::vector<Offset> ends;
  for (const auto& [id, voter] : log_.voters().voters) {
    const ReplicaKey key{id, voter.directory_id};
    auto found = leader->replicas.find(key);
    if (id == options_.self.id)
      ends.push_back(durable_end_);
    else
      ends.push_back(found == leader->replicas.end() ? Offset(-1)
                                                     : found->second.end.value_or(Offset(-1)));
  }
  if (ends.empty()) return;
  std::ranges::sort(ends, std::greater{});
  const Offset majority_has = ends[log_.voters().majority() - 1];
  if (majority_has <= leader->epoch_start) return;
  leader->has_committed = true;
  set_high_watermark(majority_has, now);
}

void Machine::set_high_watermark(Offset to, const Now& now) {
  if (to <= high_watermark_.value_or(Offset(0))) return;
  high_watermark_ = to;
  output_.committed = to;
  auto* leader = std::get_if<Leader>(&role_);
  if (!leader) return;
  wake_parked_fetches();
  if (!leader->pending_voters || *leader->pending_voters >= to) return;
  leader->pending_voters.reset();
  if (!is_voter()) become_resigned(now);  // it removed itself
}

std::vector<ReplicaKey> Machine::successors() const {
  std::vector<std::pair<Offset, ReplicaKey>> ranked;
  const auto* leader = std::get_if<Leader>(&role_);
  for (const auto& [id, voter] : log_.voters().voters) {
    if (id == options_.self.id || !leader) continue;
    const ReplicaKey key{id, voter.directory_id};
    auto found = leader->replicas.find(key);
    const Offset end =
        found == leader->replicas.end() ? Offset(-1) : found->second.end.value_or(Offset(-1));
    ranked.emplace_back(end, key);
  }
  std::ranges::sort(ranked, std::greater{});
  std::vector<ReplicaKey> keys;
  for (const auto& [end, key] : ranked) keys.push_back(key);
  return keys;
}

// A majority must have fetched within one and a half fetch timeouts; else the others have another
// leader by now, or will have.
Instant Machine::quorum_due(const Leader& leader) const {
  const VoterSet& set = log_.voters();
  const size_t needed = set.majority() - (is_voter() ? 1 : 0);
  std::vector<Instant> fetched;
  for (const auto& [id, voter] : set.voters) {
    if (id == options_.self.id) continue;
    auto found = leader.replicas.find({id, voter.directory_id});
    const bool has = found != leader.replicas.end() && found->second.last_fetch;
    fetched.push_back(has ? std::max(*found->second.last_fetch, leader.since) : leader.since);
  }
  if (needed == 0 || fetched.size() < needed) return Instant::never();
  std::ranges::sort(fetched, std::greater{});
  return fetched[needed - 1] + options_.fetch_timeout * 3 / 2;
}

void Machine::tick_role(const Now& now) {
  switch (role()) {
    case Role::kUnattached:
      if (now.time < std::get<Unattached>(role_).election_due) return;
      if (may_stand()) return become_prospective(now);
      return enter(Unattached{.election_due = now.time + random_election_timeout()});
    case Role::kProspective:
      if (now.time >= std::get<Prospective>(role_).due) lose_prospect(now);
      return;
    case Role::kCandidate:
      if (now.time >= std::get<Candidate>(role_).due) become_prospective(now);
      return;
    case Role::kLeader:
      if (now.time >= quorum_due(std::get<Leader>(role_))) become_resigned(now);
      return;
    case Role::kFollower:
      if (now.time < std::get<Follower>(role_).fetch_due) return;
      if (may_stand()) return become_prospective(now);
      return become_unattached(election_.epoch, kNoNode, now);
    case Role::kResigned:
      if (now.time >= std::get<Resigned>(role_).due)
        become_unattached(election_.epoch + 1, kNoNode, now);
      return;
  }
}

void Machine::on_tick(const Now& now) { finish(now); }

// What every input ends with: what is due by now is done.
void Machine::finish(const Now& now) {
  last_now_ = std::max(last_now_, now.time);
  if (fault_) return;
  tick_role(now);
  expire(now);
  send_due(now);
}

Output Machine::take_output() {
  output_.sequence = next_sequence_++;
  if (output_.changes_log()) handed_over_.push_back({output_.sequence, log_.end()});
  return std::exchange(output_, {});
}

// What was due at the last input has been done, or waits for something that has its own time.
Instant Machine::next_deadline() const {
  Instant next = Instant::never();
  if (fault_) return next;
  auto consider = [&](Instant due) {
    if (due > last_now_) next = std::min(next, due);
  };
  switch (role()) {
    case Role::kUnattached: consider(std::get<Unattached>(role_).election_due); break;
    case Role::kProspective: consider(std::get<Prospective>(role_).due); break;
    case Role::kCandidate: consider(std::get<Candidate>(role_).due); break;
    case Role::kFollower: consider(std::get<Follower>(role_).fetch_due); break;
    case Role::kResigned: consider(std::get<Resigned>(role_).due); break;
    case Role::kLeader: {
      const auto& leader = std::get<Leader>(role_);
      consider(quorum_due(leader));
      for (const auto& [key, progress] : leader.replicas)
        if (progress.last_told) consider(next_begin_epoch(progress));
      break;
    }
  }
  for (const auto& [peer, exchange] : exchanges_) consider(exchange.due);
  for (const auto& parked : parked_) consider(parked.due);
  return next;
}

std::vector<Endpoint> Machine::endpoints_of(NodeId id) const {
  if (id == options_.self.id) return options_.endpoints;
  if (id == election_.leader && !leader_endpoints_.empty()) return leader_endpoints_;
  auto found = log_.voters().voters.find(id);
  return found == log_.voters().voters.end() ? std::vector<Endpoint>{} : found->second.endpoints;
}

std::map<ReplicaKey, Progress> Machine::progress() const {
  const auto* leader = std::get_if<Leader>(&role_);
  return leader ? leader->replicas : std::map<ReplicaKey, Progress>{};
}

void Machine::check_invariants() const {
  log_.check_invariants();
  ASSERT(durable_end_ <= log_.end(), "durable to {}, log ends at {}", durable_end_, log_.end());
  ASSERT(high_watermark_.value_or(Offset(0)) <= log_.end(), "RM3: {}", describe());
  if (const auto* leader = std::get_if<Leader>(&role_))
    ASSERT(!leader->has_committed || *high_watermark_ > leader->epoch_start, "RM4: {}", describe());
  const bool stands = role() == Role::kProspective || role() == Role::kCandidate;
  ASSERT(!stands || may_stand(), "RM5: {}", describe());
}

std::string Machine::describe() const {
  std::vector<NodeId> voters;
  for (const auto& [id, voter] : log_.voters().voters) voters.push_back(id);
  return fmt::format("node {} {} epoch {} leader {} voters {} log [{}, {}) durable {} hw {}",
                     options_.self.id, role_name(role()), election_.epoch, election_.leader,
                     fmt::join(voters, ","), log_.start(), log_.end(), durable_end_,
                     high_watermark_.value_or(Offset(-1)));
}

}  // namespace millrace::raft
