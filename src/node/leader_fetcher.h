// Everything that this broker fetches from one leader: runs replica::Fetcher over a connection and
// over the logs.
// Not here: what to ask and in which order (replica/fetcher), who leads (node/replication).
// Threads: everything on one shard; follow(), unfollow() and close() from any.
// Ownership: shared, since connection, timers and syncs may outlive its use. Host and PartitionHost
// outlive it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "node/partition_host.h"
#include "node/partition_quota.h"
#include "node/peer_link.h"
#include "replica/fetcher.h"

namespace millrace::node {

using ImageSource = std::function<std::shared_ptr<const metadata::Image>()>;

struct LeaderFetcherParts {
  env::Host* host = nullptr;
  env::Shard* shard = nullptr;
  PartitionHost* partitions = nullptr;
  NodeId leader = kNoNode;
  std::string listener;  // on which brokers talk to each other
  replica::FetcherOptions options;
  Duration request_timeout{};  // replica.socket.timeout.ms
  ImageSource image;
  ReplicationQuota* quota = nullptr;  // of followers; outlives it
};

// Under which the broker is registered; -1: it is not.
BrokerEpoch registered_epoch(const metadata::Image& image, NodeId broker);

class LeaderFetcher : public std::enable_shared_from_this<LeaderFetcher> {
 public:
  explicit LeaderFetcher(LeaderFetcherParts parts);

  void follow(const HostedPartition& hosted, LeaderEpoch epoch);
  void unfollow(const TopicIdPartition& id);
  void close();

 private:
  static constexpr Duration kConnectTimeout = seconds(2);

  Instant now() const { return parts_.shard->clock().now(); }
  bool is_throttled(const HostedPartition& hosted) const;
  void step();
  void send_fetch();
  void send_lookup();
  bool connect();
  wire::VersionRange fetch_versions() const;
  void fetched(Result<client::core::Answer> answer);
  void looked_up(Result<client::core::Answer> answer);
  void lost(const Error& error);
  void carry_out(std::vector<replica::LogAction> actions);
  void append(const replica::Append& action);
  void repair(std::vector<Repair> repairs);
  // The log was changed: once it is durable the fetcher goes on from there.
  void report(const TopicIdPartition& id, LeaderEpoch epoch);
  // Told when it begins.
  void log_failed(const TopicIdPartition& id, LeaderEpoch epoch, const Error& error);
  void became_durable(const TopicIdPartition& id, LeaderEpoch epoch, wire::ErrorCode code);
  void arm();

  LeaderFetcherParts parts_;
  replica::Fetcher fetcher_;
  std::map<TopicIdPartition, HostedPartition> hosted_;
  std::shared_ptr<client::Link> link_;
  env::TimerId timer_ = env::TimerId::kNone;
  bool is_lost_ = false;  // told once
  bool closed_ = false;
};

}  // namespace millrace::node
