// The share session of a member of a share group with one broker, in a simulation: reads the
// partitions that it leads, and says what became of their records, in the same request or in one of
// its own; takes its time now and then, says nothing, says it twice, or is suddenly gone (KIP-932,
// KIP-1206, KIP-1222).
// Not here: what the member reads and where (sim/share_member).
//
//   SH8  a request of another epoch than the session's next is refused
// Threads: one.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "sim/client.h"
#include "sim/oracle.h"
#include "sim/share_oracle.h"
#include "wire/share_acknowledge.h"
#include "wire/share_fetch.h"

namespace millrace::sim {

struct ShareReading {
  std::string group;
  ShareOracle* oracle = nullptr;
  // A record that was acquired.
  std::function<void(int32_t partition, int64_t offset, const std::string& value)> take;
  // Some of the partition has rotted, and may be missing.
  std::function<bool(int32_t partition)> has_damage;
  bool has_markers = false;  // of transactions: offsets without records
};

class ShareSession {
 public:
  ShareSession(const Site& site, ShareReading reading, NodeId broker, env::Address address);

  // From now on, as this member.
  void read(const std::string& member, const Uuid& topic_id, const std::set<int32_t>& partitions);
  enum class Leaving : uint8_t { kSaysSo, kIsGone };
  void stop(Leaving how);
  // No more than it has to do, and everything is accepted.
  void finish() { is_finishing_ = true; }
  // Somebody else may lead what this one reads.
  std::function<void()> on_doubt;

 private:
  using Said = ShareOracle::Said;
  using Verdict = ShareOracle::Verdict;
  using Fetched = wire::ShareFetchResponse;
  using Acknowledged = wire::ShareAcknowledgeResponse;
  struct Held {
    int16_t delivery_count = 0;
    int8_t type = 0;
    Instant due;
  };
  struct Asking {
    ShareOracle::Request request;
    std::vector<Said> said;
    int32_t epoch = 0;
    uint64_t round = 0;
  };
  void later(Duration pause);
  void step();
  void begin();
  bool plays_a_prank();
  std::vector<Said> take_due();
  Asking asking(std::vector<Said> said, int32_t epoch, bool reads);
  void fetch(std::vector<Said> said);
  void fetched(const Asking& asking, const Result<Fetched>& answer);
  void take_partitions(const Asking& asking, const Fetched& answer);
  void take(const Asking& asking, const Fetched::PartitionData& data);
  void hold(int32_t partition, const Fetched::AcquiredRecords& range,
            const Oracle::Contents& values);
  void acknowledge(std::vector<Said> said, int32_t epoch);
  void acknowledged(const Asking& asking, const Result<Acknowledged>& answer);
  void try_a_wrong_epoch();
  bool is_taken(const Asking& asking, int16_t error);
  void judge(const Asking& asking, const std::map<int32_t, int16_t>& codes, Verdict of_others);
  void end_session();
  ShareOracle& oracle() { return *reading_.oracle; }
  World& world() { return host_->world(); }

  Host* host_;
  ShareReading reading_;
  NodeId broker_;
  Client::At at_;
  Client client_;
  Stream dice_;
  bool is_finishing_ = false;
  bool is_waiting_ = false;  // a step is to come
  bool is_asking_ = false;
  std::string member_;
  Uuid topic_id_;
  std::set<int32_t> wanted_, has_;
  int32_t epoch_ = 0;  // of the next request; 0: there is no session
  ShareSessionId session_ = ShareSessionId::kNone;
  std::map<int32_t, std::map<int64_t, Held>> held_;
  std::deque<Said> past_;  // what was said before
  uint64_t round_ = 0;     // answers to earlier ones count for the oracle alone
};

}  // namespace millrace::sim
