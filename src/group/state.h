// What the parts of the coordinator share: the state of the partition, and one step of it.
// Internal to group/.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "group/classic_group.h"
#include "group/consumer_group.h"
#include "group/coordinator.h"
#include "group/offset_store.h"
#include "group/preserved_group.h"
#include "group/timers.h"
#include "wire/errors.h"

namespace millrace::group {

using wire::ErrorCode;

// A protocol that is served gets a kind of its own here, and a class that decides for it beside
// ClassicProtocol.
using Group = std::variant<ClassicGroup, ConsumerGroup, PreservedGroup>;

// What a restart loses of a member of a consumer group. Beside the group, since the timers of a new
// member are set before its records are applied.
struct MemberTimers {
  Timer session;
  Timer rebalance;              // for what it shall give up
  int32_t rebalance_epoch = 0;  // at which that began
  Timer join;                   // of a classic member that was told to join again
  Timer sync;                   // of one that has joined
};

// null: of another kind.
Timer* timer_of(MemberTimers& timers, TimerKind kind);

// The same of a consumer group.
struct ConsumerSoft {
  std::optional<Instant> fresh_until;  // until when the metadata hash needs no look; none: now
  Timer regex;                         // until its regular expressions are resolved
  std::map<std::string, MemberTimers, std::less<>> members;
};

struct State {
  GroupConfig config;
  std::map<std::string, Group, std::less<>> groups;
  OffsetStore offsets;
  TimerQueue timers;
  std::map<std::string, ConsumerSoft, std::less<>> consumer_soft;
  // Of topics that groups subscribe to, until they change.
  std::map<std::string, int64_t, std::less<>> topic_hashes;
  int64_t newest_topics = -1;  // the metadata in which topics were last made; -1: not known yet
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
  const ConsumerGroup* find_consumer(std::string_view group_id) {
    Group* group = find(group_id);
    return group ? std::get_if<ConsumerGroup>(group) : nullptr;
  }
};

// One call of the machine: when it happens, and what it gives.
struct Step {
  State& state;
  const Topics& topics;
  Instant now;
  TimestampMs wall;
  Decision decision = {};

  void append(machine::KeyValueRecord record) { decision.records.push_back(std::move(record)); }
  template <class Reply>
  void reply(machine::Ticket ticket, Reply response) {
    decision.replies.push_back({ticket, Response(std::move(response))});
  }
};

}  // namespace millrace::group
