#include "sim/log_mover.h"

#include <utility>

#include "wire/alter_replica_log_dirs.h"

namespace millrace::sim {
namespace {

constexpr int16_t kVersion = 2;
constexpr Duration kMeanPause = milliseconds(700);

}  // namespace

LogMover::LogMover(const Site& site, LogMoverOptions options)
    : Operator(site, "log-mover", kMeanPause),
      brokers_(site.bootstrap),
      options_(std::move(options)) {}

void LogMover::act() {
  const auto& [topic, partitions] = any_of(options_.topics);
  wire::AlterReplicaLogDirsRequest request;
  request.dirs.push_back(
      {.path = options_.log_directories[dice_.below(options_.log_directories.size())]});
  request.dirs[0].topics.push_back(
      {.name = topic, .partitions = {static_cast<int32_t>(dice_.between({0, partitions - 1}))}});
  client_.call<wire::AlterReplicaLogDirsResponse>(
      Client::At{brokers_[dice_.below(brokers_.size())]}, request, kVersion,
      [this](const auto&) { later(); });
}

}  // namespace millrace::sim
