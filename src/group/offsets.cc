// Committed offsets, descriptions, deletion, replay: the other half of the coordinator.
#include <algorithm>

#include "group/coordinator.h"
#include "wire/codec.h"
#include "wire/consumer_protocol.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using machine::KeyValueRecord;
using wire::ErrorCode;

constexpr int16_t kOffsetRecordVersion = 4;  // with the topic's id, as Kafka 4.3 writes it
constexpr int16_t kOffsetRecordVersionWithExpiry = 1;  // the only one that can say an expiry
constexpr int64_t kNoRetention = -1;

KeyValueRecord tombstone(const std::string& group, const std::string& topic, int32_t partition) {
  return {wire::encode_key(
              wire::OffsetCommitKey{.group = group, .topic = topic, .partition = partition}),
          std::nullopt};
}

// The length of Java's string of the same text: characters beyond the basic plane count twice.
size_t utf16_length(std::string_view utf8) {
  size_t units = 0;
  for (const char c : utf8) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte & 0xC0) != 0x80) units += byte >= 0xF0 ? 2 : 1;
  }
  return units;
}

}  // namespace

std::optional<ErrorCode> Coordinator::check_commit(const wire::OffsetCommitRequest& request,
                                                   const Caller& caller) {
  constexpr int16_t kGroupIdNotFoundFrom = 9;
  Group* group = find(request.group_id);
  const int32_t generation = request.generation_id_or_member_epoch;
  if (group == nullptr || (group->members.empty() && generation < 0)) {
    if (generation < 0) return std::nullopt;  // a simple consumer, or an admin
    return caller.version >= kGroupIdNotFoundFrom ? ErrorCode::kGroupIdNotFound
                                                  : ErrorCode::kIllegalGeneration;
  }
  if (generation < 0 && request.member_id.empty()) return ErrorCode::kUnknownMemberId;
  if (auto code = check_member(*group, request.member_id, request.group_instance_id)) return code;
  if (generation != group->generation) return ErrorCode::kIllegalGeneration;
  if (group->state == GroupState::kCompletingRebalance) return ErrorCode::kRebalanceInProgress;
  Member& member = group->members.at(request.member_id);
  member.session_ends = caller.now + milliseconds(member.session_timeout_ms);
  return std::nullopt;
}

Step Coordinator::commit(const wire::OffsetCommitRequest& request, const Caller& caller,
                         const TopicLookup& topics) {
  Step step;
  wire::OffsetCommitResponse response;
  const auto refused = check_commit(request, caller);
  const bool expires = request.retention_time_ms != kNoRetention;
  for (const auto& topic : request.topics) {
    auto& topic_result = response.topics.emplace_back();
    topic_result.name = topic.name;
    topic_result.topic_id = topic.topic_id;
    for (const auto& each : topic.partitions) {
      const auto id = topics(topic.name, each.partition_index);
      ErrorCode code = refused.value_or(ErrorCode::kNone);
      if (!refused && !id) code = ErrorCode::kUnknownTopicOrPartition;
      if (!refused && each.committed_metadata &&
          utf16_length(*each.committed_metadata) > config_.max_offset_metadata)
        code = ErrorCode::kOffsetMetadataTooLarge;
      topic_result.partitions.push_back(
          {.partition_index = each.partition_index, .error_code = wire::code_of(code)});
      if (code != ErrorCode::kNone) continue;
      wire::OffsetCommitValue value{.offset = each.committed_offset,
                                    .leader_epoch = each.committed_leader_epoch,
                                    .metadata = each.committed_metadata.value_or(""),
                                    .commit_timestamp = caller.wall.value(),
                                    .topic_id = *id};
      if (expires) value.expire_timestamp = (caller.wall + request.retention_time_ms).value();
      step.records.push_back(
          {wire::encode_key(wire::OffsetCommitKey{
               .group = request.group_id, .topic = topic.name, .partition = each.partition_index}),
           wire::encode_value(value,
                              expires ? kOffsetRecordVersionWithExpiry : kOffsetRecordVersion)});
    }
  }
  step.replies.push_back({caller.ticket, std::move(response)});
  return step;
}

wire::OffsetFetchResponse::OffsetFetchResponseGroup Coordinator::fetch(
    const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request, bool require_stable) const {
  wire::OffsetFetchResponse::OffsetFetchResponseGroup result;
  result.group_id = request.group_id;
  const Group* group = find(request.group_id);
  auto add = [&](auto& to, int32_t index, const CommittedOffset* committed) {
    const bool unstable = require_stable && is_pending({request.group_id, to.name, index});
    if (unstable) committed = nullptr;
    to.partitions.push_back(
        {.partition_index = index,
         .committed_offset = committed ? committed->offset.value() : -1,
         .committed_leader_epoch = committed ? committed->leader_epoch.value() : -1,
         .metadata = committed ? committed->metadata : "",
         .error_code =
             wire::code_of(unstable ? ErrorCode::kUnstableOffsetCommit : ErrorCode::kNone)});
  };
  if (!request.topics) {
    for (const auto& [topic, partitions] :
         group ? group->offsets : std::map<std::string, Partitions>{}) {
      auto& topic_result = result.topics.emplace_back();
      topic_result.name = topic;
      for (const auto& [index, committed] : partitions) add(topic_result, index, &committed);
    }
    return result;
  }
  for (const auto& topic : *request.topics) {
    auto& topic_result = result.topics.emplace_back();
    topic_result.name = topic.name;
    topic_result.topic_id = topic.topic_id;
    for (int32_t index : topic.partition_indexes) {
      const CommittedOffset* committed = nullptr;
      if (group)
        if (auto known = group->offsets.find(topic.name); known != group->offsets.end())
          if (auto found = known->second.find(index); found != known->second.end())
            committed = &found->second;
      add(topic_result, index, committed);
    }
  }
  return result;
}

wire::DescribeGroupsResponse::DescribedGroup Coordinator::describe(const std::string& group_id,
                                                                   int16_t version) const {
  constexpr int16_t kGroupIdNotFoundFrom = 6;
  wire::DescribeGroupsResponse::DescribedGroup result;
  result.group_id = group_id;
  const Group* group = find(group_id);
  if (group == nullptr) {
    result.group_state = "Dead";
    if (version < kGroupIdNotFoundFrom) return result;
    result.error_code = wire::code_of(ErrorCode::kGroupIdNotFound);
    result.error_message = "Group " + group_id + " not found.";
    return result;
  }
  result.group_state = state_name(group->state);
  result.protocol_type = group->protocol_type;
  const bool stable = group->state == GroupState::kStable;
  if (stable) result.protocol_data = group->protocol.value_or("");
  for (const auto& [id, member] : group->members) {
    auto& each = result.members.emplace_back();
    each.member_id = id;
    each.group_instance_id = member.instance_id;
    each.client_id = member.client_id;
    each.client_host = member.client_host;
    if (!stable) continue;
    auto chosen = std::ranges::find(member.protocols, group->protocol.value_or(""),
                                    [](const auto& p) { return p.first; });
    if (chosen != member.protocols.end()) each.member_metadata = chosen->second;
    each.member_assignment = member.assignment;
  }
  return result;
}

std::vector<wire::ListGroupsResponse::ListedGroup> Coordinator::list() const {
  std::vector<wire::ListGroupsResponse::ListedGroup> result;
  for (const auto& [id, group] : groups_)
    result.push_back({.group_id = id,
                      .protocol_type = group.protocol_type,
                      .group_state = std::string(state_name(group.state)),
                      .group_type = "classic"});
  return result;
}

Step Coordinator::delete_group(const std::string& group_id, const Caller& caller) {
  Step step;
  wire::DeleteGroupsResponse response;
  auto& result = response.results.emplace_back();
  result.group_id = group_id;
  const Group* group = find(group_id);
  if (group == nullptr) {
    result.error_code = wire::code_of(ErrorCode::kGroupIdNotFound);
  } else if (!group->members.empty() || !group->pending.empty()) {
    result.error_code = wire::code_of(ErrorCode::kNonEmptyGroup);
  } else {
    for (const auto& [topic, partitions] : group->offsets)
      for (const auto& [index, committed] : partitions)
        step.records.push_back(tombstone(group_id, topic, index));
    step.records.push_back(
        {wire::encode_key(wire::GroupMetadataKey{.group = group_id}), std::nullopt});
  }
  step.replies.push_back({caller.ticket, std::move(response)});
  return step;
}

Step Coordinator::delete_offsets(const wire::OffsetDeleteRequest& request, const Caller& caller) {
  Step step;
  wire::OffsetDeleteResponse response;
  const Group* group = find(request.group_id);
  ErrorCode refused = ErrorCode::kNone;
  if (request.group_id.empty())
    refused = ErrorCode::kInvalidGroupId;
  else if (group == nullptr)
    refused = ErrorCode::kGroupIdNotFound;
  else if (!group->members.empty() && group->protocol_type != "consumer")
    refused = ErrorCode::kNonEmptyGroup;
  response.error_code = wire::code_of(refused);
  if (refused == ErrorCode::kNone) {
    const auto topics = subscribed_topics(*group);
    for (const auto& topic : request.topics) {
      auto& topic_result = response.topics.emplace_back();
      topic_result.name = topic.name;
      // What cannot be told is taken for read.
      const bool read = !group->members.empty() && (!topics || topics->contains(topic.name));
      const ErrorCode code = read ? ErrorCode::kGroupSubscribedToTopic : ErrorCode::kNone;
      for (const auto& each : topic.partitions) {
        topic_result.partitions.push_back(
            {.partition_index = each.partition_index, .error_code = wire::code_of(code)});
        if (!read)
          step.records.push_back(tombstone(request.group_id, topic.name, each.partition_index));
      }
    }
  }
  step.replies.push_back({caller.ticket, std::move(response)});
  return step;
}

std::optional<std::set<std::string>> Coordinator::subscribed_topics(const Group& group) const {
  if (group.protocol_type != "consumer" || !group.protocol) return std::nullopt;
  std::set<std::string> topics;
  for (const auto& [id, member] : group.members) {
    auto chosen =
        std::ranges::find(member.protocols, *group.protocol, [](const auto& p) { return p.first; });
    if (chosen == member.protocols.end()) return std::nullopt;
    // Version 0 is the prefix of every version, so later ones need not be known here.
    wire::Reader reader(chosen->second);
    reader.int16("version");
    wire::ConsumerProtocolSubscription subscription;
    wire::read(reader, 0, subscription);
    if (!reader.ok()) return std::nullopt;
    topics.insert(subscription.topics.begin(), subscription.topics.end());
  }
  return topics;
}

// Offsets of an empty group go offsets.retention.minutes after it emptied, or after the commit if
// that was later; those of a stable group's former topics that long after the commit; an expiry
// that the commit named itself wins. A group that is empty and has no offsets left goes too.
void Coordinator::expire_offsets(Group& group, TimestampMs wall, Step& step) {
  if (!group.pending.empty()) return;
  const bool active = !group.members.empty();
  const auto topics = active ? subscribed_topics(group) : std::set<std::string>{};
  if (active && (group.state != GroupState::kStable || !topics)) return;
  bool any_left = false;
  for (const auto& [topic, partitions] : group.offsets)
    for (const auto& [index, committed] : partitions) {
      const TimestampMs since =
          active ? committed.committed_at : std::max(group.state_since, committed.committed_at);
      const TimestampMs end = committed.expires_at != kNoTimestamp
                                  ? committed.expires_at
                                  : since + config_.offset_retention_ms;
      if (end <= wall && !topics->contains(topic) && !is_pending({group.id, topic, index}))
        step.records.push_back(tombstone(group.id, topic, index));
      else
        any_left = true;
    }
  if (!active && !any_left)
    step.records.push_back(
        {wire::encode_key(wire::GroupMetadataKey{.group = group.id}), std::nullopt});
}

Result<> Coordinator::apply(const machine::KeyValueRecord& record, ProducerId producer) {
  wire::Reader reader(record.key);
  const int16_t type = reader.int16("type");
  if (type == wire::GroupMetadataKey::kApiKey) {
    ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::GroupMetadataKey>(record.key));
    return apply_group(key.group, record.value);
  }
  if (type == wire::OffsetCommitKey::kApiKey) return apply_offset(record, producer);
  return {};
}

Result<> Coordinator::apply_offset(const machine::KeyValueRecord& record, ProducerId producer) {
  ASSIGN_OR_RETURN(auto decoded, wire::decode_key<wire::OffsetCommitKey>(record.key));
  const OffsetKey key{decoded.group, decoded.topic, decoded.partition};
  if (!record.value) {
    for (auto& [id, offsets] : transactions_) offsets.erase(key);
    Group* group = find(key.group);
    if (group == nullptr) return {};
    auto& partitions = group->offsets[key.topic];
    partitions.erase(key.partition);
    if (partitions.empty()) group->offsets.erase(key.topic);
    return {};
  }
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::OffsetCommitValue>(*record.value));
  const CommittedOffset offset{.offset = Offset(value.offset),
                               .leader_epoch = LeaderEpoch(value.leader_epoch),
                               .metadata = value.metadata,
                               .committed_at = TimestampMs(value.commit_timestamp),
                               .expires_at = TimestampMs(value.expire_timestamp),
                               .order = ++applied_};
  if (producer == kNoProducerId)
    put(key, offset);
  else
    transactions_[producer][key] = offset;
  return {};
}

void Coordinator::put(const OffsetKey& key, CommittedOffset offset) {
  Group& group = groups_[key.group];
  group.id = key.group;
  CommittedOffset& now = group.offsets[key.topic][key.partition];
  if (now.order <= offset.order) now = std::move(offset);
}

void Coordinator::apply_marker(ProducerId producer, bool commit) {
  auto decided = transactions_.extract(producer);
  if (decided.empty() || !commit) return;
  for (auto& [key, offset] : decided.mapped()) put(key, std::move(offset));
}

bool Coordinator::is_pending(const OffsetKey& key) const {
  return std::ranges::any_of(transactions_,
                             [&](const auto& each) { return each.second.contains(key); });
}

// While the coordinator lives, the steps have changed the group already: only its end is taken from
// the record.
Result<> Coordinator::apply_group(const std::string& id, const std::optional<ByteBuffer>& value) {
  if (!value) {
    auto found = groups_.find(id);
    if (found != groups_.end() && found->second.members.empty() && found->second.offsets.empty())
      groups_.erase(found);
    else if (found != groups_.end())
      found->second.members.clear();
    return {};
  }
  if (loaded_) return {};
  ASSIGN_OR_RETURN(auto decoded, wire::decode_value<wire::GroupMetadataValue>(*value));
  Group& group = groups_[id];
  group.id = id;
  group.protocol_type = decoded.protocol_type;
  group.generation = decoded.generation;
  group.protocol = decoded.protocol;
  group.leader = decoded.leader;
  group.state_since = TimestampMs(decoded.current_state_timestamp);
  group.members.clear();
  for (auto& each : decoded.members) {
    Member& member = group.members[each.member_id];
    member = {.id = each.member_id,
              .instance_id = each.group_instance_id,
              .client_id = each.client_id,
              .client_host = each.client_host,
              .rebalance_timeout_ms = each.rebalance_timeout,
              .session_timeout_ms = each.session_timeout,
              .assignment = each.assignment};
    member.protocols.emplace_back(decoded.protocol.value_or(""), each.subscription);
  }
  // A log may say what no coordinator of ours would: it is mended, not trusted.
  if (!group.leader || !group.members.contains(*group.leader)) {
    group.leader.reset();
    if (!group.members.empty()) group.leader = group.members.begin()->first;
  }
  std::set<std::string> instances;
  for (auto& [member_id, member] : group.members)
    if (member.instance_id && !instances.insert(*member.instance_id).second)
      member.instance_id.reset();
  return {};
}

}  // namespace millrace::group
