#include "sim/migrating_member.h"

#include <algorithm>
#include <ranges>

#include "base/probe.h"
#include "wire/errors.h"
#include "wire/leave_group.h"
#include "wire/offset_commit.h"

namespace millrace::sim {
namespace {

using wire::ErrorCode;

constexpr int16_t kJoinVersion = 5;
constexpr int16_t kSyncVersion = 3;
constexpr int16_t kHeartbeatVersion = 3;
constexpr int16_t kLeaveVersion = 3;
constexpr int16_t kCommitVersion = 9;
constexpr int16_t kEager = 0,
                  kCooperative = 1;  // versions of a subscription: without or with owned
constexpr Duration kHeartbeatInterval = milliseconds(500);
constexpr Duration kJoinTimeout = seconds(20);  // it waits for others
constexpr Duration kTimeout = seconds(5);
// Longer than a session: whoever does not join again has not been heard of for so long either.
constexpr int32_t kRebalanceTimeoutMs = 8000;
constexpr double kLeaveChance = 0.06;
constexpr double kDieChance = 0.4;     // of one that goes
constexpr double kSwitchChance = 0.7;  // of one that comes back
constexpr double kLateCommitChance = 0.5;
constexpr int kPatience = 5;  // joins that are refused
constexpr double kTurnBackChance = 0.2;

GroupProtocol other(GroupProtocol protocol) {
  return protocol == GroupProtocol::kClassic ? GroupProtocol::kConsumer : GroupProtocol::kClassic;
}

std::set<int32_t> partitions_of(const auto& topics) {
  std::set<int32_t> partitions;
  for (const auto& topic : topics)
    partitions.insert(topic.partitions.begin(), topic.partitions.end());
  return partitions;
}

}  // namespace

MigratingMember::MigratingMember(const Site& site, ConsumerOracle& oracle,
                                 MigratingMemberOptions options)
    : ConsumerMember(
          site, oracle,
          {.group = options.group, .topic = options.topic, .instance_id = options.instance_id}),
      own_(std::move(options)),
      protocol_(own_.first),
      next_(own_.first) {
  leave_chance_ = kLeaveChance;
}

void MigratingMember::finish(GroupProtocol protocol) {
  last_ = next_ = protocol;
  leave_chance_ = protocol == protocol_ ? 0 : 1;
}

bool MigratingMember::is_settled() const {
  return last_ == protocol_ && epoch_ > 0 && !has_to_join_;
}

// Who is not let in, because the group does not migrate so, may think better of it.
void MigratingMember::choose_protocol() {
  if (++joins_in_vain_ > kPatience && !last_ && dice_.chance(kTurnBackChance))
    next_ = other(protocol_);
  if (next_ == protocol_) return;
  protocol_ = next_;
  member_id_ = fresh_id();
  has_to_join_ = false;
  joins_in_vain_ = 0;
  PROBE(is_classic() ? "sim.migrated_to_classic" : "sim.migrated_to_consumer");
  if (last_) leave_chance_ = 0;
}

void MigratingMember::leave() {
  if (!last_ && dice_.chance(kSwitchChance)) next_ = other(protocol_);
  joins_in_vain_ = 0;
  if (!dice_.chance(kDieChance)) return ConsumerMember::leave();
  oracle_->gives_up(member_id_);
  owned_.clear();
  host_->shard(0).after(milliseconds(dice_.between({10, 2 * kSessionMs})),
                        [this, round = ++round_] {
                          if (round == round_) start_over(true);
                        });
}

void MigratingMember::send(int32_t epoch, uint64_t round) {
  if (epoch == 0) choose_protocol();
  client_.timeout = kTimeout;
  if (epoch > 0) joins_in_vain_ = 0;
  if (epoch >= 0 && !has_to_join_) commit_late();
  if (!is_classic()) return ConsumerMember::send(epoch, round);
  if (epoch < 0) {
    if (epoch == -1) leave_group();
  } else if (epoch == 0 || has_to_join_) {
    join_group(round);
  } else {
    heartbeat(round);
  }
}

void MigratingMember::commit_late() {
  for (const int32_t partition : had_)
    if (had_in_ < epoch_ && !owned_.contains(partition) && dice_.chance(kLateCommitChance))
      commit_late({.partition = partition, .epoch = had_in_});
  const auto keys = std::views::keys(owned_);
  had_ = {keys.begin(), keys.end()};
  had_in_ = epoch_;
}

void MigratingMember::commit_late(const Past& past) {
  wire::OffsetCommitRequest request{.group_id = own_.group,
                                    .generation_id_or_member_epoch = past.epoch,
                                    .member_id = member_id_,
                                    .group_instance_id = own_.instance_id};
  request.topics.push_back({.name = own_.topic});
  request.topics[0].partitions.push_back(
      {.partition_index = past.partition, .committed_offset = 0});
  client_.call<wire::OffsetCommitResponse>(
      coordinator(), request, kCommitVersion,
      [this, past, now = epoch_](const Result<wire::OffsetCommitResponse>& answer) {
        if (!answer) return;
        PROBE("sim.migrating_late_commit");
        if (answer->topics.at(0).partitions.at(0).error_code == 0)
          host_->world().violated(
              "GR3", fmt::format("a commit for {} was taken of a member that had it until epoch "
                                 "{}; it is at {}",
                                 past.partition, past.epoch, now));
      });
}

// --- As a classic member.

ByteBuffer MigratingMember::subscription() const {
  wire::ConsumerProtocolSubscription subscription{.topics = {own_.topic}};
  const auto keys = std::views::keys(owned_);
  if (own_.is_cooperative && !owned_.empty())
    subscription.owned_partitions.push_back(
        {.topic = own_.topic, .partitions = {keys.begin(), keys.end()}});
  return wire::encode_value(subscription, own_.is_cooperative ? kCooperative : kEager);
}

void MigratingMember::join_group(uint64_t round) {
  has_to_join_ = true;
  if (!own_.is_cooperative) owned_.clear();
  oracle_->keeps(member_id_, owned_);
  wire::JoinGroupRequest request{.group_id = own_.group,
                                 .session_timeout_ms = kSessionMs,
                                 .rebalance_timeout_ms = kRebalanceTimeoutMs,
                                 .member_id = member_id_ == classic_id_ ? member_id_ : "",
                                 .group_instance_id = own_.instance_id,
                                 .protocol_type = "consumer"};
  request.protocols.push_back(
      {.name = own_.is_cooperative ? "cooperative-sticky" : "range", .metadata = subscription()});
  client_.timeout = kJoinTimeout;
  client_.call<wire::JoinGroupResponse>(coordinator(), request, kJoinVersion,
                                        [this, round](const auto& answer) {
                                          if (round == round_) joined(answer);
                                        });
  client_.timeout = kTimeout;
}

void MigratingMember::join_again(Duration pause) {
  has_to_join_ = true;
  beat_after(pause);
}

bool MigratingMember::reacts(std::optional<int16_t> error) {
  if (error == 0) return false;
  const Duration pause = milliseconds(dice_.between({1, 200}));
  if (!error) {
    beat_after(pause);
    return true;
  }
  switch (static_cast<ErrorCode>(*error)) {
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kCoordinatorLoadInProgress:
      client_.doubt(coordinator());
      beat_after(pause);
      break;
    case ErrorCode::kIllegalGeneration:  // the others went on without it
      owned_.clear();
      oracle_->keeps(member_id_, owned_);
      join_again(pause);
      break;
    case ErrorCode::kRebalanceInProgress: join_again(pause); break;
    default: start_over(true);
  }
  return true;
}

void MigratingMember::joined(const Result<wire::JoinGroupResponse>& answer) {
  // A join that may still arrive must not be taken for one of the member that it then is.
  if (!answer) return start_over(true);
  if (answer->error_code == wire::code_of(ErrorCode::kMemberIdRequired)) {
    member_id_ = classic_id_ = answer->member_id;
    return join_again(Duration(0));
  }
  if (reacts(answer->error_code)) return;
  // It may have been removed meanwhile, and be a new member under its id, of a group made anew.
  if (host_->world().now() - heard_ >= milliseconds(kSessionMs)) oracle_->gives_up(member_id_);
  member_id_ = classic_id_ = answer->member_id;
  epoch_ = answer->generation_id;
  sync_group(*answer);
}

// Everybody keeps what it has, up to a fair share; what is beyond that nobody gets before it was
// given up.
std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> MigratingMember::assign(
    const wire::JoinGroupResponse& joined) const {
  std::map<std::string, std::set<int32_t>> shares;
  std::map<int32_t, std::string> owners;
  for (const auto& member : joined.members) {
    shares[member.member_id];
    const auto value = wire::decode_value<wire::ConsumerProtocolSubscription>(member.metadata);
    if (!value) continue;
    for (const int32_t partition : partitions_of(value->owned_partitions))
      owners[partition] = member.member_id;
  }
  const size_t most = (static_cast<size_t>(own_.partitions) + shares.size() - 1) / shares.size();
  for (const auto& [partition, owner] : owners)
    if (shares[owner].size() < most) shares[owner].insert(partition);
  for (int32_t i = 0; i < own_.partitions; ++i)
    if (!owners.contains(i))
      std::ranges::min_element(shares, {}, [](const auto& share) {
        return share.second.size();
      })->second.insert(i);
  std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> encoded;
  for (const auto& [member, partitions] : shares) {
    wire::ConsumerProtocolAssignment share;
    share.assigned_partitions.push_back(
        {.topic = own_.topic, .partitions = {partitions.begin(), partitions.end()}});
    encoded.push_back({.member_id = member, .assignment = wire::encode_value(share, 0)});
  }
  return encoded;
}

// In a group of the consumer protocol nobody leads: the coordinator has assigned.
void MigratingMember::sync_group(const wire::JoinGroupResponse& joined) {
  wire::SyncGroupRequest request{.group_id = own_.group,
                                 .generation_id = epoch_,
                                 .member_id = member_id_,
                                 .group_instance_id = own_.instance_id};
  if (joined.leader == member_id_ && !joined.members.empty()) request.assignments = assign(joined);
  client_.call<wire::SyncGroupResponse>(
      coordinator(), request, kSyncVersion,
      [this, round = round_, sent = host_->world().now()](const auto& answer) {
        if (round == round_) synced(answer, sent);
      });
}

void MigratingMember::synced(const Result<wire::SyncGroupResponse>& answer, Instant sent) {
  if (reacts(answer ? std::optional(answer->error_code) : std::nullopt)) return;
  std::set<int32_t> now;
  if (!answer->assignment.empty()) {
    const auto given = wire::decode_value<wire::ConsumerProtocolAssignment>(answer->assignment);
    if (!given)
      return host_->world().violated(
          "GR2", "an assignment is not what the leader sent: " + given.error().message);
    now = partitions_of(given->assigned_partitions);
  }
  const bool gives_up =
      std::ranges::any_of(owned_, [&](const auto& each) { return !now.contains(each.first); });
  take(now);
  has_to_join_ = false;
  heard_ = sent;
  oracle_->told(member_id_, epoch_, owned_, sent);
  if (gives_up) return join_again(milliseconds(dice_.between({1, 100})));
  beat_after(kHeartbeatInterval);
}

void MigratingMember::take(const std::set<int32_t>& partitions) {
  std::erase_if(owned_, [&](const auto& each) { return !partitions.contains(each.first); });
  for (const int32_t partition : partitions)
    if (!owned_.contains(partition)) begin(partition);
}

void MigratingMember::heartbeat(uint64_t round) {
  const wire::HeartbeatRequest request{.group_id = own_.group,
                                       .generation_id = epoch_,
                                       .member_id = member_id_,
                                       .group_instance_id = own_.instance_id};
  client_.call<wire::HeartbeatResponse>(
      coordinator(), request, kHeartbeatVersion,
      [this, round, sent = host_->world().now()](const Result<wire::HeartbeatResponse>& answer) {
        if (round != round_) return;
        if (reacts(answer ? std::optional(answer->error_code) : std::nullopt)) return;
        heard_ = sent;
        oracle_->told(member_id_, epoch_, owned_, sent);
        beat_after(kHeartbeatInterval);
      });
}

void MigratingMember::leave_group() {
  wire::LeaveGroupRequest request{.group_id = own_.group};
  request.members.push_back({.member_id = member_id_, .group_instance_id = own_.instance_id});
  client_.call<wire::LeaveGroupResponse>(coordinator(), request, kLeaveVersion,
                                         [](const Result<wire::LeaveGroupResponse>&) {});
}

}  // namespace millrace::sim
