// A member of a share group (KIP-932) as a client is one, for tests.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "group/testing/host.h"

namespace millrace::group::testing {

using ShareBeat = wire::ShareGroupHeartbeatResponse;

class Sharer {
 public:
  Sharer(Host& host, std::string member_id, std::string group = "s")
      : id(std::move(member_id)), group_id(std::move(group)), host_(host) {}

  ShareBeat join(const std::vector<std::string>& topics = {"t0"}) {
    epoch = 0;
    return subscribe(topics);
  }
  ShareBeat subscribe(const std::vector<std::string>& topics) {
    auto request = says();
    request.subscribed_topic_names = topics;
    return send(request);
  }
  ShareBeat beat() { return send(says()); }
  ShareBeat leave() {
    auto request = says();
    request.member_epoch = -1;
    return host_.share_beat(request);
  }
  wire::ShareGroupHeartbeatRequest says() const {
    wire::ShareGroupHeartbeatRequest request;
    request.group_id = group_id;
    request.member_id = id;
    request.member_epoch = epoch;
    return request;
  }
  ShareBeat send(const wire::ShareGroupHeartbeatRequest& request) {
    ShareBeat answer = host_.share_beat(request);
    if (answer.error_code != 0) return answer;
    epoch = answer.member_epoch;
    if (!answer.assignment) return answer;
    has.clear();
    for (const auto& topic : answer.assignment->topic_partitions)
      has[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
    return answer;
  }
  // Of t0.
  std::set<int32_t> partitions() const {
    const auto topic = has.find(*host_.topics.id_of("t0"));
    return topic == has.end() ? std::set<int32_t>{} : topic->second;
  }

  std::string id;
  std::string group_id;
  int32_t epoch = 0;
  std::map<Uuid, std::set<int32_t>> has;

 private:
  Host& host_;
};

inline ErrorCode error_of(const ShareBeat& beat) { return static_cast<ErrorCode>(beat.error_code); }

inline wire::ShareGroupDescribeResponse::DescribedGroup described(const Host& host,
                                                                  const std::string& group = "s") {
  return host.machine->describe_share_group(group, host.topics);
}

}  // namespace millrace::group::testing
