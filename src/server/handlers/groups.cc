// The group APIs: each finds the coordinator, runs a step in it, and answers when the step's
// records are durable. JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch,
// OffsetDelete, DescribeGroups, ListGroups, DeleteGroups.
#include <algorithm>

#include "node/partition_groups.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

using group::Coordinator;
using group::RequestContext;
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
                group::Decision (Coordinator::*step)(const Request&, const RequestContext&)) {
  auto request = call.decode<Request>();
  if (!request) return;
  const std::string group_id = request->group_id;
  run_step<Response>(
      std::move(call), group_id,
      [request = std::move(*request), step](Coordinator& c, const RequestContext& context) {
        return (c.*step)(request, context);
      },
      with_error<Response>);
}

class ImageTopics final : public group::Topics {
 public:
  explicit ImageTopics(std::shared_ptr<const metadata::Image> image) : image_(std::move(image)) {}

  std::optional<Uuid> id_of(std::string_view name) const override {
    const metadata::Topic* topic = image_->find_topic(name);
    return topic ? std::optional(topic->id) : std::nullopt;
  }
  std::optional<std::string> name_of(const Uuid& id) const override {
    const metadata::Topic* topic = image_->find_topic(id);
    return topic ? std::optional(topic->name) : std::nullopt;
  }
  bool has_partition(std::string_view name, PartitionIndex partition) const override {
    const metadata::Topic* topic = image_->find_topic(name);
    return topic && partition.value() >= 0 &&
           std::cmp_less(partition.value(), topic->partitions.size());
  }

 private:
  std::shared_ptr<const metadata::Image> image_;
};

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

void handle_sync_group(Call call) {
  run_simple<wire::SyncGroupRequest, wire::SyncGroupResponse>(std::move(call),
                                                              &Coordinator::decide_sync_group);
}

void handle_heartbeat(Call call) {
  run_simple<wire::HeartbeatRequest, wire::HeartbeatResponse>(std::move(call),
                                                              &Coordinator::decide_heartbeat);
}

void handle_leave_group(Call call) {
  run_simple<wire::LeaveGroupRequest, wire::LeaveGroupResponse>(std::move(call),
                                                                &Coordinator::decide_leave_group);
}

void handle_offset_delete(Call call) {
  run_simple<wire::OffsetDeleteRequest, wire::OffsetDeleteResponse>(
      std::move(call), &Coordinator::decide_offset_delete);
}

void handle_offset_commit(Call call) {
  auto request = call.decode<wire::OffsetCommitRequest>();
  if (!request) return;
  ImageTopics topics(call.node().image());
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
  const ImageTopics topics(call.node().image());
  const Coordinator::FetchOptions options{call.version(), request.require_stable};
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
      result = coordinator.fetch_offsets(wanted, topics, options);
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
      result = coordinator.describe_group(id, call.version());
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
    std::ranges::move(coordinator.list_groups(*request), std::back_inserter(response.groups));
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
  if (request->groups_names.empty()) return call.respond(wire::DeleteGroupsResponse{});
  node::GroupHost& groups = call.node().groups();
  auto pending = std::make_shared<Pending>(std::move(call), wire::DeleteGroupsResponse{},
                                           request->groups_names.size());
  for (const std::string& id : request->groups_names) {
    auto each = request_for(pending->call, id);
    each.step = [id](Coordinator& c, const RequestContext& context) {
      wire::DeleteGroupsRequest one;
      one.groups_names = {id};
      return c.decide_delete_groups(one, context);
    };
    each.done = [pending, id](ErrorCode code, group::Response response) {
      auto& results = pending->response.results;
      if (code == ErrorCode::kNone)
        results.push_back(std::get<wire::DeleteGroupsResponse>(response).results[0]);
      else
        results.push_back({.group_id = id, .error_code = wire::code_of(code)});
      if (--pending->left == 0) pending->call.respond(pending->response);
    };
    groups.run(std::move(each));
  }
}

}  // namespace millrace::server
