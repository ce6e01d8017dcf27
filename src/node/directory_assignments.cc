#include "node/directory_assignments.h"

#include <algorithm>

#include "base/log.h"

namespace millrace::node {
namespace {

constexpr Duration kAskTime = seconds(10);
constexpr Duration kPause = milliseconds(500);  // for what was asked for to be published

using Request = wire::AssignReplicasToDirsRequest;

Request::DirectoryData& directory_in(Request& request, const Uuid& id) {
  auto at = std::ranges::find(request.directories, id, &Request::DirectoryData::id);
  return at != request.directories.end() ? *at : request.directories.emplace_back(id);
}

// Where it lies, or will once the metadata say so.
Uuid told_directory(const HostedPartition& hosted) {
  return with_partition(*hosted.partition, [&](PartitionState& state) {
    const FutureLog* future = state.future();
    const bool moves = future && future->is_announced;
    return (moves ? future->volume : hosted.volume())->directory().id();
  });
}

}  // namespace

std::optional<Uuid> assigned_directory(const metadata::PartitionState& state, NodeId node) {
  const auto at = std::ranges::find(state.replicas, node) - state.replicas.begin();
  const auto index = static_cast<size_t>(at);
  if (index >= state.replicas.size() || index >= state.directories.size()) return std::nullopt;
  return state.directories[index];
}

void DirectoryAssignments::changed(const Uuid& topic_id) {
  topics_.insert(topic_id);
  look_after(Duration(0));
}

void DirectoryAssignments::look_after(Duration pause) {
  if (std::exchange(looks_again_, true)) return;
  parts_.shard->after(pause, [this] {
    looks_again_ = false;
    look();
  });
}

bool DirectoryAssignments::add_wanted(const metadata::Topic& topic, Request& request) const {
  bool differs = false;
  for (size_t i = 0; i < topic.partitions.size(); ++i) {
    const auto assigned = assigned_directory(topic.partitions[i], parts_.self);
    const auto index = static_cast<int32_t>(i);
    const auto hosted =
        assigned ? parts_.partitions->find(TopicIdPartition{topic.id, PartitionIndex(index)})
                 : HostedPartition();
    if (!hosted || hosted.volume()->is_offline()) continue;
    const Uuid lies_in = told_directory(hosted);
    if (*assigned == lies_in) continue;
    auto& directory = directory_in(request, lies_in);
    if (directory.topics.empty() || directory.topics.back().topic_id != topic.id)
      directory.topics.emplace_back(topic.id);
    directory.topics.back().partitions.emplace_back(index);
    differs = true;
  }
  return differs;
}

Request DirectoryAssignments::take_wanted() {
  const auto image = parts_.image();
  Request request{.broker_id = parts_.self.value(), .broker_epoch = parts_.broker_epoch().value()};
  std::erase_if(topics_, [&](const Uuid& id) {
    const metadata::Topic* topic = image->find_topic(id);
    return topic == nullptr || !add_wanted(*topic, request);
  });
  return request;
}

void DirectoryAssignments::look() {
  Request request = take_wanted();
  if (request.directories.empty()) return;
  looks_again_ = true;
  parts_.channel->ask(std::move(request), kAskTime, [this](auto response) {
    if (!response)
      LOG_WARN("AssignReplicasToDirs: {}; it is asked again", response.error().message);
    looks_again_ = false;
    look_after(kPause);
  });
}

}  // namespace millrace::node
