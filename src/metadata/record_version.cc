#include "metadata/record_version.h"

namespace millrace::metadata {
namespace {

// Levels at which records got fields.
constexpr int16_t kMigration = 8;             // 3.4-IV0
constexpr int16_t kDirectoryAssignment = 17;  // 3.7-IV2
constexpr int16_t kEligibleReplicas = 23;     // 4.0-IV1
constexpr int16_t kCordonedDirectories = 30;  // 4.3-IV0

int16_t version_of(const wire::RegisterBrokerRecord&, int16_t level) {
  if (level >= kCordonedDirectories) return 4;
  if (level >= kDirectoryAssignment) return 3;
  return level >= kMigration ? 2 : 1;
}

int16_t partition_version(int16_t level) {
  if (level >= kEligibleReplicas) return 2;
  return level >= kDirectoryAssignment ? 1 : 0;
}

// As low as what it says allows, whatever the level: Kafka writes it so.
int16_t version_of(const wire::BrokerRegistrationChangeRecord& r, int16_t level) {
  if (r.cordoned_log_dirs && level >= kCordonedDirectories) return 3;
  if (!r.log_dirs.empty() && level >= kDirectoryAssignment) return 2;
  return r.in_controlled_shutdown != 0 ? 1 : 0;
}

int16_t version_of(const wire::PartitionRecord&, int16_t level) { return partition_version(level); }
int16_t version_of(const wire::PartitionChangeRecord&, int16_t level) {
  return partition_version(level);
}

template <class Record>
int16_t version_of(const Record&, int16_t) {
  static_assert(Record::kMaxVersion == 0, "a record with several versions needs its rule here");
  return 0;
}

void fit(wire::RegisterBrokerRecord& r, int16_t version) {
  if (version < 4) r.cordoned_log_dirs.reset();
  if (version < 3) r.log_dirs.clear();
  if (version < 2) r.is_migrating_zk_broker = false;
}

void fit(wire::BrokerRegistrationChangeRecord& r, int16_t version) {
  if (version < 3) r.cordoned_log_dirs.reset();
  if (version < 2) r.log_dirs.clear();
}

void fit(wire::PartitionRecord& r, int16_t version) {
  if (version < 1) r.directories.clear();
  if (version < 2) {
    r.eligible_leader_replicas.reset();
    r.last_known_elr.reset();
  }
}

void fit(wire::PartitionChangeRecord& r, int16_t version) {
  if (version < 1) r.directories.reset();
  if (version < 2) {
    r.eligible_leader_replicas.reset();
    r.last_known_elr.reset();
  }
}

template <class Record>
void fit(Record&, int16_t) {}

}  // namespace

int16_t record_version(const wire::MetadataRecord& record, int16_t metadata_version) {
  return std::visit([&](const auto& r) { return version_of(r, metadata_version); }, record);
}

ByteBuffer encode_at(wire::MetadataRecord record, int16_t metadata_version) {
  const int16_t version = record_version(record, metadata_version);
  std::visit([version](auto& r) { fit(r, version); }, record);
  return wire::encode_metadata_record(record, version);
}

}  // namespace millrace::metadata
