// The fetch sessions of a broker, which any of its connections may use: a session that was begun on
// one shard may go on from another. A part for each shard, told by the id, so that in the ordinary
// case, where a client stays on its connection, no two shards meet at one lock.
// Not here: what a session does (server/fetch_sessions).
// Threads: any; a part is locked while a fetch begins and while it finishes, never in between.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "env/host.h"
#include "server/fetch_sessions.h"

namespace millrace::server {

class FetchSessionCache {
 public:
  // `slots`: max.incremental.fetch.session.cache.slots, shared out among the shards.
  FetchSessionCache(env::Host& host, size_t slots) {
    const size_t count = host.shard_count();
    for (size_t i = 0; i < count; ++i)
      parts_.push_back(std::make_unique<Part>(
          slots / count + (i < slots % count ? 1 : 0),
          FetchSessions::Ids{static_cast<int32_t>(i), static_cast<int32_t>(count)},
          host.shard(i).random().next()));
  }

  // As FetchSessions::begin and finish; a new session comes to the part of `shard`.
  FetchTicket begin(wire::FetchRequest& request, int16_t version, env::Shard& shard) {
    Part& part = part_of(request.session_id, shard);
    std::lock_guard lock(part.mutex);
    return part.sessions.begin(request, version, shard.clock().now());
  }
  void finish(const FetchTicket& ticket, const wire::FetchRequest& request,
              wire::FetchResponse& response, env::Shard& shard) {
    if (ticket.kind == FetchTicket::Kind::kWithoutSession) return;
    Part& part = part_of(ticket.session_id, shard);
    std::lock_guard lock(part.mutex);
    part.sessions.finish(ticket, {request, shard.clock().now()}, response);
  }
  // As FetchSessions::preview and finish_throttled.
  wire::FetchResponse preview(const FetchTicket& ticket, const wire::FetchResponse& response,
                              env::Shard& shard) {
    Part& part = part_of(ticket.session_id, shard);
    std::lock_guard lock(part.mutex);
    return part.sessions.preview(ticket, response);
  }
  void finish_throttled(const FetchTicket& ticket, wire::FetchResponse& response,
                        env::Shard& shard) {
    Part& part = part_of(ticket.session_id, shard);
    std::lock_guard lock(part.mutex);
    part.sessions.finish_throttled(ticket, response);
  }

 private:
  // A part's own randomness: the shard's would be drawn from under two locks.
  struct IdSource final : env::Random {
    explicit IdSource(uint64_t seed) : state(seed) {}
    uint64_t next() override {  // splitmix64
      uint64_t z = state += 0x9E3779B97F4A7C15;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
      return z ^ (z >> 31);
    }
    uint64_t state;
  };
  struct Part {
    Part(size_t slots, FetchSessions::Ids ids, uint64_t seed)
        : random(seed), sessions(slots, ids, random) {}
    std::mutex mutex;
    IdSource random;
    FetchSessions sessions;
  };
  Part& part_of(int32_t session_id, env::Shard& shard) {
    const size_t index =
        session_id > 0 ? static_cast<size_t>(session_id) % parts_.size() : shard.index();
    return *parts_[index];
  }

  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace millrace::server
