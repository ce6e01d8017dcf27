// The decisions of the active controller: a replicated machine (machine/replicated.h) over
// __cluster_metadata. Each decide_* function reads the image and gives records and an answer;
// apply() is the image's. Nothing here knows of logs or clocks.
// Not here: elections and the log (raft, node/metadata_log), what a broker does with the records
// (node). Errors are the protocol's: every function answers for each item what Kafka's controller
// would (reference: KIP-4, KIP-525, KIP-631).
// Threads: one caller at a time. Random ids come from `UuidSource`, which the host backs by
// env::Random.
// Limits: a decision of more than kMaxRecords records is refused with POLICY_VIOLATION, as Kafka
// refuses it.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "config/properties.h"
#include "controller/placement.h"
#include "metadata/image.h"
#include "wire/allocate_producer_ids.h"
#include "wire/alter_configs.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/controller_registration.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/errors.h"
#include "wire/incremental_alter_configs.h"
#include "wire/update_features.h"

namespace millrace::controller {

using UuidSource = std::function<Uuid()>;
using Records = std::vector<wire::MetadataRecord>;

template <class Response>
struct Decided {
  Records records;
  Response response;
};

// When a decision is taken: the offset that its first record will have, and the time for sessions.
struct Position {
  Offset next;
  Instant now;
};

class Controller {
 public:
  static constexpr size_t kMaxRecords = 20'000;
  static constexpr int64_t kMaxNewPartitions = 10'000;  // of one CreateTopics, as in Kafka
  static constexpr int32_t kProducerIdBlock = 1000;     // as Kafka's

  // `properties`, the node's own, outlive the controller: defaults of topics, bounds of configs.
  Controller(const config::NodeProperties& properties, UuidSource uuids)
      : properties_(&properties), uuids_(std::move(uuids)) {}

  metadata::Image& image() { return image_; }
  const metadata::Image& image() const { return image_; }

  // What the log of a new cluster begins with: the feature levels of a fresh 4.3 cluster.
  static Records bootstrap_records();

  Decided<wire::CreateTopicsResponse> decide_create_topics(
      const wire::CreateTopicsRequest& request);
  Decided<wire::DeleteTopicsResponse> decide_delete_topics(
      const wire::DeleteTopicsRequest& request);
  Decided<wire::CreatePartitionsResponse> decide_create_partitions(
      const wire::CreatePartitionsRequest& request);
  Decided<wire::IncrementalAlterConfigsResponse> decide_incremental_alter_configs(
      const wire::IncrementalAlterConfigsRequest& request);
  // The old call (KIP-133): what it does not name goes back to its default.
  Decided<wire::AlterConfigsResponse> decide_alter_configs(
      const wire::AlterConfigsRequest& request);
  // All updates or none (KIP-584, KIP-1022).
  Decided<wire::UpdateFeaturesResponse> decide_update_features(
      const wire::UpdateFeaturesRequest& request, int16_t version);

  // This controller decides from now on, and counts the sessions of brokers anew: they are soft
  // state. The kraft.version is the quorum's: the log says it, not its metadata records.
  void activate(std::string cluster_id, int16_t kraft_version, Instant now);
  // A broker registers fenced; its epoch is the offset of the record. Unfenced it is by a
  // heartbeat that has seen the record.
  Decided<wire::BrokerRegistrationResponse> decide_broker_registration(
      const wire::BrokerRegistrationRequest& request, const Position& position);
  Decided<wire::BrokerHeartbeatResponse> decide_broker_heartbeat(
      const wire::BrokerHeartbeatRequest& request, const Position& position);
  Decided<wire::ControllerRegistrationResponse> decide_controller_registration(
      const wire::ControllerRegistrationRequest& request) const;
  // Fences one broker that was not heard of for a session.
  Records decide_expired_sessions(Instant now);
  Decided<wire::AllocateProducerIdsResponse> decide_allocate_producer_ids(
      const wire::AllocateProducerIdsRequest& request) const;
  Decided<ProducerId> decide_producer_id_block(NodeId broker, BrokerEpoch epoch) const;

 private:
  struct Refusal {
    wire::ErrorCode code = wire::ErrorCode::kNone;
    std::string message;
  };
  using Topic = wire::CreateTopicsRequest::CreatableTopic;
  using Assignments = std::vector<ReplicaPlacer::Assignment>;  // of the partitions of a topic
  struct Session {
    Instant last_contact;
    Offset metadata_offset{-1};             // as the broker says
    std::optional<Offset> shutdown_offset;  // behind the records of its controlled shutdown
  };
  struct Departure {
    NodeId broker;
    bool unclean = false;  // it may have lost what it had (KIP-966)
  };
  enum class BrokerLife { kFenced, kUnfenced, kControlledShutdown, kShutDown };

  static Refusal too_many();
  int64_t partitions_wanted(const wire::CreateTopicsRequest& request) const;
  ReplicaPlacer placer(const Uuid& topic_id, const Assignments& existing) const;
  std::expected<Assignments, Refusal> place(const Topic& topic, const Uuid& topic_id) const;
  std::expected<Assignments, Refusal> place_manually(const Topic& topic) const;
  std::optional<std::string> assignment_problem(const std::vector<int32_t>& ids) const;
  std::expected<metadata::ConfigMap, Refusal> configs_of(const Topic& topic) const;
  std::optional<Refusal> check_name(const std::string& name) const;
  std::expected<Records, Refusal> create_topic(
      const Topic& topic, wire::CreateTopicsResponse::CreatableTopicResult& result);
  wire::PartitionRecord new_partition(const Uuid& topic_id, size_t index,
                                      const ReplicaPlacer::Assignment& replicas) const;
  std::optional<Refusal> add_partition_records(const Uuid& topic_id, size_t first,
                                               const Assignments& assignments,
                                               Records& records) const;
  static std::optional<Refusal> deletion_refusal(
      const wire::DeleteTopicsRequest::DeleteTopicState& wanted, const metadata::Topic* topic,
      const std::map<std::string, int>& names, const std::map<Uuid, int>& ids);
  std::expected<Records, Refusal> add_partitions(
      const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic) const;
  std::expected<Assignments, Refusal> place_added(
      const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic,
      const metadata::Topic& known) const;

  // Configs: config_decisions.cc.
  using IncrementalResource = wire::IncrementalAlterConfigsRequest::AlterConfigsResource;
  using WholeResource = wire::AlterConfigsRequest::AlterConfigsResource;
  template <class Request, class Response>
  Decided<Response> decide_configs(const Request& request) const;
  std::expected<metadata::ConfigMap, Refusal> wanted_configs(
      const IncrementalResource& wanted) const;
  std::expected<metadata::ConfigMap, Refusal> wanted_configs(const WholeResource& wanted) const;
  std::optional<Refusal> check_configs(const metadata::ConfigResource& resource,
                                       const metadata::ConfigMap& configs) const;
  std::optional<Refusal> check_min_isr(const metadata::ConfigResource& resource,
                                       const metadata::ConfigMap& configs) const;
  Records config_records(const metadata::ConfigResource& resource,
                         const metadata::ConfigMap& wanted) const;
  void add_effective_configs(const metadata::ConfigMap& overrides,
                             wire::CreateTopicsResponse::CreatableTopicResult& result) const;

  // Features: feature_decisions.cc.
  std::optional<std::string> feature_problem(
      const wire::UpdateFeaturesRequest::FeatureUpdateKey& update, bool upgrade_only) const;
  void add_min_isr_records(Records& records) const;

  // Brokers: brokers.cc.
  std::optional<Refusal> check_registration(const wire::BrokerRegistrationRequest& request,
                                            Instant now) const;
  std::optional<Refusal> check_directories(const wire::BrokerRegistrationRequest& request) const;
  template <class Features>
  std::optional<std::string> registration_problem(const Features& features) const;
  void start_sessions(Instant now);
  Duration session_timeout() const;
  bool has_session(NodeId id, Instant now) const;
  bool is_active(NodeId id) const;
  bool leads_any(NodeId id) const;
  BrokerLife next_life(const metadata::Broker& broker,
                       const wire::BrokerHeartbeatRequest& request) const;
  Records enter_life(const metadata::Broker& broker, BrokerLife life) const;
  size_t min_isr(const metadata::Topic& topic) const;
  metadata::PartitionState without_broker(const metadata::Topic& topic,
                                          const metadata::PartitionState& p,
                                          const Departure& departure) const;
  metadata::PartitionState with_broker(const metadata::PartitionState& p, NodeId broker) const;
  template <class Change>
  void change_partitions(Records& records, const Change& change) const;
  void take_partitions_from(const Departure& departure, Records& records) const;

  metadata::Image image_;
  std::map<NodeId, Session> sessions_;
  Instant last_sweep_;
  std::string cluster_id_;
  int16_t kraft_version_ = 0;
  const config::NodeProperties* properties_;
  UuidSource uuids_;
};

// Whether Kafka allows the name: nothing, or why not.
std::optional<std::string> topic_name_problem(std::string_view name);
// `.` and `_` are one in metric names, so such names may not stand side by side.
bool topic_names_collide(std::string_view a, std::string_view b);

}  // namespace millrace::controller
