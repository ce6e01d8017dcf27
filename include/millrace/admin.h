// Looks at a cluster and changes it: topics, configs, groups.
//
// Threads: any number at once; an Admin has a thread of its own.
// Blocking: every call waits for its answer, at most default.api.timeout.ms. While no broker can be
// reached, or the one in charge is still to be found, it tries again.
// Errors: Error, with the code and the words of the broker. A call about several things throws the
// error of the first one (by name) that failed; the others are done.
// After a fork() only the parent may use it.
//
// Not here: quotas, ACLs, reassignments, transactions: `millrace cluster`, and Kafka's scripts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millrace/config.h"
#include "millrace/error.h"
#include "millrace/export.h"
#include "millrace/record.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

struct NewTopic {
  std::string name;
  std::int32_t partitions = -1;          // -1: the broker's num.partitions
  std::int16_t replication_factor = -1;  // -1: the broker's default.replication.factor
  std::map<std::string, std::string> configs = {};
  // Brokers by partition, the preferred leader first, in place of the two numbers (left at -1).
  std::map<std::int32_t, std::vector<std::int32_t>> assignments = {};
};

struct TopicDescription {
  std::string name;
  std::string id;         // as Kafka prints it: 22 characters
  bool internal = false;  // of the brokers' own: __consumer_offsets, ...
  std::vector<PartitionInfo> partitions;
};

struct TopicListing {
  std::string name;
  std::string id;
  bool internal = false;
};

// What has configs. The name of a broker is its id; empty: the defaults of all brokers.
struct ConfigResource {
  enum class Type : std::int8_t { kTopic = 2, kBroker = 4, kGroup = 32 };
  Type type = Type::kTopic;
  std::string name;
};

struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;  // none: not set, or it is sensitive
  bool is_default = false;           // nobody set it
  bool read_only = false;            // only a restart changes it
  bool sensitive = false;
};

// One change of a config (KIP-339).
struct ConfigChange {
  enum class Operation : std::int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };
  std::string name;
  std::string value = {};  // of a list, with kAppend and kSubtract: what comes or goes
  Operation operation = Operation::kSet;
};

struct BrokerInfo {
  std::int32_t id = -1;
  std::string host;
  std::uint16_t port = 0;
  std::optional<std::string> rack;
};

struct ClusterDescription {
  std::string id;
  std::int32_t controller = -1;  // a broker that takes what is for the controller
  std::vector<BrokerInfo> brokers;
};

struct GroupListing {
  std::string id;
  std::string protocol;  // "consumer" of consumers
  std::string state;     // "Stable", "Empty", ...; empty: an old broker does not say
  std::string type;      // "Classic", "Consumer", "Share", "Streams"; likewise
};

struct GroupMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string host;
  std::vector<TopicPartition> assignment;
};

// A group of consumers, of either protocol.
struct GroupDescription {
  std::string id;
  std::string state;
  std::string assignor;
  std::int32_t coordinator = -1;
  std::vector<GroupMember> members;
};

struct CommittedOffset {
  std::int64_t offset = 0;
  std::optional<std::int32_t> leader_epoch;
  std::string metadata;  // what the committer wrote beside it
};

class MILLRACE_API Admin {
 public:
  // Connects at the first call. Error: INVALID_CONFIG.
  explicit Admin(const Config& config);
  ~Admin();
  Admin(Admin&& other) noexcept;
  Admin& operator=(Admin&& other) noexcept;

  // Error: TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS,
  // INVALID_REPLICATION_FACTOR, INVALID_CONFIG, POLICY_VIOLATION.
  void create_topics(const std::vector<NewTopic>& topics);
  void create_topic(const NewTopic& topic);
  // Error: UNKNOWN_TOPIC_OR_PARTITION.
  void delete_topics(const std::vector<std::string>& names);
  // Up to `count` partitions. Error: UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS.
  void create_partitions(const std::string& topic, std::int32_t count);
  // All of them, with internal ones, in the order of their names.
  std::vector<TopicListing> list_topics();
  // In the order of their names. Error: UNKNOWN_TOPIC_OR_PARTITION.
  std::vector<TopicDescription> describe_topics(const std::vector<std::string>& names);
  TopicDescription describe_topic(const std::string& name);
  // Makes the records before these offsets unreadable; -1: all there are. The first offset that
  // is left, by partition. Error: UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE,
  // POLICY_VIOLATION.
  std::map<TopicPartition, std::int64_t> delete_records(
      const std::map<TopicPartition, std::int64_t>& before);

  // In the order of their names.
  std::vector<ConfigEntry> describe_configs(const ConfigResource& resource);
  // Others stay as they are. Error: INVALID_CONFIG, UNKNOWN_TOPIC_OR_PARTITION.
  void alter_configs(const ConfigResource& resource, const std::vector<ConfigChange>& changes);

  ClusterDescription describe_cluster();

  // Of all brokers, in the order of their ids.
  std::vector<GroupListing> list_groups();
  // A group that is not there: GROUP_ID_NOT_FOUND.
  GroupDescription describe_group(const std::string& id);
  // Error: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
  void delete_groups(const std::vector<std::string>& ids);
  // Of all partitions that the group has committed offsets of.
  std::map<TopicPartition, CommittedOffset> list_consumer_group_offsets(const std::string& group);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace millrace
