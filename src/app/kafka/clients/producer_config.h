// The configs of Kafka's producer as the scripts take them, and what it throws for a record.
// Not here: addresses, client.id, security (app/kafka/admin.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "app/kafka/admin.h"
#include "client/core/producer.h"

namespace millrace::app::kafka::clients {

struct ProducerConfig {
  client::core::ProducerOptions options;
  int64_t max_block_ms = 0;
  int64_t buffer_memory = 0;     // bytes
  int64_t max_request_size = 0;  // bytes
};

// What is not among the properties is as Kafka's producer has it; options.transaction: there is a
// transactional.id. ConfigException.
Attempt<ProducerConfig> producer_config(const Properties& properties);

// What a script that knows of no transactions meets at its first record where the properties have a
// transactional.id: IllegalStateException.
Attempt<> check_sends(const ProducerConfig& config, const std::string& topic);

// A connection for a producer: KafkaException, ConfigException.
Attempt<std::unique_ptr<Admin>> open_for_producer(const Properties& properties);

// RecordTooLargeException: it is larger than a request may be.
std::optional<Ending> too_large(const client::core::OutgoingRecord& record,
                                const ProducerConfig& config);

// Of a delivery that failed; beside that of an error.
using kafka::exception_of;
Ending exception_of(const client::core::Delivery& delivery, const ProducerConfig& config);

// What initTransactions() and commitTransaction() throw for a failure.
Ending exception_of_init(const client::core::TransactionFailure& failure,
                         const ProducerConfig& config);
Ending exception_of_commit(const client::core::TransactionFailure& failure,
                           const ProducerConfig& config);

}  // namespace millrace::app::kafka::clients
