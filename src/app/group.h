// `millrace group ...`: consumer groups, their members and committed offsets.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "app/command.h"
#include "app/session.h"

namespace millrace::app {

void add_group_commands(Command& root);
void add_group_offset_commands(Command& group);  // app/group_offsets.cc

// As the API of its kind describes it. Nothing: there is none of that name and kind, or the cluster
// does not know the kind.
template <class Request>
auto described_by(Session& session, const std::string& group) {
  auto response = session.call_group(group, Request{.group_ids = {group}}, [](const auto& r) {
    return r.groups.empty() ? 0 : r.groups[0].error_code;
  });
  using Described = std::decay_t<decltype(response->groups[0])>;
  if (!response || response->groups.empty() || response->groups[0].error_code != 0)
    return std::optional<Described>();
  return std::optional<Described>(std::move(response->groups[0]));
}

// What the group has committed; partitions without a commit are not there.
Outcome<std::map<TopicPartition, Offset>> committed_offsets(Session& session,
                                                            const std::string& group);

}  // namespace millrace::app
