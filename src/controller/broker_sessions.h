// Who of the brokers was heard of, and when: the active controller's soft state, which begins anew
// with each activation.
// Not here: what follows from it (brokers).
// Units: instants of the controller's monotonic clock. Threads: as the controller's.
#pragma once

#include <map>
#include <optional>

#include "base/ids.h"
#include "base/time.h"

namespace millrace::controller {

class BrokerSessions {
 public:
  // All of them have a whole session from now on.
  void restart(Instant now) {
    sessions_.clear();
    last_sweep_ = now;
  }
  void open(NodeId broker, Instant now) { sessions_[broker] = {.last_contact = now}; }
  void close(NodeId broker) { sessions_.erase(broker); }
  // A heartbeat, which says how far the broker has applied the metadata.
  void hear(NodeId broker, Instant now, Offset metadata_offset);
  bool is_live(NodeId broker, Instant now, Duration timeout) const;
  bool spoke_after(NodeId broker, Instant time) const;
  // -1: not heard of yet.
  Offset metadata_offset(NodeId broker) const;

  // Its shutdown is over once all others have applied this record.
  void shut_down_behind(NodeId broker, Offset record) {
    sessions_[broker].shutdown_record = record;
  }
  std::optional<Offset> shutdown_record(NodeId broker) const;

  // Whether sessions may be ended now: a controller that stood still itself has heard nobody
  // meanwhile and may blame nobody. Then all that are open begin anew.
  bool may_sweep(Instant now, Duration timeout);

 private:
  struct Session {
    Instant last_contact;
    Offset metadata_offset{-1};
    std::optional<Offset> shutdown_record;
  };
  std::map<NodeId, Session> sessions_;
  Instant last_sweep_;
};

}  // namespace millrace::controller
