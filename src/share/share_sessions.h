// Share sessions: which partitions a member of a share group reads from this broker, so that it
// need not name them again (KIP-932). One a member: an epoch of 0 begins it anew, each request
// counts on from there, -1 ends it. A session ends with the connection that began it, too.
// Not here: records that members have (share/share_partition), reading (node/share_partitions).
// Threads: none of its own; one call at a time.
// Invariants, by check_invariants():
//   SS1 no more sessions than may be; each group's members and each connection's sessions are those
//       that there are.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "wire/errors.h"

namespace millrace::share {

struct SessionKey {
  std::string group;
  std::string member;
  friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

enum class ConnectionId : uint64_t {};  // of those that are open

inline constexpr int32_t kInitialEpoch = 0;
inline constexpr int32_t kFinalEpoch = -1;
// Behind 2147483647 comes 1.
int32_t next_session_epoch(int32_t epoch);

class ShareSessions {
 public:
  explicit ShareSessions(size_t most) : most_(most) {}  // group.share.max.share.sessions

  struct FetchRequest {
    SessionKey key;
    int32_t epoch = kInitialEpoch;
    std::vector<TopicIdPartition> wanted;  // beside those that the session has
    std::vector<TopicIdPartition> forgotten;
    bool acknowledges = false;
    ConnectionId connection{};
  };
  // SHARE_SESSION_NOT_FOUND, INVALID_SHARE_SESSION_EPOCH, SHARE_SESSION_LIMIT_REACHED;
  // INVALID_REQUEST for acknowledgements in a session that begins. One that ends stays until
  // remove().
  struct Begun {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    std::vector<TopicIdPartition> partitions{};  // to be read; those that had records last are last
  };
  Begun begin_fetch(const FetchRequest& request);
  // As above, for a request that only acknowledges.
  wire::ErrorCode begin_acknowledge(const SessionKey& key, int32_t epoch);

  // What was found in one of the partitions of a fetch.
  struct Found {
    TopicIdPartition partition;
    bool has_records = false;
    bool has_error = false;
    bool is_told = true;  // by finish_fetch(): the answer says it
  };
  // INVALID_SHARE_SESSION_EPOCH: a later request came meanwhile. `epoch` is that of the request.
  wire::ErrorCode finish_fetch(const SessionKey& key, int32_t epoch, std::vector<Found>& found);

  // Whether the request of that epoch is the session's latest: nobody else waits for an answer.
  bool is_current(const SessionKey& key, int32_t epoch) const;
  // Its partitions; nothing: there was none.
  std::optional<std::vector<TopicIdPartition>> remove(const SessionKey& key);
  struct Gone {
    SessionKey key;
    std::vector<TopicIdPartition> partitions;
  };
  // The sessions that the connection began. A member that has begun another one elsewhere keeps it.
  std::vector<Gone> connection_gone(ConnectionId connection);
  bool has_members(const std::string& group) const { return members_.contains(group); }
  size_t size() const { return sessions_.size(); }
  void clear();

  void check_invariants() const;

 private:
  struct Partition {
    uint64_t place = 0;         // in the order of reading
    bool must_be_told = false;  // even if there is no news
  };
  struct Session {
    int32_t epoch = 0;  // of the next request
    ConnectionId connection{};
    std::map<TopicIdPartition, Partition> partitions;
  };
  Begun begin_session(const FetchRequest& request);
  static std::vector<TopicIdPartition> in_order(const Session& session);

  const size_t most_;
  uint64_t last_place_ = 0;
  std::map<SessionKey, Session> sessions_;
  std::map<std::string, size_t> members_;  // how many sessions, by group
  std::multimap<ConnectionId, SessionKey> by_connection_;
};

}  // namespace millrace::share
