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
  const auto at = members_.find(member_id);
  return at == members_.end() ? nullptr : &at->second;
}

const std::string* ClassicGroup::static_member(std::string_view instance_id) const {
  const auto at = static_members_.find(instance_id);
  return at == static_members_.end() ? nullptr : &at->second;
}

void ClassicGroup::count(const std::vector<MemberProtocol>& protocols, int32_t by) {
  for (const MemberProtocol& protocol : protocols) {
    int32_t& supporters = supporters_[protocol.name];
    supporters += by;
    if (supporters == 0) supporters_.erase(protocol.name);
  }
}

ClassicMember& ClassicGroup::add(ClassicMember member, std::string_view protocol_type) {
  ASSERT(!members_.contains(member.id), "{} in {}", member.id, id_);
  if (members_.empty()) protocol_type_ = protocol_type;
  if (!leader_) leader_ = member.id;
  if (member.instance_id) static_members_[*member.instance_id] = member.id;
  unused_ids_.erase(member.id);
  count(member.protocols, 1);
  const std::string member_id = member.id;
  return members_.emplace(member_id, std::move(member)).first->second;
}

void ClassicGroup::remove(std::string_view member_id) {
  const auto at = members_.find(member_id);
  if (at == members_.end()) return;
  if (at->second.join) --parked_joins_;
  if (at->second.instance_id) static_members_.erase(*at->second.instance_id);
  count(at->second.protocols, -1);
  const bool led = is_leader(member_id);
  members_.erase(at);
  if (!led) return;
  leader_.reset();
  if (!members_.empty()) leader_ = members_.begin()->first;
}

ClassicMember& ClassicGroup::replace_static(std::string_view instance_id,
                                            const std::string& new_id) {
  const auto known = static_members_.find(instance_id);
  const std::string old_id = known->second;
  auto node = members_.extract(old_id);
  ASSERT(!node.mapped().join && !node.mapped().sync, "{} in {}", old_id, id_);
  node.key() = new_id;
  node.mapped().id = new_id;
  node.mapped().session = {};  // its entry in the queue names the old id
  node.mapped().awaits_sync = false;
  known->second = new_id;
  if (is_leader(old_id)) leader_ = new_id;
  return members_.insert(std::move(node)).position->second;
}

void ClassicGroup::set_protocols(ClassicMember& member, std::vector<MemberProtocol> protocols) {
  count(member.protocols, -1);
  count(protocols, 1);
  member.protocols = std::move(protocols);
}

void ClassicGroup::park_join(ClassicMember& member, const Parked& request) {
  if (!member.join) ++parked_joins_;
  member.join = request;
}

std::optional<Parked> ClassicGroup::unpark_join(ClassicMember& member) {
  if (member.join) --parked_joins_;
  return std::exchange(member.join, std::nullopt);
}

bool ClassicGroup::supports(std::string_view protocol_type,
                            const std::vector<MemberProtocol>& protocols) const {
  if (is_in(ClassicState::kEmpty)) return !protocol_type.empty() && !protocols.empty();
  if (protocol_type_ != protocol_type) return false;
  return std::ranges::any_of(protocols, [&](const MemberProtocol& protocol) {
    const auto at = supporters_.find(protocol.name);
    const int32_t supporters = at == supporters_.end() ? 0 : at->second;
    return static_cast<size_t>(supporters) == members_.size();
  });
}

bool ClassicGroup::has_common_protocol() const {
  return std::ranges::any_of(supporters_, [&](const auto& entry) {
    return static_cast<size_t>(entry.second) == members_.size();
  });
}

std::string ClassicGroup::select_protocol() const {
  std::map<std::string_view, size_t> votes;
  for (const auto& [id, member] : members_) {
    const auto wanted = std::ranges::find_if(member.protocols, [&](const MemberProtocol& p) {
      const auto at = supporters_.find(p.name);
      return at != supporters_.end() && static_cast<size_t>(at->second) == members_.size();
    });
    if (wanted != member.protocols.end()) ++votes[wanted->name];
  }
  ASSERT(!votes.empty(), "no common protocol in {}", id_);
  return std::string(
      std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; })->first);
}

bool ClassicGroup::elect_leader() {
  if (!leader_) return false;
  if (members_.at(*leader_).join) return true;
  const auto joined = std::ranges::find_if(
      members_, [](const auto& entry) { return entry.second.join.has_value(); });
  if (joined == members_.end()) return false;
  leader_ = joined->first;
  return true;
}

void ClassicGroup::begin_generation(TimestampMs wall) {
  // Wraps where Java's int does; a log may hold any number.
  generation_ = static_cast<int32_t>(static_cast<uint32_t>(generation_) + 1);
  if (members_.empty()) {
    protocol_.reset();
    become(ClassicState::kEmpty, wall);
  } else {
    protocol_ = select_protocol();
    become(ClassicState::kCompletingRebalance, wall);
  }
}

int32_t ClassicGroup::rebalance_timeout_ms() const {
  int32_t longest = 0;
  for (const auto& [id, member] : members_)
    longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

std::optional<std::set<std::string>> ClassicGroup::subscribed_topics() const {
  if (!uses_consumer_protocol()) return std::nullopt;
  std::set<std::string> topics;
  if (members_.empty()) return topics;
  if (!protocol_) return std::nullopt;
  for (const auto& [id, member] : members_) {
    // Version 0 is the prefix of every version, so later ones need not be known here.
    wire::Reader reader(member.metadata_of(*protocol_));
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

void ClassicGroup::recount() {
  supporters_.clear();
  static_members_.clear();
  parked_joins_ = 0;
  for (auto& [id, member] : members_) {
    count(member.protocols, 1);
    // One instance has one member, whatever a log says.
    if (member.instance_id && !static_members_.emplace(*member.instance_id, id).second)
      member.instance_id.reset();
    if (member.join) ++parked_joins_;
  }
}

void ClassicGroup::restore(wire::GroupMetadataValue value) {
  Members before = std::exchange(members_, {});
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
    members_.insert_or_assign(record.member_id, std::move(member));
  }
  state_ = members_.empty() ? ClassicState::kEmpty : ClassicState::kStable;
  initial_rebalance_ = false;
  changed_ = TimestampMs(value.current_state_timestamp);
  generation_ = value.generation;
  protocol_type_.reset();
  if (!value.protocol_type.empty()) protocol_type_ = std::move(value.protocol_type);
  protocol_ = std::move(value.protocol);
  leader_ = std::move(value.leader);
  // What others wrote may name no leader, or one that is not there.
  if (!leader_ || !members_.contains(*leader_)) {
    leader_.reset();
    if (!members_.empty()) leader_ = members_.begin()->first;
  }
  join_timer.cancel();
  recount();
}

wire::GroupMetadataValue ClassicGroup::to_record() const {
  wire::GroupMetadataValue value;
  value.protocol_type = protocol_type_.value_or("");
  value.generation = generation_;
  value.protocol = protocol_;
  value.leader = leader_;
  value.current_state_timestamp = changed_.value();
  value.members.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    auto& record = value.members.emplace_back();
    record.member_id = id;
    record.group_instance_id = member.instance_id;
    record.client_id = member.client_id;
    record.client_host = member.client_host;
    record.rebalance_timeout = member.rebalance_timeout_ms;
    record.session_timeout = member.session_timeout_ms;
    record.subscription = member.metadata_of(protocol_.value_or(""));
    record.assignment = member.assignment;
  }
  return value;
}

void ClassicGroup::check_invariants(bool loaded) const {
  const bool preparing = is_in(ClassicState::kPreparingRebalance);
  const bool completing = is_in(ClassicState::kCompletingRebalance);
  ASSERT(members_.empty() ? is_in(ClassicState::kEmpty) || preparing : !is_in(ClassicState::kEmpty),
         "GC1 {} has {} members in {}", id_, members_.size(), state_name(state_));
  ASSERT(leader_.has_value() == !members_.empty(), "GC2 {}", id_);
  ASSERT(!leader_ || members_.contains(*leader_), "GC2 {} leader {}", id_, *leader_);
  size_t joins = 0;
  size_t statics = 0;
  std::map<std::string, int32_t, std::less<>> supporters;
  for (const auto& [id, member] : members_) {
    if (member.instance_id) {
      ++statics;
      ASSERT(static_members_.at(*member.instance_id) == id, "GC3 {} {}", id_, id);
    }
    if (member.join) ++joins;
    ASSERT(!member.join || preparing, "GC4 {} {}", id_, id);
    ASSERT(!member.sync || completing, "GC4 {} {}", id_, id);
    for (const MemberProtocol& protocol : member.protocols) ++supporters[protocol.name];
    ASSERT(!loaded || member.session.is_armed() || member.join || member.sync, "GC6 {} {}", id_,
           id);
    ASSERT(!unused_ids_.contains(id), "GC7 {} {}", id_, id);
  }
  ASSERT(statics == static_members_.size(), "GC3 {}", id_);
  ASSERT(joins == parked_joins_, "GC4 {}: {} parked, {} counted", id_, joins, parked_joins_);
  ASSERT(supporters == supporters_, "GC5 {}", id_);
  if (completing || is_in(ClassicState::kStable))
    ASSERT(static_cast<size_t>(supporters.at(protocol_.value_or(""))) == members_.size(), "GC5 {}",
           id_);
  ASSERT(!preparing || join_timer.is_armed(), "GC6 {} join timer", id_);
  ASSERT(!completing || sync_timer.is_armed(), "GC6 {} sync timer", id_);
}

}  // namespace millrace::group
