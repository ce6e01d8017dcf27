// What the parts of the coordinator share: the state of the partition, and one step of it.
// Internal to group/.
#pragma once

#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "group/classic_group.h"
#include "group/consumer_group.h"
#include "group/coordinator.h"
#include "group/metadata_hash.h"
#include "group/offset_store.h"
#include "group/refusal.h"
#include "group/share_group.h"
#include "group/streams/configured_topology.h"
#include "group/streams_group.h"
#include "group/timers.h"
#include "wire/errors.h"

namespace millrace::group {

using wire::ErrorCode;

// A protocol that is served gets a kind of its own here, and a class that decides for it beside
// ClassicProtocol. Most groups of a million are classic ones that offsets were committed to and
// nobody joined: only they are kept in place, and are small.
class Group {
 public:
  Group(ClassicGroup group) : kind_(std::move(group)) {}
  template <class Kind>
  Group(Kind group) : kind_(std::make_unique<Kind>(std::move(group))) {}

  // Null: it is of another kind.
  template <class Kind>
  const Kind* as() const {
    if constexpr (std::is_same_v<Kind, ClassicGroup>) {
      return std::get_if<ClassicGroup>(&kind_);
    } else {
      const auto* kind = std::get_if<std::unique_ptr<Kind>>(&kind_);
      return kind ? kind->get() : nullptr;
    }
  }
  template <class Kind>
  Kind* as() {
    return const_cast<Kind*>(std::as_const(*this).as<Kind>());
  }

 private:
  std::variant<ClassicGroup, std::unique_ptr<ConsumerGroup>, std::unique_ptr<ShareGroup>,
               std::unique_ptr<StreamsGroup>>
      kind_;
};

// What a restart loses of a member of a group that is not classic. Beside the group, since the
// timers of a new member are set before its records are applied.
struct MemberTimers {
  Timer session;
  Timer rebalance;              // for what it shall give up
  int32_t rebalance_epoch = 0;  // at which that began
  Timer join;                   // of a classic member that was told to join again
  Timer sync;                   // of one that has joined
};

// null: of another kind.
Timer* timer_of(MemberTimers& timers, TimerKind kind);

// The same of a streams group.
struct StreamsSoft {
  struct Creation {
    Instant until;        // until when nobody tries again
    std::string error{};  // empty: it is under way
  };
  std::optional<streams::ConfiguredTopology> configured;   // with the topics of fresh_until
  std::optional<std::string> shutdown_by;                  // the member that wants all to stop
  int32_t endpoint_epoch = 0;                              // of who reads what
  std::map<std::string, Creation, std::less<>> creations;  // of topics of its own
};

// The same of such a group.
struct GroupSoft {
  std::optional<Instant> fresh_until;  // until when the metadata hash needs no look; none: now
  Timer regex;                         // until its regular expressions are resolved
  std::map<std::string, MemberTimers, std::less<>> members;
  // Of a share group: when the share coordinators were asked for partitions of the topic.
  std::map<Uuid, Instant> initializing_since;
  Timer first_target;  // of a streams group: until members may be given tasks
  StreamsSoft streams;
};

// What waits for the outcome of a ShareStateWish: of a heartbeat, which was answered at once; of
// AlterShareGroupOffsets, and its answer when all is well; of DeleteShareGroupOffsets, and what its
// answer refuses; of DeleteGroups (GroupDeletions).
struct ShareStart {};
struct ShareDeletion {
  bool is_over = false;  // the group went without it
};
using ShareWork = std::variant<ShareStart, wire::AlterShareGroupOffsetsResponse,
                               wire::DeleteShareGroupOffsetsResponse, ShareDeletion>;

// A DeleteGroups request that waits for so many of its share groups.
struct GroupDeletions {
  wire::DeleteGroupsResponse response;
  size_t left = 0;
};

struct State {
  GroupConfig config;
  std::map<std::string, Group, std::less<>> groups;
  OffsetStore offsets;
  TimerQueue timers;
  std::map<std::string, GroupSoft, std::less<>> soft_groups;
  TopicHashes topic_hashes;
  std::map<std::pair<machine::Ticket, std::string>, ShareWork> share_work;  // by request and group
  std::map<machine::Ticket, GroupDeletions> group_deletions;
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
    return group ? group->as<ClassicGroup>() : nullptr;
  }
  const ConsumerGroup* find_consumer(std::string_view group_id) {
    Group* group = find(group_id);
    return group ? group->as<ConsumerGroup>() : nullptr;
  }
  const ShareGroup* find_share(std::string_view group_id) {
    Group* group = find(group_id);
    return group ? group->as<ShareGroup>() : nullptr;
  }
  const StreamsGroup* find_streams(std::string_view group_id) {
    Group* group = find(group_id);
    return group ? group->as<StreamsGroup>() : nullptr;
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
  // Whether the log takes the record; one that it does not take must not be in the decision.
  bool takes(const machine::KeyValueRecord& record) const;
  // UNKNOWN_SERVER_ERROR, as in Apache Kafka, when it does not take all that there are.
  std::expected<void, Refusal> check_sizes() const;
  template <class Reply>
  void reply(machine::Ticket ticket, Reply response) {
    decision.replies.push_back({ticket, Response(std::move(response))});
  }
};

}  // namespace millrace::group
