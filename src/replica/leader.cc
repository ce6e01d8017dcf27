#include "replica/leader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

#include "base/assert.h"
#include "base/probe.h"

namespace millrace::replica {
namespace {

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

Leader::Leader(const LeaderOptions& options, const metadata::PartitionState& state,
               const LeaderLog& log, Instant now)
    : options_(options),
      leader_epoch_(state.leader_epoch),
      epoch_start_(log.log_end),
      durable_end_(log.durable_end),
      high_watermark_(log.high_watermark) {
  take_assignment(state, now);
}

void Leader::on_metadata(const metadata::PartitionState& state, Instant now) {
  ASSERT(state.leader_epoch == leader_epoch_, "epoch {} told to the leader of {}",
         state.leader_epoch, leader_epoch_);
  if (state.partition_epoch > partition_epoch_) take_assignment(state, now);
}

void Leader::take_assignment(const metadata::PartitionState& state, Instant now) {
  std::vector<Follower> followers;
  for (NodeId id : state.replicas) {
    if (id == options_.self) continue;
    const Follower* known = find(id);
    Follower& follower = followers.emplace_back(known ? *known : Follower{.id = id});
    // The time of one who is in sync and was not heard of yet begins now.
    if (!known && contains(state.isr, id)) follower.last_caught_up = now;
  }
  followers_ = std::move(followers);
  recovering_ = state.recovery_state != 0;
  commit(state.isr, state.partition_epoch);
  if (recovering_) propose(isr_);
}

void Leader::commit(std::vector<NodeId> isr, PartitionEpoch epoch) {
  isr_ = std::move(isr);
  partition_epoch_ = epoch;
  pending_.reset();
  count_members();
  advance();
}

void Leader::set_min_insync_replicas(int32_t count) {
  options_.min_insync_replicas = count;
  advance();
}

Leader::Follower* Leader::find(NodeId id) {
  auto found = std::ranges::find(followers_, id, &Follower::id);
  return found == followers_.end() ? nullptr : &*found;
}

void Leader::count_members() {
  for (Follower& follower : followers_) {
    follower.in_isr = contains(isr_, follower.id);
    if (pending_)
      for (const auto& member : pending_->change.isr) follower.in_isr |= member.id == follower.id;
    if (follower.in_isr) follower.is_joining = false;
  }
}

bool Leader::asks_again(NodeId id, Offset fetch_offset) const {
  auto found = std::ranges::find(followers_, id, &Follower::id);
  return found != followers_.end() && found->was_given && found->log_end == fetch_offset;
}

void Leader::gave(NodeId id) {
  if (Follower* follower = find(id)) follower->was_given = true;
}

bool Leader::has_min_isr() const {
  const size_t wanted = std::min(static_cast<size_t>(std::max(options_.min_insync_replicas, 1)),
                                 followers_.size() + 1);
  return isr_.size() >= wanted;
}

void Leader::advance() {
  if (!has_min_isr()) return;
  Offset least = durable_end_;
  for (const Follower& follower : followers_)
    if (follower.in_isr || follower.is_joining) least = std::min(least, follower.log_end);
  high_watermark_ = std::max(high_watermark_, least);
}

void Leader::on_durable(Offset end) {
  durable_end_ = std::max(durable_end_, end);
  advance();
}

wire::ErrorCode Leader::on_fetch(const FollowerFetch& fetch, Offset log_end,
                                 const metadata::Image& image, Instant now) {
  Follower* follower = find(fetch.replica);
  if (follower == nullptr) return wire::ErrorCode::kUnknownLeaderEpoch;
  const metadata::Broker* broker = image.find_broker(fetch.replica);
  if (broker && fetch.broker_epoch.value() >= 0 && fetch.broker_epoch < broker->epoch)
    return wire::ErrorCode::kNotLeaderOrFollower;
  // It had caught up with what our log was when it last asked, at that time.
  if (fetch.fetch_offset >= log_end)
    follower->last_caught_up = now;
  else if (follower->has_fetched && fetch.fetch_offset >= follower->end_at_last_fetch)
    follower->last_caught_up = std::max(follower->last_caught_up, follower->last_fetch);
  if (follower->log_end != fetch.fetch_offset)
    follower->in_vain_since.reset();
  else if (follower->was_given && !follower->in_vain_since)
    follower->in_vain_since = follower->last_fetch;
  follower->was_given = false;
  follower->log_end = fetch.fetch_offset;
  follower->log_start = fetch.log_start;
  follower->broker_epoch = fetch.broker_epoch;
  follower->has_fetched = true;
  follower->last_fetch = now;
  follower->end_at_last_fetch = log_end;
  if (!follower->in_isr) {
    follower->is_joining = keeps_up(*follower, log_end, now) && may_join(*follower, image);
    if (may_join(*follower, image) && !asks_in_vain(*follower, now) &&
        follower->log_end >= std::max(high_watermark_, epoch_start_))
      propose_joining(*follower);
  }
  advance();
  return wire::ErrorCode::kNone;
}

// Not one that is fenced or about to leave, and not one that asked before it was restarted
// (KIP-841, KIP-903).
bool Leader::may_join(const Follower& follower, const metadata::Image& image) const {
  const metadata::Broker* broker = image.find_broker(follower.id);
  return broker && !broker->fenced && !broker->in_controlled_shutdown && follower.has_fetched &&
         (follower.broker_epoch.value() == -1 || follower.broker_epoch == broker->epoch);
}

bool Leader::keeps_up(const Follower& follower, Offset log_end, Instant now) const {
  return follower.log_end >= log_end ||
         (!asks_in_vain(follower, now) && now - follower.last_caught_up <= options_.lag_max);
}

bool Leader::asks_in_vain(const Follower& follower, Instant now) {
  return follower.in_vain_since && now - *follower.in_vain_since > kInVain;
}

void Leader::on_tick(Offset log_end, const metadata::Image& image, Instant now) {
  std::vector<NodeId> kept;
  for (NodeId id : isr_) {
    const Follower* follower = find(id);
    if (id == options_.self || (follower && keeps_up(*follower, log_end, now))) kept.push_back(id);
  }
  for (Follower& follower : followers_)
    follower.is_joining =
        follower.is_joining && may_join(follower, image) && keeps_up(follower, log_end, now);
  if (!pending_ && (kept.size() < isr_.size() || recovering_)) propose(std::move(kept));
  advance();
}

void Leader::propose_joining(const Follower& follower) {
  if (pending_) return;
  std::vector<NodeId> isr = isr_;
  isr.push_back(follower.id);
  PROBE("leader.isr_expands");
  propose(std::move(isr));
}

void Leader::propose(std::vector<NodeId> isr) {
  pending_.emplace(Pending{
      .change = {.leader_epoch = leader_epoch_, .partition_epoch = partition_epoch_, .isr = {}}});
  for (NodeId id : isr) {
    const Follower* follower = find(id);
    pending_->change.isr.push_back({id, follower ? follower->broker_epoch : BrokerEpoch(-1)});
  }
  count_members();
}

std::optional<IsrChange> Leader::take_change() {
  if (!has_change()) return std::nullopt;
  pending_->sent = true;
  return pending_->change;
}

void Leader::on_answer(PartitionEpoch asked, const IsrAnswer& answer) {
  using enum wire::ErrorCode;
  if (!pending_ || pending_->change.partition_epoch != asked) return;
  switch (answer.error) {
    case kNone:
      if (answer.leader_epoch != leader_epoch_ || answer.partition_epoch < partition_epoch_) return;
      if (!contains(answer.isr, options_.self)) return;
      recovering_ = false;
      return commit(answer.isr, answer.partition_epoch);
    // Refused for good: it was not done and never will be.
    case kIneligibleReplica:
    case kOperationNotAttempted:
      pending_.reset();
      count_members();
      return advance();
    // Whether an earlier try was carried out, only the metadata will tell; until then both count.
    case kInvalidUpdateVersion:
    case kFencedLeaderEpoch:
    case kNewLeaderElected:
    case kInvalidRequest:
    case kUnknownTopicOrPartition:
    case kUnknownTopicId: PROBE("leader.waits_for_metadata"); return;
    default: pending_->sent = false;  // to be asked again
  }
}

Offset Leader::low_watermark(Offset log_start, const metadata::Image& image) const {
  Offset least = log_start;
  for (const Follower& follower : followers_) {
    const metadata::Broker* broker = image.find_broker(follower.id);
    if (broker && !broker->fenced) least = std::min(least, follower.log_start);
  }
  return least;
}

std::optional<NodeId> Leader::read_replica(std::string_view rack, Offset offset,
                                           const metadata::Image& image) const {
  const metadata::Broker* self = image.find_broker(options_.self);
  if (rack.empty() || (self && self->rack == rack)) return std::nullopt;
  const Follower* best = nullptr;
  for (const Follower& follower : followers_) {
    const metadata::Broker* broker = image.find_broker(follower.id);
    if (!broker || broker->fenced || broker->in_controlled_shutdown || broker->rack != rack)
      continue;
    if (!contains(isr_, follower.id) || follower.log_start.value() < 0 ||
        offset < follower.log_start || offset > follower.log_end)
      continue;
    if (!best || std::tie(best->log_end, best->last_caught_up) <
                     std::tie(follower.log_end, follower.last_caught_up))
      best = &follower;
  }
  return best ? std::optional(best->id) : std::nullopt;
}

void Leader::check_invariants() const {
  ASSERT(contains(isr_, options_.self), "LD1: {} leads and is not in the ISR {}", options_.self,
         fmt::join(isr_, ","));
  std::vector<NodeId> counted = isr_;
  if (pending_)
    for (const auto& member : pending_->change.isr) counted.push_back(member.id);
  for (const Follower& follower : followers_)
    ASSERT(follower.in_isr || !contains(counted, follower.id), "LD3: {} does not count",
           follower.id);
}

std::string Leader::describe() const {
  std::string text = fmt::format("leader epoch {} partition epoch {} isr [{}]{} hw {} durable {}",
                                 leader_epoch_, partition_epoch_, fmt::join(isr_, ","),
                                 pending_ ? "+" : "", high_watermark_, durable_end_);
  for (const Follower& f : followers_)
    text += fmt::format("; {} at {}{}", f.id, f.log_end, f.in_isr ? " in sync" : "");
  return text;
}

}  // namespace millrace::replica
