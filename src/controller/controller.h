// The decisions of the active controller: a replicated machine (machine/replicated.h) over
// __cluster_metadata. Each decide_* function reads the image and gives records and an answer;
// apply() is the image's. Nothing here knows of logs or clocks. Not here: elections and the log
// (raft, node/metadata_log), what a broker does with the records (node). Errors are the protocol's:
// every function answers for each item what Kafka's controller would (reference: KIP-4, KIP-525,
//   KIP-631).
// Threads: one caller at a time. Random ids come from `UuidSource`, which the host backs by
// env::Random. Limits: a decision of more than kMaxRecords records is refused with
// POLICY_VIOLATION, as Kafka refuses it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "metadata/image.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/errors.h"
#include "wire/incremental_alter_configs.h"

namespace millrace::controller {

using UuidSource = std::function<Uuid()>;
using Records = std::vector<wire::MetadataRecord>;

template <class Response>
struct Decided {
  Records records;
  Response response;
};

struct Defaults {
  int32_t partitions = 1;          // num.partitions
  int16_t replication_factor = 1;  // default.replication.factor
};

// Whether a topic may have these configs: nothing, or what is wrong, in Kafka's words.
using ConfigCheck = std::function<std::optional<std::string>(metadata::ConfigResourceType type,
                                                             const metadata::ConfigMap& configs)>;

class Controller {
 public:
  static constexpr size_t kMaxRecords = 20'000;

  Controller(Defaults defaults, UuidSource uuids, ConfigCheck check)
      : defaults_(defaults), uuids_(std::move(uuids)), check_(std::move(check)) {}

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
  Decided<wire::IncrementalAlterConfigsResponse> decide_alter_configs(
      const wire::IncrementalAlterConfigsRequest& request);

  // A broker (re)starts: its registration, unfenced at once (decisions, D7), and its partitions'
  // leaders.
  Records decide_register_broker(wire::RegisterBrokerRecord registration, Offset next_offset);
  Decided<ProducerId> decide_producer_id_block(NodeId broker, BrokerEpoch epoch);

 private:
  struct Placement {
    int32_t partitions = 0;
    int16_t replication_factor = 0;
    std::vector<std::vector<int32_t>> manual;
  };
  struct Refusal {
    wire::ErrorCode code = wire::ErrorCode::kNone;
    std::string message;
  };
  using Topic = wire::CreateTopicsRequest::CreatableTopic;

  static Refusal too_many();
  std::expected<Placement, Refusal> place(const Topic& topic) const;
  std::expected<Placement, Refusal> place_manually(const Topic& topic) const;
  std::expected<metadata::ConfigMap, Refusal> configs_of(const Topic& topic) const;
  std::optional<Refusal> check_name(const std::string& name) const;
  std::expected<Records, Refusal> create_topic(
      const Topic& topic, wire::CreateTopicsResponse::CreatableTopicResult& result);
  wire::PartitionRecord new_partition(const Uuid& topic_id, size_t index,
                                      const Placement& placement) const;
  std::vector<NodeId> usable_brokers() const;
  std::expected<Records, Refusal> add_partitions(
      const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic) const;
  std::expected<Records, Refusal> alter_resource(
      const wire::IncrementalAlterConfigsRequest::AlterConfigsResource& resource) const;

  metadata::Image image_;
  Defaults defaults_;
  UuidSource uuids_;
  ConfigCheck check_;
};

// Whether Kafka allows the name: nothing, or why not.
std::optional<std::string> topic_name_problem(std::string_view name);
// `.` and `_` are one in metric names, so such names may not stand side by side.
bool topic_names_collide(std::string_view a, std::string_view b);

}  // namespace millrace::controller
