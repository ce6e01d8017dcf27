#include "group/classic_group.h"

#include <algorithm>

#include "base/assert.h"
#include "wire/consumer_protocol.h"
#include "wire/reader.h"

namespace millrace::group {

std::string_view state_name(ClassicState state) {
  switch (state) {
    case ClassicState::kEmpty: return "Empty";
    case ClassicState::kPreparingRebalance: return "PreparingRebalance";
    case ClassicState::kCompletingRebalance: return "CompletingRebalance";
    case ClassicState::kStable: return "Stable";
  }
  return "Dead";
}

const ByteBuffer& ClassicMember::metadata_of(std::string_view protocol) const {
  static const ByteBuffer none;
  const auto at = std::ranges::find(protocols, protocol, &MemberProtocol::name);
  return at == protocols.end() ? none : at->metadata;
}

void ClassicGroup::become(ClassicState state, TimestampMs wall) {
  initial_rebalance_ = state == ClassicState::kPreparingRebalance && state_ == ClassicState::kEmpty;
  state_ = state;
  changed_ = wall;
}

ClassicMember* ClassicGroup::find(std::string_view member_id) {
  Life* life = life_.if_made();
  if (life == nullptr) return nullptr;
  const auto at = life->members.find(member_id);
  return at == life->members.end() ? nullptr : &at->second;
}

const std::string* ClassicGroup::static_member(std::string_view instance_id) const {
  const auto at = life_->static_members.find(instance_id);
  return at == life_->static_members.end() ? nullptr : &at->second;
}

void ClassicGroup::Life::count(const std::vector<MemberProtocol>& protocols, int32_t by) {
  for (const MemberProtocol& protocol : protocols) {
    int32_t& number = supporters[protocol.name];
    number += by;
    if (number == 0) supporters.erase(protocol.name);
  }
}

ClassicMember& ClassicGroup::add(ClassicMember member, std::string_view protocol_type) {
  Life& life = life_.made();
  ASSERT(!life.members.contains(member.id), "{} in {}", member.id, id_);
  if (life.members.empty()) life.protocol_type = protocol_type;
  if (!life.leader) life.leader = member.id;
  if (member.instance_id) life.static_members[*member.instance_id] = member.id;
  life.unused_ids.erase(member.id);
  life.count(member.protocols, 1);
  const std::string member_id = member.id;
  return life.members.emplace(member_id, std::move(member)).first->second;
}

void ClassicGroup::remove(std::string_view member_id) {
  Life& life = life_.made();
  const auto at = life.members.find(member_id);
  if (at == life.members.end()) return;
  if (at->second.join) --life.parked_joins;
  if (at->second.instance_id) life.static_members.erase(*at->second.instance_id);
  life.count(at->second.protocols, -1);
  const bool led = is_leader(member_id);
  life.members.erase(at);
  if (!led) return;
  life.leader.reset();
  if (!life.members.empty()) life.leader = life.members.begin()->first;
}

ClassicMember& ClassicGroup::replace_static(std::string_view instance_id,
                                            const std::string& new_id) {
  Life& life = life_.made();
  const auto known = life.static_members.find(instance_id);
  const std::string old_id = known->second;
  auto node = life.members.extract(old_id);
  ASSERT(!node.mapped().join && !node.mapped().sync, "{} in {}", old_id, id_);
  node.key() = new_id;
  node.mapped().id = new_id;
  node.mapped().session = {};  // its entry in the queue names the old id
  node.mapped().awaits_sync = false;
  known->second = new_id;
  if (is_leader(old_id)) life.leader = new_id;
  return life.members.insert(std::move(node)).position->second;
}

void ClassicGroup::set_protocols(ClassicMember& member, std::vector<MemberProtocol> protocols) {
  Life& life = life_.made();
  life.count(member.protocols, -1);
  life.count(protocols, 1);
  member.protocols = std::move(protocols);
}

void ClassicGroup::park_join(ClassicMember& member, const Parked& request) {
  Life& life = life_.made();
  if (!member.join) ++life.parked_joins;
  member.join = request;
}

std::optional<Parked> ClassicGroup::unpark_join(ClassicMember& member) {
  Life& life = life_.made();
  if (member.join) --life.parked_joins;
  return std::exchange(member.join, std::nullopt);
}

bool ClassicGroup::supports(std::string_view protocol_type,
                            const std::vector<MemberProtocol>& protocols) const {
  const Life& life = *life_;
  if (is_in(ClassicState::kEmpty)) return !protocol_type.empty() && !protocols.empty();
  if (life.protocol_type != protocol_type) return false;
  return std::ranges::any_of(protocols, [&](const MemberProtocol& protocol) {
    const auto at = life.supporters.find(protocol.name);
    const int32_t supporters = at == life.supporters.end() ? 0 : at->second;
    return static_cast<size_t>(supporters) == life.members.size();
  });
}

bool ClassicGroup::has_common_protocol() const {
  const Life& life = *life_;
  return std::ranges::any_of(life.supporters, [&](const auto& entry) {
    return static_cast<size_t>(entry.second) == life.members.size();
  });
}

std::string ClassicGroup::select_protocol() const {
  const Life& life = *life_;
  std::map<std::string_view, size_t> votes;
  for (const auto& [id, member] : life.members) {
    const auto wanted = std::ranges::find_if(member.protocols, [&](const MemberProtocol& p) {
      const auto at = life.supporters.find(p.name);
      return at != life.supporters.end() && static_cast<size_t>(at->second) == life.members.size();
    });
    if (wanted != member.protocols.end()) ++votes[wanted->name];
  }
  ASSERT(!votes.empty(), "no common protocol in {}", id_);
  return std::string(
      std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; })->first);
}

bool ClassicGroup::elect_leader() {
  Life& life = life_.made();
  if (!life.leader) return false;
  if (life.members.at(*life.leader).join) return true;
  const auto joined = std::ranges::find_if(
      life.members, [](const auto& entry) { return entry.second.join.has_value(); });
  if (joined == life.members.end()) return false;
  life.leader = joined->first;
  return true;
}

void ClassicGroup::begin_generation(TimestampMs wall) {
  Life& life = life_.made();
  // Wraps where Java's int does; a log may hold any number.
  generation_ = static_cast<int32_t>(static_cast<uint32_t>(generation_) + 1);
  if (life.members.empty()) {
    life.protocol.reset();
    become(ClassicState::kEmpty, wall);
  } else {
    life.protocol = select_protocol();
    become(ClassicState::kCompletingRebalance, wall);
  }
}

int32_t ClassicGroup::rebalance_timeout_ms() const {
  const Life& life = *life_;
  int32_t longest = 0;
  for (const auto& [id, member] : life.members)
    longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

std::optional<std::set<std::string>> ClassicGroup::subscribed_topics() const {
  const Life& life = *life_;
  if (!uses_consumer_protocol()) return std::nullopt;
  std::set<std::string> topics;
  if (life.members.empty()) return topics;
  if (!life.protocol) return std::nullopt;
  for (const auto& [id, member] : life.members) {
    // Version 0 is the prefix of every version, so later ones need not be known here.
    wire::Reader reader(member.metadata_of(*life.protocol));
    reader.int16("version");
    wire::ConsumerProtocolSubscription subscription;
    wire::read(reader, 0, subscription);
    if (!reader.ok()) return std::nullopt;
    topics.insert(subscription.topics.begin(), subscription.topics.end());
  }
  return topics;
}

bool ClassicGroup::is_subscribed_to(const std::string& topic) const {
  const auto topics = subscribed_topics();
  return topics ? topics->contains(topic) : uses_consumer_protocol();
}

void ClassicGroup::Life::recount() {
  supporters.clear();
  static_members.clear();
  parked_joins = 0;
  for (auto& [id, member] : members) {
    count(member.protocols, 1);
    // One instance has one member, whatever a log says.
    if (member.instance_id && !static_members.emplace(*member.instance_id, id).second)
      member.instance_id.reset();
    if (member.join) ++parked_joins;
  }
}

void ClassicGroup::restore(wire::GroupMetadataValue value) {
  Life& life = life_.made();
  Members before = std::exchange(life.members, {});
  const std::string protocol = value.protocol.value_or("");
  for (auto& record : value.members) {
    ClassicMember member;
    if (auto kept = before.extract(record.member_id)) member = std::move(kept.mapped());
    member.id = record.member_id;
    member.instance_id = std::move(record.group_instance_id);
    member.client_id = std::move(record.client_id);
    member.client_host = std::move(record.client_host);
    member.session_timeout_ms = record.session_timeout;
    member.rebalance_timeout_ms =
        record.rebalance_timeout == -1 ? record.session_timeout : record.rebalance_timeout;
    const MemberProtocol chosen{protocol, std::move(record.subscription)};
    if (std::ranges::find(member.protocols, chosen) == member.protocols.end())
      member.protocols = {chosen};
    member.assignment = std::move(record.assignment);
    life.members.insert_or_assign(record.member_id, std::move(member));
  }
  state_ = life.members.empty() ? ClassicState::kEmpty : ClassicState::kStable;
  initial_rebalance_ = false;
  changed_ = TimestampMs(value.current_state_timestamp);
  generation_ = value.generation;
  life.protocol_type.reset();
  if (!value.protocol_type.empty()) life.protocol_type = std::move(value.protocol_type);
  life.protocol = std::move(value.protocol);
  life.leader = std::move(value.leader);
  // What others wrote may name no leader, or one that is not there.
  if (!life.leader || !life.members.contains(*life.leader)) {
    life.leader.reset();
    if (!life.members.empty()) life.leader = life.members.begin()->first;
  }
  life.phases.join_timer.cancel();
  life.recount();
}

wire::GroupMetadataValue ClassicGroup::to_record() const {
  const Life& life = *life_;
  wire::GroupMetadataValue value;
  value.protocol_type = life.protocol_type.value_or("");
  value.generation = generation_;
  value.protocol = life.protocol;
  value.leader = life.leader;
  value.current_state_timestamp = changed_.value();
  value.members.reserve(life.members.size());
  for (const auto& [id, member] : life.members) {
    auto& record = value.members.emplace_back();
    record.member_id = id;
    record.group_instance_id = member.instance_id;
    record.client_id = member.client_id;
    record.client_host = member.client_host;
    record.rebalance_timeout = member.rebalance_timeout_ms;
    record.session_timeout = member.session_timeout_ms;
    record.subscription = member.metadata_of(life.protocol.value_or(""));
    record.assignment = member.assignment;
  }
  return value;
}

void ClassicGroup::check_invariants(bool loaded) const {
  const Life& life = *life_;
  const bool preparing = is_in(ClassicState::kPreparingRebalance);
  const bool completing = is_in(ClassicState::kCompletingRebalance);
  ASSERT(life.members.empty() ? is_in(ClassicState::kEmpty) || preparing
                              : !is_in(ClassicState::kEmpty),
         "GC1 {} has {} members in {}", id_, life.members.size(), state_name(state_));
  ASSERT(life.leader.has_value() == !life.members.empty(), "GC2 {}", id_);
  ASSERT(!life.leader || life.members.contains(*life.leader), "GC2 {} leader {}", id_,
         *life.leader);
  size_t joins = 0;
  size_t statics = 0;
  std::map<std::string, int32_t, std::less<>> supporters;
  for (const auto& [id, member] : life.members) {
    if (member.instance_id) {
      ++statics;
      ASSERT(life.static_members.at(*member.instance_id) == id, "GC3 {} {}", id_, id);
    }
    if (member.join) ++joins;
    ASSERT(!member.join || preparing, "GC4 {} {}", id_, id);
    ASSERT(!member.sync || completing, "GC4 {} {}", id_, id);
    for (const MemberProtocol& protocol : member.protocols) ++supporters[protocol.name];
    ASSERT(!loaded || member.session.is_armed() || member.join || member.sync, "GC6 {} {}", id_,
           id);
    ASSERT(!life.unused_ids.contains(id), "GC7 {} {}", id_, id);
  }
  ASSERT(statics == life.static_members.size(), "GC3 {}", id_);
  ASSERT(joins == life.parked_joins, "GC4 {}: {} parked, {} counted", id_, joins,
         life.parked_joins);
  ASSERT(supporters == life.supporters, "GC5 {}", id_);
  if (completing || is_in(ClassicState::kStable))
    ASSERT(static_cast<size_t>(supporters.at(life.protocol.value_or(""))) == life.members.size(),
           "GC5 {}", id_);
  ASSERT(!preparing || life.phases.join_timer.is_armed(), "GC6 {} join timer", id_);
  ASSERT(!completing || life.phases.sync_timer.is_armed(), "GC6 {} sync timer", id_);
}

}  // namespace millrace::group
