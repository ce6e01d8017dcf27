#include "replica/fetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/probe.h"
#include "wire/errors.h"

namespace millrace::replica {
namespace {

using wire::ErrorCode;

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;

template <class Topics>
auto& topic_of(Topics& topics, const Uuid& id) {
  if (topics.empty() || topics.back().topic_id != id) topics.emplace_back().topic_id = id;
  return topics.back();
}

bool ends_session(int16_t code) {
  using enum ErrorCode;
  return code == wire::code_of(kFetchSessionIdNotFound) ||
         code == wire::code_of(kInvalidFetchSessionEpoch) ||
         code == wire::code_of(kFetchSessionTopicIdError);
}

}  // namespace

Offset truncation_target(const TruncationEnds& ends, Offset log_end) {
  const auto& [leader, ours] = ends;
  const bool known = leader.epoch != kNoLeaderEpoch && ours.end.value() >= 0;
  if (!known) return std::min(leader.end, log_end);
  // Of an epoch that we do not have the leader's end says nothing about our log.
  if (ours.epoch != leader.epoch) return std::min(ours.end, log_end);
  return std::min({ours.end, leader.end, log_end});
}

void Fetcher::add(const Followed& partition) {
  auto [entry, fresh] = partitions_.try_emplace(partition.id);
  Partition& known = entry->second;
  if (!fresh && known.leader_epoch >= partition.leader_epoch) return;
  known = {.name = partition.name, .leader_epoch = partition.leader_epoch, .log = {}};
}

void Fetcher::remove(const TopicIdPartition& id) {
  partitions_.erase(id);
  if (!partitions_.empty()) return;
  forget_requests();
  not_before_ = patient_until_ = {};
  failures_ = 0;
}

void Fetcher::forget_requests() {
  fetch_under_way_ = lookup_under_way_ = false;
  for (Entry& entry : partitions_) entry.second.asked = false;
  end_session();
}

bool Fetcher::any_changing() const {
  return std::ranges::any_of(partitions_,
                             [](const Entry& e) { return e.second.stage == Stage::kChanging; });
}

Fetcher::Request::FetchPartition Fetcher::wanted(const Entry& entry) const {
  const Partition& p = entry.second;
  return {.partition = entry.first.partition.value(),
          .current_leader_epoch = p.leader_epoch.value(),
          .fetch_offset = p.log.durable_end.value(),
          .last_fetched_epoch = p.log.last_epoch.value(),
          .log_start_offset = p.log.log_start.value(),
          .partition_max_bytes = options_.partition_max_bytes};
}

void Fetcher::name_partition(Request& request, const Entry& entry) {
  const Told told{entry.second.leader_epoch, entry.second.log};
  auto [known, fresh] = in_session_.try_emplace(entry.first, told);
  if (!fresh && std::exchange(known->second, told) == told) return;
  topic_of(request.topics, entry.first.topic_id).partitions.push_back(wanted(entry));
}

void Fetcher::forget_partitions(Request& request, Instant now) {
  std::erase_if(in_session_, [&](const auto& known) {
    auto found = partitions_.find(known.first);
    if (found != partitions_.end() && is_ready(found->second, now)) return false;
    topic_of(request.forgotten_topics_data, known.first.topic_id)
        .partitions.push_back(known.first.partition.value());
    return true;
  });
}

std::optional<wire::FetchRequest> Fetcher::next_fetch(Instant now) {
  if (fetch_under_way_ || now < not_before_) return std::nullopt;
  const bool changing = any_changing();
  if (changing && now < patient_until_) return std::nullopt;
  hold_back(now);
  const bool any =
      std::ranges::any_of(partitions_, [&](const Entry& e) { return is_ready(e.second, now); });
  if (!any) return std::nullopt;
  const Duration wait = changing ? std::min(kPatience, options_.wait_max) : options_.wait_max;
  Request request{
      .replica_state = {.replica_id = options_.self.value(),
                        .replica_epoch = broker_epoch_.value()},
      .max_wait_ms = static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(wait).count()),
      .min_bytes = options_.min_bytes,
      .max_bytes = options_.response_max_bytes,
      .session_id = session_id_,
      .session_epoch = session_epoch_};
  if (session_id_ == 0) in_session_.clear();
  forget_partitions(request, now);
  for (Entry& entry : partitions_) {
    if (entry.second.stage != Stage::kFetching) continue;  // a lookup may have asked for it
    entry.second.asked = is_ready(entry.second, now);
    if (entry.second.asked) name_partition(request, entry);
  }
  fetch_under_way_ = true;
  return request;
}

void Fetcher::hold_back(Instant now) {
  if (!held_) return;
  for (Entry& entry : partitions_) {
    Partition& p = entry.second;
    if (p.is_behind && is_ready(p, now) && held_(entry.first)) p.not_before = now + kHeldPause;
  }
}

Instant Fetcher::next_deadline(Instant now) const {
  Instant deadline = Instant::never();
  if (partitions_.empty()) return deadline;
  if (now < not_before_) return not_before_;
  if (!fetch_under_way_ && now < patient_until_) deadline = patient_until_;
  for (const auto& [id, p] : partitions_)
    if (now < p.not_before) deadline = std::min(deadline, p.not_before);
  return deadline;
}

void Fetcher::end_session() {
  session_id_ = session_epoch_ = 0;
  in_session_.clear();
}

std::vector<LogAction> Fetcher::on_fetched(const wire::FetchResponse& response, Instant now) {
  std::vector<LogAction> actions;
  fetch_under_way_ = false;
  if (response.error_code != 0) {
    if (!ends_session(response.error_code)) not_before_ = now + backoff(failures_++);
    end_session();
    return actions;
  }
  failures_ = 0;
  if (response.session_id == 0) {
    end_session();
  } else {
    session_id_ = response.session_id;
    session_epoch_ = session_epoch_ == INT32_MAX ? 1 : session_epoch_ + 1;
  }
  for (const auto& topic : response.responses)
    for (const auto& data : topic.partitions) {
      auto found = partitions_.find({topic.topic_id, PartitionIndex(data.partition_index)});
      // Not ours any more, or in another epoch by now: it is asked anew.
      if (found == partitions_.end() || !std::exchange(found->second.asked, false)) continue;
      if (auto action = take(*found, data, now)) actions.push_back(std::move(*action));
    }
  for (Entry& entry : partitions_)
    if (entry.second.stage == Stage::kFetching) entry.second.asked = false;
  patient_until_ = now + kPatience;
  return actions;
}

std::optional<LogAction> Fetcher::take(Entry& entry, const PartitionData& data, Instant now) {
  Partition& p = entry.second;
  if (p.stage != Stage::kFetching) return std::nullopt;
  switch (static_cast<ErrorCode>(data.error_code)) {
    case ErrorCode::kNone: return take_data(entry, data);
    case ErrorCode::kOffsetOutOfRange: p.stage = Stage::kLooksForEnd; return std::nullopt;
    // A newer leader epoch will come with the metadata.
    case ErrorCode::kFencedLeaderEpoch: p.stage = Stage::kFenced; return std::nullopt;
    default: back_off(p, now); return std::nullopt;
  }
}

LogAction Fetcher::take_data(Entry& entry, const PartitionData& data) {
  auto& [id, p] = entry;
  p.stage = Stage::kChanging;
  if (data.diverging_epoch.end_offset >= 0) {
    PROBE("fetcher.diverges");
    return Truncate{
        id,
        p.leader_epoch,
        {LeaderEpoch(data.diverging_epoch.epoch), Offset(data.diverging_epoch.end_offset)}};
  }
  p.leader_high_watermark = Offset(data.high_watermark);
  return Append{.id = id,
                .leader_epoch = p.leader_epoch,
                .at = p.log.durable_end,
                .records = data.records.bytes,
                .high_watermark = Offset(data.high_watermark),
                .log_start = Offset(data.log_start_offset)};
}

void Fetcher::on_disconnected(Instant now) {
  forget_requests();
  not_before_ = now + backoff(failures_++);
}

std::optional<wire::ListOffsetsRequest> Fetcher::next_lookup(Instant now) {
  if (lookup_under_way_ || now < not_before_) return std::nullopt;
  wire::ListOffsetsRequest request{.replica_id = options_.self.value()};
  for (auto& [id, p] : partitions_) {
    const bool for_end = p.stage == Stage::kLooksForEnd;
    if ((!for_end && p.stage != Stage::kLooksForStart) || now < p.not_before) continue;
    p.asked = true;
    if (request.topics.empty() || request.topics.back().name != p.name.topic)
      request.topics.emplace_back().name = p.name.topic;
    request.topics.back().partitions.push_back({.partition_index = id.partition.value(),
                                                .current_leader_epoch = p.leader_epoch.value(),
                                                .timestamp = for_end ? kLatest : kEarliest});
  }
  if (request.topics.empty()) return std::nullopt;
  lookup_under_way_ = true;
  return request;
}

std::vector<LogAction> Fetcher::on_looked_up(const wire::ListOffsetsResponse& response,
                                             Instant now) {
  std::vector<LogAction> actions;
  lookup_under_way_ = false;
  std::map<TopicPartition, const wire::ListOffsetsResponse::ListOffsetsPartitionResponse*> answers;
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions)
      answers[{topic.name, PartitionIndex(each.partition_index)}] = &each;
  for (Entry& entry : partitions_) {
    Partition& p = entry.second;
    const bool looks = p.stage == Stage::kLooksForEnd || p.stage == Stage::kLooksForStart;
    if (!looks || !std::exchange(p.asked, false)) continue;
    auto answer = answers.find(p.name);
    if (answer == answers.end() || answer->second->error_code != 0 || answer->second->offset < 0)
      back_off(p, now);
    else if (auto action = take_end(entry, Offset(answer->second->offset), now))
      actions.push_back(std::move(*action));
  }
  return actions;
}

std::optional<LogAction> Fetcher::take_end(Entry& entry, Offset end, Instant now) {
  auto& [id, p] = entry;
  if (p.stage == Stage::kLooksForEnd && end >= p.log.durable_end) {
    p.stage = Stage::kLooksForStart;  // ours must lie before the leader's start
    return std::nullopt;
  }
  const bool leader_ends_before = p.stage == Stage::kLooksForEnd;
  if (!leader_ends_before && end <= p.log.durable_end) {
    p.stage = Stage::kFetching;  // in range by now
    back_off(p, now);
    return std::nullopt;
  }
  p.stage = Stage::kChanging;
  if (leader_ends_before) return Truncate{id, p.leader_epoch, {kNoLeaderEpoch, end}};
  PROBE("fetcher.starts_over");
  return StartOver{id, p.leader_epoch, end};
}

void Fetcher::on_log(const TopicIdPartition& id, LeaderEpoch leader_epoch, const FollowedLog& log) {
  auto found = partitions_.find(id);
  if (found == partitions_.end() || found->second.leader_epoch != leader_epoch) return;
  found->second.log = log;
  found->second.is_behind = log.durable_end < found->second.leader_high_watermark;
  found->second.stage = Stage::kFetching;
  found->second.failures = 0;
}

bool Fetcher::on_log_failed(const TopicIdPartition& id, LeaderEpoch leader_epoch, Instant now) {
  auto found = partitions_.find(id);
  if (found == partitions_.end() || found->second.leader_epoch != leader_epoch) return false;
  found->second.stage = Stage::kFetching;
  back_off(found->second, now);
  return found->second.failures == 1;
}

// Short at first: a leader that was just elected may not know it yet.
Duration Fetcher::backoff(int failures) const {
  return std::min(kFirstBackoff * (1 << std::min(failures, 10)), options_.backoff_max);
}

void Fetcher::back_off(Partition& partition, Instant now) {
  partition.not_before = now + backoff(partition.failures++);
}

void Fetcher::check_invariants() const {
  for (const auto& [id, p] : partitions_)
    ASSERT(!p.asked || p.stage != Stage::kChanging, "FT1: {} is asked for while it changes",
           p.name.to_string());
  ASSERT(session_id_ != 0 || session_epoch_ == 0, "FT2: epoch {} of no session", session_epoch_);
}

std::string Fetcher::describe() const {
  std::string text = fmt::format("fetcher session {}/{}{}", session_id_, session_epoch_,
                                 fetch_under_way_ ? " waits" : "");
  for (const auto& [id, p] : partitions_)
    text += fmt::format("; {} epoch {} at {} stage {}", p.name.to_string(), p.leader_epoch,
                        p.log.durable_end, static_cast<int>(p.stage));
  return text;
}

}  // namespace millrace::replica
