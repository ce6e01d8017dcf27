// What the parts of the coordinator share: the state of the partition, and one step of it.
// Internal to group/.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "group/classic_group.h"
#include "group/coordinator.h"
#include "group/offset_store.h"
#include "group/preserved_group.h"
#include "group/timers.h"
#include "wire/errors.h"

namespace millrace::group {

using wire::ErrorCode;

// A protocol that is served gets a kind of its own here, and a class that decides for it beside
// ClassicProtocol.
using Group = std::variant<ClassicGroup, PreservedGroup>;

struct State {
  GroupConfig config;
  std::map<std::string, Group, std::less<>> groups;
  OffsetStore offsets;
  TimerQueue timers;
  bool loaded = false;
  Timer offset_expiry;
  std::string expiry_cursor;  // the group at which the next piece of work begins

  Group* find(std::string_view group_id) {
    const auto at = groups.find(group_id);
    return at == groups.end() ? nullptr : &at->second;
  }
  ClassicGroup* find_classic(std::string_view group_id) {
    Group* group = find(group_id);
    return group ? std::get_if<ClassicGroup>(group) : nullptr;
  }
};

// One call of the machine: when it happens, and what it gives.
struct Step {
  State& state;
  Instant now;
  TimestampMs wall;
  Decision decision;

  void append(machine::KeyValueRecord record) { decision.records.push_back(std::move(record)); }
  template <class Reply>
  void reply(machine::Ticket ticket, Reply response) {
    decision.replies.push_back({ticket, Response(std::move(response))});
  }
};

}  // namespace millrace::group
