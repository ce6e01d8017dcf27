// What the members of a share group were told (KIP-932), and what must therefore hold.
//
//   SH1  a record is one member's at a time: until its lock is over, it says what became of it, its
//        session ends, or the leader is another one; nobody else's acknowledgement of it is taken
//   SH2  a record that was accepted or rejected, which was answered without an error, is given to
//        nobody again
//   SH3  in the end every record that was acknowledged to its producer was accepted or rejected by
//        somebody, or given as often as the group allows
//   SH4  its delivery count is at least one and at most that limit; under one leader it rises with
//        each delivery, behind a release that was answered under every one; and it counts no more
//        deliveries than there may have been
//   SH7  what is acquired comes with its records, which are those that others read (sim/oracle)
//   SH8  a request of another epoch than the session's next is refused (sim/share_session)
// Exceptions. SH1: what the broker knew when it gave a record a client knows only to some extent:
// both sessions must go on later, under the same life of the share partition, or it is not held
// against the broker. SH2, SH4: a leader of an epoch older than the newest that was known when the
// answer came may know nothing of it. SH3, SH4: of a fetch whose answer nobody got it is not known
// what it acquired; any of the records that the log had then. SH3: nor of what DeleteRecords took.
// Not here: what the coordinators keep: SH5, SH6 (sim/share_state_oracle).
// Threads: one.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "sim/world.h"

namespace millrace::sim {

enum class ShareSessionId : uint64_t { kNone = 0 };

// A broker's share partition, seen from outside.
struct ShareLeading {
  int32_t epoch = -1;              // as it leads the partition; -1: it does not, or cannot be asked
  std::weak_ptr<const void> life;  // of the share partition; empty: it is not loaded
};

struct ShareView {
  std::function<ShareLeading(NodeId, int32_t partition)> leading;
  std::function<int32_t(int32_t partition)> newest_epoch;   // that anybody knows of
  std::function<int64_t(int32_t partition)> log_end;        // at least that of all replicas
  std::function<int64_t(int32_t partition)> excused_below;  // DeleteRecords
};

struct ShareRules {
  Duration lock;
  int16_t delivery_limit = 5;
};

class ShareOracle {
 public:
  ShareOracle(World& world, ShareRules rules) : world_(&world), rules_(rules) {}
  void use(ShareView view) { view_ = std::move(view); }
  const ShareRules& rules() const { return rules_; }
  ShareSessionId fresh_session() { return ShareSessionId{++last_session_}; }

  // A request within a session, from when it is sent.
  struct Request {
    NodeId broker = kNoNode;
    ShareSessionId session = ShareSessionId::kNone;
    Instant sent;
    std::map<int32_t, ShareLeading> leading;  // of the partitions that it reads or is about
    bool reads = false;
  };
  Request begin(NodeId broker, ShareSessionId session, const std::set<int32_t>& partitions,
                bool reads);
  // The session took it.
  void answered(const Request& request);
  // It may have been taken, and what it acquired is with nobody.
  void lost(const Request& request);
  void is_over(ShareSessionId session);

  struct Range {
    int64_t first = 0, last = 0;
    int16_t delivery_count = 0;
  };
  void acquired(const Request& request, int32_t partition, const Range& range);

  // What a member says of one record.
  struct Said {
    int32_t partition = 0;
    int64_t offset = 0;
    int8_t type = 0;             // of acknowledgement
    int16_t delivery_count = 0;  // that it was given with
  };
  enum class Verdict : uint8_t { kKept, kRefused, kUnknown };
  void says(ShareSessionId session, const std::vector<Said>& said);
  void judged(const Request& request, const Said& said, Verdict verdict);

  // SH3, when all is consumed.
  void check(int32_t partition, const std::map<int64_t, std::string>& acknowledged);
  // No record of it can have been given as often as it may be without anybody knowing.
  bool has_lost_few(int32_t partition) const;
  size_t accepted_count() const { return accepted_; }

 private:
  struct Claim {
    ShareSessionId session;
    Instant sent, received;
    std::weak_ptr<const void> life;
  };
  struct Mark {
    Instant at;
    int32_t epoch = -1;  // leaders of older ones may not know
    int16_t delivery_count = 0;
  };
  struct Record {
    int64_t seen = 0;              // deliveries
    std::optional<Mark> last;      // of them
    std::weak_ptr<const void> by;  // the share partition of the last one
    std::vector<Claim> claims;
    std::optional<Mark> ended;     // accepted or rejected, and answered
    std::optional<Mark> released;  // and answered
    int64_t unjudged = 0;          // acknowledgements that would end it, under way
    bool may_be_ended = false;
  };
  struct Place {
    int32_t partition = 0;
    int64_t offset = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  // Two seem to have a record; so they do if both sessions go on.
  struct Suspicion {
    Place place;
    std::set<ShareSessionId> unproven;
    Instant since;
    std::string text;
  };
  Record& at(const Place& place) { return records_[place.partition][place.offset]; }
  // The share partition that has taken the request, if it was the same all the time.
  std::weak_ptr<const void> life_of(const Request& request, int32_t partition) const;
  static bool is_same(const std::weak_ptr<const void>& one, const std::weak_ptr<const void>& other);
  bool must_know(const Request& request, int32_t partition, const Mark& mark) const;
  void check_delivery(const Request& request, const Place& place, int16_t delivery_count);
  void check_count(const Request& request, const Place& place, int16_t delivery_count);
  void claim(const Request& request, const Place& place);
  void suspect(const Place& place, std::set<ShareSessionId> sessions, std::string text);
  int64_t lost_since(const Place& place) const;

  World* world_;
  ShareRules rules_;
  ShareView view_;
  uint64_t last_session_ = 0;
  size_t accepted_ = 0;
  std::map<int32_t, std::map<int64_t, Record>> records_;  // by partition and offset
  std::map<ShareSessionId, std::set<Place>> claimed_;
  std::vector<Suspicion> suspicions_;
  std::map<int32_t, int64_t> reading_;  // requests under way
  // Where the log ended when an answer was lost, and its request over.
  std::map<int32_t, std::deque<int64_t>> lost_;
};

}  // namespace millrace::sim
