#include "app/cluster_voters.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/connect.h"
#include "app/listeners.h"
#include "app/quorum.h"
#include "app/start.h"
#include "config/directories.h"
#include "config/node_rules.h"
#include "storage/log_directory.h"

namespace millrace::app {
namespace {

struct AddOptions {
  Target target;
  std::string properties_file;
};

struct RemoveOptions {
  Target target;
  int32_t id = -1;
};

Outcome<> add_voter(const AddOptions& options, Session& session) {
  auto request = voter_in(options.properties_file, session.disk());
  if (!request)
    return std::unexpected(Failure(
        request.error().message,
        "-c takes the server.properties of the controller that shall vote, on its machine"));
  request->timeout_ms = options.target.connect.timeout_seconds * 1000;
  const int32_t id = request->voter_id;
  auto response = session.call_any(std::move(*request));
  if (!response) return std::unexpected(Failure(response.error()));
  if (response->error_code != 0)
    return std::unexpected(refusal({fmt::format("make node {} a voter", id), {}, {}},
                                   response->error_code, response->error_message));
  print_object(options.target.format(), {{"id", id}, {"result", "votes"}});
  return {};
}

Outcome<> remove_voter(const RemoveOptions& options, Session& session) {
  auto quorum = describe_quorum(session);
  if (!quorum) return std::unexpected(quorum.error());
  const auto& voters = quorum->partition.current_voters;
  const auto voter =
      std::ranges::find_if(voters, [&](const auto& each) { return each.replica_id == options.id; });
  if (voter == voters.end())
    return std::unexpected(Failure(fmt::format("node {} is no voter", options.id),
                                   "see who is with: millrace cluster quorum"));
  wire::RemoveRaftVoterRequest request;
  request.cluster_id.reset();
  request.voter_id = options.id;
  request.voter_directory_id = voter->replica_directory_id;
  auto response = session.call_any(std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  if (response->error_code != 0)
    return std::unexpected(refusal({fmt::format("take the vote from node {}", options.id), {}, {}},
                                   response->error_code, response->error_message));
  print_object(options.target.format(), {{"id", options.id}, {"result", "votes no more"}});
  return {};
}

}  // namespace

Result<wire::AddRaftVoterRequest> voter_in(const std::string& properties_file, env::Disk& disk) {
  ASSIGN_OR_RETURN(const auto properties, load_properties({.properties_file = properties_file}));
  if (!config::has_role(properties, "controller"))
    return fail(Errc::kInvalid, fmt::format("{} is of no controller: process.roles={}",
                                            properties_file, properties.text("process.roles")));
  ASSIGN_OR_RETURN(const auto listeners, read_listeners(properties));
  const std::string directory = config::metadata_directory(properties);
  ASSIGN_OR_RETURN(const auto identity, storage::LogDirectory::read_identity(disk, directory));
  if (!identity.directory_id)
    return fail(Errc::kInvalid, directory + "/meta.properties has no directory.id");
  const auto endpoint = listeners.controller_endpoint();
  wire::AddRaftVoterRequest request;
  request.cluster_id = identity.cluster_id;
  request.voter_id = identity.node_id.value();
  request.voter_directory_id = *identity.directory_id;
  request.listeners.push_back(
      {.name = endpoint.listener, .host = endpoint.host, .port = endpoint.port});
  return request;
}

void add_voter_commands(Command& cluster) {
  auto adding = cluster.add("add-voter",
                            {"Lets a controller vote that runs and has caught up; one at a time.",
                             "millrace cluster add-voter -c server.properties"});
  auto added = std::make_shared<AddOptions>();
  adding.option("-c,--config", added->properties_file, "The controller's server.properties");
  adding.require("--config");
  add_target(adding, added->target);
  adding.runs([added] {
    return with_session(added->target, [&](Session& s) { return add_voter(*added, s); });
  });

  auto removing = cluster.add("remove-voter", {"Takes the vote from a controller, as before it is "
                                               "taken out; one at a time.",
                                               "millrace cluster remove-voter --id 3"});
  auto removed = std::make_shared<RemoveOptions>();
  removing.option("--id", removed->id, "The node");
  removing.require("--id");
  add_target(removing, removed->target);
  removing.runs([removed] {
    return with_session(removed->target, [&](Session& s) { return remove_voter(*removed, s); });
  });
}

}  // namespace millrace::app
