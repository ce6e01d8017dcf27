// DescribeLogDirs (KIP-113, KIP-827): what lies in each log directory, and how much room there is.
#include <algorithm>
#include <map>

#include "server/handlers/handlers.h"
#include "wire/describe_log_dirs.h"

namespace millrace::server {
namespace {

using Request = wire::DescribeLogDirsRequest;
using Response = wire::DescribeLogDirsResponse;

bool wanted(const Request& request, const TopicPartition& name) {
  if (!request.topics) return true;
  return std::ranges::any_of(*request.topics, [&](const auto& topic) {
    return topic.topic == name.topic &&
           std::ranges::find(topic.partitions, name.partition.value()) != topic.partitions.end();
  });
}

}  // namespace

void handle_describe_log_dirs(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  Response response;
  node::PartitionHost& partitions = call.node().partitions();
  for (const auto& volume : partitions.volumes()) {
    auto& result = response.results.emplace_back();
    result.log_dir = volume->directory().path();
    if (volume->is_offline()) {
      result.error_code = wire::code_of(wire::ErrorCode::kKafkaStorageError);
      continue;
    }
    if (auto space = call.node().host().disk().space(result.log_dir)) {
      result.total_bytes = static_cast<int64_t>(space->total_bytes);
      result.usable_bytes = static_cast<int64_t>(space->usable_bytes);
    }
    std::map<std::string, std::vector<Response::DescribeLogDirsPartition>> topics;
    for (const node::HostedPartition& hosted : partitions.all()) {
      const TopicPartition& name = hosted.partition->name();
      if (hosted.volume != volume.get() || !wanted(*request, name)) continue;
      const uint64_t size = with_partition(*hosted.partition, [](node::PartitionState& state) {
        return state.log().size_in_bytes();
      });
      topics[name.topic].push_back({.partition_index = name.partition.value(),
                                    .partition_size = static_cast<int64_t>(size)});
    }
    for (auto& [topic, rows] : topics)
      result.topics.push_back({.name = topic, .partitions = std::move(rows)});
  }
  call.respond(response);
}

}  // namespace millrace::server
