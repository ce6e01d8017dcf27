// kafka-e2e-latency: how long a record takes from its producer to its consumer, one by one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <random>
#include <span>

#include "app/feeder.h"
#include "app/happenings.h"
#include "app/kafka/clients/consumer_config.h"
#include "app/kafka/clients/producer_config.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/script.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::ConsumedRecord;
using client::core::Delivery;
using client::core::OutgoingRecord;
using client::core::StartAt;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr auto kPollWithin = std::chrono::seconds(60);
constexpr int64_t kProgressEvery = 1000;

constexpr Option optional_number(std::string_view name, std::string_view help) {
  return {.name = name, .takes = Option::Takes::kOptionalText, .help = help, .fallback = "0"};
}

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("topic", "The topic; it is made when it is not there. Needed."),
    integer("num-records", "How many records. Needed."),
    text("producer-acks", "Who must have a record: 1 or all. Needed."),
    integer("record-size", "Bytes of a value. Needed."),
    optional_number("record-key-size", "Bytes of a key."),
    optional_number("record-header-key-size", "Bytes of the name of a header."),
    optional_number("record-header-size", "Bytes of the value of a header; -1: null."),
    optional_number("num-headers", "Headers of a record."),
    {.name = "command-config",
     .takes = Option::Takes::kOptionalText,
     .help = "Properties file of the clients."},
};

struct Wish {
  std::string topic;
  int64_t records = 0;
  int64_t value_size = 0;
  int64_t key_size = 0;
  int64_t headers = 0;
  int64_t header_key_size = 0;
  int64_t header_value_size = 0;
  Properties properties;
};

Attempt<int64_t> number_of(const Options& options, std::string_view name) {
  const std::string text = options.value(name).value_or("0");
  const auto number = parse_int(text);
  if (!number)
    return thrown("joptsimple.OptionArgumentConversionException",
                  fmt::format("Cannot parse argument '{}' of option {}", text, name));
  return *number;
}

Attempt<> check(const Wish& wish, const std::string& acks) {
  if (acks != "1" && acks != "all")
    return usage(
        "Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. "
        "Please use '1' or 'all'.");
  if (wish.records <= 0) return usage("Value for --num-records must be a positive integer.");
  const auto refuse = [](std::string_view name) {
    return usage(fmt::format("Value for --{} must be a non-negative integer.", name));
  };
  if (wish.value_size < 0) return refuse("record-size");
  if (wish.key_size < 0) return refuse("record-key-size");
  if (wish.header_key_size < 0) return refuse("record-header-key-size");
  if (wish.header_value_size < -1)
    return usage(
        "Value for --record-header-size must be a non-negative integer or -1 for null header "
        "value.");
  if (wish.headers < 0) return refuse("num-headers");
  return {};
}

Attempt<Wish> wish_of(const Options& options) {
  RETURN_IF_ERROR(options.require(
      {"bootstrap-server", "topic", "num-records", "producer-acks", "record-size"}));
  RETURN_IF_ERROR(options.check_values());
  Wish wish{.topic = *options.value("topic"),
            .records = *options.number("num-records"),
            .value_size = *options.number("record-size")};
  ASSIGN_OR_RETURN(wish.key_size, number_of(options, "record-key-size"));
  ASSIGN_OR_RETURN(wish.header_key_size, number_of(options, "record-header-key-size"));
  ASSIGN_OR_RETURN(wish.header_value_size, number_of(options, "record-header-size"));
  ASSIGN_OR_RETURN(wish.headers, number_of(options, "num-headers"));
  const std::string acks = *options.value("producer-acks");
  RETURN_IF_ERROR(check(wish, acks));
  if (const auto path = options.value("command-config")) {
    ASSIGN_OR_RETURN(wish.properties, load_properties(*path));
  }
  const auto set = [&](std::string_view name, std::string value) {
    wish.properties.insert_or_assign(std::string(name), std::move(value));
  };
  set("bootstrap.servers", *options.value("bootstrap-server"));
  set("acks", acks);
  set("linger.ms", "0");
  set("auto.offset.reset", "latest");
  return wish;
}

Attempt<> make_topic(Admin& admin, const std::string& topic) {
  fmt::print(
      "Topic \"{}\" does not exist. Will create topic with 1 partition(s) and replication factor = "
      "1\n",
      topic);
  wire::CreateTopicsRequest request{.timeout_ms = 60'000};
  request.topics.push_back({.name = topic, .num_partitions = 1, .replication_factor = 1});
  auto response = admin.call("createTopics", std::move(request));
  std::optional<Ending> failure;
  if (!response)
    failure = response.error();
  else
    for (const auto& each : response->topics)
      if (each.error_code != 0) failure = exception_of(each.error_code, each.error_message);
  if (!failure) return {};
  fmt::print("Creation of topic {} failed\n", topic);
  return std::unexpected(executed_at_run_time(*failure));
}

// Letters of one kind.
ByteBuffer letters(std::mt19937& random, int64_t size) {
  return ByteBuffer(static_cast<size_t>(size), static_cast<uint8_t>('A' + random() % 26));
}

class LatencyTest {
 public:
  LatencyTest(Admin& admin, const Wish& wish, const ProducerConfig& producer,
              const ConsumerConfig& consumer)
      : admin_(admin),
        wish_(wish),
        producer_(producer),
        happenings_(admin.session()),
        feeder_(admin.session(), producer.options,
                [this](const Delivery& each) { delivered_.set_value(each); }) {
    happenings_.begin(consumer.fetcher);
  }

  // Where the partitions end is where they are read from.
  Attempt<> begin() {
    ASSIGN_OR_RETURN(const auto known, admin_.metadata({.names = {wish_.topic}}, "partitionsFor"));
    Admin::Timestamps ends;
    if (const auto* topic = known.topic(wish_.topic))
      for (const auto& [index, info] : topic->partitions)
        ends[{wish_.topic, index}] = client::core::kAtEnd;
    ASSIGN_OR_RETURN(const auto listed, admin_.list_offsets(ends));
    std::map<TopicPartition, StartAt> starts;
    for (const auto& [partition, end] : listed) starts[partition] = StartAt::offset(end.offset);
    admin_.session().run([&] { happenings_.consumer().assign(starts); });
    return {};
  }

  Attempt<> run() {
    std::vector<int64_t> latencies;
    double total = 0;
    for (int64_t i = 0; i < wish_.records; ++i) {
      const OutgoingRecord record = make_record();
      const auto begin = steady_clock::now();
      RETURN_IF_ERROR(send(record));
      ASSIGN_OR_RETURN(const auto read, receive());
      const auto elapsed = std::chrono::duration_cast<nanoseconds>(steady_clock::now() - begin);
      RETURN_IF_ERROR(compare(record, read));
      const auto ns = static_cast<double>(elapsed.count());
      if (i % kProgressEvery == 0) {
        fmt::print("{}\t{}\n", i, java_double(ns / 1000.0 / 1000.0));
        std::fflush(stdout);
      }
      total += ns;
      latencies.push_back(elapsed.count() / 1000 / 1000);
      positions_[read.front().partition] = read.front().offset + 1;
    }
    print_results(latencies, total);
    return commit();
  }

 private:
  OutgoingRecord make_record() {
    OutgoingRecord record{.topic = wish_.topic,
                          .key = letters(random_, wish_.key_size),
                          .value = letters(random_, wish_.value_size)};
    for (int64_t i = 0; i < wish_.headers; ++i) {
      client::core::Header header{
          .key = std::string(as_text(letters(random_, wish_.header_key_size)))};
      if (wish_.header_value_size >= 0) header.value = letters(random_, wish_.header_value_size);
      record.headers.push_back(std::move(header));
    }
    return record;
  }

  Attempt<> send(const OutgoingRecord& record) {
    RETURN_IF_ERROR(check_sends(producer_, wish_.topic));
    if (const auto refused = too_large(record, producer_))
      return std::unexpected(executed(*refused));
    delivered_ = {};
    feeder_.feed({record});
    const Delivery delivery = delivered_.get_future().get();
    if (delivery.error == wire::ErrorCode::kNone) return {};
    return std::unexpected(executed(exception_of(delivery, producer_)));
  }

  Attempt<std::vector<ConsumedRecord>> receive() {
    const auto until = steady_clock::now() + kPollWithin;
    while (auto happening = happenings_.next(until)) {
      if (auto* records = std::get_if<std::vector<ConsumedRecord>>(&*happening))
        return std::move(*records);
      if (const auto* failure = std::get_if<Failure>(&*happening))
        return thrown("org.apache.kafka.common.KafkaException", failure->problem);
      if (const auto* stopped = std::get_if<Stopped>(&*happening))
        return ended(128 + stopped->signal);
    }
    return thrown("java.lang.RuntimeException",
                  "poll() timed out before finding a result (timeout:[60000ms])");
  }

  static Attempt<> compare(const OutgoingRecord& sent, const std::vector<ConsumedRecord>& read) {
    const auto differs = [](std::string_view what, const std::optional<ByteBuffer>& got,
                            const std::optional<ByteBuffer>& wanted) {
      return thrown("java.lang.RuntimeException",
                    fmt::format("The message {} read [{}] did not match the message {} sent [{}]",
                                what, got ? as_text(*got) : "null", what, as_text(*wanted)));
    };
    const ConsumedRecord& record = read.front();
    if (record.value != sent.value) return differs("value", record.value, sent.value);
    if (record.key != sent.key) return differs("key", record.key, sent.key);
    if (record.headers != sent.headers)
      return thrown("java.lang.RuntimeException",
                    "The message headers read did not match the message headers sent");
    if (read.size() == 1) return {};
    return thrown(
        "java.lang.RuntimeException",
        fmt::format("Only one result was expected during this test. We found [{}]", read.size()));
  }

  static void print_results(std::vector<int64_t>& latencies, double total) {
    std::ranges::sort(latencies);
    const auto count = static_cast<double>(latencies.size());
    const auto at = [&](double part) { return latencies[static_cast<size_t>(count * part)]; };
    fmt::print("Avg latency: {} ms\n", java_fixed(total / count / 1000.0 / 1000.0, 4));
    fmt::print("Percentiles: 50th = {}, 99th = {}, 99.9th = {}\n", at(0.5), at(0.99), at(0.999));
  }

  // As a group that nobody is in, like Kafka's.
  Attempt<> commit() {
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    const std::string group = fmt::format("test-group-{}", now.count());
    wire::OffsetCommitRequest request{.group_id = group};
    request.topics.push_back({.name = wish_.topic});
    for (const auto& [partition, offset] : positions_)
      request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                                  .committed_offset = offset.value(),
                                                  .committed_metadata = ""});
    const auto code_of = [](const wire::OffsetCommitResponse& response) {
      for (const auto& topic : response.topics)
        for (const auto& each : topic.partitions)
          if (each.error_code != 0) return each.error_code;
      return int16_t{0};
    };
    ASSIGN_OR_RETURN(const auto response,
                     admin_.call_group("commitSync", group, std::move(request), code_of));
    if (const int16_t code = code_of(response); code != 0)
      return std::unexpected(exception_of(code));
    return {};
  }

  Admin& admin_;
  const Wish& wish_;
  const ProducerConfig& producer_;
  std::mt19937 random_{0};
  std::map<TopicPartition, Offset> positions_;
  std::promise<Delivery> delivered_;  // of the record under way
  Happenings happenings_;
  Feeder feeder_;
};

Attempt<> run_e2e_latency(const Options& options) {
  ASSIGN_OR_RETURN(const auto wish, wish_of(options));
  ASSIGN_OR_RETURN(const auto consumer, consumer_config(wish.properties));
  ASSIGN_OR_RETURN(const auto producer, producer_config(wish.properties));
  ASSIGN_OR_RETURN(const auto admin, open_for_consumer(wish.properties));
  ASSIGN_OR_RETURN(const auto topics, admin->list_topics());
  if (!topics.contains(wish.topic)) {
    RETURN_IF_ERROR(make_topic(*admin, wish.topic));
  }
  LatencyTest test(*admin, wish, producer, consumer);
  RETURN_IF_ERROR(test.begin());
  return test.run();
}

// Words without names, as they were before.
Attempt<Words> named(const Words& words) {
  constexpr std::string_view kNames[] = {"--bootstrap-server", "--topic",       "--num-records",
                                         "--producer-acks",    "--record-size", "--command-config"};
  constexpr size_t kNeeded = 5;
  const std::span needed = std::span(kNames).first(kNeeded);
  if (words.empty()) return words;
  if (std::ranges::any_of(words, [&](const auto& word) { return is_in(needed, word); }))
    return words;
  if (words.size() != kNeeded && words.size() != kNeeded + 1)
    return usage(fmt::format(
        "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {}. Usage: "
        "bootstrap-server topic num-records producer-acks record-size [optional] command-config",
        words.size()));
  Words with_names;
  for (size_t i = 0; i < words.size(); ++i) {
    with_names.emplace_back(kNames[i]);
    with_names.push_back(words[i]);
  }
  fmt::print(
      "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. "
      "Please use named arguments instead: {}\n",
      fmt::join(kNames, ", "));
  return with_names;
}

}  // namespace

int e2e_latency(const Words& words) {
  const auto with_names = named(words);
  if (!with_names) {
    fmt::print(stderr, "{}\n", with_names.error().message);
    return 1;
  }
  return run({.about = "This tool measures end-to-end latency in Kafka by sending messages and "
                       "timing their reception.",
              .options = kOptions,
              .run = run_e2e_latency,
              .refused = refuse_with_help,
              .failed = tell_message_and_stack},
             *with_names);
}

}  // namespace millrace::app::kafka::clients
