// How the calls that describe groups of one kind are answered: each group by its coordinator here,
// and not before what was read of it is durable.
// Not here: what is said of a group (group/coordinator), the classic DescribeGroups.
// Threads: the shard of the call.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "node/partition_groups.h"
#include "server/authorized_operations.h"
#include "server/gathered_response.h"

namespace millrace::server {

template <class Group>
struct GroupKindDescription {
  bool is_enabled = false;  // else all are UNSUPPORTED_VERSION
  std::function<Group(const group::Coordinator&, const std::string& id)> describe;
  Group (*refused)(const std::string& id, wire::ErrorCode code);  // before anybody was asked
  Group (*failed)(const std::string& id, wire::ErrorCode code);   // by its coordinator
};

template <class Response, class Request, class Group>
void describe_groups(Call call, const Request& request, GroupKindDescription<Group> kind) {
  auto description = std::make_shared<GatheredResponse<Response>>(std::move(call));
  auto& described = description->response.groups;
  for (const std::string& id : request.group_ids)
    described.push_back(kind.refused(id, kind.is_enabled ? wire::ErrorCode::kInvalidGroupId
                                                         : wire::ErrorCode::kUnsupportedVersion));
  node::GroupHost& groups = description->call.node().groups();
  for (size_t i = 0; kind.is_enabled && i < described.size(); ++i) {
    const std::string id = described[i].group_id;
    if (id.empty()) continue;
    const auto code = groups.read(id, [&](const group::Coordinator& coordinator) {
      described[i] = kind.describe(coordinator, id);
      if (request.include_authorized_operations && described[i].error_code == 0)
        described[i].authorized_operations = kGroupOperations;
    });
    if (code != wire::ErrorCode::kNone) {
      described[i] = kind.failed(id, code);
      continue;
    }
    // What was read may rest on records that are not durable yet.
    description->one_more();
    groups.when_durable(id, description->call.shard(),
                        [description, i, failed = kind.failed](wire::ErrorCode durable) {
                          auto& group = description->response.groups[i];
                          if (durable != wire::ErrorCode::kNone)
                            group = failed(group.group_id, durable);
                          description->one_is_done();
                        });
  }
  description->one_is_done();
}

}  // namespace millrace::server
