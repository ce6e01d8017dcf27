#include "sim/streams_member.h"

#include <algorithm>

#include "base/probe.h"
#include "sim/consumer.h"
#include "wire/errors.h"
#include "wire/offset_commit.h"

namespace millrace::sim {
namespace {

constexpr int16_t kHeartbeatVersion = 0;
constexpr int16_t kCommitVersion = 9;
constexpr int32_t kRebalanceTimeoutMs = 60'000;  // longer than any pause: it always stops in time
constexpr int32_t kShortRebalanceTimeoutMs = 3000;
constexpr double kStopsNothingChance = 0.1;  // of a member that joins
constexpr double kStopChance = 0.5;          // of tasks that are to be stopped, at each heartbeat
constexpr double kLeaveChance = 0.05;
constexpr double kDieChance = 0.5;  // of one that goes
constexpr double kLateCommitChance = 0.5;

using TaskIds = wire::StreamsGroupHeartbeatRequest::TaskIds;

}  // namespace

StreamsMember::StreamsMember(const Site& site, Oracle& records, ConsumerOracle& oracle,
                             StreamsMemberOptions options)
    : ConsumerMember(site, oracle, {.group = options.group, .topic = options.topology->topic}),
      records_(&records),
      own_(std::move(options)),
      reader_(site, "streams-reader") {
  leave_chance_ = kLeaveChance;
}

StreamsMember::Tasks StreamsMember::active() const {
  Tasks tasks;
  for (const auto& [partition, tenure] : owned_) tasks.insert(partition);
  return tasks;
}

void StreamsMember::stop_tasks() {
  if (stops_nothing_ || !dice_.chance(kStopChance)) return;
  std::erase_if(owned_, [&](const auto& each) {
    const bool stops = !given_.contains(each.first);
    if (stops) stopped_.push_back({each.first, epoch_});
    return stops;
  });
  oracle_->keeps(member_id_, claims());
}

ConsumerOracle::Owned StreamsMember::claims() const {
  ConsumerOracle::Owned claims = owned_;
  const int32_t process = kAtProcess * (own_.process + 1);
  for (const auto& [task, tenure] : owned_) claims[process + task] = 0;
  for (const int32_t task : standby_) claims[process + task] = 0;
  return claims;
}

// What does not change with time it says when it joins.
void StreamsMember::tell_all(Request& request) {
  stops_nothing_ = !is_finishing_ && dice_.chance(kStopsNothingChance);
  if (stops_nothing_) PROBE("sim.streams_member_that_stops_nothing");
  given_.clear();
  standby_.clear();
  stopped_.clear();
  request.rebalance_timeout_ms = stops_nothing_ ? kShortRebalanceTimeoutMs : kRebalanceTimeoutMs;
  request.process_id = fmt::format("process-{}", own_.process);
  request.topology = own_.topology->to_wire();
  endpoint_epoch_ = kKnowsNothing;
  if (own_.endpoints == nullptr) return;
  endpoint_ = own_.endpoints->fresh();
  request.user_endpoint = {.host = *request.process_id, .port = endpoint_};
}

void StreamsMember::send(int32_t epoch, uint64_t round) {
  Request request;
  request.group_id = own_.group;
  request.member_id = member_id_;
  request.member_epoch = epoch;
  if (epoch == 0) tell_all(request);
  if (epoch > 0) stop_tasks();
  const Tasks tasks = active();
  if (tells_all_ || tasks != said_active_ || standby_ != said_standby_) {
    request.active_tasks = ids_of<TaskIds>(tasks);
    request.standby_tasks = ids_of<TaskIds>(standby_);
    request.warmup_tasks.emplace();
  }
  if (own_.endpoints) request.endpoint_information_epoch = endpoint_epoch_;
  if (own_.endpoints && endpoint_epoch_ == kKnowsNothing) own_.endpoints->forgets(endpoint_);
  client_.call<Beat>(
      coordinator(), request, kHeartbeatVersion,
      [=, this, standby = standby_, knew = endpoint_epoch_,
       sent = host_->world().now()](const Result<Beat>& answer) {
        if (round != round_) return;
        said_active_ = tasks;
        said_standby_ = standby;
        if (own_.endpoints && answer && answer->error_code == 0 && knew == endpoint_epoch_) {
          own_.endpoints->told(endpoint_, knew, *answer);
          endpoint_epoch_ = answer->endpoint_information_epoch;
        }
        answered(answer, sent);
      });
}

void StreamsMember::answered(const Result<Beat>& answer, Instant sent) {
  const std::optional<int16_t> error = answer ? std::optional(answer->error_code) : std::nullopt;
  const bool was_removed = error == wire::code_of(wire::ErrorCode::kUnknownMemberId);
  if (was_removed && !owned_.empty()) {
    commit_late({owned_.begin()->first, epoch_});
    return start_over(true);
  }
  if (!is_in_group(error)) return;
  const int32_t before = std::exchange(epoch_, answer->member_epoch);
  tells_all_ = false;
  if (answer->active_tasks) take(*answer);
  if (stops_nothing_)
    oracle_->gives_up(member_id_);
  else
    oracle_->told(member_id_, epoch_, claims(), sent);
  if (epoch_ > before)
    for (const Stopped& each : std::exchange(stopped_, {}))
      if (!owned_.contains(each.task) && dice_.chance(kLateCommitChance)) commit_late(each);
  beat_after(milliseconds(answer->heartbeat_interval_ms));
}

void StreamsMember::take(const Beat& beat) {
  given_ = tasks_of(*beat.active_tasks);
  standby_ = tasks_of(*beat.standby_tasks);
  for (const int32_t task : given_)
    if (standby_.contains(task))
      host_->world().violated(
          "SG6", fmt::format("{} is told that task {} is active and a standby", member_id_, task));
  if (!given_.empty() || !standby_.empty()) own_.on_tasks();
  if (!standby_.empty()) PROBE("sim.streams_standby");
  for (const int32_t partition : given_)
    if (!owned_.contains(partition)) begin(partition);
}

void StreamsMember::leave() {
  if (!dice_.chance(kDieChance)) return ConsumerMember::leave();
  PROBE("sim.streams_member_dies");
  oracle_->gives_up(member_id_);
  owned_.clear();
  host_->shard(0).after(milliseconds(dice_.between({10, 2 * kSessionMs})),
                        [this, round = ++round_, as_another = dice_.chance(0.5)] {
                          if (round == round_) start_over(as_another);
                        });
}

void StreamsMember::work(Tenure tenure, int64_t position) {
  if (!has(tenure)) return;
  // What the first subtopology writes anew is nothing.
  if (tenure.partition >= StreamsTopology::kOfSecond) return commit(tenure, position + 1);
  const int64_t from = std::max<int64_t>(0, position);
  const auto later = [this, tenure](int64_t next) {
    host_->shard(0).after(milliseconds(100), [=, this] { work(tenure, next); });
  };
  fetch(reader_, *records_,
        {.topic = own_.topology->topic, .partition = tenure.partition, .offset = from},
        [=, this](std::optional<FetchedPartition> fetched, const Oracle::Contents& records) {
          if (!has(tenure)) return;
          if (fetched && fetched->error != 0)
            return find_log_start(
                reader_, own_.topology->topic, tenure.partition,
                [=](std::optional<int64_t> start) { later(std::max(from, start.value_or(0))); });
          if (!fetched || fetched->next_offset == from) return later(from);
          for (const auto& [offset, value] : records)
            records_->consumed(tenure.partition, offset, value);
          commit(tenure, fetched->next_offset);
        });
}

// As if it had been under way for long.
void StreamsMember::commit_late(const Stopped& task) {
  wire::OffsetCommitRequest request{
      .group_id = own_.group, .generation_id_or_member_epoch = task.epoch, .member_id = member_id_};
  const TopicPartition place = place_of(task.task);
  request.topics.push_back({.name = place.topic});
  request.topics[0].partitions.push_back(
      {.partition_index = place.partition.value(), .committed_offset = 0});
  client_.call<wire::OffsetCommitResponse>(
      coordinator(), request, kCommitVersion,
      [=, this, now = epoch_](const Result<wire::OffsetCommitResponse>& answer) {
        if (!answer) return;
        PROBE("sim.streams_late_commit");
        if (answer->topics.at(0).partitions.at(0).error_code == 0)
          host_->world().violated(
              "SG4", fmt::format("a commit of {} for {} was taken, which it had until epoch {}; it "
                                 "is at {}",
                                 member_id_, task.task, task.epoch, now));
      });
}

}  // namespace millrace::sim
