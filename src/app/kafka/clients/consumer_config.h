// The configs of Kafka's consumer as the scripts take them, for a member of a classic group.
// Not here: addresses, client.id, security (app/kafka/admin.h).
#pragma once

#include <cstdint>
#include <memory>

#include "app/kafka/admin.h"
#include "client/core/fetcher.h"
#include "client/core/membership.h"

namespace millrace::app::kafka::clients {

struct ConsumerConfig {
  client::core::FetcherOptions fetcher;
  client::core::MembershipOptions membership;  // without topics
  bool auto_commit = true;
  int64_t auto_commit_ms = 0;
  int64_t max_poll_records = 0;
};

// What is not among the properties is as Kafka's consumer has it. ConfigException.
Attempt<ConsumerConfig> consumer_config(const Properties& properties);

// A connection for a consumer: KafkaException, ConfigException.
Attempt<std::unique_ptr<Admin>> open_for_consumer(const Properties& properties);

}  // namespace millrace::app::kafka::clients
