#include "app/kafka/clients/producer_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/feeder.h"
#include "app/kafka/clients/config_reader.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::TransactionFailure;

constexpr std::string_view kTransactionalId = "transactional.id";

// Of a length, as records have them: zigzag.
int64_t varint_size(size_t length) {
  int64_t bytes = 1;
  for (uint64_t rest = uint64_t{length} << 1; rest >= 0x80; rest >>= 7) ++bytes;
  return bytes;
}

void read_codec(ConfigReader& reader, client::core::ProducerOptions& options) {
  const std::string codec =
      reader.one_of("compression.type", "none", {"none", "gzip", "snappy", "lz4", "zstd"});
  options.codec = codec_of(codec);
  const std::string name = fmt::format("compression.{}.level", codec);
  const auto level = reader.text(name, "");
  if (level.empty()) return;
  const auto number = parse_int(level);
  if (number && record::level_is_valid(options.codec, *number))
    options.level = *number;
  else
    reader.refuse(level, name, "it is no level of this codec");
}

void read_acks(ConfigReader& reader, client::core::ProducerOptions& options) {
  const std::string acks = reader.one_of("acks", "all", {"all", "-1", "0", "1"});
  options.acks = static_cast<int16_t>(acks == "0" ? 0 : acks == "1" ? 1 : -1);
  options.idempotent = reader.truth("enable.idempotence", true);
}

void read_transaction(ConfigReader& reader, client::core::ProducerOptions& options) {
  const int64_t timeout = reader.number("transaction.timeout.ms", 60'000);
  if (!reader.has(kTransactionalId)) return;
  const std::string id = reader.text(kTransactionalId, "");
  if (id.empty()) reader.refuse(id, kTransactionalId, "String must be non-empty");
  options.transaction = {.id = id, .timeout = milliseconds(timeout)};
}

// Transactions are idempotent, which other configs may forbid.
Attempt<> check_transaction(ConfigReader& reader, const client::core::ProducerOptions& options) {
  const bool retries = reader.number("retries", 1) > 0;
  const bool asked = options.idempotent && reader.has("enable.idempotence");
  RETURN_IF_ERROR(reader.fine());
  if (asked && !retries)
    return config_exception("Must set retries to non-zero when using the idempotent producer.");
  if (asked && options.acks != -1)
    return config_exception(
        "Must set acks to all in order to use the idempotent producer. Otherwise we cannot "
        "guarantee idempotence.");
  if (options.transaction && (!options.idempotent || options.acks != -1 || !retries))
    return config_exception("Cannot set a transactional.id without also enabling idempotence.");
  return {};
}

constexpr std::string_view kKafkaException = "org.apache.kafka.common.KafkaException";

struct FatalWords {
  std::string timed_out;
  std::string_view other;  // before the words for the error
};

Ending exception_of_fatal(const TransactionFailure& failure, const FatalWords& words) {
  if (wire::is_retriable(failure.error))
    return {.type = "org.apache.kafka.common.errors.TimeoutException", .message = words.timed_out};
  const Ending why = exception_of(wire::code_of(failure.error), std::nullopt);
  if (why.is("ProducerFencedException") || why.is("InvalidProducerEpochException") ||
      why.is("TransactionalIdAuthorizationException") || why.is("ClusterAuthorizationException"))
    return why;
  return {.type = std::string(kKafkaException), .message = std::string(words.other) + why.message};
}

}  // namespace

Attempt<ProducerConfig> producer_config(const Properties& properties) {
  if (!properties.contains("bootstrap.servers"))
    return thrown(
        "org.apache.kafka.common.config.ConfigException",
        "Missing required configuration \"bootstrap.servers\" which has no default value.");
  ConfigReader reader(properties);
  ProducerConfig config;
  auto& options = config.options;
  config.buffer_memory = reader.long_number("buffer.memory", int64_t{32} << 20);
  read_acks(reader, options);
  read_transaction(reader, options);
  read_codec(reader, options);
  const int64_t batch = reader.number("batch.size", 16'384);
  options.linger = milliseconds_of(reader.long_number("linger.ms", 5));
  options.delivery_timeout = milliseconds_of(reader.number("delivery.timeout.ms", 120'000));
  config.max_request_size = reader.number("max.request.size", 1 << 20);
  options.retry_backoff = milliseconds_of(reader.long_number("retry.backoff.ms", 100));
  config.max_block_ms = reader.long_number("max.block.ms", 60'000);
  options.request_timeout = milliseconds_of(reader.number("request.timeout.ms", 30'000));
  options.requests_in_flight =
      static_cast<size_t>(reader.number("max.in.flight.requests.per.connection", 5, {.least = 1}));
  RETURN_IF_ERROR(check_transaction(reader, options));
  options.batch_bytes = static_cast<size_t>(std::max<int64_t>(1, batch));
  options.topic_patience = milliseconds_of(config.max_block_ms);
  if (options.transaction) {
    options.transaction->retry_backoff = options.retry_backoff;
    options.transaction->patience = options.topic_patience;
  }
  options.request_bytes = static_cast<size_t>(std::max<int64_t>(1, config.max_request_size));
  return config;
}

Attempt<> check_sends(const ProducerConfig& config, const std::string& topic) {
  if (!config.options.transaction) return {};
  return thrown("java.lang.IllegalStateException",
                fmt::format("Cannot add partition {}-0 to transaction before completing a call to "
                            "initTransactions",
                            topic));
}

Attempt<std::unique_ptr<Admin>> open_for_producer(const Properties& properties) {
  auto admin = Admin::open(properties);
  if (!admin && !admin.error().is("ConfigException"))
    return thrown("org.apache.kafka.common.KafkaException", "Failed to construct kafka producer");
  return admin;
}

std::optional<Ending> too_large(const client::core::OutgoingRecord& record,
                                const ProducerConfig& config) {
  constexpr int64_t kBatch = 61, kRecord = 21;  // what Kafka counts beside keys, values, headers
  const auto sized = [](const std::optional<ByteBuffer>& bytes) {
    return bytes ? varint_size(bytes->size()) + static_cast<int64_t>(bytes->size()) : 1;
  };
  int64_t size = kBatch + kRecord + sized(record.key) + sized(record.value);
  size += varint_size(record.headers.size());
  for (const auto& each : record.headers)
    size +=
        varint_size(each.key.size()) + static_cast<int64_t>(each.key.size()) + sized(each.value);
  if (size <= config.max_request_size) return std::nullopt;
  return Ending{
      .type = "org.apache.kafka.common.errors.RecordTooLargeException",
      .message = fmt::format("The message is {} bytes when serialized which is larger than {}, "
                             "which is the value of the max.request.size configuration.",
                             size, config.max_request_size)};
}

Ending exception_of(const client::core::Delivery& delivery, const ProducerConfig& config) {
  if (delivery.partition.partition.value() < 0)
    return {.type = "org.apache.kafka.common.errors.TimeoutException",
            .message = fmt::format("Topic {} not present in metadata after {} ms.",
                                   delivery.partition.topic, config.max_block_ms)};
  Ending why = exception_of(wire::code_of(delivery.error), std::nullopt);
  if (!delivery.message.empty()) why.message = delivery.message;
  return why;
}

Ending exception_of_init(const TransactionFailure& failure, const ProducerConfig& config) {
  return exception_of_fatal(
      failure,
      {.timed_out = fmt::format("Timeout expired after {}ms while awaiting InitProducerId. "
                                "InitTransactions timed out - did not complete "
                                "coordinator discovery or receive the InitProducerId "
                                "response within max.block.ms.",
                                config.max_block_ms),
       .other = "Unexpected error in InitProducerIdResponse; "});
}

Ending exception_of_commit(const TransactionFailure& failure, const ProducerConfig& config) {
  if (!failure.fatal)
    return {.type = std::string(kKafkaException),
            .message = "Cannot execute transactional method because we are in an error state"};
  return exception_of_fatal(
      failure, {.timed_out = fmt::format("Timeout expired after {}ms while awaiting EndTxn(true)",
                                         config.max_block_ms),
                .other = "Unhandled error in EndTxnResponse: "});
}

}  // namespace millrace::app::kafka::clients
