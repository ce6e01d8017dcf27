#include "sim/false_leader.h"

#include <algorithm>

#include "base/probe.h"

namespace millrace::sim {
namespace {

constexpr int16_t kVersion = 3;
constexpr Duration kMeanPause = milliseconds(500);

}  // namespace

FalseLeader::FalseLeader(const Site& site, Cluster& cluster)
    : Operator(site, "false-leader", kMeanPause), world_(&site.host->world()), cluster_(&cluster) {}

void FalseLeader::act() {
  const auto image = cluster_->newest_image();
  const Cluster::Node* controller = cluster_->active_controller();
  if (!image || image->topics().empty() || !controller) return later();
  const auto& [name, topic] = any_of(image->topics());
  Request request = as_the_leader(*image, *topic, dice_.below(topic->partitions.size()));
  const std::string why = spoil(request, *image);
  if (why.empty()) return later();
  PROBE("sim.false_leader");
  ask({controller->name, Broker::kPort + 1}, request, why + ", of a partition of " + name);
}

FalseLeader::Request FalseLeader::as_the_leader(const metadata::Image& image,
                                                const metadata::Topic& topic, size_t index) {
  const metadata::PartitionState& state = topic.partitions[index];
  const metadata::Broker* leader = image.find_broker(state.leader);
  Request request{.broker_id = state.leader.value(),
                  .broker_epoch = leader ? leader->epoch.value() : -1};
  request.topics.push_back({.topic_id = topic.id});
  auto& wanted = request.topics[0].partitions.emplace_back();
  wanted.partition_index = static_cast<int32_t>(index);
  wanted.leader_epoch = state.leader_epoch.value();
  wanted.partition_epoch = state.partition_epoch.value();
  wanted.leader_recovery_state = state.recovery_state;
  for (NodeId id : state.isr)
    if (const metadata::Broker* member = image.find_broker(id))
      wanted.new_isr_with_epochs.push_back({id.value(), member->epoch.value()});
  return request;
}

std::string FalseLeader::spoil(Request& request, const metadata::Image& image) {
  auto& wanted = request.topics[0].partitions[0];
  switch (dice_.below(5)) {
    case 0: return --request.broker_epoch < 0 ? "" : "IS10: an ISR by an old process is taken";
    case 1: return --wanted.leader_epoch < 0 ? "" : "IS10: an ISR of an old leader epoch is taken";
    case 2: return --wanted.partition_epoch < 0 ? "" : "IS10: an ISR of an old state is taken";
    case 3:
      if (wanted.new_isr_with_epochs.empty()) return "";
      --wanted.new_isr_with_epochs.back().broker_epoch;
      return "IS9: an ISR with an old process is taken";
    default: return add_who_leaves(request, image);
  }
}

// Only a new process takes that back, which has another epoch.
std::string FalseLeader::add_who_leaves(Request& request, const metadata::Image& image) {
  auto& wanted = request.topics[0].partitions[0];
  const metadata::Topic& topic = *image.find_topic(request.topics[0].topic_id);
  for (NodeId id : topic.partitions[static_cast<size_t>(wanted.partition_index)].replicas) {
    const metadata::Broker* broker = image.find_broker(id);
    const bool is_in =
        std::ranges::find(wanted.new_isr_with_epochs, id.value(),
                          &Request::BrokerState::broker_id) != wanted.new_isr_with_epochs.end();
    if (is_in || !broker || !broker->in_controlled_shutdown) continue;
    wanted.new_isr_with_epochs.push_back({id.value(), broker->epoch.value()});
    return "IS9: an ISR with who is shutting down is taken";
  }
  return "";
}

void FalseLeader::ask(const env::Address& controller, const Request& request,
                      const std::string& why) {
  client_.call<wire::AlterPartitionResponse>(
      Client::At{controller}, request, kVersion,
      [this, why](const Result<wire::AlterPartitionResponse>& response) {
        if (response && response->error_code == 0 &&
            response->topics.at(0).partitions.at(0).error_code == 0) {
          const size_t colon = why.find(": ");
          world_->violated(why.substr(0, colon), why.substr(colon + 2));
        }
        later();
      });
}

}  // namespace millrace::sim
