// The life of brokers as the controller decides it (KIP-631): registration, heartbeats and their
// sessions, fencing, controlled shutdown; and what that means for the partitions they hold.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "controller/controller.h"
#include "metadata/features.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using metadata::Broker;
using metadata::numbers_of;
using metadata::PartitionState;
using wire::ErrorCode;

// Directory ids below this are reserved (lost, unassigned, migrating, ...).
constexpr uint8_t kReservedDirectories = 100;
constexpr int16_t kDirectoryAssignment = 17;  // metadata.version 3.7-IV2

bool is_reserved(const Uuid& directory) {
  const bool small = std::all_of(directory.bytes.begin(), directory.bytes.end() - 1,
                                 [](uint8_t byte) { return byte == 0; });
  return small && directory.bytes.back() < kReservedDirectories;
}

std::vector<NodeId> without(const std::vector<NodeId>& set, NodeId id) {
  std::vector<NodeId> rest;
  std::ranges::copy_if(set, std::back_inserter(rest), [id](NodeId each) { return each != id; });
  return rest;
}

bool contains(const std::vector<NodeId>& set, NodeId id) {
  return std::ranges::find(set, id) != set.end();
}

// The record that turns `before` into `after`; nothing: they are the same.
std::optional<wire::PartitionChangeRecord> change_between(const PartitionState& before,
                                                          const PartitionState& after) {
  wire::PartitionChangeRecord change;
  if (after.isr != before.isr) change.isr = numbers_of(after.isr);
  if (after.leader != before.leader) change.leader = after.leader.value();
  if (after.elr != before.elr) change.eligible_leader_replicas = numbers_of(after.elr);
  if (after.last_known_elr != before.last_known_elr)
    change.last_known_elr = numbers_of(after.last_known_elr);
  if (change == wire::PartitionChangeRecord{}) return std::nullopt;
  return change;
}

// What brokers and controllers both say of themselves.
template <class Request, class Record>
void copy_description(const Request& request, Record& record) {
  for (const auto& each : request.listeners)
    record.end_points.push_back({.name = each.name,
                                 .host = each.host,
                                 .port = each.port,
                                 .security_protocol = each.security_protocol});
  for (const auto& each : request.features)
    record.features.push_back({.name = each.name,
                               .min_supported_version = each.min_supported_version,
                               .max_supported_version = each.max_supported_version});
}

}  // namespace

bool Controller::is_active(NodeId id) const {
  const Broker* broker = image_.find_broker(id);
  return broker && !broker->fenced && !broker->in_controlled_shutdown;
}

size_t Controller::min_isr(const metadata::Topic& topic) const {
  for (const auto& resource :
       {metadata::ConfigResource{metadata::ConfigResourceType::kTopic, topic.name},
        metadata::ConfigResource{metadata::ConfigResourceType::kBroker, ""}}) {
    const auto& configs = image_.configs(resource);
    auto found = configs.find("min.insync.replicas");
    if (found == configs.end()) continue;
    const long wanted = std::strtol(found->second.c_str(), nullptr, 10);
    return std::min<size_t>(wanted > 0 ? static_cast<size_t>(wanted) : 1,
                            topic.partitions[0].replicas.size());
  }
  return 1;
}

// The broker can serve no more: it leaves the ISR, and with KIP-966 stays eligible where the rest
// is below min.insync.replicas, unless it may have lost what it had.
PartitionState Controller::without_broker(const metadata::Topic& topic, const PartitionState& p,
                                          const Departure& departure) const {
  const bool keeps_elr = image_.features().contains(metadata::kElrVersion);
  PartitionState next = p;
  next.isr = without(p.isr, departure.broker);
  if (keeps_elr && next.isr.size() < min_isr(topic)) {
    for (NodeId member : p.isr)
      if (!contains(next.isr, member) && !contains(next.elr, member)) next.elr.push_back(member);
  } else if (keeps_elr) {
    next.elr.clear();
    next.last_known_elr.clear();
  } else if (next.isr.empty()) {
    next.isr = p.isr;  // the last one stays, so that it leads again when it comes back
  }
  if (departure.unclean) next.elr = without(next.elr, departure.broker);
  if (p.leader != departure.broker) return next;
  next.leader = kNoNode;
  for (NodeId replica : p.replicas)
    if (replica != departure.broker && contains(next.isr, replica) && is_active(replica)) {
      next.leader = replica;
      break;
    }
  if (keeps_elr && next.leader == kNoNode) next.last_known_elr = {departure.broker};
  return next;
}

// A partition without a leader may have the one that comes back: it is in the ISR, or eligible, or
// the last that led when nobody is left.
PartitionState Controller::with_broker(const PartitionState& p, NodeId broker) const {
  PartitionState next = p;
  const bool nobody_else = p.isr.empty() && p.elr.empty();
  const bool last_known = contains(p.last_known_elr, broker) ||
                          (p.last_known_elr.empty() && contains(p.replicas, broker));
  if (p.leader != kNoNode ||
      !(contains(p.isr, broker) || contains(p.elr, broker) || (nobody_else && last_known)))
    return next;
  next.leader = broker;
  if (!contains(p.isr, broker)) next.isr = {broker};
  next.elr = without(p.elr, broker);
  next.last_known_elr.clear();
  return next;
}

template <class Change>
void Controller::change_partitions(Records& records, const Change& change) const {
  for (const auto& [name, topic] : image_.topics())
    for (size_t i = 0; i < topic->partitions.size(); ++i) {
      const PartitionState& p = topic->partitions[i];
      auto record = change_between(p, change(*topic, p));
      if (!record) continue;
      record->partition_id = static_cast<int32_t>(i);
      record->topic_id = topic->id;
      records.push_back(std::move(*record));
    }
}

void Controller::take_partitions_from(const Departure& departure, Records& records) const {
  change_partitions(records, [&](const metadata::Topic& topic, const PartitionState& p) {
    const bool concerned = contains(p.isr, departure.broker) || p.leader == departure.broker ||
                           (departure.unclean && contains(p.elr, departure.broker));
    return concerned ? without_broker(topic, p, departure) : p;
  });
}

void Controller::activate(std::string cluster_id, int16_t kraft_version, Instant now) {
  cluster_id_ = std::move(cluster_id);
  kraft_version_ = kraft_version;
  start_sessions(now);
}

Duration Controller::session_timeout() const {
  return milliseconds(properties_->number("broker.session.timeout.ms"));
}

void Controller::start_sessions(Instant now) {
  for (const auto& [id, broker] : image_.brokers())
    if (!broker.fenced) sessions_[id].last_contact = now;
  last_sweep_ = now;
}

// Nothing, or why the features of a broker or controller do not do for the levels finalised.
template <class Features>
std::optional<std::string> Controller::registration_problem(const Features& features) const {
  auto range_of = [&](const std::string& name) {
    for (const auto& f : features)
      if (f.name == name) return std::pair(f.min_supported_version, f.max_supported_version);
    return std::pair<int16_t, int16_t>(0, 0);
  };
  for (const auto& [name, level] : image_.features()) {
    const auto [min, max] = range_of(name);
    if (level < min || level > max)
      return fmt::format(
          "Unable to register because the broker does not support finalized version {} of {}. The "
          "broker wants a version between {} and {}, inclusive.",
          level, name, min, max);
  }
  return std::nullopt;
}

std::optional<Controller::Refusal> Controller::check_directories(
    const wire::BrokerRegistrationRequest& request) const {
  if (image_.metadata_version() < kDirectoryAssignment) return std::nullopt;
  auto refuse = [](std::string why) {
    return Refusal{ErrorCode::kInvalidRegistration, std::move(why)};
  };
  if (request.log_dirs.empty()) return refuse("No directories specified in request");
  std::set<Uuid> own;
  for (const Uuid& directory : request.log_dirs) {
    if (is_reserved(directory)) return refuse("Reserved directory ID in request");
    if (!own.insert(directory).second) return refuse("Duplicate directory ID in request");
  }
  for (const auto& [id, broker] : image_.brokers())
    for (const Uuid& directory : broker.log_dirs)
      if (id != NodeId(request.broker_id) && own.contains(directory))
        return refuse(fmt::format("Broker {} has directory {} already", id, directory));
  return std::nullopt;
}

// Decisions, D7: whoever holds the same log directories holds their locks, so the process that was
// registered before is gone, whatever its session says.
std::optional<Controller::Refusal> Controller::check_registration(
    const wire::BrokerRegistrationRequest& request, Instant now) const {
  if (request.cluster_id != cluster_id_)
    return Refusal{ErrorCode::kInconsistentClusterId,
                   fmt::format("Expected cluster ID {}, but got cluster ID {}", cluster_id_,
                               request.cluster_id)};
  if (request.is_migrating_zk_broker)
    return Refusal{ErrorCode::kBrokerIdNotRegistered,
                   "Controller does not support registering ZK brokers."};
  const Broker* known = image_.find_broker(NodeId(request.broker_id));
  if (known && known->incarnation != request.incarnation_id && has_session(known->id, now) &&
      (request.log_dirs.empty() || known->log_dirs != request.log_dirs))
    return Refusal{ErrorCode::kDuplicateBrokerRegistration,
                   "Another broker is registered with that broker id. If the broker was recently "
                   "restarted this should self-resolve once the heartbeat manager expires the "
                   "broker's session."};
  if (auto problem = registration_problem(request.features))
    return Refusal{ErrorCode::kUnsupportedVersion, std::move(*problem)};
  return check_directories(request);
}

bool Controller::has_session(NodeId id, Instant now) const {
  auto session = sessions_.find(id);
  const Broker* broker = image_.find_broker(id);
  return broker && !broker->fenced && session != sessions_.end() &&
         now - session->second.last_contact < session_timeout();
}

Decided<wire::BrokerRegistrationResponse> Controller::decide_broker_registration(
    const wire::BrokerRegistrationRequest& request, const Position& position) {
  Decided<wire::BrokerRegistrationResponse> decided;
  if (auto refusal = check_registration(request, position.now)) {
    LOG_WARN("broker {} is not registered: {}", request.broker_id, refusal->message);
    decided.response.error_code = wire::code_of(refusal->code);
    return decided;
  }
  const NodeId id(request.broker_id);
  const Broker* known = image_.find_broker(id);
  const bool is_same_process = known && known->incarnation == request.incarnation_id;
  // What a former process left led or in an ISR: it has to come back for it.
  if (known && !is_same_process)
    take_partitions_from(
        {.broker = id, .unclean = request.previous_broker_epoch != known->epoch.value()},
        decided.records);
  wire::RegisterBrokerRecord record{.broker_id = request.broker_id,
                                    .incarnation_id = request.incarnation_id,
                                    .rack = request.rack,
                                    .fenced = !is_same_process || known->fenced,
                                    .log_dirs = request.log_dirs};
  record.broker_epoch =
      is_same_process ? known->epoch.value()
                      : (position.next + static_cast<int64_t>(decided.records.size())).value();
  copy_description(request, record);
  decided.response.broker_epoch = record.broker_epoch;
  sessions_[id] = {.last_contact = position.now};
  decided.records.push_back(std::move(record));
  return decided;
}

Controller::BrokerLife Controller::next_life(const Broker& broker,
                                             const wire::BrokerHeartbeatRequest& request) const {
  if (broker.fenced) {
    if (request.want_shut_down) return BrokerLife::kShutDown;
    const bool caught_up = request.current_metadata_offset >= broker.epoch.value();
    return !request.want_fence && caught_up ? BrokerLife::kUnfenced : BrokerLife::kFenced;
  }
  if (request.want_fence)
    return request.want_shut_down ? BrokerLife::kShutDown : BrokerLife::kFenced;
  if (!request.want_shut_down && !broker.in_controlled_shutdown) return BrokerLife::kUnfenced;
  if (leads_any(broker.id)) return BrokerLife::kControlledShutdown;
  if (!broker.in_controlled_shutdown) return BrokerLife::kShutDown;
  // All others must know of the new leaders before the old one goes.
  const auto own = sessions_.find(broker.id);
  if (own == sessions_.end() || !own->second.shutdown_offset) return BrokerLife::kShutDown;
  for (const auto& [id, session] : sessions_)
    if (id != broker.id && is_active(id) && session.metadata_offset < *own->second.shutdown_offset)
      return BrokerLife::kControlledShutdown;
  return BrokerLife::kShutDown;
}

bool Controller::leads_any(NodeId id) const {
  return std::ranges::any_of(image_.topics(), [id](const auto& topic) {
    return std::ranges::any_of(topic.second->partitions,
                               [id](const PartitionState& p) { return p.leader == id; });
  });
}

Records Controller::enter_life(const Broker& broker, BrokerLife life) const {
  Records records;
  wire::BrokerRegistrationChangeRecord change{.broker_id = broker.id.value(),
                                              .broker_epoch = broker.epoch.value()};
  if (life == BrokerLife::kUnfenced && broker.fenced) {
    change.fenced = -1;
    records.push_back(change);
    change_partitions(records, [&](const metadata::Topic&, const PartitionState& p) {
      return with_broker(p, broker.id);
    });
  } else if (life == BrokerLife::kControlledShutdown && !broker.in_controlled_shutdown) {
    change.in_controlled_shutdown = 1;
    records.push_back(change);
    take_partitions_from({.broker = broker.id}, records);
  } else if ((life == BrokerLife::kFenced || life == BrokerLife::kShutDown) && !broker.fenced) {
    take_partitions_from({.broker = broker.id}, records);
    change.fenced = 1;
    records.push_back(change);
  }
  return records;
}

Decided<wire::BrokerHeartbeatResponse> Controller::decide_broker_heartbeat(
    const wire::BrokerHeartbeatRequest& request, const Position& position) {
  Decided<wire::BrokerHeartbeatResponse> decided;
  const Broker* broker = image_.find_broker(NodeId(request.broker_id));
  if (broker == nullptr || broker->epoch.value() != request.broker_epoch) {
    decided.response.error_code =
        wire::code_of(broker ? ErrorCode::kStaleBrokerEpoch : ErrorCode::kBrokerIdNotRegistered);
    return decided;
  }
  Session& session = sessions_[broker->id];
  session.last_contact = position.now;
  session.metadata_offset = Offset(request.current_metadata_offset);
  const BrokerLife life = next_life(*broker, request);
  decided.records = enter_life(*broker, life);
  if (life == BrokerLife::kControlledShutdown && !session.shutdown_offset)
    session.shutdown_offset = position.next + static_cast<int64_t>(decided.records.size());
  decided.response.is_caught_up = request.current_metadata_offset >= broker->epoch.value();
  decided.response.is_fenced = life == BrokerLife::kFenced || life == BrokerLife::kShutDown;
  decided.response.should_shut_down = life == BrokerLife::kShutDown;
  return decided;
}

// A controller that stood still itself has heard nobody meanwhile and may blame nobody.
Records Controller::decide_expired_sessions(Instant now) {
  const bool stood_still = now - last_sweep_ > session_timeout() / 2;
  if (stood_still) start_sessions(now);
  last_sweep_ = now;
  for (const auto& [id, broker] : image_.brokers()) {
    if (broker.fenced || has_session(id, now)) continue;
    LOG_INFO("broker {} is fenced: no heartbeat within its session", id);
    return enter_life(broker, BrokerLife::kFenced);  // one at a time, as Kafka does
  }
  return {};
}

Decided<wire::ControllerRegistrationResponse> Controller::decide_controller_registration(
    const wire::ControllerRegistrationRequest& request) const {
  Decided<wire::ControllerRegistrationResponse> decided;
  if (auto problem = registration_problem(request.features)) {
    decided.response.error_code = wire::code_of(ErrorCode::kUnsupportedVersion);
    decided.response.error_message = std::move(*problem);
    return decided;
  }
  wire::RegisterControllerRecord record{.controller_id = request.controller_id,
                                        .incarnation_id = request.incarnation_id,
                                        .zk_migration_ready = request.zk_migration_ready};
  copy_description(request, record);
  decided.records.push_back(std::move(record));
  return decided;
}

Decided<wire::AllocateProducerIdsResponse> Controller::decide_allocate_producer_ids(
    const wire::AllocateProducerIdsRequest& request) const {
  Decided<wire::AllocateProducerIdsResponse> decided;
  const Broker* broker = image_.find_broker(NodeId(request.broker_id));
  if (broker == nullptr || broker->epoch.value() != request.broker_epoch) {
    decided.response.error_code =
        wire::code_of(broker ? ErrorCode::kStaleBrokerEpoch : ErrorCode::kBrokerIdNotRegistered);
    return decided;
  }
  auto block = decide_producer_id_block(broker->id, broker->epoch);
  decided.records = std::move(block.records);
  decided.response.producer_id_start = block.response.value();
  decided.response.producer_id_len = kProducerIdBlock;
  return decided;
}

}  // namespace millrace::controller
