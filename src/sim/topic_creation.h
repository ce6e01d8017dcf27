// Asks for a topic until it is there: one that exists already is taken for one's own, whose answer
// was lost.
// Threads: the client's.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "sim/client.h"

namespace millrace::sim {

struct TopicPlan {
  std::string name;
  int32_t partitions = 1;
  int16_t replicas = 1;
  std::map<std::string, std::string> configs;
};

// `client` and `host` outlive the question.
void create_topic(Host& host, Client& client, const TopicPlan& plan, std::function<void()> created);

}  // namespace millrace::sim
