#include "client/core/group_offsets.h"

#include <utility>

#include "base/assert.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

ErrorCode first_error(const wire::OffsetCommitResponse& response) {
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions)
      if (each.error_code != 0) return static_cast<ErrorCode>(each.error_code);
  return ErrorCode::kNone;
}

// Whether the offset of this partition will be there; those of others are.
bool is_for_later(ErrorCode error) {
  return error == ErrorCode::kUnstableOffsetCommit ||
         error == ErrorCode::kUnknownTopicOrPartition || error == ErrorCode::kUnknownTopicId;
}

}  // namespace

void GroupOffsets::want(const std::vector<TopicPartition>& partitions) {
  to_fetch_.insert(partitions.begin(), partitions.end());
}

void GroupOffsets::commit(const Offsets& offsets) {
  for (const auto& [partition, offset] : offsets) to_commit_[partition] = offset;
}

void GroupOffsets::keep_only(const std::set<TopicPartition>& partitions) {
  const auto is_other = [&](const TopicPartition& each) { return !partitions.contains(each); };
  std::erase_if(to_fetch_, is_other);
  std::erase_if(under_fetch_, is_other);
  std::erase_if(to_commit_, [&](const auto& each) { return !partitions.contains(each.first); });
}

void GroupOffsets::want_nothing() {
  to_fetch_.clear();
  under_fetch_.clear();
}

void GroupOffsets::stop_wanting(const std::set<TopicPartition>& partitions) {
  const auto is_one = [&](const TopicPartition& each) { return partitions.contains(each); };
  std::erase_if(to_fetch_, is_one);
  std::erase_if(under_fetch_, is_one);
}

GroupOffsets::Offsets GroupOffsets::lose_all() {
  want_nothing();
  lost_ = true;
  return drop_commits();
}

wire::OffsetFetchRequest GroupOffsets::fetch(const Identity& identity, bool says_member) {
  ASSERT(!fetching_, "GO1");
  wire::OffsetFetchRequest request{.require_stable = true};
  auto& group = request.groups.emplace_back();
  group.group_id = identity.group;
  if (says_member) {
    group.member_id = identity.member_id;
    group.member_epoch = identity.epoch;
  }
  for (const auto& each : to_fetch_) {
    if (group.topics->empty() || group.topics->back().name != each.topic)
      group.topics->push_back({.name = each.topic});
    group.topics->back().partition_indexes.push_back(each.partition.value());
  }
  under_fetch_ = to_fetch_;
  fetching_ = true;
  return request;
}

GroupOffsets::Fetched GroupOffsets::fetched(const Result<wire::OffsetFetchResponse>& response) {
  fetching_ = false;
  const auto asked = std::exchange(under_fetch_, {});
  Fetched outcome;
  if (!response || response->groups.empty()) {
    outcome.error = ErrorCode::kNetworkException;
    return outcome;
  }
  const auto& group = response->groups.front();
  outcome.error = static_cast<ErrorCode>(group.error_code);
  if (outcome.error != ErrorCode::kNone) return outcome;
  for (const auto& topic : group.topics)
    for (const auto& each : topic.partitions) {
      const TopicPartition partition{topic.name, PartitionIndex(each.partition_index)};
      const auto error = static_cast<ErrorCode>(each.error_code);
      if (!asked.contains(partition)) continue;
      if (is_for_later(error)) {
        outcome.again = true;
      } else if (error != ErrorCode::kNone) {
        outcome.error = error;
        return outcome;
      } else {
        to_fetch_.erase(partition);
        outcome.offsets[partition] =
            each.committed_offset < 0 ? std::nullopt : std::optional(Offset(each.committed_offset));
      }
    }
  return outcome;
}

wire::OffsetCommitRequest GroupOffsets::send_commits(const Identity& identity) {
  ASSERT(!committing_, "GO1");
  wire::OffsetCommitRequest request{.group_id = identity.group,
                                    .generation_id_or_member_epoch = identity.epoch,
                                    .member_id = identity.member_id,
                                    .group_instance_id = identity.instance_id};
  for (const auto& [partition, offset] : to_commit_) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                                .committed_offset = offset.value(),
                                                .committed_metadata = ""});
  }
  under_commit_ = std::exchange(to_commit_, {});
  committing_ = true;
  lost_ = false;
  return request;
}

GroupVocabulary::CommitOutcome GroupOffsets::committed(
    const Result<wire::OffsetCommitResponse>& response) {
  committing_ = false;
  return {response ? first_error(*response) : ErrorCode::kCoordinatorNotAvailable,
          std::exchange(under_commit_, {})};
}

void GroupOffsets::commit_again(Offsets offsets) { to_commit_.merge(offsets); }

}  // namespace millrace::client::core
