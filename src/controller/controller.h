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

#include "config/properties.h"
#include "controller/broker_sessions.h"
#include "controller/cluster_view.h"
#include "controller/decided.h"
#include "controller/partition_changes.h"
#include "controller/placement.h"
#include "metadata/image.h"
#include "wire/allocate_producer_ids.h"
#include "wire/alter_client_quotas.h"
#include "wire/alter_configs.h"
#include "wire/alter_partition.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/assign_replicas_to_dirs.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/controller_registration.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/elect_leaders.h"
#include "wire/incremental_alter_configs.h"
#include "wire/list_partition_reassignments.h"
#include "wire/unregister_broker.h"
#include "wire/update_features.h"

namespace millrace::controller {

using UuidSource = std::function<Uuid()>;

// The quorum's own feature, kraft.version: its log says it, not its metadata records. A decision
// that raises it has a FeatureLevelRecord, which the host has the quorum write in its own way.
struct QuorumFeature {
  std::function<int16_t()> level;
  std::function<std::optional<std::string>(int16_t)> upgrade_problem;  // nothing: it can be had
};

// Where clients are charged for changes of topics (KIP-599): asked once a topic, with the
// partitions that it would create or delete, before anything of it is decided. Nothing: they may;
// else the topic is refused so. It knows whose request is being decided.
using MutationQuota = std::function<std::optional<Refusal>(int64_t partitions)>;

// Whether a text names an address: a literal, or a name that is known to the host.
using AddressCheck = std::function<bool(const std::string&)>;

class Controller {
 public:
  static constexpr int64_t kMaxNewPartitions = 10'000;  // of one CreateTopics, as in Kafka
  static constexpr int32_t kProducerIdBlock = 1000;     // as Kafka's

  // `properties`, the node's own, outlive the controller: defaults of topics, bounds of configs.
  Controller(const config::NodeProperties& properties, UuidSource uuids)
      : properties_(&properties), uuids_(std::move(uuids)) {}

  metadata::Image& image() { return image_; }
  const metadata::Image& image() const { return image_; }

  // What the log of a new cluster begins with: the feature levels of a fresh 4.3 cluster.
  static Records bootstrap_records();

  // Without one, as at first, changes are free.
  void set_mutation_quota(MutationQuota quota) { mutation_quota_ = std::move(quota); }

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
  Decided<wire::AlterClientQuotasResponse> decide_alter_client_quotas(
      const wire::AlterClientQuotasRequest& request, const AddressCheck& is_address) const;
  // All updates or none (KIP-584, KIP-1022).
  Decided<wire::UpdateFeaturesResponse> decide_update_features(
      const wire::UpdateFeaturesRequest& request, int16_t version);

  // This controller decides from now on, over what image() is. What else it knew is soft and begins
  // anew: the sessions of brokers, when something is due.
  void activate(std::string cluster_id, QuorumFeature quorum, Instant now);

  // A broker registers fenced; its epoch is the offset of the record. Unfenced it is by a
  // heartbeat that has seen the record.
  Decided<wire::BrokerRegistrationResponse> decide_broker_registration(
      const wire::BrokerRegistrationRequest& request, const Position& position);
  Decided<wire::BrokerHeartbeatResponse> decide_broker_heartbeat(
      const wire::BrokerHeartbeatRequest& request, const Position& position);
  Decided<wire::UnregisterBrokerResponse> decide_unregister_broker(
      const wire::UnregisterBrokerRequest& request);
  Decided<wire::ControllerRegistrationResponse> decide_controller_registration(
      const wire::ControllerRegistrationRequest& request) const;
  Decided<wire::AllocateProducerIdsResponse> decide_allocate_producer_ids(
      const wire::AllocateProducerIdsRequest& request);
  Decided<ProducerId> decide_producer_id_block(NodeId broker, BrokerEpoch epoch) const;

  // Of partitions: replication_decisions.h, reassignment.h.
  Decided<wire::AlterPartitionResponse> decide_alter_partition(
      const wire::AlterPartitionRequest& request);
  Decided<wire::ElectLeadersResponse> decide_elect_leaders(
      const wire::ElectLeadersRequest& request);
  Decided<wire::AssignReplicasToDirsResponse> decide_assign_replicas_to_dirs(
      const wire::AssignReplicasToDirsRequest& request);
  Decided<wire::AlterPartitionReassignmentsResponse> decide_alter_partition_reassignments(
      const wire::AlterPartitionReassignmentsRequest& request);
  // No records: it lists.
  Decided<wire::ListPartitionReassignmentsResponse> decide_list_partition_reassignments(
      const wire::ListPartitionReassignmentsRequest& request);

  // What time asks for, one kind at a call: brokers whose session is over are fenced, preferred
  // leaders elected, partitions without a leader given one where that may be unclean. The host
  // calls it several times a session.
  Records decide_periodic(Instant now);
  Records decide_expired_sessions(Instant now);  // its first part
  // Fences a broker whose process is known to be gone, unless it was heard of after `since`.
  Records decide_gone_broker(NodeId id, BrokerEpoch epoch, Instant since);

 private:
  using Topic = wire::CreateTopicsRequest::CreatableTopic;
  using Assignments = std::vector<ReplicaPlacer::Assignment>;  // of the partitions of a topic
  enum class BrokerLife { kFenced, kUnfenced, kControlledShutdown, kShutDown };

  ClusterView view() { return {image_, *properties_}; }
  static Refusal too_many();
  std::optional<Refusal> charge(size_t partitions) const;
  int64_t partitions_wanted(const wire::CreateTopicsRequest& request) const;
  ReplicaPlacer placer(const Uuid& topic_id, const Assignments& existing) const;
  std::expected<Assignments, Refusal> place(const Topic& topic, const Uuid& topic_id) const;
  std::expected<Assignments, Refusal> place_manually(const Topic& topic) const;
  std::expected<metadata::ConfigMap, Refusal> configs_of(const Topic& topic) const;
  std::optional<Refusal> check_name(const std::string& name) const;
  std::expected<Records, Refusal> create_topic(
      const Topic& topic, wire::CreateTopicsResponse::CreatableTopicResult& result);
  wire::PartitionRecord new_partition(const Uuid& topic_id, size_t index,
                                      const ReplicaPlacer::Assignment& replicas);
  std::optional<Refusal> add_partition_records(const Uuid& topic_id, size_t first,
                                               const Assignments& assignments, Records& records);
  static std::optional<Refusal> deletion_refusal(
      const wire::DeleteTopicsRequest::DeleteTopicState& wanted, const metadata::Topic* topic,
      const std::map<std::string, int>& names, const std::map<Uuid, int>& ids);
  std::expected<Records, Refusal> add_partitions(
      const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic);
  std::expected<Assignments, Refusal> place_added(
      const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic,
      const metadata::Topic& known) const;

  // Configs: config_decisions.cc.
  using IncrementalResource = wire::IncrementalAlterConfigsRequest::AlterConfigsResource;
  using WholeResource = wire::AlterConfigsRequest::AlterConfigsResource;
  template <class Request, class Response>
  Decided<Response> decide_configs(const Request& request);
  void follow_configs(Records& records);
  void clear_elr(const std::string& topic_name, Records& records);
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
  using FeatureUpdate = wire::UpdateFeaturesRequest::FeatureUpdateKey;
  using FeatureLevels = std::map<std::string, int16_t>;
  struct FeatureWish {
    const FeatureUpdate* update = nullptr;
    int8_t type = 0;  // of the upgrade
    int16_t now = 0;
    const FeatureLevels* levels = nullptr;  // of all features, if it comes true
  };
  std::optional<std::string> feature_problem(const FeatureWish& wish) const;
  std::optional<std::string> cluster_problem(const FeatureUpdate& update) const;
  static std::optional<std::string> dependency_problem(const FeatureWish& wish);
  static std::optional<std::string> metadata_downgrade_problem(const FeatureWish& wish);
  void add_min_isr_records(Records& records) const;

  // Brokers: brokers.cc.
  std::optional<Refusal> check_registration(const wire::BrokerRegistrationRequest& request,
                                            Instant now) const;
  std::optional<Refusal> check_directories(const wire::BrokerRegistrationRequest& request) const;
  template <class Features>
  std::optional<std::string> registration_problem(const Features& features) const;
  Records replace_process(const wire::BrokerRegistrationRequest& request,
                          const metadata::Broker* known);
  Duration session_timeout() const;
  bool has_session(const metadata::Broker& broker, Instant now) const;
  BrokerLife next_life(const metadata::Broker& broker, const wire::BrokerHeartbeatRequest& request);
  void enter_life(const metadata::Broker& broker, BrokerLife life, PartitionChanges& changes);
  void note_directories(const metadata::Broker& broker, const wire::BrokerHeartbeatRequest& request,
                        PartitionChanges& changes);

  // Periodic: periodic_decisions.cc.
  Duration interval(const char* config, Duration unit) const;
  Records elect_when_due(Instant now);

  metadata::Image image_;
  BrokerSessions sessions_;
  Uuid last_refused_;  // incarnation of the broker that was last refused
  struct {
    Instant balance_at, unclean_at;
  } periodic_;
  std::string cluster_id_;
  QuorumFeature quorum_;
  const config::NodeProperties* properties_;
  UuidSource uuids_;
  MutationQuota mutation_quota_;
};

// Whether Kafka allows the name: nothing, or why not.
std::optional<std::string> topic_name_problem(std::string_view name);
// `.` and `_` are one in metric names, so such names may not stand side by side.
bool topic_names_collide(std::string_view a, std::string_view b);

}  // namespace millrace::controller
