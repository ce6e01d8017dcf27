#include "share/share_sessions.h"

#include <algorithm>

#include "base/assert.h"

namespace millrace::share {

using wire::ErrorCode;

int32_t next_session_epoch(int32_t epoch) {
  if (epoch < 0) return kFinalEpoch;
  return epoch == INT32_MAX ? 1 : epoch + 1;
}

std::vector<TopicIdPartition> ShareSessions::in_order(const Session& session) {
  std::vector<std::pair<uint64_t, TopicIdPartition>> placed;
  for (const auto& [partition, known] : session.partitions)
    placed.emplace_back(known.place, partition);
  std::ranges::sort(placed);
  std::vector<TopicIdPartition> result;
  result.reserve(placed.size());
  for (const auto& [place, partition] : placed) result.push_back(partition);
  return result;
}

ShareSessions::Begun ShareSessions::begin_session(const FetchRequest& request) {
  if (request.acknowledges) return {.error = ErrorCode::kInvalidRequest};
  remove(request.key);
  if (sessions_.size() >= most_) return {.error = ErrorCode::kShareSessionLimitReached};
  Session& session = sessions_[request.key];
  session.epoch = next_session_epoch(kInitialEpoch);
  session.connection = request.connection;
  for (const TopicIdPartition& partition : request.wanted)
    session.partitions.try_emplace(partition, Partition{.place = ++last_place_});
  ++members_[request.key.group];
  by_connection_.emplace(request.connection, request.key);
  return {.partitions = in_order(session)};
}

ShareSessions::Begun ShareSessions::begin_fetch(const FetchRequest& request) {
  if (request.epoch == kInitialEpoch) return begin_session(request);
  const auto found = sessions_.find(request.key);
  if (found == sessions_.end()) return {.error = ErrorCode::kShareSessionNotFound};
  if (request.epoch == kFinalEpoch) return {};
  Session& session = found->second;
  if (session.epoch != request.epoch) return {.error = ErrorCode::kInvalidShareSessionEpoch};
  for (const TopicIdPartition& partition : request.wanted)
    session.partitions.try_emplace(partition,
                                   Partition{.place = ++last_place_, .must_be_told = true});
  for (const TopicIdPartition& partition : request.forgotten) session.partitions.erase(partition);
  session.epoch = next_session_epoch(session.epoch);
  return {.partitions = in_order(session)};
}

ErrorCode ShareSessions::begin_acknowledge(const SessionKey& key, int32_t epoch) {
  if (epoch == kInitialEpoch) return ErrorCode::kInvalidShareSessionEpoch;
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return ErrorCode::kShareSessionNotFound;
  if (epoch == kFinalEpoch) return ErrorCode::kNone;
  if (found->second.epoch != epoch) return ErrorCode::kInvalidShareSessionEpoch;
  found->second.epoch = next_session_epoch(epoch);
  return ErrorCode::kNone;
}

ErrorCode ShareSessions::finish_fetch(const SessionKey& key, int32_t epoch,
                                      std::vector<Found>& found) {
  // The first answer and the last tell everything.
  if (epoch == kInitialEpoch || epoch == kFinalEpoch) return ErrorCode::kNone;
  if (!is_current(key, epoch)) return ErrorCode::kInvalidShareSessionEpoch;
  const auto session = sessions_.find(key);
  for (Found& each : found) {
    const auto known = session->second.partitions.find(each.partition);
    if (known == session->second.partitions.end()) continue;
    Partition& partition = known->second;
    each.is_told = each.has_records || each.has_error || partition.must_be_told;
    // When the error is over, that is told too.
    partition.must_be_told = each.has_error;
    if (each.has_records) partition.place = ++last_place_;
  }
  return ErrorCode::kNone;
}

bool ShareSessions::is_current(const SessionKey& key, int32_t epoch) const {
  const auto session = sessions_.find(key);
  return session != sessions_.end() && session->second.epoch == next_session_epoch(epoch);
}

std::optional<std::vector<TopicIdPartition>> ShareSessions::remove(const SessionKey& key) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return std::nullopt;
  auto partitions = in_order(found->second);
  const auto [from, to] = by_connection_.equal_range(found->second.connection);
  const auto begun = std::find_if(from, to, [&](const auto& each) { return each.second == key; });
  by_connection_.erase(begun);
  const auto members = members_.find(key.group);
  if (--members->second == 0) members_.erase(members);
  sessions_.erase(found);
  return partitions;
}

std::vector<ShareSessions::Gone> ShareSessions::connection_gone(ConnectionId connection) {
  std::vector<Gone> gone;
  for (auto at = by_connection_.find(connection); at != by_connection_.end();
       at = by_connection_.find(connection)) {
    const SessionKey key = at->second;
    gone.push_back({.key = key, .partitions = *remove(key)});
  }
  return gone;
}

void ShareSessions::clear() {
  sessions_.clear();
  members_.clear();
  by_connection_.clear();
}

void ShareSessions::check_invariants() const {
  ASSERT(sessions_.size() <= most_, "SS1 {}", sessions_.size());
  ASSERT(sessions_.size() == by_connection_.size(), "SS1 {} {}", sessions_.size(),
         by_connection_.size());
  std::map<std::string, size_t> members;
  for (const auto& [key, session] : sessions_) ++members[key.group];
  ASSERT(members == members_, "SS1");
  for (const auto& [connection, key] : by_connection_) {
    const auto session = sessions_.find(key);
    ASSERT(session != sessions_.end() && session->second.connection == connection, "SS1");
  }
}

}  // namespace millrace::share
