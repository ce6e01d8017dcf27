// kafka-console-producer: a record for each line of standard input.
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>

#include "app/feeder.h"
#include "app/kafka/clients/line_reader.h"
#include "app/kafka/clients/producer_config.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/script.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;

constexpr std::string_view kReader = "org.apache.kafka.tools.LineMessageReader";
constexpr size_t kHandOver = 512;  // lines, at most, that go to the event loop together

constexpr Option kOptions[] = {
    text("topic", "The topic to produce to. Needed."),
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    flag("sync", "Sends one record after the other."),
    {.name = "compression-codec",
     .takes = Option::Takes::kOptionalText,
     .help = "none, gzip, snappy, lz4 or zstd; without a value gzip."},
    integer("batch-size", "Bytes of a batch (batch.size).", "16384"),
    integer("message-send-max-retries", "Tries after the first (retries).", "3"),
    number("retry-backoff-ms", "Between two tries (retry.backoff.ms).", "100"),
    number("timeout", "How long a record waits for others (linger.ms).", "1000"),
    text("request-required-acks", "Who must have a record: -1, all, 1 or 0 (acks).", "-1"),
    integer("request-timeout-ms", "Of a request (request.timeout.ms).", "1500"),
    number("metadata-expiry-ms", "Age of metadata (metadata.max.age.ms).", "300000"),
    number("max-block-ms", "How long a topic may be unknown (max.block.ms).", "60000"),
    number("max-memory-bytes", "Bytes that may wait (buffer.memory).", "33554432"),
    integer("max-partition-memory-bytes", "Deprecated: --batch-size.", "16384"),
    text("line-reader", "Class that reads lines: only the one of Apache Kafka.", kReader),
    integer("socket-buffer-size", "Bytes that a socket holds (send.buffer.bytes).", "102400"),
    texts("property", "Deprecated: --reader-property."),
    texts("reader-property",
          "NAME=VALUE: parse.key, key.separator, parse.headers, headers.delimiter, "
          "headers.separator, headers.key.separator, ignore.error, null.marker."),
    text("reader-config", "Properties file of the reader."),
    texts("producer-property", "Deprecated: --command-property."),
    texts("command-property", "NAME=VALUE of the producer."),
    text("producer.config", "Deprecated: --command-config."),
    text("command-config", "Properties file of the producer."),
};

Attempt<> refuse_both(const Options& options, std::string_view newer, std::string_view older) {
  if (!options.has(newer) || !options.has(older)) return {};
  return usage(fmt::format("Options --{} and --{} cannot be specified together.", newer, older));
}

void warn_of(const Options& options, std::string_view older, std::string_view newer) {
  if (options.has(older))
    fmt::print(
        "Warning: --{} is deprecated and will be removed in a future version. Use --{} instead.\n",
        older, newer);
}

Attempt<> check(const Options& options) {
  RETURN_IF_ERROR(options.require({"topic"}));
  RETURN_IF_ERROR(refuse_both(options, "command-config", "producer.config"));
  RETURN_IF_ERROR(refuse_both(options, "command-property", "producer-property"));
  RETURN_IF_ERROR(refuse_both(options, "reader-property", "property"));
  warn_of(options, "producer-property", "command-property");
  warn_of(options, "producer.config", "command-config");
  warn_of(options, "property", "reader-property");
  if (options.has("max-partition-memory-bytes"))
    fmt::print(
        "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka "
        "5.0. Use --batch-size instead.\n");
  return check_bootstrap(options.value("bootstrap-server").value_or(""));
}

// The value of whichever of the two is given.
std::string_view either(const Options& options, std::string_view newer, std::string_view older) {
  return options.has(older) ? older : newer;
}

Attempt<LineReader> reader_of(const Options& options) {
  if (const auto name = options.value("line-reader"); *name != kReader)
    return thrown("java.lang.ClassNotFoundException", *name);
  Properties properties;
  if (const auto path = options.value("reader-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  for (auto& [name, value] :
       key_value_properties(options.values(either(options, "reader-property", "property"))))
    properties.insert_or_assign(name, value);
  return LineReader::configure(properties);
}

struct Merged {
  std::string_view property;
  std::string_view option;
};
constexpr Merged kMerged[] = {{"linger.ms", "timeout"},
                              {"acks", "request-required-acks"},
                              {"request.timeout.ms", "request-timeout-ms"},
                              {"retry.backoff.ms", "retry-backoff-ms"},
                              {"batch.size", "batch-size"},
                              {"max.block.ms", "max-block-ms"}};

Attempt<Properties> producer_properties(const Options& options) {
  Properties properties;
  if (const auto path = options.value(either(options, "command-config", "producer.config"))) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  for (auto& [name, value] : key_value_properties(
           options.values(either(options, "command-property", "producer-property"))))
    properties.insert_or_assign(name, value);
  properties.insert_or_assign("bootstrap.servers", *options.value("bootstrap-server"));
  properties.emplace("client.id", "console-producer");
  std::string codec = "none";
  if (options.has("compression-codec")) codec = options.value("compression-codec").value_or("gzip");
  properties.insert_or_assign("compression.type", codec);
  for (const auto& [property, option] : kMerged)
    if (options.has(option) || !properties.contains(property))
      properties.insert_or_assign(std::string(property), *options.value(option));
  if (options.has("max-partition-memory-bytes"))
    properties.insert_or_assign("batch.size", *options.value("max-partition-memory-bytes"));
  return properties;
}

// What the log says of a record, and what is to be told of it: its sizes.
struct Sizes {
  std::optional<size_t> key, value;
};

class Production {
 public:
  Production(Admin& admin, const Options& options, const ProducerConfig& config)
      : topic_(*options.value("topic")),
        sync_(options.has("sync")),
        config_(config),
        feeder_(admin.session(), config.options, [this](const Delivery& d) { delivered(d); }) {}

  // Until standard input ends.
  Attempt<> run(LineReader& reader) {
    const bool prompt = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
    std::vector<OutgoingRecord> records;
    std::string line;
    while (true) {
      if (prompt) {
        fmt::print(">");
        std::fflush(stdout);
      }
      if (!std::getline(std::cin, line)) break;
      if (line.ends_with('\r')) line.pop_back();
      auto record = reader.read(line);
      if (!record) {
        send(std::move(records));
        feeder_.finish();
        return std::unexpected(record.error());
      }
      RETURN_IF_ERROR(check_sends(config_, topic_));
      record->topic = topic_;
      records.push_back(std::move(*record));
      if (!sync_ && records.size() < kHandOver && std::cin.rdbuf()->in_avail() > 0) continue;
      send(std::exchange(records, {}));
      if (!sync_) continue;
      feeder_.finish();
      if (failure_) return std::unexpected(executed(*failure_));
    }
    send(std::move(records));
    feeder_.finish();
    return {};
  }

 private:
  void send(std::vector<OutgoingRecord> records) {
    if (records.empty()) return;
    {
      std::lock_guard lock(mutex_);
      for (const auto& each : records) {
        Sizes& sizes = sizes_[each.tag];
        if (each.key) sizes.key = each.key->size();
        if (each.value) sizes.value = each.value->size();
      }
    }
    feeder_.feed(std::move(records));
  }

  // On the event loop.
  void delivered(const Delivery& delivery) {
    std::lock_guard lock(mutex_);
    const Sizes sizes = sizes_[delivery.tag];
    sizes_.erase(delivery.tag);
    if (delivery.error == wire::ErrorCode::kNone) return;
    const Ending why = exception_of(delivery, config_);
    failure_ = why;
    if (sync_) return;
    const auto size = [](const std::optional<size_t>& bytes) {
      return bytes ? fmt::format("{} bytes", *bytes) : "null";
    };
    log_line("ERROR",
             fmt::format("Error when sending message to topic {} with key: {}, value: {} with "
                         "error:",
                         topic_, size(sizes.key), size(sizes.value)),
             "org.apache.kafka.clients.producer.internals.ErrorLoggingCallback");
    fmt::print(stderr, "{}\n", why.to_string());
  }

  std::string topic_;
  bool sync_;
  ProducerConfig config_;
  std::mutex mutex_;
  std::map<uint64_t, Sizes> sizes_;  // of what is under way
  std::optional<Ending> failure_;    // the last one
  Feeder feeder_;
};

Attempt<> run_console_producer(const Options& options) {
  RETURN_IF_ERROR(check(options));
  RETURN_IF_ERROR(options.check_values());
  std::ios::sync_with_stdio(false);
  ASSIGN_OR_RETURN(auto reader, reader_of(options));
  ASSIGN_OR_RETURN(const auto properties, producer_properties(options));
  ASSIGN_OR_RETURN(const auto config, producer_config(properties));
  ASSIGN_OR_RETURN(const auto admin, open_for_producer(properties));
  return Production(*admin, options, config).run(reader);
}

int tell_stack(const Ending& ending) {
  if (ending.type.starts_with("joptsimple.")) {
    fmt::print(stderr, "{}\n", ending.message);
    return 1;
  }
  fmt::print(stderr, "{}\n", ending.to_string());
  return 1;
}

}  // namespace

int console_producer(const Words& words) {
  return run({.about = "This tool helps to read data from standard input and publish it to Kafka.",
              .options = kOptions,
              .run = run_console_producer,
              .refused = refuse_with_help,
              .failed = tell_stack},
             words);
}

}  // namespace millrace::app::kafka::clients
