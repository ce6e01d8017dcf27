// A member of a share group in a simulation (KIP-932): heartbeats, is assigned partitions, finds
// who leads them, and reads them in a session with each of those brokers; leaves now and then, or
// is gone, and comes back as another.
// Not here: reading and acknowledging (sim/share_session).
// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "sim/share_session.h"
#include "wire/share_group_heartbeat.h"

namespace millrace::sim {

class ShareMember {
 public:
  static constexpr int kSessionMs = 6000;  // group.share.session.timeout.ms
  ShareMember(const Site& site, ShareReading reading, std::string topic);
  void start() { join(); }
  void finish();

 private:
  using Beat = wire::ShareGroupHeartbeatResponse;
  void join();
  void beat(uint64_t round);
  void send(int32_t epoch, uint64_t round);
  void answered(const Result<Beat>& answer, uint64_t round);
  void take(const Beat::Assignment& assignment);
  void go(ShareSession::Leaving how);
  void start_over(bool as_another);
  void stop_reading(ShareSession::Leaving how);
  void find_leaders();
  void learn(const wire::MetadataResponse& metadata);
  ShareSession& session_with(NodeId broker, const env::Address& address);
  std::string fresh_id();
  Client::CoordinatorOf coordinator() const { return {reading_.group}; }

  Site site_;
  Host* host_;
  ShareReading reading_;
  std::string topic_;
  Client client_;
  Stream dice_;
  std::string member_id_;
  int32_t epoch_ = 0;
  bool tells_all_ = true;  // an answer was lost, or it joins
  bool is_finishing_ = false;
  bool is_looking_ = false;  // for leaders
  uint64_t looks_ = 0;
  Uuid topic_id_;
  std::set<int32_t> assigned_;
  std::map<NodeId, std::unique_ptr<ShareSession>> sessions_;
  uint64_t round_ = 0;  // what belongs to an earlier one is dropped
};

}  // namespace millrace::sim
