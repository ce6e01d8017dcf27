#include "sim/reassigner.h"

#include <utility>

#include "wire/alter_partition_reassignments.h"

namespace millrace::sim {
namespace {

constexpr int16_t kVersion = 0;
constexpr Duration kMeanPause = seconds(2);
constexpr double kCancelChance = 0.2;

}  // namespace

Reassigner::Reassigner(const Site& site, ReassignerOptions options)
    : Operator(site, "reassigner", kMeanPause), options_(std::move(options)) {}

std::vector<int32_t> Reassigner::draw_replicas() {
  std::vector<int32_t> ids;
  for (int32_t id = 1; id <= options_.brokers; ++id) ids.push_back(id);
  for (size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[dice_.below(i)]);
  ids.resize(static_cast<size_t>(dice_.between({options_.least_replicas, options_.brokers})));
  return ids;
}

void Reassigner::act() {
  const auto& [topic, partitions] = any_of(options_.topics);
  wire::AlterPartitionReassignmentsRequest request{.timeout_ms = 5000};
  request.topics.push_back({.name = topic});
  auto& partition = request.topics[0].partitions.emplace_back();
  partition.partition_index = static_cast<int32_t>(dice_.between({0, partitions - 1}));
  if (!dice_.chance(kCancelChance)) partition.replicas = draw_replicas();
  client_.call<wire::AlterPartitionReassignmentsResponse>(
      Client::AnyBroker{}, request, kVersion,
      [this](Result<wire::AlterPartitionReassignmentsResponse> response) {
        if (!response || response->error_code != 0) client_.doubt(Client::AnyBroker{});
        later();
      });
}

}  // namespace millrace::sim
