// Incremental fetch sessions (KIP-227): what a client asked for is remembered, so that its next
// Fetch names only what changed, and the answer has only partitions with news. This is one part of
// the broker's sessions; not here: which part an id belongs to and the locks
// (server/fetch_session_cache), reading the log (handlers/01_fetch).
//
// A fetch is bracketed by begin(), which turns an incremental request into a whole one (or says why
// not), and finish(), which turns the whole answer into an incremental one. Between the two another
// connection may go on with the session: finish() then finds another epoch and answers
// INVALID_FETCH_SESSION_EPOCH.
//
// Epochs: 0 asks for a new session, -1 for none, n must be the one after the last, which wraps from
// 2147483647 to 1. Full slots: a session that was not used for kEvictionAge goes first; else a
// follower's new session replaces a consumer's, or a larger one a smaller one that is older than
// kEvictionAge; else the answer has session id 0 and the client goes on without. Partitions leave
// in rotation: what gave records goes to the back, so that none starves.
//
// Invariants:
//   FS1 at most `slots` sessions and kMaxPartitions partitions are kept.
//   FS2 a session is in the order of use exactly once.
// Threads: one caller at a time.
#pragma once

#include <list>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/time.h"
#include "base/uuid.h"
#include "env/clock.h"
#include "wire/errors.h"
#include "wire/fetch.h"

namespace millrace::server {

// A fetch between begin() and finish().
struct FetchTicket {
  enum class Kind { kWithoutSession, kNewSession, kIncremental };
  Kind kind = Kind::kWithoutSession;
  wire::ErrorCode error = wire::ErrorCode::kNone;  // of the whole request: nothing is looked at
  int32_t session_id = 0;
  int32_t epoch = 0;  // that the session has until finish()
  bool by_id = false;
  bool is_follower = false;
};

class FetchSessions {
 public:
  static constexpr Duration kEvictionAge = seconds(120);
  static constexpr size_t kMaxPartitions = 500'000;  // about 100 MB

  // Ids that this part gives: those with `id % count == index`.
  struct Ids {
    int32_t index = 0;
    int32_t count = 1;
  };
  FetchSessions(size_t slots, Ids ids, env::Random& random)
      : slots_(slots), ids_(ids), random_(&random) {}

  // An incremental request gets all partitions of its session in `request.topics`.
  FetchTicket begin(wire::FetchRequest& request, int16_t version, Instant now);

  struct Looked {
    const wire::FetchRequest& request;  // as begin() left it
    Instant now;
  };
  // `response` has every partition of the request; those without news are taken out.
  void finish(const FetchTicket& ticket, const Looked& looked, wire::FetchResponse& response);
  // What finish() would leave of the response.
  wire::FetchResponse preview(const FetchTicket& ticket, wire::FetchResponse response);
  // Instead of finish(), of a fetch that is answered without partitions because its client is over
  // a quota: nothing of it was told, and no session begins.
  void finish_throttled(const FetchTicket& ticket, wire::FetchResponse& response) const;

  static int32_t epoch_after(int32_t epoch);

  size_t size() const { return sessions_.size(); }
  size_t partitions() const { return partitions_; }
  void check_invariants() const;

 private:
  using Request = wire::FetchRequest;
  using Response = wire::FetchResponse;

  struct Key {
    std::string topic;  // empty when it goes by id
    Uuid topic_id;
    int32_t partition = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Cached {
    Key key;
    Request::FetchPartition wanted;
    int64_t high_watermark = -1;  // as last told; -1 also after an error, so that its end is told
    int64_t log_start = -1;
  };
  using Place = std::list<Cached>::iterator;
  // Of places, found by their keys.
  struct Hash {
    using is_transparent = void;
    size_t operator()(const Key& key) const;
    size_t operator()(Place place) const { return (*this)(place->key); }
  };
  struct Equal {
    using is_transparent = void;
    static const Key& key_of(const Key& key) { return key; }
    static const Key& key_of(Place place) { return place->key; }
    bool operator()(const auto& one, const auto& other) const {
      return key_of(one) == key_of(other);
    }
  };
  struct Session {
    int32_t id = 0;
    int32_t epoch = 1;
    bool by_id = false;
    bool privileged = false;  // a follower's
    Instant created;
    Instant last_used;
    size_t counted = 0;  // partitions, when it was last used
    std::list<Cached> order;
    std::unordered_set<Place, Hash, Equal> index;
    std::list<int32_t>::iterator use;  // in by_use_
  };
  using Worth = std::tuple<bool, size_t, int32_t>;  // privileged, partitions, id: least goes first

  static Key key_of(bool by_id, const std::string& topic, const Uuid& topic_id);
  static void remember(Session& session, Key key, const Request::FetchPartition& wanted);
  static void update(Session& session, const Request& request);
  static void expand(const Session& session, Request& request);
  static bool is_news(const Cached& cached, const Response::PartitionData& data);
  static bool has_news(Cached& cached, const Response::PartitionData& data);
  static void keep_news(Session& session, Response& response);
  static Place find(Session& session, Place guess, const Key& key);

  FetchTicket begin_incremental(Request& request, int16_t version, Instant now);
  void create(const FetchTicket& ticket, const Looked& looked, Response& response);
  bool make_room(bool privileged, size_t partitions, Instant now);
  void touch(Session& session, Instant now);
  void remove(int32_t id);
  int32_t new_id();
  static Worth worth(const Session& session) {
    return {session.privileged, session.counted, session.id};
  }

  size_t slots_;
  Ids ids_;
  env::Random* random_;
  std::unordered_map<int32_t, Session> sessions_;
  std::list<int32_t> by_use_;               // the one unused for longest first
  std::set<Worth> evictable_by_followers_;  // consumers' sessions, and old ones of followers
  std::set<Worth> evictable_by_all_;        // old ones
  size_t partitions_ = 0;
};

}  // namespace millrace::server
