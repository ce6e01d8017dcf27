// The life of brokers as the controller decides it (KIP-631): registration, heartbeats and their
// sessions, fencing, controlled shutdown.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "controller/broker_partitions.h"
#include "controller/controller.h"
#include "metadata/directory_id.h"
#include "metadata/features.h"

namespace millrace::controller {
namespace {

using metadata::Broker;
using wire::ErrorCode;

constexpr int16_t kCordonedDirectories = 30;  // metadata.version 4.3-IV0

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

void Controller::activate(std::string cluster_id, QuorumFeature quorum, Instant now) {
  cluster_id_ = std::move(cluster_id);
  quorum_ = std::move(quorum);
  sessions_.restart(now);
  for (const auto& [id, broker] : image_.brokers()) {
    if (!broker.fenced) sessions_.open(id, now);
    // Which record was the last of its shutdown is forgotten; it is not behind the image.
    if (broker.in_controlled_shutdown) sessions_.shut_down_behind(id, image_.last_offset());
  }
  periodic_ = {
      .balance_at = now + interval("leader.imbalance.check.interval.seconds", seconds(1)),
      .unclean_at = now + interval("unclean.leader.election.interval.ms", milliseconds(1))};
}

Duration Controller::session_timeout() const {
  return milliseconds(properties_->number("broker.session.timeout.ms"));
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

std::optional<Refusal> Controller::check_directories(
    const wire::BrokerRegistrationRequest& request) const {
  if (image_.metadata_version() < metadata::kDirectoryAssignmentLevel) return std::nullopt;
  auto refuse = [](std::string why) {
    return Refusal{ErrorCode::kInvalidRegistration, std::move(why)};
  };
  if (request.log_dirs.empty()) return refuse("No directories specified in request");
  if (std::ranges::any_of(request.log_dirs, metadata::is_reserved_directory))
    return refuse("Reserved directory ID in request");
  const std::set<Uuid> own(request.log_dirs.begin(), request.log_dirs.end());
  if (own.size() != request.log_dirs.size()) return refuse("Duplicate directory ID in request");
  for (const auto& [id, broker] : image_.brokers())
    for (const Uuid& directory : broker.log_dirs)
      if (id != NodeId(request.broker_id) && own.contains(directory))
        return refuse(
            fmt::format("Broker {} is already registered with directory {}", id, directory));
  return std::nullopt;
}

// Decisions, D7: whoever holds the same log directories holds their locks, so the process that was
// registered before is gone, whatever its session says.
std::optional<Refusal> Controller::check_registration(
    const wire::BrokerRegistrationRequest& request, Instant now) const {
  if (request.cluster_id != cluster_id_)
    return Refusal{ErrorCode::kInconsistentClusterId,
                   fmt::format("Expected cluster ID {}, but got cluster ID {}", cluster_id_,
                               request.cluster_id)};
  const Broker* known = image_.find_broker(NodeId(request.broker_id));
  if (known && known->incarnation != request.incarnation_id && has_session(*known, now) &&
      (request.log_dirs.empty() || known->log_dirs != request.log_dirs))
    return Refusal{ErrorCode::kDuplicateBrokerRegistration,
                   "Another broker is registered with that broker id. If the broker was recently "
                   "restarted this should self-resolve once the heartbeat manager expires the "
                   "broker's session."};
  if (request.is_migrating_zk_broker)
    return Refusal{ErrorCode::kBrokerIdNotRegistered,
                   "Controller does not support registering ZK brokers."};
  if (auto refusal = check_directories(request)) return refusal;
  if (std::ranges::find(request.features, metadata::kMetadataVersion,
                        &wire::BrokerRegistrationRequest::Feature::name) == request.features.end())
    return Refusal{ErrorCode::kInvalidRegistration,
                   "Request features do not contain 'metadata.version'"};
  if (auto problem = registration_problem(request.features))
    return Refusal{ErrorCode::kUnsupportedVersion, std::move(*problem)};
  return std::nullopt;
}

bool Controller::has_session(const Broker& broker, Instant now) const {
  return !broker.fenced && sessions_.is_live(broker.id, now, session_timeout());
}

// What a former process left in an ISR it has to come back for. If it lost nothing of what it
// acknowledged it may be eligible still: brokers of Apache Kafka say so after a clean stop, those
// of Millrace after a crash, too, where they sync before they acknowledge.
Records Controller::replace_process(const wire::BrokerRegistrationRequest& request,
                                    const Broker* known) {
  const ClusterView now = view();
  PartitionChanges changes(now);
  const NodeId id(request.broker_id);
  if (known && request.previous_broker_epoch == known->epoch.value())
    leave_partitions(now, id, changes);
  else
    forget_partitions(now, id, request.log_dirs, changes);
  return std::move(changes.records());
}

Decided<wire::BrokerRegistrationResponse> Controller::decide_broker_registration(
    const wire::BrokerRegistrationRequest& request, const Position& position) {
  Decided<wire::BrokerRegistrationResponse> decided;
  if (auto refusal = check_registration(request, position.now)) {
    // It tries again several times a second.
    if (std::exchange(last_refused_, request.incarnation_id) != request.incarnation_id)
      LOG_WARN("broker {} is not registered: {}", request.broker_id, refusal->message);
    decided.response.error_code = wire::code_of(refusal->code);
    return decided;
  }
  const NodeId id(request.broker_id);
  const Broker* known = image_.find_broker(id);
  const bool is_same_process = known && known->incarnation == request.incarnation_id;
  if (!is_same_process) decided.records = replace_process(request, known);
  wire::RegisterBrokerRecord record{
      .broker_id = request.broker_id,
      .incarnation_id = request.incarnation_id,
      .rack = request.rack,
      .fenced = !is_same_process || known->fenced,
      .in_controlled_shutdown = is_same_process && known->in_controlled_shutdown};
  if (image_.metadata_version() >= metadata::kDirectoryAssignmentLevel)
    record.log_dirs = request.log_dirs;
  record.broker_epoch =
      is_same_process ? known->epoch.value()
                      : (position.next + static_cast<int64_t>(decided.records.size())).value();
  copy_description(request, record);
  decided.response.broker_epoch = record.broker_epoch;
  sessions_.open(id, position.now);
  decided.records.push_back(std::move(record));
  return decided;
}

Decided<wire::UnregisterBrokerResponse> Controller::decide_unregister_broker(
    const wire::UnregisterBrokerRequest& request) {
  Decided<wire::UnregisterBrokerResponse> decided;
  decided.response.error_message.reset();
  const Broker* broker = image_.find_broker(NodeId(request.broker_id));
  if (broker == nullptr) {
    decided.response.error_code = wire::code_of(ErrorCode::kBrokerIdNotRegistered);
    decided.response.error_message =
        fmt::format("Broker ID {} is not currently registered", request.broker_id);
    return decided;
  }
  const ClusterView now = view();
  PartitionChanges changes(now);
  leave_partitions(now, broker->id, changes);
  decided.records = std::move(changes.records());
  decided.records.push_back(wire::UnregisterBrokerRecord{.broker_id = request.broker_id,
                                                         .broker_epoch = broker->epoch.value()});
  sessions_.close(broker->id);
  return decided;
}

Controller::BrokerLife Controller::next_life(const Broker& broker,
                                             const wire::BrokerHeartbeatRequest& request) {
  if (broker.fenced) {
    if (request.want_shut_down) return BrokerLife::kShutDown;
    const bool caught_up = request.current_metadata_offset >= broker.epoch.value();
    return !request.want_fence && caught_up ? BrokerLife::kUnfenced : BrokerLife::kFenced;
  }
  if (request.want_fence)
    return request.want_shut_down ? BrokerLife::kShutDown : BrokerLife::kFenced;
  if (!request.want_shut_down && !broker.in_controlled_shutdown) return BrokerLife::kUnfenced;
  if (image_.index().leaderships(broker.id) > 0) return BrokerLife::kControlledShutdown;
  if (!broker.in_controlled_shutdown) return BrokerLife::kShutDown;
  // All others must know of the new leaders before the old one goes.
  const auto last_record = sessions_.shutdown_record(broker.id);
  if (!last_record) return BrokerLife::kShutDown;
  for (const auto& [id, other] : image_.brokers())
    if (id != broker.id && !other.fenced && !other.in_controlled_shutdown &&
        sessions_.metadata_offset(id) < *last_record)
      return BrokerLife::kControlledShutdown;
  return BrokerLife::kShutDown;
}

void Controller::enter_life(const Broker& broker, BrokerLife life, PartitionChanges& changes) {
  Records& records = changes.records();
  wire::BrokerRegistrationChangeRecord change{.broker_id = broker.id.value(),
                                              .broker_epoch = broker.epoch.value()};
  const ClusterView now = view();
  if (life == BrokerLife::kUnfenced && broker.fenced) {
    change.fenced = -1;
    records.push_back(change);
    rejoin_partitions(now, broker.id, changes);
  } else if (life == BrokerLife::kControlledShutdown && !broker.in_controlled_shutdown) {
    change.in_controlled_shutdown = 1;
    records.push_back(change);
    leave_partitions(now, broker.id, changes);
  } else if ((life == BrokerLife::kFenced || life == BrokerLife::kShutDown) && !broker.fenced) {
    leave_partitions(now, broker.id, changes);
    change.fenced = 1;
    records.push_back(change);
  }
}

// What it says of its directories: which failed (KIP-858), which get no new replicas (KIP-1066).
void Controller::note_directories(const Broker& broker, const wire::BrokerHeartbeatRequest& request,
                                  PartitionChanges& changes) {
  wire::BrokerRegistrationChangeRecord change{.broker_id = broker.id.value(),
                                              .broker_epoch = broker.epoch.value()};
  std::vector<Uuid> failed, rest;
  for (const Uuid& directory : broker.log_dirs)
    (std::ranges::find(request.offline_log_dirs, directory) != request.offline_log_dirs.end()
         ? failed
         : rest)
        .push_back(directory);
  if (!failed.empty() && image_.metadata_version() >= metadata::kDirectoryAssignmentLevel) {
    LOG_WARN("broker {} lost {} of its {} log directories", broker.id, failed.size(),
             broker.log_dirs.size());
    leave_directories(view(), broker.id, failed, changes);
    change.log_dirs = std::move(rest);
    changes.records().push_back(change);
  }
  if (request.cordoned_log_dirs && image_.metadata_version() >= kCordonedDirectories &&
      request.cordoned_log_dirs !=
          broker.registration.cordoned_log_dirs.value_or(std::vector<Uuid>{})) {
    change.log_dirs.clear();
    change.cordoned_log_dirs = request.cordoned_log_dirs;
    changes.records().push_back(change);
  }
}

Decided<wire::BrokerHeartbeatResponse> Controller::decide_broker_heartbeat(
    const wire::BrokerHeartbeatRequest& request, const Position& position) {
  Decided<wire::BrokerHeartbeatResponse> decided;
  const ClusterView now = view();
  const Broker* broker =
      now.find_broker(NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
  if (broker == nullptr) {
    decided.response.error_code = wire::code_of(ErrorCode::kStaleBrokerEpoch);
    return decided;
  }
  const BrokerLife life = next_life(*broker, request);
  PartitionChanges changes(now);
  enter_life(*broker, life, changes);
  const size_t of_life = changes.records().size();
  note_directories(*broker, request, changes);
  sessions_.hear(broker->id, position.now, Offset(request.current_metadata_offset));
  if (life == BrokerLife::kControlledShutdown && !sessions_.shutdown_record(broker->id))
    sessions_.shut_down_behind(broker->id, position.next + static_cast<int64_t>(of_life) - 1);
  decided.records = std::move(changes.records());
  decided.response.is_caught_up = request.current_metadata_offset >= broker->epoch.value();
  decided.response.is_fenced = life == BrokerLife::kFenced || life == BrokerLife::kShutDown;
  decided.response.should_shut_down = life == BrokerLife::kShutDown;
  return decided;
}

// All at once, so that none of them is elected in the place of another.
Records Controller::decide_expired_sessions(Instant now) {
  if (!sessions_.may_sweep(now, session_timeout())) return {};
  std::vector<const Broker*> expired;
  for (const auto& [id, broker] : image_.brokers())
    if (!broker.fenced && !has_session(broker, now)) expired.push_back(&broker);
  const ClusterView current = view();
  PartitionChanges changes(current);
  for (const Broker* broker : expired) changes.assume(broker->id, false);
  for (const Broker* broker : expired) {
    LOG_INFO("broker {} is fenced: no heartbeat within its session", broker->id);
    enter_life(*broker, BrokerLife::kFenced, changes);
  }
  return std::move(changes.records());
}

Records Controller::decide_gone_broker(NodeId id, BrokerEpoch epoch, Instant since) {
  const ClusterView current = view();
  const Broker* broker = current.find_broker(id, epoch);
  if (broker == nullptr || broker->fenced || sessions_.spoke_after(id, since)) return {};
  LOG_INFO("broker {} is fenced: its process is gone", id);
  PartitionChanges changes(current);
  enter_life(*broker, BrokerLife::kFenced, changes);
  return std::move(changes.records());
}

Decided<wire::ControllerRegistrationResponse> Controller::decide_controller_registration(
    const wire::ControllerRegistrationRequest& request) const {
  Decided<wire::ControllerRegistrationResponse> decided;
  decided.response.error_message.reset();
  std::optional<std::string> problem = registration_problem(request.features);
  if (image_.metadata_version() < metadata::kControllerRegistrationLevel)
    problem = "The current MetadataVersion is too old to support controller registrations.";
  if (problem) {
    decided.response.error_code = wire::code_of(ErrorCode::kUnsupportedVersion);
    decided.response.error_message = std::move(*problem);
    return decided;
  }
  wire::RegisterControllerRecord record{.controller_id = request.controller_id,
                                        .incarnation_id = request.incarnation_id};
  copy_description(request, record);
  decided.records.push_back(std::move(record));
  return decided;
}

Decided<wire::AllocateProducerIdsResponse> Controller::decide_allocate_producer_ids(
    const wire::AllocateProducerIdsRequest& request) {
  Decided<wire::AllocateProducerIdsResponse> decided;
  const Broker* broker =
      view().find_broker(NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
  if (broker == nullptr) {
    decided.response.error_code = wire::code_of(ErrorCode::kStaleBrokerEpoch);
    return decided;
  }
  auto block = decide_producer_id_block(broker->id, broker->epoch);
  decided.records = std::move(block.records);
  decided.response.producer_id_start = block.response.value();
  decided.response.producer_id_len = kProducerIdBlock;
  return decided;
}

}  // namespace millrace::controller
