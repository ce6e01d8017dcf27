// The group APIs: each finds the coordinator, runs a step in it, and answers when the step's
// records are durable. JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch,
// OffsetDelete, DescribeGroups, ListGroups, DeleteGroups.
#include <algorithm>

#include "node/partition_groups.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

using group::Caller;
using group::Coordinator;
using wire::ErrorCode;

Caller caller_of(const Call& call) {
  return {.version = call.version(),
          .client_id = call.header().client_id,
          .client_host = call.peer().host};
}

// Runs `step` for a request that is answered with one Response; `refused` makes the response of an
// error.
template <class Response>
void run_step(Call call, const std::string& group_id, node::GroupHost::StepFunction step,
              std::function<Response(ErrorCode)> refused) {
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  Caller caller = caller_of(call);
  auto waiting = std::make_shared<Call>(std::move(call));
  node.groups().run(
      {.group_id = group_id,
       .caller = std::move(caller),
       .step = std::move(step),
       .shard = shard,
       .done = [waiting, refused = std::move(refused)](ErrorCode code, group::Response response) {
         waiting->respond(code == ErrorCode::kNone ? std::get<Response>(response) : refused(code));
       }});
}

template <class Response>
Response with_error(ErrorCode code) {
  Response response;
  response.error_code = wire::code_of(code);
  return response;
}

template <class Request, class Response>
void run_simple(Call call, group::Step (Coordinator::*step)(const Request&, const Caller&)) {
  auto request = call.decode<Request>();
  if (!request) return;
  const std::string group_id = request->group_id;
  run_step<Response>(
      std::move(call), group_id,
      [request = std::move(*request), step](Coordinator& c, const Caller& caller) {
        return (c.*step)(request, caller);
      },
      with_error<Response>);
}

group::TopicLookup lookup_in(std::shared_ptr<const metadata::Image> image) {
  return [image](const std::string& name, int32_t partition) -> std::optional<Uuid> {
    const metadata::Topic* topic = image->find_topic(name);
    if (topic == nullptr || partition < 0 ||
        std::cmp_greater_equal(partition, topic->partitions.size()))
      return std::nullopt;
    return topic->id;
  };
}

// Versions before 8 ask for one group, in other fields.
wire::OffsetFetchRequest normalised(wire::OffsetFetchRequest request, const metadata::Image& image,
                                    int16_t version) {
  if (version < 8) {
    auto& group = request.groups.emplace_back();
    group.group_id = request.group_id;
    group.topics.reset();
    if (request.topics) {
      group.topics.emplace();
      for (const auto& topic : *request.topics)
        group.topics->push_back({.name = topic.name, .partition_indexes = topic.partition_indexes});
    }
  }
  for (auto& group : request.groups)
    if (version >= 10 && group.topics)
      for (auto& topic : *group.topics)
        if (const metadata::Topic* known = image.find_topic(topic.topic_id))
          topic.name = known->name;
  return request;
}

void fill_old_fields(wire::OffsetFetchResponse& response) {
  const auto& group = response.groups[0];
  response.error_code = group.error_code;
  for (const auto& topic : group.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    for (const auto& p : topic.partitions)
      result.partitions.push_back({.partition_index = p.partition_index,
                                   .committed_offset = p.committed_offset,
                                   .committed_leader_epoch = p.committed_leader_epoch,
                                   .metadata = p.metadata,
                                   .error_code = p.error_code});
  }
  response.groups.clear();
}

bool matches(const std::vector<std::string>& filter, const std::string& value) {
  auto same = [&](const std::string& wanted) {
    return std::ranges::equal(wanted, value,
                              [](char a, char b) { return std::tolower(a) == std::tolower(b); });
  };
  return filter.empty() || std::ranges::any_of(filter, same);
}

}  // namespace

void handle_join_group(Call call) {
  auto request = call.decode<wire::JoinGroupRequest>();
  if (!request) return;
  const std::string group_id = request->group_id, member_id = request->member_id;
  const bool null_name = call.version() >= 7;
  run_step<wire::JoinGroupResponse>(
      std::move(call), group_id,
      [request = std::move(*request)](Coordinator& c, const Caller& caller) {
        return c.join(request, caller);
      },
      [member_id, null_name](ErrorCode code) {
        auto response = with_error<wire::JoinGroupResponse>(code);
        response.member_id = member_id;
        if (null_name) response.protocol_name.reset();
        return response;
      });
}

void handle_sync_group(Call call) {
  run_simple<wire::SyncGroupRequest, wire::SyncGroupResponse>(std::move(call), &Coordinator::sync);
}

void handle_heartbeat(Call call) {
  run_simple<wire::HeartbeatRequest, wire::HeartbeatResponse>(std::move(call),
                                                              &Coordinator::heartbeat);
}

void handle_leave_group(Call call) {
  run_simple<wire::LeaveGroupRequest, wire::LeaveGroupResponse>(std::move(call),
                                                                &Coordinator::leave);
}

void handle_offset_delete(Call call) {
  run_simple<wire::OffsetDeleteRequest, wire::OffsetDeleteResponse>(std::move(call),
                                                                    &Coordinator::delete_offsets);
}

void handle_offset_commit(Call call) {
  auto request = call.decode<wire::OffsetCommitRequest>();
  if (!request) return;
  const auto image = call.node().image();
  if (call.version() >= 10)
    for (auto& topic : request->topics)
      if (const metadata::Topic* known = image->find_topic(topic.topic_id))
        topic.name = known->name;
  const std::string group_id = request->group_id;
  auto refused = [topics = request->topics](ErrorCode code) {
    wire::OffsetCommitResponse response;
    for (const auto& topic : topics) {
      auto& result = response.topics.emplace_back();
      result.name = topic.name;
      result.topic_id = topic.topic_id;
      for (const auto& p : topic.partitions)
        result.partitions.push_back(
            {.partition_index = p.partition_index, .error_code = wire::code_of(code)});
    }
    return response;
  };
  run_step<wire::OffsetCommitResponse>(
      std::move(call), group_id,
      [request = std::move(*request), lookup = lookup_in(image)](
          Coordinator& c, const Caller& caller) { return c.commit(request, caller, lookup); },
      refused);
}

void handle_offset_fetch(Call call) {
  auto decoded = call.decode<wire::OffsetFetchRequest>();
  if (!decoded) return;
  const auto request = normalised(std::move(*decoded), *call.node().image(), call.version());
  // What was read may rest on commits that are not durable yet: the last group whose log has caught
  // up sends the answer.
  struct Pending {
    Call call;
    wire::OffsetFetchResponse response;
    size_t left = 1;
    void one_is_durable() {
      if (--left > 0) return;
      if (call.version() < 8) fill_old_fields(response);
      call.respond(response);
    }
  };
  auto pending = std::make_shared<Pending>(std::move(call));
  node::GroupHost& groups = pending->call.node().groups();
  for (const auto& wanted : request.groups) {
    auto& result = pending->response.groups.emplace_back();
    result.group_id = wanted.group_id;
    const ErrorCode code = groups.read(wanted.group_id, [&](const Coordinator& coordinator) {
      result = coordinator.fetch(wanted, request.require_stable);
    });
    result.error_code = wire::code_of(code);
    if (code != ErrorCode::kNone) continue;
    ++pending->left;
    groups.when_durable(wanted.group_id, pending->call.shard(),
                        [pending](ErrorCode) { pending->one_is_durable(); });
  }
  pending->one_is_durable();
}

void handle_describe_groups(Call call) {
  auto request = call.decode<wire::DescribeGroupsRequest>();
  if (!request) return;
  wire::DescribeGroupsResponse response;
  for (const std::string& id : request->groups) {
    auto& result = response.groups.emplace_back();
    result.group_id = id;
    const ErrorCode code = call.node().groups().read(id, [&](const Coordinator& coordinator) {
      result = coordinator.describe(id, call.version());
    });
    if (code != ErrorCode::kNone) result.error_code = wire::code_of(code);
  }
  call.respond(response);
}

void handle_list_groups(Call call) {
  auto request = call.decode<wire::ListGroupsRequest>();
  if (!request) return;
  wire::ListGroupsResponse response;
  call.node().groups().read_all([&](const Coordinator& coordinator) {
    for (auto& each : coordinator.list())
      if (matches(request->states_filter, each.group_state) &&
          matches(request->types_filter, each.group_type))
        response.groups.push_back(std::move(each));
  });
  if (call.version() < 4)
    for (auto& each : response.groups) each.group_state.clear();
  if (call.version() < 5)
    for (auto& each : response.groups) each.group_type.clear();
  call.respond(response);
}

void handle_delete_groups(Call call) {
  auto request = call.decode<wire::DeleteGroupsRequest>();
  if (!request) return;
  // Each group may have another coordinator: the last answer sends the response.
  struct Pending {
    Call call;
    wire::DeleteGroupsResponse response;
    size_t left;
  };
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  const Caller caller = caller_of(call);
  if (request->groups_names.empty()) return call.respond(wire::DeleteGroupsResponse{});
  auto pending = std::make_shared<Pending>(std::move(call), wire::DeleteGroupsResponse{},
                                           request->groups_names.size());
  for (const std::string& id : request->groups_names)
    node.groups().run(
        {.group_id = id,
         .caller = caller,
         .step = [id](Coordinator& c, const Caller& who) { return c.delete_group(id, who); },
         .shard = shard,
         .done =
             [pending, id](ErrorCode code, group::Response response) {
               auto& results = pending->response.results;
               if (code == ErrorCode::kNone)
                 results.push_back(std::get<wire::DeleteGroupsResponse>(response).results[0]);
               else
                 results.push_back({.group_id = id, .error_code = wire::code_of(code)});
               if (--pending->left == 0) pending->call.respond(pending->response);
             }});
}

}  // namespace millrace::server
