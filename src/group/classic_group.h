// One classic group: its members, state and generation, and what can be computed from them.
// Internal to group/.
// Not here: who asks for what and when it is answered (group/classic_protocol.h).
//
// Replicated are protocol type, generation, protocol, leader, the time of the last change of state
// and the members with their subscription and assignment; restore() takes them from a record and
// keeps the soft rest of members that stay.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/lazy.h"
#include "group/timers.h"
#include "machine/replicated.h"
#include "wire/group_records.h"
#include "wire/join_group.h"

namespace millrace::group {

enum class ClassicState : uint8_t { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable };
std::string_view state_name(ClassicState state);  // as DescribeGroups and ListGroups say it

// A request that waits, and the version its reply is for.
struct Parked {
  machine::Ticket ticket{};
  int16_t api_version = 0;
};

struct MemberProtocol {
  std::string name;
  ByteBuffer metadata;
  friend bool operator==(const MemberProtocol&, const MemberProtocol&) = default;
};

struct ClassicMember {
  std::string id;
  std::optional<std::string> instance_id;  // static membership, KIP-345
  std::string client_id;
  std::string client_host;
  int32_t rebalance_timeout_ms = 0;
  int32_t session_timeout_ms = 0;
  std::vector<MemberProtocol> protocols;  // most wanted first; after a restart the chosen one only
  ByteBuffer assignment;

  // Soft.
  std::optional<Parked> join;
  std::optional<Parked> sync;
  bool is_new = false;  // has not had the answer to its first JoinGroup
  bool awaits_sync = false;
  Timer session;

  // Whether silence is no sign of death: its request waits here. A new member's may be defunct.
  bool is_parked() const { return !is_new && (join || sync); }
  const ByteBuffer& metadata_of(std::string_view protocol) const;
};

class ClassicGroup {
 public:
  using Members = std::map<std::string, ClassicMember, std::less<>>;
  using UnusedIds = std::map<std::string, Timer, std::less<>>;
  // The phases of a rebalance.
  struct Phases {
    Timer join_timer;
    Timer sync_timer;
    Duration initial_delay_left{};  // by which the initial rebalance may still be prolonged
    Duration initial_delay{};       // the piece of it that runs now
    bool joined_during_delay = false;
  };

  ClassicGroup(std::string id, TimestampMs created) : id_(std::move(id)), changed_(created) {}

  const std::string& id() const { return id_; }
  ClassicState state() const { return state_; }
  bool is_in(ClassicState state) const { return state_ == state; }
  bool can_rebalance() const { return state_ != ClassicState::kPreparingRebalance; }
  // PreparingRebalance was entered from Empty: the delay for more members to come is running.
  bool is_initial_rebalance() const { return initial_rebalance_; }
  void become(ClassicState state, TimestampMs wall);

  int32_t generation() const { return generation_; }
  const std::optional<std::string>& protocol_type() const { return life_->protocol_type; }
  const std::optional<std::string>& protocol() const { return life_->protocol; }
  const std::optional<std::string>& leader() const { return life_->leader; }
  bool is_leader(std::string_view member_id) const { return leader() == member_id; }
  TimestampMs changed() const { return changed_; }
  bool uses_consumer_protocol() const { return protocol_type() == "consumer"; }
  // Nobody ever joined: offsets were committed to it.
  bool is_simple() const { return is_in(ClassicState::kEmpty) && !protocol_type(); }

  Members& members() { return life_.made().members; }
  const Members& members() const { return life_->members; }
  ClassicMember* find(std::string_view member_id);
  const std::string* static_member(std::string_view instance_id) const;
  // The first member's protocol type becomes the group's.
  ClassicMember& add(ClassicMember member, std::string_view protocol_type);
  void remove(std::string_view member_id);
  // The member of the instance gets a new id; nothing else of it changes. It must not be parked.
  ClassicMember& replace_static(std::string_view instance_id, const std::string& new_id);
  void set_protocols(ClassicMember& member, std::vector<MemberProtocol> protocols);

  void park_join(ClassicMember& member, const Parked& request);
  std::optional<Parked> unpark_join(ClassicMember& member);
  size_t parked_joins() const { return life_->parked_joins; }
  bool all_joined() const { return parked_joins() == members().size() && unused_ids().empty(); }

  // Ids given out with MEMBER_ID_REQUIRED (KIP-394), with the session that ends the wait for them.
  UnusedIds& unused_ids() { return life_.made().unused_ids; }
  const UnusedIds& unused_ids() const { return life_->unused_ids; }

  bool supports(std::string_view protocol_type, const std::vector<MemberProtocol>& protocols) const;
  // Whether there is one that all support. Members are not empty.
  bool has_common_protocol() const;
  // That which most of them put first.
  std::string select_protocol() const;
  // A leader that has joined, the old one if possible; false if nobody has.
  bool elect_leader();
  void begin_generation(TimestampMs wall);
  int32_t rebalance_timeout_ms() const;  // the longest of the members'

  // The topics that members subscribe to; nothing when the group is not of consumers or one of its
  // subscriptions cannot be read.
  std::optional<std::set<std::string>> subscribed_topics() const;
  bool is_subscribed_to(const std::string& topic) const;

  Phases& phases() { return life_.made().phases; }
  const Phases& phases() const { return life_->phases; }

  void restore(wire::GroupMetadataValue value);
  wire::GroupMetadataValue to_record() const;
  void check_invariants(bool loaded) const;

 private:
  // What a group has only when somebody joins.
  struct Life {
    std::optional<std::string> protocol_type;
    std::optional<std::string> protocol;
    std::optional<std::string> leader;
    Members members;
    std::map<std::string, std::string, std::less<>> static_members;  // instance id -> member id
    UnusedIds unused_ids;
    std::map<std::string, int32_t, std::less<>> supporters;  // by protocol
    size_t parked_joins = 0;
    Phases phases;

    void count(const std::vector<MemberProtocol>& protocols, int32_t by);
    void recount();
  };

  std::string id_;
  ClassicState state_ = ClassicState::kEmpty;
  bool initial_rebalance_ = false;
  int32_t generation_ = 0;
  TimestampMs changed_;
  Lazy<Life> life_;
};

}  // namespace millrace::group
