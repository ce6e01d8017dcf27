// The cluster as the metadata log tells it: topics, partitions, brokers, configs, features. Built
// by applying records in order; a copy is cheap (topics are shared), so that a snapshot can be
// published after each batch and read without locks.
// Not here: decisions (controller), where the records come from (node/metadata_log).
// Threads: an Image that was published is immutable and may be read by any; one that is being built
// has one owner.
// Invariants:
//   MD1 topics by name and by id are the same set.
//   MD2 a partition's leader is in its ISR or none, its ISR is within its replicas.
//   MD3 applying to_records() to an empty image gives an equal one.
//   MD4 is that of PartitionIndex.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/rare_vector.h"
#include "metadata/client_quotas.h"
#include "metadata/partition_index.h"
#include "wire/metadata_record.h"

namespace millrace::metadata {

struct PartitionState {
  std::vector<NodeId> replicas;
  std::vector<NodeId> isr;
  RareVector<NodeId> elr;
  RareVector<NodeId> last_known_elr;
  RareVector<NodeId> adding_replicas;
  RareVector<NodeId> removing_replicas;
  std::vector<Uuid> directories;  // of the replicas, in their order
  NodeId leader = kNoNode;
  LeaderEpoch leader_epoch{0};
  PartitionEpoch partition_epoch{0};
  int8_t recovery_state = 0;
  friend bool operator==(const PartitionState&, const PartitionState&) = default;
};

// What a partition is behind the record.
PartitionState merged(PartitionState before, const wire::PartitionChangeRecord& change);

struct Topic {
  std::string name;
  Uuid id;
  std::vector<PartitionState> partitions;
  friend bool operator==(const Topic&, const Topic&) = default;
};

struct Endpoint {
  std::string listener;
  std::string host;
  uint16_t port = 0;
  int16_t security_protocol = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct Broker {
  NodeId id = kNoNode;
  BrokerEpoch epoch{-1};
  Uuid incarnation;
  std::vector<Endpoint> endpoints;
  std::optional<std::string> rack;
  std::vector<Uuid> log_dirs;
  wire::RegisterBrokerRecord registration;  // the rest of what it said, for snapshots
  bool fenced = true;
  bool in_controlled_shutdown = false;
  friend bool operator==(const Broker&, const Broker&) = default;
};

// The types of config resources, as ConfigRecord and the APIs number them.
enum class ConfigResourceType : int8_t {
  kTopic = 2,
  kBroker = 4,
  kBrokerLogger = 8,
  kClientMetrics = 16,
  kGroup = 32
};

struct ConfigResource {
  ConfigResourceType type = ConfigResourceType::kTopic;
  std::string name;  // "" of a broker: the cluster's default
  friend auto operator<=>(const ConfigResource&, const ConfigResource&) = default;
};
using ConfigMap = std::map<std::string, std::string, std::less<>>;

class Image {
 public:
  Image();
  Image(const Image& other);
  Image(Image&& other) noexcept;
  Image& operator=(const Image& other);
  Image& operator=(Image&& other) noexcept;
  ~Image();

  // kUnsupported or kInvalid when the record cannot be, kCorrupt when it would break MD2: a node
  // that meets one must not go on. An AbortTransactionRecord takes back what came since the
  // BeginTransactionRecord (KIP-868); in between the image is not one to act on.
  Result<> apply(const wire::MetadataRecord& record, Offset offset);
  bool in_transaction() const { return before_transaction_ != nullptr; }

  Offset last_offset() const { return last_offset_; }  // of the last record applied; -1: none
  const std::map<std::string, std::shared_ptr<const Topic>, std::less<>>& topics() const {
    return topics_;
  }
  const Topic* find_topic(std::string_view name) const;
  const Topic* find_topic(const Uuid& id) const;
  const std::map<NodeId, Broker>& brokers() const { return brokers_; }
  const Broker* find_broker(NodeId id) const;
  const std::map<NodeId, wire::RegisterControllerRecord>& controllers() const {
    return controllers_;
  }
  const ConfigMap& configs(const ConfigResource& resource) const;
  const std::map<ConfigResource, ConfigMap>& all_configs() const { return configs_; }
  const std::map<std::string, int16_t>& features() const { return features_; }
  // At which the feature is finalised; 0: it is off.
  int16_t feature_level(const std::string& name) const {
    const auto at = features_.find(name);
    return at == features_.end() ? int16_t{0} : at->second;
  }
  // As finalised; that of a log which does not say is the oldest that KRaft has.
  int16_t metadata_version() const;
  ProducerId next_producer_id() const { return next_producer_id_; }
  // Copies of an image share them until they are changed: another pointer, other quotas. Null: no
  // quota is set.
  const std::shared_ptr<const ClientQuotas>& client_quotas() const { return client_quotas_; }
  // ACLs, SCRAM credentials, delegation tokens: the last record of each.
  const std::map<std::string, wire::MetadataRecord>& kept_records() const { return kept_; }

  // Of this image's partitions: made when it is first asked for, kept up by apply(), and left
  // behind by copies, which stay cheap. Of the owner of an image that is being built alone.
  const PartitionIndex& index();

  // Records that give this image when applied to an empty one, in the order of Kafka's snapshots.
  std::vector<wire::MetadataRecord> to_records() const;
  // Whether both say the same, whatever the offsets at which they came to it.
  bool same_state(const Image& other) const;
  // Asserts MD1 and MD2.
  void check_invariants() const;

 private:
  Result<> on(const wire::RegisterBrokerRecord& r);
  Result<> on(const wire::UnregisterBrokerRecord& r);
  Result<> on(const wire::TopicRecord& r);
  Result<> on(const wire::PartitionRecord& r);
  Result<> on(const wire::PartitionChangeRecord& r);
  Result<> on(const wire::RemoveTopicRecord& r);
  Result<> on(const wire::ConfigRecord& r);
  Result<> on(const wire::FenceBrokerRecord& r);
  Result<> on(const wire::UnfenceBrokerRecord& r);
  Result<> on(const wire::BrokerRegistrationChangeRecord& r);
  Result<> on(const wire::FeatureLevelRecord& r);
  Result<> on(const wire::ProducerIdsRecord& r);
  Result<> on(const wire::ClearElrRecord& r);
  Result<> on(const wire::ClientQuotaRecord& r);
  Result<> on(const wire::RegisterControllerRecord& r);
  Result<> on(const wire::BeginTransactionRecord& r);
  Result<> on(const wire::EndTransactionRecord& r);
  Result<> on(const wire::AbortTransactionRecord& r);
  // Kept word for word for snapshots: nothing of ours acts on them yet.
  Result<> keep(std::string key, wire::MetadataRecord record);

  struct IndexSlot {
    IndexSlot() = default;
    IndexSlot(const IndexSlot&) {}
    IndexSlot(IndexSlot&&) noexcept = default;
    IndexSlot& operator=(const IndexSlot& other) {
      if (this != &other) index.reset();
      return *this;
    }
    IndexSlot& operator=(IndexSlot&&) noexcept = default;
    ~IndexSlot() = default;
    std::unique_ptr<PartitionIndex> index;
  };

  Topic* mutable_topic(const Uuid& id);
  // Puts `after` in the partition's place: the last of the topic's, or the next.
  Result<> set_partition(Topic& topic, int32_t index, PartitionState after);

  Offset last_offset_{-1};
  std::map<std::string, std::shared_ptr<const Topic>, std::less<>> topics_;
  std::map<Uuid, std::string> topic_names_;
  std::map<NodeId, Broker> brokers_;
  std::map<NodeId, wire::RegisterControllerRecord> controllers_;
  std::map<ConfigResource, ConfigMap> configs_;
  std::map<std::string, int16_t> features_;
  ProducerId next_producer_id_{0};
  std::shared_ptr<const ClientQuotas> client_quotas_;
  std::map<std::string, wire::MetadataRecord> kept_;
  std::shared_ptr<const Image> before_transaction_;
  IndexSlot index_;
};

}  // namespace millrace::metadata
