// Brings good batches from other replicas to where this broker's logs are damaged (storage/damage).
// What is damaged was durable and is committed, so that another replica in sync has it, byte for
// byte: it is asked as a consumer would ask, which leaders and followers of Millrace and of Apache
// Kafka answer below their high watermark. Roles, ISR, log end and high watermark stay as they are.
// Not here: finding damage (node/scrubber), what is written where (storage/log).
// Threads: shard 0; wants() from any. Ownership: shared, since connections and disk work may
// outlive its use. Host and PartitionHost outlive it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "node/leader_fetcher.h"

namespace millrace::node {

class Mender : public std::enable_shared_from_this<Mender> {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    NodeId self = kNoNode;
    std::string listener;  // on which brokers talk to each other
    Duration request_timeout{};
    ImageSource image;
  };
  explicit Mender(Parts parts) : parts_(std::move(parts)) {}

  // Its log is damaged, or was when it was opened.
  void wants(const HostedPartition& hosted);
  void close();

 private:
  static constexpr Duration kConnectTimeout = seconds(2);
  static constexpr Duration kPause = seconds(1);  // after a peer could not help
  static constexpr size_t kMaxBytes = 8 << 20;    // that one Fetch asks for

  struct Job {
    HostedPartition hosted;
    size_t attempts = 0;
  };
  struct Piece {
    storage::DamagedRange range;
    ByteBuffer batches;
    Offset below;
  };

  env::Shard& shard() const { return parts_.host->shard(0); }
  void step();
  // Whom to ask in turn: the leader first.
  std::vector<NodeId> peers_of(const HostedPartition& hosted) const;
  void ask(Job& job, const storage::DamagedRange& range, const metadata::Broker& peer);
  void answered(const TopicPartition& name, const storage::DamagedRange& range,
                Result<client::core::Answer> answer);
  void write(const HostedPartition& hosted, Piece piece);
  void over(const TopicPartition& name, Result<> outcome);

  Parts parts_;
  std::map<TopicPartition, Job> jobs_;
  std::shared_ptr<client::Link> link_;
  env::TimerId timer_ = env::TimerId::kNone;
  bool busy_ = false;
  bool closed_ = false;
};

}  // namespace millrace::node
