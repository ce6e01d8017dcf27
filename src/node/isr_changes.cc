#include "node/isr_changes.h"

#include <algorithm>
#include <map>

#include "base/log.h"

namespace millrace::node {
namespace {

using Request = wire::AlterPartitionRequest;
using Response = wire::AlterPartitionResponse;

replica::IsrAnswer answer_of(const Response::PartitionData& data) {
  replica::IsrAnswer answer{.error = static_cast<wire::ErrorCode>(data.error_code),
                            .leader_epoch = LeaderEpoch(data.leader_epoch),
                            .partition_epoch = PartitionEpoch(data.partition_epoch)};
  for (int32_t id : data.isr) answer.isr.emplace_back(id);
  return answer;
}

}  // namespace

void IsrChanges::wants(const HostedPartition& hosted) {
  parts_.shard->post([self = shared_from_this(), hosted] {
    self->waiting_.push_back(hosted);
    if (!self->under_way_) self->ask();
  });
}

void IsrChanges::ask() {
  std::vector<Asked> asked;
  for (const HostedPartition& hosted : std::exchange(waiting_, {}))
    if (auto change = with_partition(*hosted.partition,
                                     [](PartitionState& state) { return state.take_isr_change(); }))
      asked.push_back({hosted, std::move(*change)});
  under_way_ = !asked.empty();
  if (!under_way_) return;
  auto request = request_for(asked);
  parts_.ask(std::move(request),
             [self = shared_from_this(), asked = std::move(asked)](Result<Response> response) {
               self->answered(asked, std::move(response));
             });
}

Request IsrChanges::request_for(const std::vector<Asked>& asked) const {
  const int64_t own_epoch = parts_.broker_epoch().value();
  Request request{.broker_id = parts_.self.value(), .broker_epoch = own_epoch};
  std::map<Uuid, Request::TopicData> topics;
  for (const Asked& each : asked) {
    const Partition& partition = *each.hosted.partition;
    auto& topic = topics[partition.topic_id()];
    topic.topic_id = partition.topic_id();
    auto& data = topic.partitions.emplace_back();
    data.partition_index = partition.name().partition.value();
    data.leader_epoch = each.change.leader_epoch.value();
    data.partition_epoch = each.change.partition_epoch.value();
    for (const auto& member : each.change.isr)
      data.new_isr_with_epochs.push_back(
          {.broker_id = member.id.value(),
           .broker_epoch = member.id == parts_.self ? own_epoch : member.epoch.value()});
  }
  for (auto& [id, topic] : topics) request.topics.push_back(std::move(topic));
  return request;
}

void IsrChanges::answered(const std::vector<Asked>& asked, Result<Response> response) {
  // Of a request that failed as a whole, every change is asked for again.
  replica::IsrAnswer of_all{.error = wire::ErrorCode::kNetworkException};
  std::map<TopicIdPartition, replica::IsrAnswer> answers;
  if (!response) {
    LOG_WARN("AlterPartition: {}; it is asked again", response.error().message);
  } else if (response->error_code != 0) {
    of_all.error = static_cast<wire::ErrorCode>(response->error_code);
  } else {
    for (const auto& topic : response->topics)
      for (const auto& data : topic.partitions)
        answers[{topic.topic_id, PartitionIndex(data.partition_index)}] = answer_of(data);
  }
  bool any_again = false;
  for (const Asked& each : asked) {
    const Partition& partition = *each.hosted.partition;
    auto answer = answers.find({partition.topic_id(), partition.name().partition});
    if (!tell(each, answer == answers.end() ? of_all : answer->second)) continue;
    any_again = true;
    waiting_.push_back(each.hosted);
  }
  parts_.shard->after(any_again ? kRetry : Duration(0),
                      [self = shared_from_this()] { self->ask(); });
}

bool IsrChanges::tell(const Asked& asked, const replica::IsrAnswer& answer) {
  return with_partition(*asked.hosted.partition, [&](PartitionState& state) {
    state.on_isr_answer(asked.change, answer);
    return state.is_leader() && state.leader().has_change();
  });
}

}  // namespace millrace::node
