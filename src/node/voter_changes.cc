#include "node/voter_changes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "metadata/features.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

std::string text_of(const raft::ReplicaKey& key) {
  return fmt::format("{} (directory {})", key.id, key.directory_id.to_string());
}

VoterOutcome late(std::string message) { return {ErrorCode::kRequestTimedOut, std::move(message)}; }

const raft::Endpoint* endpoint_of(const std::vector<raft::Endpoint>& endpoints,
                                  const std::string& listener) {
  auto found = std::ranges::find(endpoints, listener, &raft::Endpoint::listener);
  return found == endpoints.end() ? nullptr : &*found;
}

}  // namespace

VoterOutcome VoterChanges::not_leader() {
  return {ErrorCode::kNotLeaderOrFollower, "this node does not lead the quorum"};
}

std::optional<VoterOutcome> VoterChanges::obstacle() const {
  if (!driver_->is_leader()) return not_leader();
  if (change_)
    return late("Request timed out waiting for leader to handle previous voter change request");
  if (!driver_->is_established())
    return late(
        "Request timed out waiting for leader to establish HWM and fence previous voter changes");
  return std::nullopt;
}

std::optional<VoterOutcome> VoterChanges::obstacle(const char* doing) const {
  if (auto problem = obstacle()) return problem;
  if (driver_->kraft_version() < 1)
    return VoterOutcome{ErrorCode::kUnsupportedVersion,
                        fmt::format("Cluster doesn't support {} voter because the {} feature is {}",
                                    doing, metadata::kKraftVersion, driver_->kraft_version())};
  return std::nullopt;
}

// Answered after the request timeout at the latest; what is written by then goes on.
std::shared_ptr<VoterChanges::Change> VoterChanges::begin(VoterDone done) {
  change_ = std::make_shared<Change>(Change{.epoch = driver_->epoch(), .done = std::move(done)});
  change_->timer =
      host_->shard(0).after(options_.request_timeout, [this, weak = std::weak_ptr(change_)] {
        if (const auto change = weak.lock(); change && change == change_)
          end(late("Request timed out waiting for the change of the voters"));
      });
  return change_;
}

void VoterChanges::end(VoterOutcome outcome) {
  const auto change = std::exchange(change_, nullptr);
  host_->shard(0).cancel(change->timer);
  if (change->done) change->done(std::move(outcome));
}

void VoterChanges::add(Addition addition, VoterDone done) {
  auto problem = obstacle("adding");
  if (!problem && driver_->view().voters.contains(addition.voter.id))
    problem = VoterOutcome{ErrorCode::kDuplicateVoter,
                           fmt::format("The voter id for {} is already part of the set of voters",
                                       text_of(addition.voter))};
  if (problem) return done(std::move(*problem));
  look_at(begin(std::move(done)), addition);
}

void VoterChanges::look_at(const std::shared_ptr<Change>& change, const Addition& addition) {
  const raft::Endpoint* endpoint = endpoint_of(addition.endpoints, options_.listener);
  if (endpoint == nullptr)
    return end({ErrorCode::kInvalidRequest,
                fmt::format("Add voter request didn't include the endpoint for the default "
                            "listener {}",
                            options_.listener)});
  change->link = open_peer_link(*host_, host_->shard(0),
                                {.address = {endpoint->host, endpoint->port},
                                 .client_id = "voter-changes",
                                 .connect_timeout = options_.request_timeout,
                                 .request_timeout = options_.request_timeout,
                                 .owner = change});
  change->link->when_ready([this, weak = std::weak_ptr(change), addition](Result<> ready) {
    const auto looked = weak.lock();
    if (!looked || looked != change_) return;
    if (!ready)
      return end(late(fmt::format("New voter {} is not ready to receive requests: {}",
                                  text_of(addition.voter), ready.error().message)));
    write_added(looked, addition);
  });
}

bool VoterChanges::is_caught_up(const raft::ReplicaKey& key) const {
  const QuorumView quorum = driver_->view();
  const auto known = quorum.replicas.find(key);
  return known != quorum.replicas.end() && known->second.last_caught_up &&
         known->second.last_fetch && *known->second.last_fetch > quorum.now.time - kCaughtUpWithin;
}

void VoterChanges::write_added(const std::shared_ptr<Change>& change, const Addition& addition) {
  raft::Voter voter{.directory_id = addition.voter.directory_id, .endpoints = addition.endpoints};
  const auto& features = change->link->broker().supported_features;
  const auto range = std::ranges::find(features, metadata::kKraftVersion,
                                       &wire::ApiVersionsResponse::SupportedFeatureKey::name);
  voter.min_kraft_version = range == features.end() ? int16_t{0} : range->min_version;
  voter.max_kraft_version = range == features.end() ? int16_t{0} : range->max_version;
  const int16_t version = driver_->kraft_version();
  if (version < voter.min_kraft_version || version > voter.max_kraft_version)
    return end({ErrorCode::kInvalidRequest,
                fmt::format("Aborted add voter operation for {} since {} range {} to {} doesn't "
                            "include {}",
                            text_of(addition.voter), metadata::kKraftVersion,
                            voter.min_kraft_version, voter.max_kraft_version, version)});
  if (!is_caught_up(addition.voter))
    return end(late(fmt::format("Aborted add voter operation for {} since it is lagging behind",
                                text_of(addition.voter))));
  raft::VoterSet next = driver_->view().voters;
  next.voters[addition.voter.id] = std::move(voter);
  write(change, next);
  if (change == change_ && !addition.ack_when_committed)
    std::exchange(change->done, nullptr)(VoterOutcome{});
}

void VoterChanges::remove(const raft::ReplicaKey& voter, VoterDone done) {
  auto problem = obstacle("removing");
  raft::VoterSet next = driver_->view().voters;
  if (!problem && (voter.directory_id.is_zero() || !next.contains(voter)))
    problem = VoterOutcome{ErrorCode::kVoterNotFound,
                           fmt::format("Cannot remove voter {}: there is none", text_of(voter))};
  if (!problem && next.voters.size() == 1)
    problem = VoterOutcome{ErrorCode::kInvalidRequest, "The last voter cannot be removed"};
  if (problem) return done(std::move(*problem));
  next.voters.erase(voter.id);
  write(begin(std::move(done)), next);
}

void VoterChanges::update(const raft::ReplicaKey& key, raft::Voter voter, VoterDone done) {
  auto problem = obstacle();
  const int16_t version = driver_->kraft_version();
  if (!problem && (version < voter.min_kraft_version || version > voter.max_kraft_version))
    problem = VoterOutcome{ErrorCode::kInvalidRequest, "the voter does not support kraft.version"};
  raft::VoterSet next = driver_->view().voters;
  const bool is_known = version < 1 ? next.contains(key.id) : next.contains(key);
  if (!problem && !is_known)
    problem =
        VoterOutcome{ErrorCode::kVoterNotFound, fmt::format("{} is not a voter", text_of(key))};
  if (problem) return done(std::move(*problem));
  if (version < 1) return remember(key, std::move(voter), std::move(done));
  raft::Voter& known = next.voters[key.id];
  if (known == voter) return done({});
  known = std::move(voter);
  write(begin(std::move(done)), next);
}

void VoterChanges::remember(const raft::ReplicaKey& key, raft::Voter voter, VoterDone done) {
  if (!driver_->note_voter(key.id, std::move(voter))) return done(not_leader());
  LOG_INFO("voter {} says what it supports", text_of(key));
  done({});
}

void VoterChanges::write(const std::shared_ptr<Change>& change, const raft::VoterSet& next) {
  auto at = driver_->change_voters(next);
  if (change != change_) return;  // what it set off ended it
  if (at) {
    change->at = *at;
    return moved();
  }
  switch (at.error().code) {
    case Errc::kBusy: return end(late(at.error().message));
    case Errc::kUnsupported: return end(not_leader());
    default: return end({ErrorCode::kInvalidRequest, at.error().message});
  }
}

// A leader that removed itself leads until that is committed.
void VoterChanges::moved() {
  if (!change_) return;
  const bool committed = change_->at && driver_->epoch() == change_->epoch &&
                         driver_->view().high_watermark > *change_->at;
  if (committed) return end({});
  if (!driver_->is_leader() || driver_->epoch() != change_->epoch) end(not_leader());
}

}  // namespace millrace::node
