#include "sim/consumer_member.h"

#include <algorithm>
#include <ranges>

#include "wire/errors.h"
#include "wire/offset_commit.h"

namespace millrace::sim {
namespace {

constexpr int16_t kHeartbeatVersion = 1;
constexpr int16_t kCommitVersion = 9;
constexpr int16_t kOffsetFetchVersion = 9;
constexpr Duration kHeartbeatInterval = milliseconds(500);
constexpr Duration kCommitInterval = milliseconds(150);
constexpr int32_t kRebalanceTimeoutMs = 60'000;  // longer than any pause: it always gives up
constexpr Duration kSession = milliseconds(ConsumerMember::kSessionMs);

}  // namespace

// --- What they were told.

const ConsumerOracle::Claim* ConsumerOracle::other_owner(const std::string& member,
                                                         int32_t partition, Instant sent) const {
  const auto claim = claims_.find(partition);
  if (claim == claims_.end() || claim->second.member == member) return nullptr;
  const bool holds = claim->second.told < sent && world_->now() - claim->second.sent < kSession;
  return holds ? &claim->second : nullptr;
}

bool ConsumerOracle::may_be_gone() const {
  return members_.empty() || world_->now() - last_seen_ >= kSession;
}

void ConsumerOracle::told(const std::string& member, int32_t epoch, const Owned& partitions,
                          Instant sent) {
  if (may_be_gone()) {
    committed_.clear();
    ++life_;
  }
  last_seen_ = std::max(last_seen_, sent);
  const auto [at, is_first] = members_.try_emplace(member);
  Standing& standing = at->second;
  if (epoch < standing.epoch)
    world_->violated(rules_.epoch,
                     fmt::format("{} is told that its epoch is {}, which was {} before", member,
                                 epoch, standing.epoch));
  standing = {epoch, sent, world_->now(), is_first ? world_->now() : standing.since};
  keeps(member, partitions);
  for (const auto& [partition, number] : partitions) {
    if (const Claim* other = other_owner(member, partition, sent))
      world_->violated(partition < rules_.at_process ? rules_.owner : rules_.once_at_process,
                       fmt::format("{} is told that {} is its own, which {} was told before",
                                   member, partition, other->member));
    claims_[partition] = {member, sent, world_->now()};
  }
}

void ConsumerOracle::keeps(const std::string& member, const Owned& partitions) {
  std::erase_if(claims_, [&](const auto& claim) {
    return claim.second.member == member && !partitions.contains(claim.first);
  });
}

void ConsumerOracle::gives_up(const std::string& member) {
  members_.erase(member);
  keeps(member, {});
}

void ConsumerOracle::committed(const std::string& member, int32_t partition, const Commit& commit) {
  if (const Claim* other = other_owner(member, partition, commit.sent))
    world_->violated(rules_.commit,
                     fmt::format("a commit of {} for {} was taken, which {} was told is its",
                                 member, partition, other->member));
  auto& known = committed_[partition];
  const auto claim = claims_.find(partition);
  if (claim != claims_.end() && claim->second.member == member)
    known = std::max(known, commit.offset);
}

int64_t ConsumerOracle::committed(int32_t partition) const {
  const auto found = committed_.find(partition);
  return found == committed_.end() ? -1 : found->second;
}

void ConsumerOracle::fetched(int32_t partition, const Fetched& offset) {
  if (offset.told < offset.committed)
    world_->violated(rules_.fetch,
                     fmt::format("the committed offset of {} is {} after {} was committed",
                                 partition, offset.told, offset.committed));
}

// --- What one does.

ConsumerMember::ConsumerMember(const Site& site, ConsumerOracle& oracle,
                               ConsumerMemberOptions options)
    : host_(site.host),
      oracle_(&oracle),
      options_(std::move(options)),
      client_(site, "consumer-member"),
      dice_(host_->world().workload.next()),
      member_id_(fresh_id()) {}

std::string ConsumerMember::fresh_id() {
  return Uuid::of_words({dice_.next(), dice_.next()}).to_string();
}

void ConsumerMember::join() {
  oracle_->gives_up(member_id_);
  owned_.clear();
  epoch_ = 0;
  tells_all_ = true;
  beat(++round_);
}

void ConsumerMember::beat(uint64_t round) {
  if (round != round_) return;
  if (epoch_ > 0 && dice_.chance(leave_chance_)) return leave();
  send(epoch_, round);
}

void ConsumerMember::send(int32_t epoch, uint64_t round) {
  wire::ConsumerGroupHeartbeatRequest request;
  request.group_id = options_.group;
  request.member_id = member_id_;
  request.member_epoch = epoch;
  request.instance_id = options_.instance_id;
  request.topic_partitions.emplace();
  const auto keys = std::views::keys(owned_);
  if (!owned_.empty())
    request.topic_partitions->push_back(
        {.topic_id = topic_id_, .partitions = {keys.begin(), keys.end()}});
  if (tells_all_) {
    request.rebalance_timeout_ms = kRebalanceTimeoutMs;
    request.subscribed_topic_names = {options_.topic};
  }
  client_.call<Beat>(coordinator(), request, kHeartbeatVersion,
                     [this, round, sent = host_->world().now()](const Result<Beat>& answer) {
                       if (round == round_) answered(answer, sent);
                     });
}

bool ConsumerMember::is_in_group(std::optional<int16_t> error) {
  const auto code =
      error ? static_cast<wire::ErrorCode>(*error) : wire::ErrorCode::kRequestTimedOut;
  const bool is_elsewhere = code == wire::ErrorCode::kNotCoordinator ||
                            code == wire::ErrorCode::kCoordinatorNotAvailable ||
                            code == wire::ErrorCode::kCoordinatorLoadInProgress;
  if (is_elsewhere) client_.doubt(coordinator());
  // A join that may still arrive must not be taken for one of the member that it then is.
  if (!error && epoch_ == 0) {
    start_over(true);
  } else if (!error || is_elsewhere) {
    tells_all_ = true;
    beat_after(milliseconds(dice_.between({50, 300})));
  } else if (code != wire::ErrorCode::kNone) {
    start_over(false);
  }
  return code == wire::ErrorCode::kNone;
}

void ConsumerMember::beat_after(Duration pause) {
  host_->shard(0).after(pause, [this, round = round_] { beat(round); });
}

void ConsumerMember::answered(const Result<Beat>& answer, Instant sent) {
  if (!is_in_group(answer ? std::optional(answer->error_code) : std::nullopt)) return;
  epoch_ = answer->member_epoch;
  tells_all_ = false;
  if (answer->assignment) take(*answer->assignment);
  oracle_->told(member_id_, epoch_, owned_, sent);
  beat_after(kHeartbeatInterval);
}

void ConsumerMember::take(const Beat::Assignment& assignment) {
  std::set<int32_t> now;
  for (const auto& topic : assignment.topic_partitions) {
    topic_id_ = topic.topic_id;
    now.insert(topic.partitions.begin(), topic.partitions.end());
  }
  std::erase_if(owned_, [&](const auto& each) { return !now.contains(each.first); });
  for (const int32_t partition : now)
    if (!owned_.contains(partition)) begin(partition);
}

void ConsumerMember::begin(int32_t partition) {
  const uint64_t number = owned_[partition] = ++last_tenure_;
  find_position({partition, round_, number});
}

bool ConsumerMember::has(const Tenure& tenure) const {
  const auto at = owned_.find(tenure.partition);
  return tenure.round == round_ && at != owned_.end() && at->second == tenure.number;
}

void ConsumerMember::leave() {
  oracle_->gives_up(member_id_);
  owned_.clear();
  const bool for_a_while = options_.instance_id && dice_.chance(0.5);
  const uint64_t round = ++round_;
  send(for_a_while ? -2 : -1, round);
  ++round_;  // whatever the answer is
  host_->shard(0).after(milliseconds(dice_.between({10, 2000})), [this, now = round_] {
    if (now == round_) start_over(true);
  });
}

void ConsumerMember::start_over(bool as_another) {
  oracle_->gives_up(member_id_);
  owned_.clear();
  epoch_ = 0;
  if (as_another) member_id_ = fresh_id();
  host_->shard(0).after(milliseconds(dice_.between({10, 300})), [this, round = ++round_] {
    if (round == round_) join();
  });
}

void ConsumerMember::find_position(Tenure tenure) {
  if (!has(tenure)) return;
  wire::OffsetFetchRequest request;
  auto& group = request.groups.emplace_back();
  group.group_id = options_.group;
  group.member_id = member_id_;
  group.member_epoch = epoch_;
  const TopicPartition place = place_of(tenure.partition);
  group.topics = {{.name = place.topic, .partition_indexes = {place.partition.value()}}};
  client_.call<wire::OffsetFetchResponse>(
      coordinator(), request, kOffsetFetchVersion,
      [this, tenure, then = oracle_->committed(tenure.partition)](
          const Result<wire::OffsetFetchResponse>& answer) {
        if (tenure.round != round_) return;
        if (!answer || answer->groups.at(0).error_code != 0) {
          host_->shard(0).after(milliseconds(100), [=, this] { find_position(tenure); });
          return;
        }
        const int64_t told = answer->groups[0].topics.at(0).partitions.at(0).committed_offset;
        oracle_->fetched(tenure.partition, {.told = told, .committed = then});
        work(tenure, told);
      });
}

void ConsumerMember::commit(Tenure tenure, int64_t offset) {
  if (!has(tenure)) return;
  wire::OffsetCommitRequest request;
  request.group_id = options_.group;
  request.generation_id_or_member_epoch = epoch_;
  request.member_id = member_id_;
  request.group_instance_id = options_.instance_id;
  auto& topic = request.topics.emplace_back();
  const TopicPartition place = place_of(tenure.partition);
  topic.name = place.topic;
  topic.partitions.push_back(
      {.partition_index = place.partition.value(), .committed_offset = offset});
  client_.call<wire::OffsetCommitResponse>(
      coordinator(), request, kCommitVersion,
      [=, this, member = member_id_,
       sent = host_->world().now()](const Result<wire::OffsetCommitResponse>& answer) {
        const bool taken = answer && answer->topics.at(0).partitions.at(0).error_code == 0;
        if (taken) oracle_->committed(member, tenure.partition, {offset, sent});
        if (tenure.round != round_) return;
        host_->shard(0).after(kCommitInterval,
                              [=, this] { taken ? work(tenure, offset) : commit(tenure, offset); });
      });
}

}  // namespace millrace::sim
