#include "controller/broker_sessions.h"

namespace millrace::controller {

void BrokerSessions::hear(NodeId broker, Instant now, Offset metadata_offset) {
  Session& session = sessions_[broker];
  session.last_contact = now;
  session.metadata_offset = metadata_offset;
}

bool BrokerSessions::is_live(NodeId broker, Instant now, Duration timeout) const {
  auto session = sessions_.find(broker);
  return session != sessions_.end() && now - session->second.last_contact < timeout;
}

bool BrokerSessions::spoke_after(NodeId broker, Instant time) const {
  auto session = sessions_.find(broker);
  return session != sessions_.end() && session->second.last_contact > time;
}

Offset BrokerSessions::metadata_offset(NodeId broker) const {
  auto session = sessions_.find(broker);
  return session == sessions_.end() ? Offset(-1) : session->second.metadata_offset;
}

std::optional<Offset> BrokerSessions::shutdown_record(NodeId broker) const {
  auto session = sessions_.find(broker);
  return session == sessions_.end() ? std::nullopt : session->second.shutdown_record;
}

bool BrokerSessions::may_sweep(Instant now, Duration timeout) {
  const bool stood_still = now - last_sweep_ > timeout / 2;
  last_sweep_ = now;
  if (stood_still)
    for (auto& [broker, session] : sessions_) session.last_contact = now;
  return !stood_still;
}

}  // namespace millrace::controller
