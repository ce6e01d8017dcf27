// Groups as the scripts ask about them: listings, descriptions, committed offsets.
// Not here: offsets of share groups (app/kafka/share_groups.h). Threads, errors: those of
// app/kafka/admin.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/kafka/admin.h"

namespace millrace::app::kafka {

struct GroupListing {
  std::string id;
  std::string protocol;  // type of it: "consumer", "share", "connect", ...
  std::string state;     // empty: not told
  std::string type;      // "Classic", "Consumer", "Share", "Streams"; empty: not told
};

struct GroupFilter {
  std::vector<std::string> states = {};
  std::vector<std::string> types = {};
  std::optional<std::vector<std::string>> protocols = std::nullopt;  // of which to keep
};

struct GroupMember {
  std::string id;
  std::string instance_id;
  std::string client_id;
  std::string host;
  std::vector<TopicPartition> assignment;
  std::vector<TopicPartition> target;
  std::optional<int32_t> epoch;
  std::optional<bool>
      upgraded;  // speaks the consumer protocol in a group that others joined before
};

struct GroupCoordinator {
  NodeId node = kNoNode;
  client::core::BrokerAddress address;
};

struct GroupDescription {
  std::string id;
  std::string state;
  std::string assignor;
  std::optional<int32_t> epoch;
  std::optional<int32_t> target_epoch;
  std::vector<GroupMember> members;
  GroupCoordinator coordinator = {};
};

using StreamsGroup = wire::streams_group_describe_response::DescribedGroup;

struct Committed {
  Offset offset;
  std::optional<int32_t> leader_epoch;
};
using CommittedOffsets = std::map<TopicPartition, Committed>;

// In the order of Kafka's client.
Attempt<std::vector<GroupListing>> list_groups(Admin& admin, const GroupFilter& filter);
// Of a consumer group, whichever protocol its members speak.
Attempt<GroupDescription> describe_consumer_group(Admin& admin, const std::string& group);
Attempt<GroupDescription> describe_share_group(Admin& admin, const std::string& group);
Attempt<StreamsGroup> describe_streams_group(Admin& admin, const std::string& group);
Attempt<GroupCoordinator> group_coordinator(Admin& admin, const std::string& group);
Attempt<CommittedOffsets> committed_offsets(Admin& admin, const std::string& group);

}  // namespace millrace::app::kafka
