#include "node/voter_membership.h"

#include <fmt/format.h>

#include "base/log.h"
#include "metadata/features.h"
#include "wire/add_raft_voter.h"
#include "wire/errors.h"
#include "wire/remove_raft_voter.h"
#include "wire/update_raft_voter.h"

namespace millrace::node {
namespace {

// What this node supports, as the voters' record says it.
raft::Voter voter_of(const raft::ReplicaKey& self, const std::vector<raft::Endpoint>& endpoints) {
  raft::Voter voter{.directory_id = self.directory_id, .endpoints = endpoints};
  for (const auto& feature : metadata::supported_features())
    if (feature.name == std::string_view(metadata::kKraftVersion)) {
      voter.min_kraft_version = feature.least;
      voter.max_kraft_version = feature.most;
    }
  return voter;
}

template <class Request>
void name_voter(Request& request, const std::string& cluster_id, NodeId id, const Uuid& directory) {
  request.cluster_id = cluster_id;
  request.voter_id = id.value();
  request.voter_directory_id = directory;
}

template <class Request>
void name_listeners(Request& request, const std::vector<raft::Endpoint>& endpoints) {
  for (const auto& each : endpoints)
    request.listeners.push_back({.name = each.listener, .host = each.host, .port = each.port});
}

template <class Response>
Result<> outcome_of(const Result<client::core::Answer>& answer) {
  if (!answer) return std::unexpected(answer.error());
  ASSIGN_OR_RETURN(const auto response, wire::decode<Response>(answer->body, answer->version));
  if (response.error_code == 0) return {};
  return fail(Errc::kInvalid,
              std::string(wire::error_name(static_cast<wire::ErrorCode>(response.error_code))));
}

}  // namespace

void VoterMembership::start() {
  const Duration interval =
      milliseconds(parts_.properties->number("controller.quorum.fetch.timeout.ms"));
  parts_.host->shard(0).after(interval, [this, weak = std::weak_ptr<void>(alive_)] {
    if (weak.expired()) return;
    look();
    start();
  });
}

void VoterMembership::look() {
  const RaftDriver& driver = *parts_.driver;
  if (driver.is_leader() || driver.leader() == kNoNode) return;
  const QuorumView quorum = driver.view();
  if (driver.kraft_version() < 1) {
    if (quorum.voters.contains(quorum.self) && told_epoch_ != quorum.epoch) tell(quorum);
    return;
  }
  if (quorum.voters.contains(quorum.self)) return update(quorum);
  if (!parts_.properties->flag("controller.quorum.auto.join.enable")) return;
  const auto former = quorum.voters.voters.find(quorum.self.id);
  if (former != quorum.voters.voters.end())
    return leave_former_disk(quorum, former->second.directory_id);
  if (driver.is_caught_up()) join(quorum);
}

void VoterMembership::update(const QuorumView& quorum) {
  if (quorum.voters.voters.at(quorum.self.id) != voter_of(quorum.self, parts_.endpoints))
    tell(quorum);
}

void VoterMembership::tell(const QuorumView& quorum) {
  const raft::Voter ours = voter_of(quorum.self, parts_.endpoints);
  wire::UpdateRaftVoterRequest request;
  name_voter(request, parts_.cluster_id, quorum.self.id, quorum.self.directory_id);
  name_listeners(request, ours.endpoints);
  request.current_leader_epoch = quorum.epoch.value();
  request.k_raft_version_feature = {.min_supported_version = ours.min_kraft_version,
                                    .max_supported_version = ours.max_kraft_version};
  ask_leader<wire::UpdateRaftVoterResponse>(quorum, std::move(request),
                                            [this, epoch = quorum.epoch] { told_epoch_ = epoch; });
}

void VoterMembership::leave_former_disk(const QuorumView& quorum, const Uuid& directory) {
  wire::RemoveRaftVoterRequest request;
  name_voter(request, parts_.cluster_id, quorum.self.id, directory);
  ask_leader<wire::RemoveRaftVoterResponse>(quorum, std::move(request));
}

void VoterMembership::join(const QuorumView& quorum) {
  wire::AddRaftVoterRequest request;
  name_voter(request, parts_.cluster_id, quorum.self.id, quorum.self.directory_id);
  name_listeners(request, parts_.endpoints);
  request.timeout_ms =
      static_cast<int32_t>(parts_.properties->number("controller.quorum.request.timeout.ms"));
  request.ack_when_committed = false;  // it will be seen in the log
  ask_leader<wire::AddRaftVoterResponse>(quorum, std::move(request));
}

// It is asked again and again, and may be refused in the same words each time.
void VoterMembership::note(std::string said) {
  if (said != said_) LOG_INFO("{}", said);
  said_ = std::move(said);
}

template <class Response, class Request>
void VoterMembership::ask_leader(const QuorumView& quorum, Request request,
                                 std::function<void()> agreed) {
  const auto address = parts_.driver->address_of(quorum.leader);
  if (!address) return;
  const Duration timeout =
      milliseconds(parts_.properties->number("controller.quorum.request.timeout.ms"));
  link_ = open_peer_link(*parts_.host, parts_.host->shard(0),
                         {.address = *address,
                          .client_id = fmt::format("raft-client-{}", quorum.self.id),
                          .connect_timeout = timeout,
                          .request_timeout = timeout,
                          .owner = alive_});
  link_->submit(
      peer_call(std::move(request), {Request::kMinVersion, Request::kMaxVersion}),
      [this, agreed = std::move(agreed)](const Result<client::core::Answer>& answer) {
        const Result<> outcome = outcome_of<Response>(answer);
        note(fmt::format("{}: {}", Request::kName, outcome ? "done" : outcome.error().message));
        if (outcome) agreed();
      });
}

}  // namespace millrace::node
