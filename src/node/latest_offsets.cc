#include "node/latest_offsets.h"

#include "base/log.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;
using Request = wire::ListOffsetsRequest;
using Response = wire::ListOffsetsResponse;

constexpr wire::VersionRange kVersions{4, 10};
constexpr int64_t kLatest = -1;  // the timestamp that means it
constexpr int32_t kConsumer = -1;
constexpr Duration kAnswerTime = seconds(30);

NodeId leader_of(const metadata::Image& image, const TopicPartition& partition) {
  const metadata::Topic* topic = image.find_topic(std::string_view(partition.topic));
  const int32_t index = partition.partition.value();
  if (topic == nullptr || index < 0 || std::cmp_greater_equal(index, topic->partitions.size()))
    return kNoNode;
  return topic->partitions[static_cast<size_t>(index)].leader;
}

void add(Request& request, const TopicPartition& partition) {
  request.replica_id = kConsumer;
  if (request.topics.empty() || request.topics.back().name != partition.topic)
    request.topics.push_back({.name = partition.topic});
  request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                              .current_leader_epoch = -1,
                                              .timestamp = kLatest});
}

}  // namespace

// On shard 0 until the last answer is there.
struct LatestOffsets::Asking {
  Answers answers;
  size_t left = 1;
  env::Shard* shard = nullptr;
  Done done;
};

LatestOffsets::LatestOffsets(const Parts& parts)
    : parts_(parts),
      links_({.host = parts.host,
              .client_id = fmt::format("broker-{}-latest-offsets", parts.self),
              .listener = parts.listener,
              .request_timeout = kAnswerTime,
              .image = parts.image}) {}

void LatestOffsets::ask(std::vector<TopicPartition> partitions, env::Shard& shard, Done done) {
  auto asking = std::make_shared<Asking>();
  asking->shard = &shard;
  asking->done = std::move(done);
  parts_.host->shard(0).post(
      [this, asking, partitions = std::move(partitions)] { begin(asking, partitions); });
}

void LatestOffsets::begin(const AskingPtr& asking, const std::vector<TopicPartition>& partitions) {
  const auto image = parts_.image();
  std::map<NodeId, Request> requests;
  for (const TopicPartition& each : partitions) {
    const NodeId leader = leader_of(*image, each);
    Answer& answer = asking->answers[each];
    if (leader == parts_.self) {
      answer = look(each);
    } else if (leader == kNoNode) {
      answer.error = ErrorCode::kLeaderNotAvailable;
    } else {
      answer.error = ErrorCode::kUnknownTopicOrPartition;  // unless it says something
      add(requests[leader], each);
    }
  }
  asking->left += requests.size();
  for (auto& [leader, request] : requests) ask_leader(leader, std::move(request), 1, asking);
  one_is_done(asking);
}

// After an election the end is not known until everything from before is committed.
LatestOffsets::Answer LatestOffsets::look(const TopicPartition& partition) {
  const HostedPartition hosted = parts_.partitions->find(partition);
  if (!hosted) return {.error = ErrorCode::kNotLeaderOrFollower};
  return with_partition(*hosted.partition, [](PartitionState& state) -> Answer {
    if (state.is_offline()) return {.error = ErrorCode::kKafkaStorageError};
    if (!state.is_leader()) return {.error = ErrorCode::kNotLeaderOrFollower};
    if (state.leader().epoch_start() > state.high_watermark())
      return {.error = ErrorCode::kOffsetNotAvailable};
    return {.offset = state.high_watermark()};
  });
}

void LatestOffsets::ask_leader(NodeId leader, Request request, int attempt,
                               const AskingPtr& asking) {
  Request again = request;
  links_.ask<Request, Response>(
      leader, std::move(request), kVersions,
      [this, leader, attempt, asking, again = std::move(again)](Result<Response> response) mutable {
        if (response) {
          for (const auto& topic : response->topics)
            for (const auto& each : topic.partitions)
              asking->answers[{topic.name, PartitionIndex(each.partition_index)}] = {
                  static_cast<ErrorCode>(each.error_code), Offset(each.offset)};
          return one_is_done(asking);
        }
        LOG_WARN("ListOffsets of broker {}: {}", leader, response.error().message);
        if (attempt < kAttempts) {
          parts_.host->shard(0).after(
              kPause, [this, leader, attempt, asking, again = std::move(again)]() mutable {
                ask_leader(leader, std::move(again), attempt + 1, asking);
              });
          return;
        }
        for (const auto& topic : again.topics)
          for (const auto& each : topic.partitions)
            asking->answers[{topic.name, PartitionIndex(each.partition_index)}].error =
                ErrorCode::kNetworkException;
        one_is_done(asking);
      });
}

void LatestOffsets::one_is_done(const AskingPtr& asking) {
  if (--asking->left > 0) return;
  asking->shard->post([asking] { asking->done(std::move(asking->answers)); });
}

}  // namespace millrace::node
