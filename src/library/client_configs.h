// The configs of Kafka's clients, by the names that Kafka gives them, as options of our own
// clients: what is not among the properties is as Kafka's clients have it.
// Not here: reading one value (library/config_reader.h).
// Errors: kInvalid; of an unknown name with the one that was likely meant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "client/client.h"
#include "client/core/consumer_membership.h"
#include "client/core/fetcher.h"
#include "client/core/membership.h"
#include "client/core/producer.h"
#include "client/share_consumer.h"
#include "library/config_reader.h"

namespace millrace::library {

struct ClientConfigs {
  client::ClientOptions options;
  Duration api_timeout{};  // how long a call that blocks waits for the cluster
  Duration retry_backoff{};
};

struct ProducerConfigs {
  ClientConfigs client;
  client::core::ProducerOptions options;
  size_t buffer_memory = 0;  // bytes
  Duration max_block{};
};

struct ConsumerConfigs {
  ClientConfigs client;
  client::core::FetcherOptions fetcher;
  std::string group;                               // empty: none
  bool classic = true;                             // group.protocol
  client::core::MembershipOptions classic_member;  // without topics
  client::core::ConsumerMembershipOptions member;  // without topics
  Duration max_poll_interval{};
  size_t max_poll_records = 0;
  bool auto_commit = true;
  Duration auto_commit_interval{};
};

struct ShareConsumerConfigs {
  ClientConfigs client;
  client::ShareConsumer::Options options;  // without topics
  bool is_implicit = true;                 // share.acknowledgement.mode
};

// A name that the client does not know is refused.
Result<ProducerConfigs> producer_configs(const Properties& properties);
Result<ConsumerConfigs> consumer_configs(const Properties& properties);
Result<ShareConsumerConfigs> share_consumer_configs(const Properties& properties);
Result<ClientConfigs> admin_configs(const Properties& properties);

}  // namespace millrace::library
