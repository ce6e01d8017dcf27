// OffsetFetch; and what makes offsets go without anybody asking: their age, their topic.
#include <algorithm>
#include <iterator>

#include "group/offsets.h"
#include "group/records.h"

namespace millrace::group {
namespace {

constexpr int16_t kHasTopicIds = 10;
// Groups and offsets looked at in one step: some milliseconds of work.
constexpr size_t kExpiryPiece = 10'000;

using FetchPartition = wire::OffsetFetchResponse::OffsetFetchResponsePartitions;
using FetchTopic = wire::OffsetFetchResponse::OffsetFetchResponseTopics;
using FetchGroup = wire::OffsetFetchResponse::OffsetFetchResponseGroup;

FetchPartition no_offset(PartitionIndex partition, ErrorCode error = ErrorCode::kNone) {
  FetchPartition answer;
  answer.partition_index = partition.value();
  answer.committed_offset = -1;
  answer.metadata = "";
  answer.error_code = code_of(error);
  return answer;
}

FetchPartition answer_of(PartitionIndex partition, const CommittedOffset& offset) {
  FetchPartition answer;
  answer.partition_index = partition.value();
  answer.committed_offset = offset.offset.value();
  answer.committed_leader_epoch = offset.leader_epoch.value();
  answer.metadata = offset.metadata;
  return answer;
}

// An offset that was committed to another topic of the same name says nothing of this one.
bool is_of(const CommittedOffset& offset, const Uuid& topic_id) {
  return offset.topic_id.is_zero() || topic_id.is_zero() || offset.topic_id == topic_id;
}

ErrorCode check_fetch(State& state, const wire::OffsetFetchRequest::OffsetFetchRequestGroup& r) {
  const Group* group = state.find(r.group_id);
  if (!r.member_id && r.member_epoch < 0) return ErrorCode::kNone;
  if (const auto* streams = group ? group->as<StreamsGroup>() : nullptr) {
    const StreamsMember* member = streams->find(r.member_id.value_or(""));
    if (member == nullptr) return ErrorCode::kUnknownMemberId;
    return member->current.member_epoch == r.member_epoch ? ErrorCode::kNone
                                                          : ErrorCode::kStaleMemberEpoch;
  }
  const auto* consumer = group ? group->as<ConsumerGroup>() : nullptr;
  if (consumer == nullptr) return ErrorCode::kNone;
  const ConsumerMember* member = consumer->find(r.member_id.value_or(""));
  if (member == nullptr) return ErrorCode::kUnknownMemberId;
  if (member->current.member_epoch == r.member_epoch) return ErrorCode::kNone;
  return member->uses_classic() ? ErrorCode::kIllegalGeneration : ErrorCode::kStaleMemberEpoch;
}

void fetch_topic(const State& state, const std::string& group_id,
                 const Coordinator::FetchOptions& options, const std::vector<int32_t>& indexes,
                 FetchTopic& answer) {
  for (const int32_t index : indexes) {
    const PartitionRef ref{answer.name, PartitionIndex(index)};
    const CommittedOffset* offset = state.offsets.find(group_id, ref);
    if (options.require_stable && state.offsets.is_pending(group_id, ref))
      answer.partitions.push_back(no_offset(ref.partition, ErrorCode::kUnstableOffsetCommit));
    else if (offset == nullptr || !is_of(*offset, answer.topic_id))
      answer.partitions.push_back(no_offset(ref.partition));
    else
      answer.partitions.push_back(answer_of(ref.partition, *offset));
  }
}

FetchTopic fetch_named(const State& state, const std::string& group_id, const Topics& topics,
                       const Coordinator::FetchOptions& options,
                       const wire::OffsetFetchRequest::OffsetFetchRequestTopics& topic) {
  FetchTopic answer;
  answer.name = topic.name;
  answer.topic_id = topic.topic_id;
  if (options.api_version >= kHasTopicIds) {
    const auto name = topics.name_of(topic.topic_id);
    if (!name) {
      for (const int32_t index : topic.partition_indexes)
        answer.partitions.push_back(no_offset(PartitionIndex(index), ErrorCode::kUnknownTopicId));
      return answer;
    }
    answer.name = *name;
  } else {
    answer.topic_id = topics.id_of(topic.name).value_or(Uuid::zero());
  }
  fetch_topic(state, group_id, options, topic.partition_indexes, answer);
  return answer;
}

void fetch_all(const State& state, const std::string& group_id, const Topics& topics,
               const Coordinator::FetchOptions& options, FetchGroup& response) {
  const TopicOffsets* all = state.offsets.of_group(group_id);
  if (all == nullptr) return;
  for (const auto& [name, partitions] : *all) {
    const auto id = topics.id_of(name);
    if (!id && options.api_version >= kHasTopicIds) continue;  // it has no id to answer with
    FetchTopic answer;
    answer.name = name;
    answer.topic_id = id.value_or(Uuid::zero());
    for (const auto& [index, offset] : partitions) {
      if (!is_of(offset, answer.topic_id)) continue;
      if (options.require_stable && state.offsets.is_pending(group_id, {name, index}))
        answer.partitions.push_back(no_offset(index, ErrorCode::kUnstableOffsetCommit));
      else
        answer.partitions.push_back(answer_of(index, offset));
    }
    if (!answer.partitions.empty()) response.topics.push_back(std::move(answer));
  }
}

// From when the retention of the group's offsets counts; nothing: they do not expire now.
struct ExpiryBase {
  TimestampMs since = kNoTimestamp;  // or since each was committed, if that is later
};

std::optional<ExpiryBase> expiry_base(const Group& group) {
  const auto* classic = group.as<ClassicGroup>();
  if (group.as<ConsumerGroup>() != nullptr || group.as<StreamsGroup>() != nullptr)
    return ExpiryBase{};
  if (classic == nullptr) return std::nullopt;
  if (!classic->protocol_type()) return ExpiryBase{};  // nobody ever joined: a simple group
  if (classic->is_in(ClassicState::kEmpty)) return ExpiryBase{classic->changed()};
  if (classic->is_in(ClassicState::kStable) && classic->subscribed_topics()) return ExpiryBase{};
  return std::nullopt;
}

bool is_expired(const CommittedOffset& offset, const ExpiryBase& base, const Step& step) {
  if (offset.expire_timestamp != kNoTimestamp) return step.wall >= offset.expire_timestamp;
  const TimestampMs since = std::max(base.since, offset.commit_timestamp);
  int64_t age = 0;
  if (__builtin_sub_overflow(step.wall.value(), since.value(), &age)) return since < step.wall;
  return age >= step.state.config.offsets_retention.count();
}

// The topics that keep their offsets because somebody reads them.
class Subscriptions {
 public:
  explicit Subscriptions(const Group& group)
      : consumer_(group.as<ConsumerGroup>()), streams_(group.as<StreamsGroup>()) {
    if (const auto* classic = group.as<ClassicGroup>()) {
      topics_ = classic->subscribed_topics();
      unknown_ = !topics_ && classic->uses_consumer_protocol();
    }
  }
  bool contain(const std::string& topic) const {
    if (consumer_ != nullptr) return consumer_->subscribed_topics().contains(topic);
    if (streams_ != nullptr) return streams_->is_subscribed_to(topic);
    return unknown_ || (topics_ && topics_->contains(topic));
  }

 private:
  const ConsumerGroup* consumer_;
  const StreamsGroup* streams_;
  std::optional<std::set<std::string>> topics_;
  bool unknown_ = false;
};

}  // namespace

FetchGroup fetch(State& state, const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request,
                 const Topics& topics, const Coordinator::FetchOptions& options) {
  FetchGroup response;
  response.group_id = request.group_id;
  const ErrorCode error = check_fetch(state, request);
  response.error_code = code_of(error);
  // Offsets of a group that is gone (only its own tombstone was written) are not shown, and a share
  // group has none.
  const bool known = state.find(request.group_id) && !state.find_share(request.group_id);
  if (error != ErrorCode::kNone) return response;
  if (!request.topics) {
    if (known) fetch_all(state, request.group_id, topics, options, response);
    return response;
  }
  std::vector<FetchTopic> nameless;  // of ids that nobody knows: at the end, as Kafka has it
  for (const auto& topic : *request.topics) {
    FetchTopic answer = fetch_named(state, known ? request.group_id : "", topics, options, topic);
    (answer.name.empty() ? nameless : response.topics).push_back(std::move(answer));
  }
  std::ranges::move(nameless, std::back_inserter(response.topics));
  return response;
}

// True if nothing of the group's offsets is left.
bool Offsets::expire_offsets(const std::string& group_id, const Group& group) {
  const TopicOffsets* topics = state_.offsets.of_group(group_id);
  if (topics == nullptr) return !state_.offsets.has_pending(group_id);
  const auto base = expiry_base(group);
  if (!base) return false;
  const Subscriptions subscriptions(group);
  bool all = !state_.offsets.has_pending(group_id);
  for (const auto& [topic, partitions] : *topics) {
    if (subscriptions.contain(topic)) {
      all = false;
      continue;
    }
    for (const auto& [index, offset] : partitions) {
      const PartitionRef ref{topic, index};
      if (is_expired(offset, *base, step_) && !state_.offsets.is_pending(group_id, ref))
        step_.append(offset_tombstone(group_id, ref));
      else
        all = false;
    }
  }
  return all;
}

// How many offsets were looked at.
size_t Offsets::expire_group(const std::string& group_id, const Group& group) {
  size_t seen = 1;
  if (const TopicOffsets* topics = state_.offsets.of_group(group_id))
    for (const auto& [topic, partitions] : *topics) seen += partitions.size();
  if (!expire_offsets(group_id, group)) return seen;
  if (const auto* classic = group.as<ClassicGroup>()) {
    // Somebody who was given an id is about to join.
    if (classic->is_in(ClassicState::kEmpty) && classic->unused_ids().empty())
      step_.append(group_metadata_tombstone(group_id));
  } else if (const auto* consumer = group.as<ConsumerGroup>()) {
    if (consumer->is_empty())
      for (auto& record : consumer->tombstones()) step_.append(std::move(record));
  } else if (const auto* streams = group.as<StreamsGroup>()) {
    if (streams->is_empty())
      for (auto& record : streams->tombstones()) step_.append(std::move(record));
  }
  return seen;
}

void Offsets::expire() {
  size_t seen = 0;
  auto at = state_.groups.lower_bound(state_.expiry_cursor);
  for (; at != state_.groups.end() && seen < kExpiryPiece; ++at)
    seen += expire_group(at->first, at->second);
  const bool done = at == state_.groups.end();
  state_.expiry_cursor = done ? "" : at->first;
  const Duration pause = done ? state_.config.offsets_retention_check_interval : milliseconds(1);
  state_.timers.arm(state_.offset_expiry, step_.now + pause, {TimerKind::kOffsetExpiry, "", ""});
}

void Offsets::on_topics_deleted(std::span<const DeletedTopic> deleted) {
  const auto is_gone = [&](const DeletedTopic& topic, const CommittedOffset& offset) {
    return is_of(offset, topic.id);
  };
  for (const auto& [group_id, topics] : state_.offsets.committed())
    for (const DeletedTopic& topic : deleted) {
      const auto partitions = topics.find(topic.name);
      if (partitions == topics.end()) continue;
      for (const auto& [index, offset] : partitions->second)
        if (is_gone(topic, offset)) step_.append(offset_tombstone(group_id, {topic.name, index}));
    }
  state_.offsets.for_each_pending(
      [&](std::string_view group_id, const PartitionRef& ref, const CommittedOffset& offset) {
        if (state_.offsets.find(group_id, ref) != nullptr) return;  // the same tombstone ends both
        for (const DeletedTopic& topic : deleted)
          if (topic.name == ref.topic && is_gone(topic, offset))
            step_.append(offset_tombstone(group_id, ref));
      });
}

}  // namespace millrace::group
