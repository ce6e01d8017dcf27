#include "sim/group_member.h"

#include <algorithm>
#include <charconv>

#include "sim/consumer.h"
#include "wire/consumer_protocol.h"
#include "wire/errors.h"
#include "wire/heartbeat.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"

namespace millrace::sim {
namespace {

constexpr int16_t kJoinVersion = 5;
constexpr int16_t kSyncVersion = 3;
constexpr int16_t kHeartbeatVersion = 3;
constexpr int16_t kCommitVersion = 7;
constexpr int16_t kOffsetFetchVersion = 5;
constexpr Duration kHeartbeatInterval = milliseconds(700);
constexpr double kLeaveChance = 0.1;  // of a static member, at each heartbeat
constexpr double kLateCommitChance = 0.3;

}  // namespace

GroupMember::GroupMember(const Site& site, Oracle& records, GroupOracle& group,
                         MemberOptions options)
    : host_(site.host),
      records_(&records),
      group_(&group),
      options_(std::move(options)),
      client_(site, "member"),
      reader_(site, "member-reader"),
      dice_(host_->world().workload.next()) {
  client_.timeout = seconds(20);  // a join waits for the others
}

// The first one who asks for the coordinator has __consumer_offsets made.
void GroupMember::start() { join(); }

void GroupMember::again(Duration pause, void (GroupMember::*step)()) {
  host_->shard(0).after(pause, [this, step, round = round_] {
    if (round == round_) (this->*step)();
  });
}

void GroupMember::join() {
  ++round_;
  stable_ = false;
  assigned_.clear();
  wire::JoinGroupRequest request{
      .group_id = options_.group,
      .session_timeout_ms =
          static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(options_.session).count()),
      .rebalance_timeout_ms = 8000,
      .member_id = member_id_,
      .group_instance_id = options_.instance_id,
      .protocol_type = "consumer"};
  wire::ConsumerProtocolSubscription subscription{.topics = {options_.topic}};
  request.protocols.push_back({.name = "range", .metadata = wire::encode_value(subscription, 0)});
  client_.call<wire::JoinGroupResponse>(
      coordinator(), request, kJoinVersion,
      [this, round = round_, newest = group_->newest_generation()](auto response) {
        if (round == round_) joined(std::move(response), newest);
      });
}

void GroupMember::joined(Result<wire::JoinGroupResponse> response, int32_t newest_then) {
  if (!response) return again(milliseconds(dice_.between({50, 500})), &GroupMember::join);
  const auto code = static_cast<wire::ErrorCode>(response->error_code);
  if (code == wire::ErrorCode::kMemberIdRequired) {
    member_id_ = response->member_id;
    return again(Duration(0), &GroupMember::join);
  }
  if (response->error_code != 0) return react(response->error_code);
  member_id_ = response->member_id;
  generation_ = response->generation_id;
  group_->joined(member_id_, {.told = generation_, .newest = newest_then});
  const bool in_time = heard_ && host_->world().now() - *heard_ < options_.session;
  if (generation_before_ >= 0 && in_time && generation_ != generation_before_)
    host_->world().violated(
        "GR6", fmt::format("the static member came back within its session to generation {} "
                           "instead of {}",
                           generation_, generation_before_));
  generation_before_ = -1;
  heard_.reset();
  sync(*response);
}

std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> GroupMember::assign(
    const wire::JoinGroupResponse& joined) {
  Assignment assignment;  // by who it is: a static member keeps its share under a new id
  std::map<std::string, std::string> ids;
  for (const auto& member : joined.members) {
    const std::string who = member.group_instance_id.value_or(member.member_id);
    assignment[who];
    ids[who] = member.member_id;
  }
  auto next = assignment.begin();
  for (int32_t i = 0; i < options_.partitions; ++i) {
    next->second.insert(i);
    if (++next == assignment.end()) next = assignment.begin();
  }
  group_->leader_assigns(joined.generation_id, assignment);
  std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> encoded;
  for (const auto& [who, partitions] : assignment) {
    wire::ConsumerProtocolAssignment own;
    own.assigned_partitions.push_back(
        {.topic = options_.topic, .partitions = {partitions.begin(), partitions.end()}});
    encoded.push_back({.member_id = ids[who], .assignment = wire::encode_value(own, 0)});
  }
  return encoded;
}

void GroupMember::sync(const wire::JoinGroupResponse& joined) {
  wire::SyncGroupRequest request{.group_id = options_.group,
                                 .generation_id = generation_,
                                 .member_id = member_id_,
                                 .group_instance_id = options_.instance_id};
  if (joined.leader == member_id_ && !joined.members.empty()) request.assignments = assign(joined);
  client_.call<wire::SyncGroupResponse>(coordinator(), request, kSyncVersion,
                                        [this, round = round_](auto response) {
                                          if (round == round_) synced(std::move(response));
                                        });
}

void GroupMember::synced(Result<wire::SyncGroupResponse> response) {
  if (!response) return again(milliseconds(dice_.between({50, 500})), &GroupMember::join);
  if (response->error_code != 0) return react(response->error_code);
  auto assignment = wire::decode_value<wire::ConsumerProtocolAssignment>(response->assignment);
  if (!assignment)
    return host_->world().violated(
        "GR2", "an assignment is not what the leader sent: " + assignment.error().message);
  for (const auto& topic : assignment->assigned_partitions)
    assigned_.insert(topic.partitions.begin(), topic.partitions.end());
  group_->has_member(options_.session);
  group_->was_assigned(options_.instance_id.value_or(member_id_), generation_, assigned_);
  stable_ = true;
  heartbeat(round_);
  if (dice_.chance(kLateCommitChance)) commit_late();
  find_positions();
}

void GroupMember::heartbeat(uint64_t round) {
  if (round != round_) return;
  if (options_.instance_id && dice_.chance(kLeaveChance)) return come_back();
  wire::HeartbeatRequest request{.group_id = options_.group,
                                 .generation_id = generation_,
                                 .member_id = member_id_,
                                 .group_instance_id = options_.instance_id};
  client_.call<wire::HeartbeatResponse>(
      coordinator(), request, kHeartbeatVersion,
      [this, round, sent = host_->world().now()](Result<wire::HeartbeatResponse> response) {
        if (round != round_) return;
        const int16_t error = response ? response->error_code : int16_t{-1};
        if (response && error != 0 && !coordinator_is_elsewhere(error)) return react(error);
        if (error == 0) {
          heard_ = sent;
          group_->has_member(options_.session);
        }
        host_->shard(0).after(kHeartbeatInterval, [this, round] { heartbeat(round); });
      });
}

// A static member's process is replaced: it knows its instance id and nothing else.
void GroupMember::come_back() {
  ++round_;
  generation_before_ = generation_;
  member_id_.clear();
  again(milliseconds(dice_.between({10, 1000})), &GroupMember::join);
}

void GroupMember::find_positions() {
  if (assigned_.empty()) return;
  wire::OffsetFetchRequest request{.group_id = options_.group};
  request.topics->push_back(
      {.name = options_.topic, .partition_indexes = {assigned_.begin(), assigned_.end()}});
  std::map<int32_t, int64_t> committed_then;
  for (int32_t partition : assigned_) committed_then[partition] = group_->committed(partition);
  client_.call<wire::OffsetFetchResponse>(
      coordinator(), request, kOffsetFetchVersion,
      [this, round = round_, committed_then](Result<wire::OffsetFetchResponse> response) {
        if (round != round_) return;
        if (response && response->error_code != 0) client_.doubt(coordinator());
        if (!response || response->error_code != 0)
          return again(milliseconds(100), &GroupMember::find_positions);
        for (const auto& partition : response->topics.at(0).partitions) {
          group_->fetched(partition.partition_index,
                          {.told = partition.committed_offset,
                           .committed = committed_then.at(partition.partition_index)});
          read(partition.partition_index, std::max<int64_t>(0, partition.committed_offset), round);
        }
      });
}

void GroupMember::read(int32_t partition, int64_t position, uint64_t round) {
  if (round != round_) return;
  auto later = [this, partition, round](int64_t from, Duration pause) {
    host_->shard(0).after(pause, [=, this] { read(partition, from, round); });
  };
  fetch(reader_, *records_, {.topic = options_.topic, .partition = partition, .offset = position},
        [=, this](std::optional<FetchedPartition> fetched, const Oracle::Contents& records) {
          if (round != round_) return;
          if (!fetched) return later(position, milliseconds(100));
          if (fetched->error != 0)
            return find_log_start(reader_, options_.topic, partition,
                                  [=](std::optional<int64_t> start) {
                                    later(std::max(position, start.value_or(0)), milliseconds(100));
                                  });
          for (const auto& [offset, value] : records) records_->consumed(partition, offset, value);
          if (fetched->next_offset == position) return later(position, milliseconds(50));
          commit(partition, fetched->next_offset, round);
        });
}

void GroupMember::commit(int32_t partition, int64_t position, uint64_t round) {
  wire::OffsetCommitRequest request{.group_id = options_.group,
                                    .generation_id_or_member_epoch = generation_,
                                    .member_id = member_id_,
                                    .group_instance_id = options_.instance_id};
  request.topics.push_back({.name = options_.topic});
  request.topics[0].partitions.push_back(
      {.partition_index = partition, .committed_offset = position});
  client_.call<wire::OffsetCommitResponse>(
      coordinator(), request, kCommitVersion,
      [=, this, generation = generation_,
       newest = group_->newest_generation()](Result<wire::OffsetCommitResponse> response) {
        const int16_t error =
            response ? response->topics.at(0).partitions.at(0).error_code : int16_t{-1};
        if (error == 0) group_->commit_answered(partition, position, {generation, newest});
        if (round != round_) return;
        if (response && error != 0 && !coordinator_is_elsewhere(error)) return react(error);
        host_->shard(0).after(milliseconds(error == 0 ? 5 : 200),
                              [=, this] { read(partition, position, round); });
      });
}

void GroupMember::commit_late() {
  const int32_t generation = generation_ - 1;
  if (generation < 1 || assigned_.empty()) return;
  wire::OffsetCommitRequest request{.group_id = options_.group,
                                    .generation_id_or_member_epoch = generation,
                                    .member_id = member_id_,
                                    .group_instance_id = options_.instance_id};
  request.topics.push_back({.name = options_.topic});
  request.topics[0].partitions.push_back(
      {.partition_index = *assigned_.begin(), .committed_offset = 0});
  client_.call<wire::OffsetCommitResponse>(
      coordinator(), request, kCommitVersion,
      [this, generation,
       newest = group_->newest_generation()](Result<wire::OffsetCommitResponse> response) {
        if (response && response->topics.at(0).partitions.at(0).error_code == 0)
          host_->world().violated(
              "GR3", fmt::format("a commit of generation {} was taken after {} was known",
                                 generation, newest));
      });
}

bool GroupMember::coordinator_is_elsewhere(int16_t error) {
  const auto code = static_cast<wire::ErrorCode>(error);
  const bool is_elsewhere = code == wire::ErrorCode::kNotCoordinator ||
                            code == wire::ErrorCode::kCoordinatorNotAvailable ||
                            code == wire::ErrorCode::kCoordinatorLoadInProgress;
  if (is_elsewhere) client_.doubt(coordinator());
  return is_elsewhere;
}

void GroupMember::react(int16_t error) {
  const auto code = static_cast<wire::ErrorCode>(error);
  if (code == wire::ErrorCode::kUnknownMemberId || code == wire::ErrorCode::kFencedInstanceId)
    member_id_.clear();
  coordinator_is_elsewhere(error);
  ++round_;
  stable_ = false;
  again(milliseconds(dice_.between({1, 100})), &GroupMember::join);
}

}  // namespace millrace::sim
