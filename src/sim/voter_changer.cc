#include "sim/voter_changer.h"

#include <utility>

#include "wire/add_raft_voter.h"
#include "wire/remove_raft_voter.h"

namespace millrace::sim {
namespace {

constexpr int16_t kAddVersion = 1;
constexpr int16_t kRemoveVersion = 0;
constexpr Duration kMeanPause = milliseconds(800);
constexpr int32_t kPatienceMs = 4000;

}  // namespace

VoterChanger::VoterChanger(const Site& site, Options options)
    : Operator(site, "voter-changer", kMeanPause), options_(std::move(options)) {}

void VoterChanger::act() {
  const auto& [id, voter] = any_of(options_.candidates.voters);
  if (dice_.chance(0.5)) return add(id, voter);
  remove(id, voter);
}

void VoterChanger::add(NodeId id, const raft::Voter& voter) {
  wire::AddRaftVoterRequest request{.cluster_id = options_.cluster_id,
                                    .timeout_ms = kPatienceMs,
                                    .voter_id = id.value(),
                                    .voter_directory_id = voter.directory_id,
                                    .ack_when_committed = dice_.chance(0.5)};
  for (const raft::Endpoint& at : voter.endpoints)
    request.listeners.push_back({.name = at.listener, .host = at.host, .port = at.port});
  client_.call<wire::AddRaftVoterResponse>(Client::AnyBroker{}, request, kAddVersion,
                                           [this](const auto&) { later(); });
}

void VoterChanger::remove(NodeId id, const raft::Voter& voter) {
  const wire::RemoveRaftVoterRequest request{.cluster_id = options_.cluster_id,
                                             .voter_id = id.value(),
                                             .voter_directory_id = voter.directory_id};
  client_.call<wire::RemoveRaftVoterResponse>(Client::AnyBroker{}, request, kRemoveVersion,
                                              [this](const auto&) { later(); });
}

}  // namespace millrace::sim
