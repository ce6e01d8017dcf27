// A member of a consumer group (KIP-848) as a client is one, for tests: joins, says what it owns,
// takes what it is given.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "group/testing/host.h"

namespace millrace::group::testing {

using Beat = wire::ConsumerGroupHeartbeatResponse;

class Consumer {
 public:
  Consumer(Host& host, std::string member_id, std::string group = "g")
      : id(std::move(member_id)), host_(host) {
    full.group_id = std::move(group);
    full.rebalance_timeout_ms = 60'000;
    full.subscribed_topic_names = {"t0"};
  }

  Beat join() {
    epoch = 0;
    owned.clear();
    auto request = full;
    request.topic_partitions.emplace();
    return send(request);
  }
  // Says nothing new.
  Beat beat() {
    wire::ConsumerGroupHeartbeatRequest request;
    request.group_id = full.group_id;
    request.instance_id = full.instance_id;
    return send(request);
  }
  // Says what it owns.
  Beat own() {
    wire::ConsumerGroupHeartbeatRequest request;
    request.group_id = full.group_id;
    request.instance_id = full.instance_id;
    request.topic_partitions.emplace();
    for (const auto& [topic_id, partitions] : owned)
      request.topic_partitions->push_back(
          {.topic_id = topic_id, .partitions = {partitions.begin(), partitions.end()}});
    return send(request);
  }
  Beat subscribe(const std::vector<std::string>& topics) {
    wire::ConsumerGroupHeartbeatRequest request;
    request.group_id = full.group_id;
    full.subscribed_topic_names = topics;
    request.subscribed_topic_names = topics;
    return send(request);
  }
  Beat leave(int32_t how = -1) {
    epoch = how;
    return beat();
  }
  // Heartbeats until it hears nothing new.
  void settle() {
    for (int i = 0; i < 10; ++i) {
      host_.advance(seconds(2));
      const auto before = owned;
      if (beat().error_code != 0) return;
      own();
      if (before == owned && i > 2) return;
    }
  }
  Beat send(wire::ConsumerGroupHeartbeatRequest request) {
    request.member_id = id;
    request.member_epoch = epoch;
    Beat answer = host_.beat(request);
    if (answer.error_code != 0) return answer;
    if (answer.member_id) id = *answer.member_id;
    epoch = answer.member_epoch;
    if (!answer.assignment) return answer;
    owned.clear();
    for (const auto& topic : answer.assignment->topic_partitions)
      owned[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
    return answer;
  }
  size_t size() const {
    size_t count = 0;
    for (const auto& [topic_id, partitions] : owned) count += partitions.size();
    return count;
  }
  ErrorCode commit(int32_t partition, int64_t offset, int16_t version = 9) {
    wire::OffsetCommitRequest commit;
    commit.group_id = full.group_id;
    commit.generation_id_or_member_epoch = epoch;
    commit.member_id = id;
    auto& topic = commit.topics.emplace_back();
    topic.name = "t0";
    topic.topic_id = *host_.topics.id_of("t0");
    topic.partitions.push_back({.partition_index = partition, .committed_offset = offset});
    const auto answer = host_.reply<wire::OffsetCommitResponse>(host_.commit(commit, version));
    return static_cast<ErrorCode>(answer.topics.at(0).partitions.at(0).error_code);
  }

  wire::ConsumerGroupHeartbeatRequest full;  // what joining says
  std::string id;
  int32_t epoch = 0;
  std::map<Uuid, std::set<int32_t>> owned;

 private:
  Host& host_;
};

inline ErrorCode error_of(const Beat& beat) { return static_cast<ErrorCode>(beat.error_code); }

inline std::string group_state(const Host& host, const std::string& group = "g") {
  return host.machine->describe_consumer_group(group, host.topics).group_state;
}

}  // namespace millrace::group::testing
