#include "metadata/image.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "metadata/features.h"
#include "metadata/node_ids.h"
#include "metadata/record_version.h"

namespace millrace::metadata {
namespace {

std::optional<std::vector<int32_t>> numbers_unless_empty(const std::vector<NodeId>& ids) {
  if (ids.empty()) return std::nullopt;
  return numbers_of(ids);
}

wire::PartitionRecord record_of(const Topic& topic, size_t index) {
  const PartitionState& p = topic.partitions[index];
  return {.partition_id = static_cast<int32_t>(index),
          .topic_id = topic.id,
          .replicas = numbers_of(p.replicas),
          .isr = numbers_of(p.isr),
          .removing_replicas = numbers_of(p.removing_replicas),
          .adding_replicas = numbers_of(p.adding_replicas),
          .leader = p.leader.value(),
          .leader_recovery_state = p.recovery_state,
          .leader_epoch = p.leader_epoch.value(),
          .partition_epoch = p.partition_epoch.value(),
          .directories = p.directories,
          .eligible_leader_replicas = numbers_unless_empty(p.elr),
          .last_known_elr = numbers_unless_empty(p.last_known_elr)};
}

bool contains(const std::vector<NodeId>& set, NodeId id) {
  return std::ranges::find(set, id) != set.end();
}

// What a broker says of itself beside what Broker has fields for. Features have no order: a
// snapshot of Apache Kafka's gives them in another one than its log.
wire::RegisterBrokerRecord registration_of(wire::RegisterBrokerRecord record) {
  record.fenced = true;
  record.in_controlled_shutdown = false;
  record.log_dirs.clear();
  std::ranges::sort(record.features, {}, &wire::RegisterBrokerRecord::BrokerFeature::name);
  return record;
}

// MD2 of one partition: nothing, or how it is broken.
std::optional<std::string> problem_of(const PartitionState& p) {
  if (p.leader != kNoNode && !contains(p.isr, p.leader))
    return fmt::format("the leader {} is not in the ISR", p.leader);
  for (NodeId member : p.isr)
    if (!contains(p.replicas, member)) return fmt::format("{} of the ISR is no replica", member);
  return std::nullopt;
}

Result<> check(const Topic& topic, int32_t index) {
  const auto problem = problem_of(topic.partitions[static_cast<size_t>(index)]);
  if (!problem) return {};
  return fail(Errc::kCorrupt, fmt::format("partition {}-{}: {}", topic.name, index, *problem));
}

// Doubling would leave half of a large topic's memory unused.
void add_partition(std::vector<PartitionState>& partitions) {
  constexpr size_t kShareAhead = 8;
  if (partitions.size() == partitions.capacity())
    partitions.reserve(partitions.size() + partitions.size() / kShareAhead + 1);
  partitions.emplace_back();
}

}  // namespace

// Written here, once: what they are made of is dear to compile.
Image::Image() = default;
Image::Image(const Image& other) = default;
Image::Image(Image&& other) noexcept = default;
Image& Image::operator=(const Image& other) = default;
Image& Image::operator=(Image&& other) noexcept = default;
Image::~Image() = default;

Result<> Image::apply(const wire::MetadataRecord& record, Offset offset) {
  last_offset_ = offset;
  return std::visit(
      [this](const auto& r) -> Result<> {
        using Record = std::decay_t<decltype(r)>;
        using namespace wire;
        if constexpr (std::is_same_v<Record, NoOpRecord>)
          return {};
        else if constexpr (std::is_same_v<Record, ZkMigrationStateRecord>)
          return keep("zk", r);
        else if constexpr (std::is_same_v<Record, AccessControlEntryRecord>)
          return keep("acl " + r.id.to_string(), r);
        else if constexpr (std::is_same_v<Record, RemoveAccessControlEntryRecord>)
          return kept_.erase("acl " + r.id.to_string()), Result<>{};
        else if constexpr (std::is_same_v<Record, UserScramCredentialRecord>)
          return keep(fmt::format("scram {} {}", r.mechanism, r.name), r);
        else if constexpr (std::is_same_v<Record, RemoveUserScramCredentialRecord>)
          return kept_.erase(fmt::format("scram {} {}", r.mechanism, r.name)), Result<>{};
        else if constexpr (std::is_same_v<Record, DelegationTokenRecord>)
          return keep("token " + r.token_id, r);
        else if constexpr (std::is_same_v<Record, RemoveDelegationTokenRecord>)
          return kept_.erase("token " + r.token_id), Result<>{};
        else
          return on(r);
      },
      record);
}

Result<> Image::keep(std::string key, wire::MetadataRecord record) {
  kept_.insert_or_assign(std::move(key), std::move(record));
  return {};
}

Result<> Image::on(const wire::RegisterBrokerRecord& r) {
  Broker& broker = brokers_[NodeId(r.broker_id)];
  broker = {.id = NodeId(r.broker_id),
            .epoch = BrokerEpoch(r.broker_epoch),
            .incarnation = r.incarnation_id,
            .rack = r.rack,
            .log_dirs = r.log_dirs,
            .registration = registration_of(r),
            .fenced = r.fenced,
            .in_controlled_shutdown = r.in_controlled_shutdown};
  for (const auto& e : r.end_points)
    broker.endpoints.push_back({e.name, e.host, e.port, e.security_protocol});
  return {};
}

Result<> Image::on(const wire::UnregisterBrokerRecord& r) {
  brokers_.erase(NodeId(r.broker_id));
  return {};
}

Result<> Image::on(const wire::TopicRecord& r) {
  if (topics_.contains(r.name))
    return fail(Errc::kInvalid, fmt::format("topic {} is created twice", r.name));
  if (topic_names_.contains(r.topic_id))
    return fail(Errc::kInvalid, fmt::format("topic {} has the id of topic {}", r.name,
                                            topic_names_.at(r.topic_id)));
  topics_[r.name] = std::make_shared<Topic>(Topic{.name = r.name, .id = r.topic_id});
  topic_names_[r.topic_id] = r.name;
  return {};
}

// Published images share the topic: it is copied unless this image is the only one that has it.
Topic* Image::mutable_topic(const Uuid& id) {
  auto name = topic_names_.find(id);
  if (name == topic_names_.end()) return nullptr;
  auto& topic = topics_.find(name->second)->second;
  if (topic.use_count() > 1) topic = std::make_shared<Topic>(*topic);
  return const_cast<Topic*>(topic.get());
}

Result<> Image::on(const wire::PartitionRecord& r) {
  Topic* topic = mutable_topic(r.topic_id);
  if (topic == nullptr || r.partition_id < 0)
    return fail(Errc::kInvalid, fmt::format("a partition of the unknown topic {}", r.topic_id));
  if (std::cmp_greater(r.partition_id, topic->partitions.size()))
    return fail(Errc::kInvalid, fmt::format("partition {} of {} before its predecessor",
                                            r.partition_id, topic->name));
  return set_partition(
      *topic, r.partition_id,
      {.replicas = node_ids_of(r.replicas),
       .isr = node_ids_of(r.isr),
       .elr = node_ids_of(r.eligible_leader_replicas.value_or(std::vector<int32_t>{})),
       .last_known_elr = node_ids_of(r.last_known_elr.value_or(std::vector<int32_t>{})),
       .adding_replicas = node_ids_of(r.adding_replicas),
       .removing_replicas = node_ids_of(r.removing_replicas),
       .directories = r.directories,
       .leader = NodeId(r.leader),
       .leader_epoch = LeaderEpoch(r.leader_epoch),
       .partition_epoch = PartitionEpoch(r.partition_epoch),
       .recovery_state = r.leader_recovery_state});
}

Result<> Image::set_partition(Topic& topic, int32_t index, PartitionState after) {
  const PartitionKey key{topic.id, index};
  if (std::cmp_equal(index, topic.partitions.size()))
    add_partition(topic.partitions);
  else if (index_.index)
    index_.index->drop(key, topic.partitions[static_cast<size_t>(index)]);
  PartitionState& partition = topic.partitions[static_cast<size_t>(index)];
  partition = std::move(after);
  if (index_.index) index_.index->put(key, partition);
  return check(topic, index);
}

const PartitionIndex& Image::index() {
  if (index_.index) return *index_.index;
  index_.index = std::make_unique<PartitionIndex>();
  for (const auto& [name, topic] : topics_)
    for (size_t i = 0; i < topic->partitions.size(); ++i)
      index_.index->put({topic->id, static_cast<int32_t>(i)}, topic->partitions[i]);
  return *index_.index;
}

PartitionState merged(PartitionState before, const wire::PartitionChangeRecord& change) {
  constexpr int32_t kNoLeaderChange = -2;
  PartitionState p = std::move(before);
  if (change.isr) p.isr = node_ids_of(*change.isr);
  if (change.replicas) p.replicas = node_ids_of(*change.replicas);
  if (change.removing_replicas) p.removing_replicas = node_ids_of(*change.removing_replicas);
  if (change.adding_replicas) p.adding_replicas = node_ids_of(*change.adding_replicas);
  if (change.eligible_leader_replicas) p.elr = node_ids_of(*change.eligible_leader_replicas);
  if (change.last_known_elr) p.last_known_elr = node_ids_of(*change.last_known_elr);
  if (change.directories) p.directories = *change.directories;
  if (change.leader_recovery_state >= 0) p.recovery_state = change.leader_recovery_state;
  if (change.leader != kNoLeaderChange) {
    p.leader = NodeId(change.leader);
    ++p.leader_epoch;
  }
  ++p.partition_epoch;
  return p;
}

Result<> Image::on(const wire::PartitionChangeRecord& r) {
  Topic* topic = mutable_topic(r.topic_id);
  if (topic == nullptr || r.partition_id < 0 ||
      std::cmp_greater_equal(r.partition_id, topic->partitions.size()))
    return fail(Errc::kInvalid, fmt::format("a change of the unknown partition {} of {}",
                                            r.partition_id, r.topic_id));
  PartitionState after = merged(topic->partitions[static_cast<size_t>(r.partition_id)], r);
  return set_partition(*topic, r.partition_id, std::move(after));
}

Result<> Image::on(const wire::RemoveTopicRecord& r) {
  auto name = topic_names_.find(r.topic_id);
  if (name == topic_names_.end())
    return fail(Errc::kInvalid, fmt::format("removal of the unknown topic {}", r.topic_id));
  configs_.erase({ConfigResourceType::kTopic, name->second});
  if (index_.index) {
    const Topic& topic = *topics_.at(name->second);
    for (size_t i = 0; i < topic.partitions.size(); ++i)
      index_.index->drop({topic.id, static_cast<int32_t>(i)}, topic.partitions[i]);
  }
  topics_.erase(name->second);
  topic_names_.erase(name);
  return {};
}

Result<> Image::on(const wire::ConfigRecord& r) {
  const ConfigResource resource{static_cast<ConfigResourceType>(r.resource_type), r.resource_name};
  if (r.value) {
    configs_[resource][r.name] = *r.value;
    return {};
  }
  auto found = configs_.find(resource);
  if (found == configs_.end()) return {};
  found->second.erase(r.name);
  if (found->second.empty()) configs_.erase(found);
  return {};
}

Result<> Image::on(const wire::FenceBrokerRecord& r) {
  if (auto found = brokers_.find(NodeId(r.id)); found != brokers_.end())
    found->second.fenced = true;
  return {};
}

Result<> Image::on(const wire::UnfenceBrokerRecord& r) {
  if (auto found = brokers_.find(NodeId(r.id)); found != brokers_.end())
    found->second.fenced = false;
  return {};
}

Result<> Image::on(const wire::BrokerRegistrationChangeRecord& r) {
  auto found = brokers_.find(NodeId(r.broker_id));
  if (found == brokers_.end())
    return fail(Errc::kInvalid, fmt::format("a change of the unknown broker {}", r.broker_id));
  Broker& broker = found->second;
  if (r.fenced != 0) broker.fenced = r.fenced > 0;
  if (r.in_controlled_shutdown != 0) broker.in_controlled_shutdown = r.in_controlled_shutdown > 0;
  if (!r.log_dirs.empty()) broker.log_dirs = r.log_dirs;
  if (r.cordoned_log_dirs) broker.registration.cordoned_log_dirs = r.cordoned_log_dirs;
  return {};
}

// The kraft.version is none of these records' business: Kafka 4.0 wrote one now and then
// (KAFKA-18979).
Result<> Image::on(const wire::FeatureLevelRecord& r) {
  if (r.name == kKraftVersion) return {};
  if (r.feature_level == 0)
    features_.erase(r.name);
  else
    features_[r.name] = r.feature_level;
  return {};
}

Result<> Image::on(const wire::RegisterControllerRecord& r) {
  wire::RegisterControllerRecord& controller = controllers_[NodeId(r.controller_id)];
  controller = r;
  std::ranges::sort(controller.features, {},
                    &wire::RegisterControllerRecord::ControllerFeature::name);
  return {};
}

Result<> Image::on(const wire::BeginTransactionRecord&) {
  if (in_transaction()) return fail(Errc::kInvalid, "a metadata transaction begins within another");
  before_transaction_ = std::make_shared<const Image>(*this);
  return {};
}

Result<> Image::on(const wire::EndTransactionRecord&) {
  if (!in_transaction()) return fail(Errc::kInvalid, "a metadata transaction ends unbegun");
  before_transaction_.reset();
  return {};
}

Result<> Image::on(const wire::AbortTransactionRecord&) {
  if (!in_transaction()) return fail(Errc::kInvalid, "a metadata transaction is aborted unbegun");
  const Offset offset = last_offset_;
  const auto before = std::exchange(before_transaction_, nullptr);
  *this = Image(*before);
  last_offset_ = offset;
  return {};
}

Result<> Image::on(const wire::ProducerIdsRecord& r) {
  if (r.next_producer_id < 0)
    return fail(Errc::kInvalid, fmt::format("the next producer id is {}", r.next_producer_id));
  next_producer_id_ = ProducerId(r.next_producer_id);
  return {};
}

// Published images share the quotas: they are copied unless this image is the only one that has
// them.
Result<> Image::on(const wire::ClientQuotaRecord& r) {
  if (!client_quotas_)
    client_quotas_ = std::make_shared<ClientQuotas>();
  else if (client_quotas_.use_count() > 1)
    client_quotas_ = std::make_shared<ClientQuotas>(*client_quotas_);
  std::const_pointer_cast<ClientQuotas>(client_quotas_)->apply(r);
  if (client_quotas_->all().empty()) client_quotas_.reset();
  return {};
}

// For the partition's epoch it is a change as any, as it is to Kafka.
Result<> Image::on(const wire::ClearElrRecord& r) {
  index_.index.reset();
  const wire::PartitionChangeRecord cleared{.eligible_leader_replicas = std::vector<int32_t>{},
                                            .last_known_elr = std::vector<int32_t>{}};
  for (auto& [name, topic] : topics_) {
    if (!r.topic_name.empty() && r.topic_name != name) continue;
    for (PartitionState& p : mutable_topic(topic->id)->partitions)
      if (!p.elr.empty() || !p.last_known_elr.empty()) p = merged(std::move(p), cleared);
  }
  return {};
}

const Topic* Image::find_topic(std::string_view name) const {
  auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : found->second.get();
}

const Topic* Image::find_topic(const Uuid& id) const {
  auto found = topic_names_.find(id);
  return found == topic_names_.end() ? nullptr : find_topic(found->second);
}

const Broker* Image::find_broker(NodeId id) const {
  auto found = brokers_.find(id);
  return found == brokers_.end() ? nullptr : &found->second;
}

const ConfigMap& Image::configs(const ConfigResource& resource) const {
  static const ConfigMap kNone;
  auto found = configs_.find(resource);
  return found == configs_.end() ? kNone : found->second;
}

std::vector<wire::MetadataRecord> Image::to_records() const {
  std::vector<wire::MetadataRecord> records;
  const std::string kFirst = "metadata.version";  // readers choose how to read the rest by it
  for (const bool first : {true, false})
    for (const auto& [name, level] : features_)
      if ((name == kFirst) == first)
        records.push_back(wire::FeatureLevelRecord{.name = name, .feature_level = level});
  for (const auto& [id, broker] : brokers_) {
    wire::RegisterBrokerRecord record = broker.registration;
    record.fenced = broker.fenced;
    record.in_controlled_shutdown = broker.in_controlled_shutdown;
    record.log_dirs = broker.log_dirs;
    records.push_back(std::move(record));
  }
  for (const auto& [id, controller] : controllers_) records.push_back(controller);
  for (const auto& [name, topic] : topics_) {
    records.push_back(wire::TopicRecord{.name = name, .topic_id = topic->id});
    for (size_t i = 0; i < topic->partitions.size(); ++i) records.push_back(record_of(*topic, i));
  }
  for (const auto& [resource, values] : configs_)
    for (const auto& [name, value] : values)
      records.push_back(wire::ConfigRecord{.resource_type = static_cast<int8_t>(resource.type),
                                           .resource_name = resource.name,
                                           .name = name,
                                           .value = value});
  if (client_quotas_)
    for (auto& record : client_quotas_->to_records()) records.push_back(std::move(record));
  // Of no broker: whose block was the last is not kept, as in Kafka's snapshots.
  if (next_producer_id_ > ProducerId(0))
    records.push_back(wire::ProducerIdsRecord{
        .broker_id = -1, .broker_epoch = -1, .next_producer_id = next_producer_id_.value()});
  for (const auto& [key, record] : kept_) records.push_back(record);
  return records;
}

void Image::check_invariants() const {
  ASSERT(topics_.size() == topic_names_.size(), "MD1: {} names, {} ids", topics_.size(),
         topic_names_.size());
  for (const auto& [name, topic] : topics_)
    for (const PartitionState& p : topic->partitions)
      ASSERT(!problem_of(p), "MD2: {}: {}", name, *problem_of(p));
}

int16_t Image::metadata_version() const {
  auto found = features_.find("metadata.version");
  return found == features_.end() ? kOldestMetadataVersion : found->second;
}

bool Image::same_state(const Image& other) const {
  const bool same_quotas = client_quotas_ && other.client_quotas_
                               ? *client_quotas_ == *other.client_quotas_
                               : client_quotas_ == other.client_quotas_;
  auto same_topic = [](const auto& a, const auto& b) {
    return a.first == b.first && *a.second == *b.second;
  };
  return std::ranges::equal(topics_, other.topics_, same_topic) &&
         topic_names_ == other.topic_names_ && brokers_ == other.brokers_ &&
         controllers_ == other.controllers_ && configs_ == other.configs_ &&
         features_ == other.features_ && next_producer_id_ == other.next_producer_id_ &&
         same_quotas && kept_ == other.kept_;
}

}  // namespace millrace::metadata
