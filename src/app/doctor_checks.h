// What is most often configured wrong in a cluster, found in what it says of itself.
// Threads: none; functions of their input.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/quorum.h"

namespace millrace::app {

using Configs = std::map<std::string, std::string, std::less<>>;

// What the checks look at.
struct ClusterFacts {
  bool asked_on_loopback = false;  // the address that was asked is one of this machine itself
  client::core::MetadataCache known;
  Quorum quorum;
  std::map<NodeId, Configs> brokers;                         // kDoctorBrokerConfigs of each
  std::map<std::string, Configs> topics;                     // kDoctorTopicConfigs of each
  std::map<NodeId, wire::DescribeLogDirsResponse> log_dirs;  // of brokers that answered
  std::map<NodeId, std::string> unreachable;                 // why, of brokers that did not
};

inline const std::vector<std::string> kDoctorBrokerConfigs = {
    "auto.create.topics.enable", "num.partitions", "default.replication.factor",
    "socket.request.max.bytes"};
inline const std::vector<std::string> kDoctorTopicConfigs = {
    "min.insync.replicas", "unclean.leader.election.enable",
    "retention.ms",        "retention.bytes",
    "cleanup.policy",      "max.message.bytes"};

struct Finding {
  std::string check;    // its short name
  std::string problem;  // what it may lead to
  std::string mend;     // a command, or what to change
};

std::vector<Finding> findings_in(const ClusterFacts& facts);

}  // namespace millrace::app
