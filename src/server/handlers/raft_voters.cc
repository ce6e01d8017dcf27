// AddRaftVoter (80), RemoveRaftVoter (81) and UpdateRaftVoter (82) on the controller's listener
// (KIP-853): checked as Kafka does, in its order, then done by node/voter_changes. The first two
// come from brokers in envelopes as well.
#include <fmt/format.h>

#include <algorithm>

#include "node/controller_host.h"
#include "node/voter_changes.h"
#include "server/handlers/handlers.h"
#include "wire/add_raft_voter.h"
#include "wire/remove_raft_voter.h"
#include "wire/update_raft_voter.h"

namespace millrace::server {
namespace {

using node::VoterDone;
using node::VoterOutcome;
using wire::ErrorCode;

// No cluster id is any.
bool is_of_this_cluster(const std::optional<std::string>& id, const node::Node& node) {
  return !id || *id == node.cluster_id();
}

VoterOutcome other_cluster(const std::optional<std::string>& id, const node::Node& node) {
  return {ErrorCode::kInconsistentClusterId,
          fmt::format("The given id \"{}\" doesn't match the cluster id \"{}\"", id.value_or(""),
                      node.cluster_id())};
}

template <class Request>
std::optional<raft::ReplicaKey> voter_of(const Request& request) {
  if (request.voter_id < 0 || request.voter_directory_id.is_zero()) return std::nullopt;
  return raft::ReplicaKey{NodeId(request.voter_id), request.voter_directory_id};
}

template <class Listeners>
std::vector<raft::Endpoint> endpoints_of(const Listeners& listeners) {
  std::vector<raft::Endpoint> endpoints;
  for (const auto& each : listeners) endpoints.push_back({each.name, each.host, each.port});
  return endpoints;
}

bool has_listener(const std::vector<raft::Endpoint>& endpoints, const node::Node& node) {
  const auto names = node.properties().list("controller.listener.names");
  return !names.empty() &&
         std::ranges::find(endpoints, names[0], &raft::Endpoint::listener) != endpoints.end();
}

// Runs `work(changes, done)` on shard 0, where the quorum is, and `answer(call, outcome)` on the
// call's.
template <class Work, class Answer>
void change_voters(Call call, Work work, Answer answer) {
  node::Node* node = &call.node();
  env::Shard* shard = &call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  node->host().shard(0).post([node, shard, waiting, work = std::move(work), answer] {
    VoterDone done = [shard, waiting, answer](VoterOutcome outcome) {
      shard->post([waiting, answer, outcome = std::move(outcome)] { answer(*waiting, outcome); });
    };
    work(node->voter_changes(), std::move(done));
  });
}

template <class Response>
Response response_of(const VoterOutcome& outcome) {
  Response response;
  response.error_code = wire::code_of(outcome.code);
  response.error_message.reset();
  if (!outcome.message.empty()) response.error_message = outcome.message;
  return response;
}

// Who passed the request on looks for the leader.
template <class Response>
void answer_change(Call& call, const VoterOutcome& outcome) {
  const auto response = response_of<Response>(outcome);
  if (outcome.code == ErrorCode::kNotLeaderOrFollower) return call.respond_not_controller(response);
  call.respond(response);
}

// The check that is behind those of the request's form in Kafka's order is the leader's; a node
// that does not lead says that first.
template <class Response>
void refuse_as_leader(Call call, VoterOutcome refusal) {
  change_voters(
      std::move(call),
      [refusal](node::VoterChanges& changes, VoterDone done) {
        done(changes.leads() ? refusal : node::VoterChanges::not_leader());
      },
      answer_change<Response>);
}

struct Leader {
  int32_t id = -1;
  int32_t epoch = -1;
  std::string host;
  int32_t port = 0;
};

Leader leader_of(const node::RaftDriver& driver) {
  Leader leader{.id = driver.leader().value(), .epoch = driver.epoch().value(), .host = ""};
  if (const auto address = driver.address_of(driver.leader())) {
    leader.host = address->host;
    leader.port = address->port;
  }
  return leader;
}

// Nothing: it names this epoch.
std::optional<ErrorCode> epoch_problem(const node::RaftDriver& driver, int32_t named) {
  if (named < driver.epoch().value()) return ErrorCode::kFencedLeaderEpoch;
  if (named > driver.epoch().value()) return ErrorCode::kUnknownLeaderEpoch;
  if (!driver.is_leader()) return ErrorCode::kNotLeaderOrFollower;
  return std::nullopt;
}

ErrorCode form_problem(const wire::UpdateRaftVoterRequest& request, const node::Node& node) {
  const auto& range = request.k_raft_version_feature;
  const bool is_range = range.min_supported_version >= 0 &&
                        range.max_supported_version >= range.min_supported_version;
  return voter_of(request) && has_listener(endpoints_of(request.listeners), node) && is_range
             ? ErrorCode::kNone
             : ErrorCode::kInvalidRequest;
}

}  // namespace

void handle_add_raft_voter(Call call) {
  using Response = wire::AddRaftVoterResponse;
  const auto request = call.decode<wire::AddRaftVoterRequest>();
  if (!request) return;
  if (!is_of_this_cluster(request->cluster_id, call.node()))
    return call.respond(response_of<Response>(other_cluster(request->cluster_id, call.node())));
  const auto voter = voter_of(*request);
  if (!voter)
    return refuse_as_leader<Response>(
        std::move(call),
        {ErrorCode::kInvalidRequest, "Add voter request didn't include a valid voter"});
  node::VoterChanges::Addition addition{.voter = *voter,
                                        .endpoints = endpoints_of(request->listeners),
                                        .ack_when_committed = request->ack_when_committed};
  if (!has_listener(addition.endpoints, call.node()))
    return refuse_as_leader<Response>(
        std::move(call),
        {ErrorCode::kInvalidRequest,
         "Add voter request didn't include the endpoint for the default listener"});
  change_voters(
      std::move(call),
      [addition](node::VoterChanges& changes, VoterDone done) {
        changes.add(addition, std::move(done));
      },
      answer_change<Response>);
}

void handle_remove_raft_voter(Call call) {
  using Response = wire::RemoveRaftVoterResponse;
  const auto request = call.decode<wire::RemoveRaftVoterRequest>();
  if (!request) return;
  if (!is_of_this_cluster(request->cluster_id, call.node()))
    return call.respond(response_of<Response>(other_cluster(request->cluster_id, call.node())));
  const auto voter = voter_of(*request);
  if (!voter)
    return refuse_as_leader<Response>(
        std::move(call),
        {ErrorCode::kInvalidRequest, "Remove voter request didn't include a valid voter"});
  change_voters(
      std::move(call),
      [voter = *voter](node::VoterChanges& changes, VoterDone done) {
        changes.remove(voter, std::move(done));
      },
      answer_change<Response>);
}

void handle_update_raft_voter(Call call) {
  const auto request = call.decode<wire::UpdateRaftVoterRequest>();
  if (!request) return;
  node::Node* node = &call.node();
  const bool is_ours = is_of_this_cluster(request->cluster_id, *node);
  auto leader = std::make_shared<Leader>();
  change_voters(
      std::move(call),
      [node, request = *request, is_ours, leader](node::VoterChanges& changes, VoterDone done) {
        const node::RaftDriver& driver = node->controller().driver();
        *leader = leader_of(driver);
        if (!is_ours) return done({ErrorCode::kInconsistentClusterId});
        if (const auto problem = epoch_problem(driver, request.current_leader_epoch))
          return done({*problem});
        if (const auto problem = form_problem(request, *node); problem != ErrorCode::kNone)
          return done({problem});
        changes.update(*voter_of(request),
                       {.directory_id = request.voter_directory_id,
                        .endpoints = endpoints_of(request.listeners),
                        .min_kraft_version = request.k_raft_version_feature.min_supported_version,
                        .max_kraft_version = request.k_raft_version_feature.max_supported_version},
                       std::move(done));
      },
      [leader](Call& waiting, const VoterOutcome& outcome) {
        waiting.respond(wire::UpdateRaftVoterResponse{
            .error_code = wire::code_of(outcome.code),
            .current_leader = {leader->id, leader->epoch, leader->host, leader->port}});
      });
}

}  // namespace millrace::server
