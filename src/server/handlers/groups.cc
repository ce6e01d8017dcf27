// The group APIs: each finds the coordinator, runs a step in it, and answers when the step's
// records are durable. JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch,
// OffsetDelete, DescribeGroups, ListGroups, DeleteGroups.
#include <algorithm>
#include <functional>
#include <set>

#include "node/image_topics.h"
#include "node/partition_groups.h"
#include "server/authorized_operations.h"
#include "server/gathered_response.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

using group::Coordinator;
using group::RequestContext;
using node::ImageTopics;
using wire::ErrorCode;

node::GroupHost::Request request_for(const Call& call, const std::string& group_id) {
  return {.group_id = group_id,
          .api_version = call.version(),
          .client_id = call.header().client_id,
          .client_host = "/" + call.peer().host,
          .shard = &call.shard()};
}

// Runs `step` for a request that is answered with one Response; `refused` makes the response of an
// error.
template <class Response>
void run_step(Call call, const std::string& group_id, node::GroupHost::StepFunction step,
              std::function<Response(ErrorCode)> refused) {
  node::GroupHost& groups = call.node().groups();
  auto request = request_for(call, group_id);
  auto waiting = std::make_shared<Call>(std::move(call));
  request.step = std::move(step);
  request.done = [waiting, refused = std::move(refused)](ErrorCode code, group::Response response) {
    waiting->respond(code == ErrorCode::kNone ? std::get<Response>(response) : refused(code));
  };
  groups.run(std::move(request));
}

template <class Response>
Response with_error(ErrorCode code) {
  Response response;
  response.error_code = wire::code_of(code);
  return response;
}

template <class Request, class Response>
void run_simple(Call call,
                group::Decision (Coordinator::*step)(const Request&, const RequestContext&),
                std::function<Response(ErrorCode)> refused = with_error<Response>) {
  auto request = call.decode<Request>();
  if (!request) return;
  const std::string group_id = request->group_id;
  run_step<Response>(
      std::move(call), group_id,
      [request = std::move(*request), step](Coordinator& c, const RequestContext& context) {
        return (c.*step)(request, context);
      },
      std::move(refused));
}

// Versions before 8 ask for one group, in other fields.
wire::OffsetFetchRequest normalised(wire::OffsetFetchRequest request, int16_t version) {
  if (version >= 8) return request;
  auto& group = request.groups.emplace_back();
  group.group_id = request.group_id;
  group.topics.reset();
  if (request.topics) {
    group.topics.emplace();
    for (const auto& topic : *request.topics)
      group.topics->push_back({.name = topic.name, .partition_indexes = topic.partition_indexes});
  }
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

// Before version 2 there is no field for the error of a group: each partition that was asked for
// has it, as silence would say that nothing is committed.
void tell_each_partition(wire::OffsetFetchResponse::OffsetFetchResponseGroup& group,
                         const wire::OffsetFetchRequest::OffsetFetchRequestGroup& asked) {
  if (group.error_code == 0 || !asked.topics) return;
  for (const auto& topic : *asked.topics) {
    auto& result = group.topics.emplace_back();
    result.name = topic.name;
    for (const int32_t partition : topic.partition_indexes)
      result.partitions.push_back({.partition_index = partition,
                                   .committed_offset = -1,
                                   .metadata = "",
                                   .error_code = group.error_code});
  }
}

// What was read may rest on records that are not durable yet: each group's result is looked at
// again when its log has caught up, and the last one sends the answer.
template <class Response>
class GroupReads : public std::enable_shared_from_this<GroupReads<Response>> {
 public:
  using Finish = std::function<void(Response& response, int16_t version)>;

  GroupReads(Call call, size_t groups, Finish finish)
      : call_(std::move(call)), left_(groups + 1), finish_(std::move(finish)) {
    response.groups.resize(groups);
  }

  Call& call() { return call_; }
  void read(size_t at, const std::string& group_id, const node::GroupHost::ReadFunction& look) {
    node::GroupHost& groups = call_.node().groups();
    const ErrorCode code = groups.read(group_id, look);
    if (code != ErrorCode::kNone) return done(at, code);
    groups.when_durable(
        group_id, call_.shard(),
        [self = this->shared_from_this(), at](ErrorCode durable) { self->done(at, durable); });
  }
  // After the last read.
  void finish() {
    if (--left_ > 0) return;
    finish_(response, call_.version());
    call_.respond(response);
  }

  Response response;

 private:
  void done(size_t at, ErrorCode code) {
    auto& result = response.groups[at];
    if (code != ErrorCode::kNone) {
      const std::string group_id = result.group_id;
      result = {};
      result.group_id = group_id;
      result.error_code = wire::code_of(code);
    }
    finish();
  }

  Call call_;
  size_t left_;
  Finish finish_;
};

}  // namespace

void handle_join_group(Call call) {
  auto request = call.decode<wire::JoinGroupRequest>();
  if (!request) return;
  const std::string group_id = request->group_id, member_id = request->member_id;
  const bool null_name = call.version() >= 7;
  run_step<wire::JoinGroupResponse>(
      std::move(call), group_id,
      [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
        return c.decide_join_group(request, context);
      },
      [member_id, null_name](ErrorCode code) {
        auto response = with_error<wire::JoinGroupResponse>(code);
        response.member_id = member_id;
        if (null_name) response.protocol_name.reset();
        return response;
      });
}

// What is loaded knows nothing of a rebalance under way, which has to begin anew. Kafka answers
// COORDINATOR_LOAD_IN_PROGRESS since 4.0, over which its own consumer ends.
void handle_sync_group(Call call) {
  run_simple<wire::SyncGroupRequest, wire::SyncGroupResponse>(
      std::move(call), &Coordinator::decide_sync_group, [](ErrorCode code) {
        return with_error<wire::SyncGroupResponse>(
            code == ErrorCode::kCoordinatorLoadInProgress ? ErrorCode::kRebalanceInProgress : code);
      });
}

// While the group is being loaded nobody can say that the member is not in it.
void handle_heartbeat(Call call) {
  auto request = call.decode<wire::HeartbeatRequest>();
  if (!request) return;
  auto asked = request_for(call, request->group_id);
  asked.may_write = false;
  asked.step = [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
    return c.decide_heartbeat(request, context);
  };
  node::GroupHost& groups = call.node().groups();
  asked.done = [waiting = std::make_shared<Call>(std::move(call))](ErrorCode code,
                                                                   group::Response response) {
    if (code == ErrorCode::kCoordinatorLoadInProgress)
      return waiting->respond(wire::HeartbeatResponse{});
    waiting->respond(code == ErrorCode::kNone ? std::get<wire::HeartbeatResponse>(response)
                                              : with_error<wire::HeartbeatResponse>(code));
  };
  groups.run(std::move(asked));
}

void handle_leave_group(Call call) {
  run_simple<wire::LeaveGroupRequest, wire::LeaveGroupResponse>(std::move(call),
                                                                &Coordinator::decide_leave_group);
}

void handle_offset_delete(Call call) {
  auto request = call.decode<wire::OffsetDeleteRequest>();
  if (!request) return;
  ImageTopics topics(call.node().image(), call.node().settings());
  const std::string group_id = request->group_id;
  run_step<wire::OffsetDeleteResponse>(
      std::move(call), group_id,
      [request = std::move(*request), topics](Coordinator& c, const RequestContext& context) {
        return c.decide_offset_delete(request, topics, context);
      },
      with_error<wire::OffsetDeleteResponse>);
}

void handle_offset_commit(Call call) {
  auto request = call.decode<wire::OffsetCommitRequest>();
  if (!request) return;
  ImageTopics topics(call.node().image(), call.node().settings());
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
      [request = std::move(*request), topics](Coordinator& c, const RequestContext& context) {
        return c.decide_offset_commit(request, topics, context);
      },
      refused);
}

void handle_offset_fetch(Call call) {
  auto decoded = call.decode<wire::OffsetFetchRequest>();
  if (!decoded) return;
  const auto request = normalised(std::move(*decoded), call.version());
  const ImageTopics topics(call.node().image(), call.node().settings());
  const Coordinator::FetchOptions options{call.version(), request.require_stable};
  const auto finish = [asked = request.groups](wire::OffsetFetchResponse& response,
                                               int16_t version) {
    if (version < 2) tell_each_partition(response.groups[0], asked[0]);
    if (version < 8) fill_old_fields(response);
  };
  auto reads = std::make_shared<GroupReads<wire::OffsetFetchResponse>>(
      std::move(call), request.groups.size(), finish);
  for (size_t i = 0; i < request.groups.size(); ++i) {
    auto& result = reads->response.groups[i];
    result.group_id = request.groups[i].group_id;
    reads->read(i, result.group_id, [&](const Coordinator& coordinator) {
      result = coordinator.fetch_offsets(request.groups[i], topics, options);
    });
  }
  reads->finish();
}

void handle_describe_groups(Call call) {
  auto request = call.decode<wire::DescribeGroupsRequest>();
  if (!request) return;
  const int16_t version = call.version();
  auto reads = std::make_shared<GroupReads<wire::DescribeGroupsResponse>>(
      std::move(call), request->groups.size(), [](wire::DescribeGroupsResponse&, int16_t) {});
  for (size_t i = 0; i < request->groups.size(); ++i) {
    auto& result = reads->response.groups[i];
    result.group_id = request->groups[i];
    reads->read(i, result.group_id, [&](const Coordinator& coordinator) {
      result = coordinator.describe_group(request->groups[i], version);
      if (request->include_authorized_operations && result.error_code == 0)
        result.authorized_operations = kGroupOperations;
    });
  }
  reads->finish();
}

void handle_list_groups(Call call) {
  auto request = call.decode<wire::ListGroupsRequest>();
  if (!request) return;
  auto response = std::make_shared<wire::ListGroupsResponse>();
  auto waiting = std::make_shared<Call>(std::move(call));
  const auto look = [&](const Coordinator& coordinator) {
    std::ranges::move(coordinator.list_groups(*request), std::back_inserter(response->groups));
  };
  waiting->node().groups().read_all(look, waiting->shard(), [waiting, response](ErrorCode code) {
    if (code != ErrorCode::kNone)
      return waiting->respond(with_error<wire::ListGroupsResponse>(code));
    for (auto& each : response->groups) {
      if (waiting->version() < 4) each.group_state.clear();
      if (waiting->version() < 5) each.group_type.clear();
    }
    waiting->respond(*response);
  });
}

void handle_delete_groups(Call call) {
  auto request = call.decode<wire::DeleteGroupsRequest>();
  if (!request) return;
  using Deletion = GatheredResponse<wire::DeleteGroupsResponse>;
  auto deletion = std::make_shared<Deletion>(std::move(call));
  auto& results = deletion->response.results;
  std::set<std::string_view> seen;
  for (const std::string& id : request->groups_names)
    if (seen.insert(id).second) results.push_back({.group_id = id});
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string id = results[i].group_id;
    auto each = request_for(deletion->call, id);
    each.step = [id](Coordinator& c, const RequestContext& context) {
      wire::DeleteGroupsRequest one;
      one.groups_names = {id};
      return c.decide_delete_groups(one, context);
    };
    each.done = [deletion, i](ErrorCode code, group::Response answer) {
      auto& result = deletion->response.results[i];
      result.error_code = wire::code_of(code);
      if (code == ErrorCode::kNone)
        result = std::get<wire::DeleteGroupsResponse>(answer).results[0];
      deletion->one_is_done();
    };
    deletion->one_more();
    deletion->call.node().groups().run(std::move(each));
  }
  deletion->one_is_done();
}

}  // namespace millrace::server
