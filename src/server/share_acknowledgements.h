// What a ShareFetch or a ShareAcknowledge says of records that a member has: checked as Kafka does,
// and handed to the share partitions (KIP-932, KIP-1222).
// Not here: sessions (share/share_sessions), what a share partition makes of it.
// Threads: those of the call.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "node/share_partitions.h"
#include "server/call.h"

namespace millrace::server {

struct Acknowledgements {
  struct OfPartition {
    TopicIdPartition partition;
    std::vector<share::AcknowledgementBatch> batches;
  };
  std::string group;
  std::string member;
  bool may_renew = false;  // the request's version knows it
  bool renews = false;     // and says so
  std::vector<OfPartition> partitions{};
};

struct AcknowledgedPartition {
  TopicIdPartition partition;
  wire::ErrorCode error = wire::ErrorCode::kNone;
  std::string message{};
};
using AcknowledgedDone = std::move_only_function<void(std::vector<AcknowledgedPartition>)>;

// `done` runs on the call's shard, perhaps at once.
void acknowledge(const Call& call, const Acknowledgements& said, AcknowledgedDone done);

inline share::ConnectionId connection_of(const PeerInfo& peer) {
  return share::ConnectionId{reinterpret_cast<uintptr_t>(&peer)};
}

// INVALID_REQUEST, UNSUPPORTED_VERSION: a request that is not looked at any further.
wire::ErrorCode check_share_request(const Call& call, const std::optional<std::string>& group,
                                    const std::optional<std::string>& member);

// The message of an answer: none where there is no error.
inline std::optional<std::string> message_of(wire::ErrorCode error, const std::string& message) {
  if (error == wire::ErrorCode::kNone || message.empty()) return std::nullopt;
  return message;
}

// The partitions of an answer, by topic in the order in which they come: one entry each, found
// without looking at the others, of which there may be as many as fit into a request.
template <class Topic>
class AnswerPartitions {
 public:
  using Data = typename decltype(Topic::partitions)::value_type;
  explicit AnswerPartitions(std::vector<Topic>& topics) : topics_(topics) {}  // that outlives it

  // `make` makes its entry, unless it has one; valid until the next call.
  template <class Make>
  Data& at(const TopicIdPartition& partition, Make&& make) {
    const auto [topic, is_new_topic] = topic_at_.try_emplace(partition.topic_id, topics_.size());
    if (is_new_topic) topics_.push_back({.topic_id = partition.topic_id, .partitions = {}});
    auto& datas = topics_[topic->second].partitions;
    const auto [data, is_new] = data_at_.try_emplace(partition, datas.size());
    if (is_new) {
      datas.push_back(make());
      datas.back().partition_index = partition.partition.value();
    }
    return datas[data->second];
  }

 private:
  std::vector<Topic>& topics_;
  std::map<Uuid, size_t> topic_at_;
  std::map<TopicIdPartition, size_t> data_at_;  // in its topic
};

inline constexpr int16_t kFirstVersionThatRenews = 2;

template <class Request>
Acknowledgements acknowledgements_of(const Call& call, const Request& request) {
  Acknowledgements said{.group = *request.group_id,
                        .member = *request.member_id,
                        .may_renew = call.version() >= kFirstVersionThatRenews,
                        .renews = request.is_renew_ack};
  for (const auto& topic : request.topics)
    for (const auto& partition : topic.partitions) {
      auto& each = said.partitions.emplace_back();
      each.partition = {topic.topic_id, PartitionIndex(partition.partition_index)};
      for (const auto& batch : partition.acknowledgement_batches)
        each.batches.push_back(
            {Offset(batch.first_offset), Offset(batch.last_offset), batch.acknowledge_types});
    }
  return said;
}

}  // namespace millrace::server
