// AlterReplicaLogDirs (KIP-113): in which of this broker's log directories its replicas shall lie.
// Answered when the moves have begun (node/log_moves); DescribeLogDirs tells how far they are.
#include <map>
#include <memory>

#include "node/replication.h"
#include "server/handlers/handlers.h"
#include "wire/alter_replica_log_dirs.h"

namespace millrace::server {
namespace {

using Request = wire::AlterReplicaLogDirsRequest;
using Response = wire::AlterReplicaLogDirsResponse;

Response move_all(node::LogMoves& moves, const Request& request) {
  std::map<std::string, std::vector<Response::AlterReplicaLogDirPartitionResult>> topics;
  for (const auto& dir : request.dirs)
    for (const auto& topic : dir.topics)
      for (int32_t partition : topic.partitions) {
        const auto error = moves.move({topic.name, PartitionIndex(partition)}, dir.path);
        topics[topic.name].push_back(
            {.partition_index = partition, .error_code = wire::code_of(error)});
      }
  Response response;
  for (auto& [name, results] : topics)
    response.results.push_back({.topic_name = name, .partitions = std::move(results)});
  return response;
}

}  // namespace

void handle_alter_replica_log_dirs(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  env::Shard& moves_live_here = call.node().host().shard(0);
  auto held = std::make_shared<Call>(std::move(call));
  moves_live_here.post([held, request = std::move(*request)] {
    auto response = move_all(held->node().replication().moves(), request);
    held->shard().post([held, response = std::move(response)] { held->respond(response); });
  });
}

}  // namespace millrace::server
