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

using Row = Response::DescribeLogDirsPartition;

// What of the partition lies in the volume: its log, a copy that is to take its place, or nothing.
std::optional<Row> row_of(const node::HostedPartition& hosted, const node::Volume& volume) {
  Row row{.partition_index = hosted.partition->name().partition.value()};
  return with_partition(*hosted.partition, [&](node::PartitionState& state) -> std::optional<Row> {
    const node::FutureLog* future = state.future();
    const bool is_here = hosted.volume() == &volume;
    if (!is_here && (!future || future->volume != &volume)) return std::nullopt;
    const storage::Log& log = is_here ? state.log() : *future->log;
    const Offset whole = is_here ? state.high_watermark() : state.log().log_end();
    row.partition_size = static_cast<int64_t>(log.size_in_bytes());
    row.offset_lag = std::max<int64_t>(whole - log.log_end(), 0);
    row.is_future_key = !is_here;
    return row;
  });
}

void describe(Call& call, const Request& request, const node::Volume& volume,
              Response::DescribeLogDirsResult& result) {
  if (auto space = call.node().host().disk().space(result.log_dir)) {
    result.total_bytes = static_cast<int64_t>(space->total_bytes);
    result.usable_bytes = static_cast<int64_t>(space->usable_bytes);
  }
  std::map<std::string, std::vector<Row>> topics;
  for (const node::HostedPartition& hosted : call.node().partitions().all()) {
    const TopicPartition& name = hosted.partition->name();
    if (!wanted(request, name)) continue;
    if (auto row = row_of(hosted, volume)) topics[name.topic].push_back(std::move(*row));
  }
  for (auto& [topic, rows] : topics)
    result.topics.push_back({.name = topic, .partitions = std::move(rows)});
}

}  // namespace

void handle_describe_log_dirs(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  Response response;
  const int16_t offline = wire::code_of(wire::ErrorCode::kKafkaStorageError);
  const node::PartitionHost& partitions = call.node().partitions();
  for (const auto& volume : partitions.volumes()) {
    auto& result = response.results.emplace_back();
    result.log_dir = volume->directory().path();
    if (volume->is_offline())
      result.error_code = offline;
    else
      describe(call, *request, *volume, result);
  }
  for (const std::string& path : partitions.failed_directories())
    response.results.push_back({.error_code = offline, .log_dir = path});
  call.respond(response);
}

}  // namespace millrace::server
