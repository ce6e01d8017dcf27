#include "sim/streams_endpoints.h"

#include <algorithm>

#include "base/probe.h"

namespace millrace::sim {

StreamsEndpoints::Read StreamsEndpoints::read_by(const StreamsTopology::Tasks& tasks) const {
  Read read;
  for (const int32_t task : tasks) {
    const TopicPartition partition = topology_.read_by(task);
    read.emplace(partition.topic, partition.partition.value());
  }
  return read;
}

StreamsEndpoints::Shares StreamsEndpoints::shares_of(const Answer& answer) {
  const Read all = read_by(topology_.tasks());
  const auto read_of = [&](const auto& topics) {
    Read read;
    for (const auto& topic : topics)
      for (const int32_t partition : topic.partitions) read.emplace(topic.topic, partition);
    if (!std::ranges::includes(all, read))
      world_->violated("SG7", "an endpoint reads a partition that the application does not");
    return read;
  };
  Shares shares;
  for (const auto& each : *answer.partitions_by_user_endpoint) {
    Share share{read_of(each.active_partitions), read_of(each.standby_partitions)};
    if (share.active.empty() && share.standby.empty()) continue;
    if (!shares.emplace(each.user_endpoint.port, std::move(share)).second)
      world_->violated("SG7", fmt::format("endpoint {} comes twice", each.user_endpoint.port));
  }
  return shares;
}

void StreamsEndpoints::check(uint16_t member, const Answer& answer, const Shares& shares) {
  std::map<std::pair<std::string, int32_t>, uint16_t> readers;
  for (const auto& [endpoint, share] : shares)
    for (const auto& read : share.active) {
      const auto [at, is_first] = readers.emplace(read, endpoint);
      if (!is_first)
        world_->violated("SG7", fmt::format("{}-{} is active at endpoints {} and {}", read.first,
                                            read.second, at->second, endpoint));
      if (share.standby.contains(read))
        world_->violated("SG7", fmt::format("{}-{} is active and standby at endpoint {}",
                                            read.first, read.second, endpoint));
    }
  if (!answer.active_tasks) return;
  const Share told{read_by(tasks_of(*answer.active_tasks)),
                   read_by(tasks_of(*answer.standby_tasks))};
  const auto own = shares.find(member);
  if ((own == shares.end() ? Share{} : own->second) != told)
    world_->violated("SG7",
                     fmt::format("endpoint {} is not said to read what it is told to", member));
}

void StreamsEndpoints::told(uint16_t member, int32_t epoch, const Answer& answer) {
  if (!answer.partitions_by_user_endpoint) {
    if (answer.endpoint_information_epoch != epoch)
      world_->violated("SG7", fmt::format("endpoint {} knows of epoch {}, and is not told of {}",
                                          member, epoch, answer.endpoint_information_epoch));
    return;
  }
  PROBE("sim.streams_endpoints_told");
  Shares shares = shares_of(answer);
  check(member, answer, shares);
  known_[member] = std::move(shares);
}

std::string StreamsEndpoints::what_is_missing(const Described& group) const {
  Shares shares;
  for (const auto& member : group.members) {
    if (!member.user_endpoint) continue;
    Share share{read_by(tasks_of(member.assignment.active_tasks)),
                read_by(tasks_of(member.assignment.standby_tasks))};
    if (!share.active.empty() || !share.standby.empty())
      shares[member.user_endpoint->port] = std::move(share);
  }
  for (const auto& member : group.members) {
    if (!member.user_endpoint) continue;
    const auto known = known_.find(member.user_endpoint->port);
    if (known == known_.end() || known->second != shares)
      return fmt::format("SG7: endpoint {} does not know what the others read; ",
                         member.user_endpoint->port);
  }
  return "";
}

}  // namespace millrace::sim
