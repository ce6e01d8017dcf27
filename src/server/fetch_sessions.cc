#include "server/fetch_sessions.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace millrace::server {
namespace {

constexpr int32_t kInitialEpoch = 0;
constexpr int32_t kFinalEpoch = -1;
constexpr int16_t kFirstVersionWithIds = 13;
constexpr int16_t kFirstVersionWithReplicaState = 15;

FetchTicket refused(wire::ErrorCode error) { return {.error = error}; }

// The answer to a fetch that the session does not allow: no session, no data.
void refuse(wire::FetchResponse& response, wire::ErrorCode error) {
  response = {};
  response.error_code = wire::code_of(error);
}

}  // namespace

int32_t FetchSessions::epoch_after(int32_t epoch) {
  return epoch == std::numeric_limits<int32_t>::max() ? 1 : epoch + 1;
}

size_t FetchSessions::Hash::operator()(const Key& key) const {
  const size_t topic =
      key.topic.empty() ? std::hash<Uuid>{}(key.topic_id) : std::hash<std::string>{}(key.topic);
  return topic * 31 + static_cast<size_t>(key.partition);
}

FetchSessions::Key FetchSessions::key_of(bool by_id, const std::string& topic,
                                         const Uuid& topic_id) {
  return by_id ? Key{.topic_id = topic_id} : Key{.topic = topic};
}

FetchTicket FetchSessions::begin(Request& request, int16_t version, Instant now) {
  const int32_t replica = version < kFirstVersionWithReplicaState
                              ? request.replica_id
                              : request.replica_state.replica_id;
  if (request.session_epoch != kInitialEpoch && request.session_epoch != kFinalEpoch)
    return begin_incremental(request, version, now);
  remove(request.session_id);  // whoever asks for everything has done with the session
  return {.kind = request.session_epoch == kInitialEpoch ? FetchTicket::Kind::kNewSession
                                                         : FetchTicket::Kind::kWithoutSession,
          .by_id = version >= kFirstVersionWithIds,
          .is_follower = replica >= 0};
}

FetchTicket FetchSessions::begin_incremental(Request& request, int16_t version, Instant now) {
  auto found = sessions_.find(request.session_id);
  if (found == sessions_.end()) return refused(wire::ErrorCode::kFetchSessionIdNotFound);
  Session& session = found->second;
  if (session.epoch != request.session_epoch)
    return refused(wire::ErrorCode::kInvalidFetchSessionEpoch);
  if (session.by_id != (version >= kFirstVersionWithIds))
    return refused(wire::ErrorCode::kFetchSessionTopicIdError);
  update(session, request);
  if (session.order.empty()) {  // all was forgotten
    remove(session.id);
    return {};
  }
  touch(session, now);
  if (partitions_ > kMaxPartitions) {
    remove(session.id);
    return refused(wire::ErrorCode::kFetchSessionIdNotFound);
  }
  session.epoch = epoch_after(session.epoch);
  expand(session, request);
  return {.kind = FetchTicket::Kind::kIncremental,
          .session_id = session.id,
          .epoch = session.epoch,
          .by_id = session.by_id,
          .is_follower = session.privileged};
}

void FetchSessions::remember(Session& session, Key key, const Request::FetchPartition& wanted) {
  if (auto known = session.index.find(key); known != session.index.end()) {
    (*known)->wanted = wanted;
    return;
  }
  session.order.push_back({.key = std::move(key), .wanted = wanted});
  session.index.insert(std::prev(session.order.end()));
}

void FetchSessions::update(Session& session, const Request& request) {
  for (const auto& topic : request.topics)
    for (const auto& wanted : topic.partitions) {
      Key key = key_of(session.by_id, topic.topic, topic.topic_id);
      key.partition = wanted.partition;
      remember(session, std::move(key), wanted);
    }
  for (const auto& topic : request.forgotten_topics_data)
    for (int32_t partition : topic.partitions) {
      Key key = key_of(session.by_id, topic.topic, topic.topic_id);
      key.partition = partition;
      auto found = session.index.find(key);
      if (found == session.index.end()) continue;
      const Place place = *found;
      session.index.erase(found);
      session.order.erase(place);
    }
}

void FetchSessions::expand(const Session& session, Request& request) {
  request.topics.clear();
  const Key* last = nullptr;
  for (const Cached& cached : session.order) {
    const Key& key = cached.key;
    if (last == nullptr || last->topic != key.topic || last->topic_id != key.topic_id)
      request.topics.push_back({.topic = key.topic, .topic_id = key.topic_id});
    request.topics.back().partitions.push_back(cached.wanted);
    last = &key;
  }
}

bool FetchSessions::is_news(const Cached& cached, const Response::PartitionData& data) {
  return cached.high_watermark != data.high_watermark ||
         cached.log_start != data.log_start_offset || data.error_code != 0 ||
         data.records.size() > 0 || data.preferred_read_replica >= 0 ||
         data.diverging_epoch.epoch >= 0;
}

bool FetchSessions::has_news(Cached& cached, const Response::PartitionData& data) {
  const bool is_new = is_news(cached, data);
  cached.high_watermark = data.error_code != 0 ? -1 : data.high_watermark;
  cached.log_start = data.log_start_offset;
  return is_new;
}

// A response comes in the order that expand() gave the request: the guess is right until the
// session changes.
FetchSessions::Place FetchSessions::find(Session& session, Place guess, const Key& key) {
  if (guess != session.order.end() && guess->key == key) return guess;
  auto found = session.index.find(key);
  ASSERT(found != session.index.end(), "{}-{} left its fetch session under way", key.topic,
         key.partition);
  return *found;
}

void FetchSessions::keep_news(Session& session, Response& response) {
  auto next = session.order.begin();
  for (auto& topic : response.responses) {
    Key key = key_of(session.by_id, topic.topic, topic.topic_id);
    std::erase_if(topic.partitions, [&](const auto& data) {
      key.partition = data.partition_index;
      const auto cached = find(session, next, key);
      next = std::next(cached);
      if (data.records.size() > 0) session.order.splice(session.order.end(), session.order, cached);
      return !has_news(*cached, data);
    });
  }
  std::erase_if(response.responses, [](const auto& topic) { return topic.partitions.empty(); });
}

void FetchSessions::finish(const FetchTicket& ticket, const Looked& looked, Response& response) {
  if (ticket.kind == FetchTicket::Kind::kNewSession) return create(ticket, looked, response);
  if (ticket.kind == FetchTicket::Kind::kWithoutSession) return;
  auto found = sessions_.find(ticket.session_id);
  if (found == sessions_.end() || found->second.epoch != ticket.epoch)
    return refuse(response, wire::ErrorCode::kInvalidFetchSessionEpoch);
  keep_news(found->second, response);
  response.session_id = ticket.session_id;
}

wire::FetchResponse FetchSessions::preview(const FetchTicket& ticket, Response response) {
  const auto found = sessions_.find(ticket.session_id);
  if (ticket.kind != FetchTicket::Kind::kIncremental || found == sessions_.end() ||
      found->second.epoch != ticket.epoch)
    return response;
  Session& session = found->second;
  auto next = session.order.begin();
  for (auto& topic : response.responses) {
    Key key = key_of(session.by_id, topic.topic, topic.topic_id);
    std::erase_if(topic.partitions, [&](const auto& data) {
      key.partition = data.partition_index;
      const auto cached = find(session, next, key);
      next = std::next(cached);
      return !is_news(*cached, data);
    });
  }
  std::erase_if(response.responses, [](const auto& topic) { return topic.partitions.empty(); });
  return response;
}

void FetchSessions::finish_throttled(const FetchTicket& ticket, Response& response) const {
  if (ticket.kind != FetchTicket::Kind::kIncremental) return;
  const auto found = sessions_.find(ticket.session_id);
  if (found == sessions_.end() || found->second.epoch != ticket.epoch)
    return refuse(response, wire::ErrorCode::kInvalidFetchSessionEpoch);
  response.session_id = ticket.session_id;
}

void FetchSessions::create(const FetchTicket& ticket, const Looked& looked, Response& response) {
  Session session{.by_id = ticket.by_id, .privileged = ticket.is_follower, .created = looked.now};
  update(session, looked.request);
  if (!make_room(session.privileged, session.order.size(), looked.now)) return;
  session.id = new_id();
  for (const auto& topic : response.responses) {
    Key key = key_of(session.by_id, topic.topic, topic.topic_id);
    for (const auto& data : topic.partitions) {
      key.partition = data.partition_index;
      if (auto cached = session.index.find(key); cached != session.index.end())
        has_news(**cached, data);
    }
  }
  session.use = by_use_.insert(by_use_.end(), session.id);
  response.session_id = session.id;
  // Moved, a list keeps its nodes: the index stays true.
  touch(sessions_.emplace(session.id, std::move(session)).first->second, looked.now);
}

bool FetchSessions::make_room(bool privileged, size_t partitions, Instant now) {
  if (partitions_ + partitions > kMaxPartitions) return false;
  if (sessions_.size() < slots_) return true;
  if (by_use_.empty()) return false;  // no slots at all
  const Session& oldest = sessions_.at(by_use_.front());
  if (now - oldest.last_used > kEvictionAge) {
    remove(oldest.id);
    return true;
  }
  const auto& candidates = privileged ? evictable_by_followers_ : evictable_by_all_;
  if (candidates.empty() || Worth(privileged, partitions, 0) < *candidates.begin()) return false;
  remove(std::get<int32_t>(*candidates.begin()));
  return true;
}

void FetchSessions::touch(Session& session, Instant now) {
  evictable_by_followers_.erase(worth(session));
  evictable_by_all_.erase(worth(session));
  partitions_ += session.order.size() - session.counted;
  session.counted = session.order.size();
  session.last_used = now;
  by_use_.splice(by_use_.end(), by_use_, session.use);
  const bool old = now - session.created > kEvictionAge;
  if (old) evictable_by_all_.insert(worth(session));
  if (old || !session.privileged) evictable_by_followers_.insert(worth(session));
}

void FetchSessions::remove(int32_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  evictable_by_followers_.erase(worth(found->second));
  evictable_by_all_.erase(worth(found->second));
  partitions_ -= found->second.counted;
  by_use_.erase(found->second.use);
  sessions_.erase(found);
}

// Random, so that a client which comes back after a restart of the broker does not meet another
// one's session.
int32_t FetchSessions::new_id() {
  const auto range = static_cast<uint64_t>(std::numeric_limits<int32_t>::max() / ids_.count - 1);
  while (true) {
    const auto id = static_cast<int32_t>(1 + random_->next() % range) * ids_.count + ids_.index;
    if (!sessions_.contains(id)) return id;
  }
}

void FetchSessions::check_invariants() const {
  ASSERT(sessions_.size() <= slots_, "FS1: {} sessions in {} slots", sessions_.size(), slots_);
  ASSERT(partitions_ <= kMaxPartitions, "FS1: {} partitions", partitions_);
  ASSERT(by_use_.size() == sessions_.size(), "FS2: {} of {} sessions", by_use_.size(),
         sessions_.size());
}

}  // namespace millrace::server
