#include "sim/topic_creation.h"

#include "wire/create_topics.h"
#include "wire/errors.h"

namespace millrace::sim {
namespace {

constexpr int16_t kCreateVersion = 7;
constexpr Duration kPause = milliseconds(200);

}  // namespace

void create_topic(Host& host, Client& client, const TopicPlan& plan,
                  std::function<void()> created) {
  wire::CreateTopicsRequest request;
  request.topics.push_back(
      {.name = plan.name, .num_partitions = plan.partitions, .replication_factor = plan.replicas});
  for (const auto& [name, value] : plan.configs)
    request.topics[0].configs.push_back({.name = name, .value = value});
  client.call<wire::CreateTopicsResponse>(
      Client::AnyBroker{}, request, kCreateVersion,
      [&host, &client, plan,
       created = std::move(created)](Result<wire::CreateTopicsResponse> response) {
        const auto code = response ? static_cast<wire::ErrorCode>(response->topics.at(0).error_code)
                                   : wire::ErrorCode::kNetworkException;
        if (code == wire::ErrorCode::kNone || code == wire::ErrorCode::kTopicAlreadyExists)
          return created();
        client.doubt(Client::AnyBroker{});
        host.shard(0).after(
            kPause, [&host, &client, plan, created] { create_topic(host, client, plan, created); });
      });
}

}  // namespace millrace::sim
