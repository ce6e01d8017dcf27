#include "group/coordinator.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "group/classic_protocol.h"
#include "group/consumer_protocol.h"
#include "group/offsets.h"
#include "group/records.h"
#include "group/share_protocol.h"
#include "group/state.h"
#include "group/streams_protocol.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

Step begin(State& state, const RequestContext& context) {
  ASSERT(context.topics != nullptr);
  return {.state = state, .topics = *context.topics, .now = context.now, .wall = context.wall};
}

// --- Replay.

Result<> apply_group_metadata(State& state, const KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::GroupMetadataKey>(record.key));
  ClassicGroup* classic = state.find_classic(key.group);
  if (!record.value) {
    if (classic) state.groups.erase(key.group);
    return {};
  }
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::GroupMetadataValue>(*record.value));
  if (classic == nullptr)
    classic = state.groups.insert_or_assign(key.group, ClassicGroup(key.group, TimestampMs(-1)))
                  .first->second.as<ClassicGroup>();
  // A new group is written when its first member is joining already; the rebalance that runs will
  // write what comes of it.
  if (!classic->is_in(ClassicState::kPreparingRebalance)) classic->restore(std::move(value));
  return {};
}

struct AppliedOffset {
  wire::OffsetCommitKey key;
  std::optional<CommittedOffset> offset;  // nothing: a tombstone
};

Result<AppliedOffset> decode_offset(const KeyValueRecord& record) {
  AppliedOffset applied;
  // The legacy key has the same fields.
  wire::Reader reader(record.key);
  reader.int16("type");
  wire::read(reader, 0, applied.key);
  RETURN_IF_ERROR(reader.status());
  if (!record.value) return applied;
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::OffsetCommitValue>(*record.value));
  applied.offset = offset_of(std::move(value));
  return applied;
}

Result<> apply_offset(State& state, const KeyValueRecord& record, ProducerId producer) {
  ASSIGN_OR_RETURN(AppliedOffset applied, decode_offset(record));
  const wire::OffsetCommitKey& key = applied.key;
  const PartitionRef ref{key.topic, PartitionIndex(key.partition)};
  if (!applied.offset) {
    state.offsets.remove(key.group, ref);
    return {};
  }
  // Committed to without ever being joined: a simple group.
  const auto group = state.groups.lower_bound(key.group);
  if (group == state.groups.end() || group->first != key.group)
    state.groups.emplace_hint(group, key.group,
                              ClassicGroup(key.group, applied.offset->commit_timestamp));
  applied.offset->order = state.offsets.next_order();
  if (producer == kNoProducerId)
    state.offsets.put(key.group, ref, std::move(*applied.offset));
  else
    state.offsets.put_pending(producer, key.group, ref, std::move(*applied.offset));
  return {};
}

// Kind: ConsumerGroup, ShareGroup, StreamsGroup.
template <class Kind>
Result<> apply_to(State& state, const KeyValueRecord& record) {
  ASSIGN_OR_RETURN(std::string id, group_id_of_key(record.key));
  Group* group = state.find(id);
  auto* known = group ? group->as<Kind>() : nullptr;
  if (known == nullptr) {
    // A group that has become classic in the step whose records these are is so already.
    const auto* classic = group ? group->as<ClassicGroup>() : nullptr;
    const bool is_new = group == nullptr || (classic != nullptr && classic->is_simple());
    if (!record.value || !is_new) return {};
    Kind made(id);
    RETURN_IF_ERROR(made.apply(record));
    state.groups.insert_or_assign(id, std::move(made));
    return {};
  }
  ASSIGN_OR_RETURN(const bool stays, known->apply(record));
  if (stays) return {};
  state.groups.erase(id);
  state.soft_groups.erase(id);
  // What was wished for it is not another's of the same name.
  std::erase_if(state.share_work, [&](const auto& work) {
    return work.first.second == id && std::holds_alternative<ShareStart>(work.second);
  });
  for (auto& [work_of, work] : state.share_work)
    if (auto* deletion = std::get_if<ShareDeletion>(&work); deletion && work_of.second == id)
      deletion->is_over = true;
  return {};
}

Result<> apply_record(State& state, const KeyValueRecord& record, ProducerId producer) {
  ASSIGN_OR_RETURN(const int16_t type, key_type(record.key));
  switch (type) {
    case wire::LegacyOffsetCommitKey::kApiKey:
    case wire::OffsetCommitKey::kApiKey: return apply_offset(state, record, producer);
    case wire::GroupMetadataKey::kApiKey: return apply_group_metadata(state, record);
    default: break;
  }
  if (is_consumer_group_record(type)) return apply_to<ConsumerGroup>(state, record);
  if (is_share_group_record(type)) return apply_to<ShareGroup>(state, record);
  if (is_streams_group_record(type)) return apply_to<StreamsGroup>(state, record);
  LOG_DEBUG("__consumer_offsets: a record of the unknown type {} is ignored", type);
  return {};
}

// --- Timers.

Timer* timer_of(ClassicGroup& group, const TimerOwner& owner) {
  if (owner.kind == TimerKind::kJoin) return &group.phases().join_timer;
  if (owner.kind == TimerKind::kSync) return &group.phases().sync_timer;
  if (owner.kind != TimerKind::kSession) return nullptr;
  if (ClassicMember* member = group.find(owner.member_id)) return &member->session;
  const auto unused = group.unused_ids().find(owner.member_id);
  return unused == group.unused_ids().end() ? nullptr : &unused->second;
}

Timer* timer_of(GroupSoft& group, const TimerOwner& owner) {
  if (owner.kind == TimerKind::kRegex) return &group.regex;
  if (owner.kind == TimerKind::kFirstTarget) return &group.first_target;
  const auto member = group.members.find(owner.member_id);
  return member == group.members.end() ? nullptr : timer_of(member->second, owner.kind);
}

Timer* timer_of(State& state, const TimerOwner& owner) {
  if (owner.kind == TimerKind::kOffsetExpiry) return &state.offset_expiry;
  if (is_of_soft_group(owner.kind)) {
    const auto soft = state.soft_groups.find(owner.group_id);
    return soft == state.soft_groups.end() ? nullptr : timer_of(soft->second, owner);
  }
  ClassicGroup* group = state.find_classic(owner.group_id);
  return group ? timer_of(*group, owner) : nullptr;
}

// What is left of a member that is gone, when none of its timers runs any more.
void forget_timers(State& state, const TimerOwner& owner) {
  if (!is_of_soft_group(owner.kind)) return;
  const auto soft = state.soft_groups.find(owner.group_id);
  if (soft == state.soft_groups.end()) return;
  const auto member = soft->second.members.find(owner.member_id);
  if (member == soft->second.members.end()) return;
  const MemberTimers& timers = member->second;
  if (timers.session.is_armed() || timers.rebalance.is_armed() || timers.join.is_armed() ||
      timers.sync.is_armed())
    return;
  soft->second.members.erase(member);
}

void fire(Step& step, const TimerOwner& owner) {
  if (owner.kind == TimerKind::kOffsetExpiry) return Offsets(step).expire();
  if (is_of_soft_group(owner.kind)) {
    if (const ConsumerGroup* group = step.state.find_consumer(owner.group_id))
      ConsumerProtocol(step).on_timer(*group, owner);
    if (const ShareGroup* group = step.state.find_share(owner.group_id))
      ShareProtocol(step).on_timer(*group, owner);
    if (const StreamsGroup* group = step.state.find_streams(owner.group_id))
      StreamsProtocol(step).on_timer(*group, owner);
    if (!step.check_sizes()) step.decision.records.clear();
    return forget_timers(step.state, owner);
  }
  ClassicGroup& group = *step.state.find_classic(owner.group_id);
  ClassicProtocol protocol(step);
  if (owner.kind == TimerKind::kJoin) return protocol.on_join_timeout(group);
  if (owner.kind == TimerKind::kSync) return protocol.on_sync_timeout(group);
  protocol.on_session_expired(group, owner.member_id);
}

// --- Reads.

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, {}, [](char c) { return std::tolower(c); }, [](char c) { return std::tolower(c); });
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// As a filter names it: Kafka knows only this of a streams group that is not ready.
std::string_view filtered_as(std::string_view state) {
  return state == state_name(StreamsState::kNotReady) ? "not_ready" : state;
}

// Kafka forgives blanks around a state, not around a type.
bool has_state(const std::vector<std::string>& filter, std::string_view state) {
  return filter.empty() || std::ranges::any_of(filter, [&](const std::string& wanted) {
           return equal_ignoring_case(trimmed(wanted), filtered_as(state));
         });
}

bool has_type(const std::vector<std::string>& filter, std::string_view type) {
  return filter.empty() || std::ranges::any_of(filter, [&](const std::string& wanted) {
           return equal_ignoring_case(wanted, type);
         });
}

wire::ListGroupsResponse::ListedGroup listed(const std::string& id, const Group& group) {
  wire::ListGroupsResponse::ListedGroup entry;
  entry.group_id = id;
  if (const auto* classic = group.as<ClassicGroup>()) {
    entry.protocol_type = classic->protocol_type().value_or("");
    entry.group_state = state_name(classic->state());
    entry.group_type = "classic";
  } else if (const auto* consumer = group.as<ConsumerGroup>()) {
    entry.protocol_type = "consumer";
    entry.group_state = state_name(consumer->state());
    entry.group_type = "consumer";
  } else if (const auto* share = group.as<ShareGroup>()) {
    entry.protocol_type = "share";
    entry.group_state = share->state_name();
    entry.group_type = "share";
  } else {
    entry.protocol_type = "streams";
    entry.group_state = state_name(group.as<StreamsGroup>()->state());
    entry.group_type = "streams";
  }
  return entry;
}

void describe_members(const ClassicGroup& group, wire::DescribeGroupsResponse::DescribedGroup& to) {
  const bool stable = group.is_in(ClassicState::kStable);
  if (stable) to.protocol_data = group.protocol().value_or("");
  for (const auto& [id, member] : group.members()) {
    auto& entry = to.members.emplace_back();
    entry.member_id = id;
    entry.group_instance_id = member.instance_id;
    entry.client_id = member.client_id;
    entry.client_host = member.client_host;
    if (stable) entry.member_metadata = member.metadata_of(to.protocol_data);
    entry.member_assignment = member.assignment;
  }
}

}  // namespace

Coordinator::Coordinator(const GroupConfig& config) : state_(std::make_unique<State>()) {
  state_->config = config;
}
Coordinator::~Coordinator() = default;
Coordinator::Coordinator(Coordinator&&) noexcept = default;
Coordinator& Coordinator::operator=(Coordinator&&) noexcept = default;

Result<> Coordinator::apply(const KeyValueRecord& record) {
  return apply_record(*state_, record, kNoProducerId);
}

Result<> Coordinator::apply_transactional(const KeyValueRecord& record, ProducerId producer) {
  return apply_record(*state_, record, producer);
}

void Coordinator::apply_marker(ProducerId producer, bool commit) {
  state_->offsets.end_transaction(producer, commit);
}

Decision Coordinator::on_loaded(Instant now, TimestampMs wall, const Topics& topics) {
  Step step{.state = *state_, .topics = topics, .now = now, .wall = wall};
  for (auto& [id, group] : state_->groups) {
    if (auto* classic = group.as<ClassicGroup>()) ClassicProtocol(step).on_loaded(*classic);
    if (const auto* consumer = group.as<ConsumerGroup>())
      ConsumerProtocol(step).on_loaded(*consumer);
    if (const auto* share = group.as<ShareGroup>()) ShareProtocol(step).on_loaded(*share);
    if (const auto* streams = group.as<StreamsGroup>()) StreamsProtocol(step).on_loaded(*streams);
  }
  state_->timers.arm(state_->offset_expiry, now + state_->config.offsets_retention_check_interval,
                     {TimerKind::kOffsetExpiry, "", ""});
  state_->loaded = true;
  return std::move(step.decision);
}

Decision Coordinator::decide_join_group(const wire::JoinGroupRequest& request,
                                        const RequestContext& context) {
  Step step = begin(*state_, context);
  ClassicProtocol(step).join(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_sync_group(const wire::SyncGroupRequest& request,
                                        const RequestContext& context) {
  Step step = begin(*state_, context);
  ClassicProtocol(step).sync(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_heartbeat(const wire::HeartbeatRequest& request,
                                       const RequestContext& context) {
  Step step = begin(*state_, context);
  ClassicProtocol(step).heartbeat(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_consumer_heartbeat(const wire::ConsumerGroupHeartbeatRequest& request,
                                                const RequestContext& context) {
  Step step = begin(*state_, context);
  ConsumerProtocol(step).heartbeat(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_share_heartbeat(const wire::ShareGroupHeartbeatRequest& request,
                                             const RequestContext& context) {
  Step step = begin(*state_, context);
  ShareProtocol(step).heartbeat(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_streams_heartbeat(const wire::StreamsGroupHeartbeatRequest& request,
                                               const RequestContext& context) {
  Step step = begin(*state_, context);
  StreamsProtocol(step).heartbeat(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_streams_topics(const std::string& group_id,
                                            const std::vector<StreamsTopicOutcome>& outcomes,
                                            const RequestContext& context) {
  Step step = begin(*state_, context);
  StreamsProtocol(step).note_topics(group_id, outcomes);
  step.reply(context.ticket, StreamsTopicsNoted{});
  return std::move(step.decision);
}

Decision Coordinator::decide_alter_share_offsets(const wire::AlterShareGroupOffsetsRequest& request,
                                                 const RequestContext& context) {
  Step step = begin(*state_, context);
  ShareProtocol(step).alter_offsets(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_delete_share_offsets(
    const wire::DeleteShareGroupOffsetsRequest& request, const RequestContext& context) {
  Step step = begin(*state_, context);
  ShareProtocol(step).delete_offsets(request, context);
  return std::move(step.decision);
}

Decision Coordinator::finish_share_state(const ShareStateOutcome& outcome,
                                         const RequestContext& context) {
  Step step = begin(*state_, context);
  ShareProtocol(step).finish(outcome);
  return std::move(step.decision);
}

Decision Coordinator::decide_leave_group(const wire::LeaveGroupRequest& request,
                                         const RequestContext& context) {
  Step step = begin(*state_, context);
  ClassicProtocol(step).leave(request, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_offset_commit(const wire::OffsetCommitRequest& request,
                                           const Topics& topics, const RequestContext& context) {
  Step step = begin(*state_, context);
  Offsets(step).commit(request, topics, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_txn_offset_commit(const wire::TxnOffsetCommitRequest& request,
                                               const Topics& topics,
                                               const RequestContext& context) {
  Step step = begin(*state_, context);
  Offsets(step).commit_in_transaction(request, topics, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_offset_delete(const wire::OffsetDeleteRequest& request,
                                           const Topics& topics, const RequestContext& context) {
  Step step = begin(*state_, context);
  Offsets(step).delete_offsets(request, topics, context);
  return std::move(step.decision);
}

Decision Coordinator::decide_delete_groups(const wire::DeleteGroupsRequest& request,
                                           const RequestContext& context) {
  Step step = begin(*state_, context);
  Offsets(step).delete_groups(request, context);
  return std::move(step.decision);
}

wire::OffsetFetchResponse::OffsetFetchResponseGroup Coordinator::fetch_offsets(
    const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request, const Topics& topics,
    const FetchOptions& options) const {
  return fetch(*state_, request, topics, options);
}

wire::DescribeGroupsResponse::DescribedGroup Coordinator::describe_group(
    const std::string& group_id, int16_t api_version) const {
  constexpr int16_t kSaysGroupIdNotFound = 6;  // KIP-1043
  wire::DescribeGroupsResponse::DescribedGroup answer;
  answer.group_id = group_id;
  const Group* group = state_->find(group_id);
  if (const auto* classic = group ? group->as<ClassicGroup>() : nullptr) {
    answer.group_state = state_name(classic->state());
    answer.protocol_type = classic->protocol_type().value_or("");
    describe_members(*classic, answer);
    return answer;
  }
  answer.group_state = "Dead";
  if (api_version >= kSaysGroupIdNotFound) {
    answer.error_code = code_of(ErrorCode::kGroupIdNotFound);
    answer.error_message = group ? fmt::format("Group {} is not a classic group.", group_id)
                                 : fmt::format("Group {} not found.", group_id);
  }
  return answer;
}

std::vector<wire::ListGroupsResponse::ListedGroup> Coordinator::list_groups(
    const wire::ListGroupsRequest& request) const {
  std::vector<wire::ListGroupsResponse::ListedGroup> groups;
  for (const auto& [id, group] : state_->groups) {
    auto entry = listed(id, group);
    if (has_state(request.states_filter, entry.group_state) &&
        has_type(request.types_filter, entry.group_type))
      groups.push_back(std::move(entry));
  }
  return groups;
}

// A step of a timer may put another group in the place of one (ConsumerProtocol), so the records of
// each are a decision of their own.
Decision Coordinator::on_tick(Instant now, TimestampMs wall, const Topics& topics) {
  Step step{.state = *state_, .topics = topics, .now = now, .wall = wall};
  while (auto entry = state_->timers.pop(now)) {
    Timer* timer = timer_of(*state_, entry->owner);
    if (timer == nullptr) continue;
    if (state_->timers.fires(*timer, *entry, now))
      fire(step, entry->owner);
    else
      forget_timers(*state_, entry->owner);  // of a member that left
    if (!step.decision.records.empty()) break;
  }
  return std::move(step.decision);
}

Instant Coordinator::next_deadline() const { return state_->timers.next(); }

Decision Coordinator::on_topics_deleted(std::span<const DeletedTopic> deleted,
                                        const Topics& topics) {
  Step step{.state = *state_, .topics = topics, .now = {}, .wall = {}};
  Offsets(step).on_topics_deleted(deleted);
  ShareProtocol(step).on_topics_deleted(deleted);
  return std::move(step.decision);
}

void Coordinator::on_topics_changed(const TopicChanges& changes, const Topics& topics) {
  if (changes.any_created) state_->newest_topics = topics.version();
  for (const std::string& name : changes.names) state_->topic_hashes.forget(name);
  for (auto& [group_id, soft] : state_->soft_groups) {
    if (!soft.fresh_until) continue;
    const ConsumerGroup* consumer = state_->find_consumer(group_id);
    const ShareGroup* share = state_->find_share(group_id);
    const StreamsGroup* streams = state_->find_streams(group_id);
    const auto wants = [&](const std::string& name) {
      return (consumer != nullptr && consumer->subscribed_topics().contains(name)) ||
             (share != nullptr && share->subscribed_topics().contains(name)) ||
             (streams != nullptr && streams->required_topics().contains(name));
    };
    if (std::ranges::any_of(changes.names, wants)) soft.fresh_until.reset();
  }
}

}  // namespace millrace::group
