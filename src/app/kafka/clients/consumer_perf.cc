// kafka-consumer-perf-test: how many records a second a member of a group reads.
#include <fmt/format.h>

#include <cstdio>
#include <random>

#include "app/kafka/clients/group_consumer.h"
#include "app/kafka/clients/java_date.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/script.h"
#include "app/kafka/text.h"
#include "app/kafka/topic_filter.h"

namespace millrace::app::kafka::clients {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kPoll = milliseconds(100);
constexpr double kMegabyte = 1024.0 * 1024.0;
constexpr std::string_view kDateFormat = "yyyy-MM-dd HH:mm:ss:SSS";

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("topic", "The topic."),
    text("include", "Topics as a regular expression."),
    text("group", "The group. Without: one that nobody else is in."),
    integer("fetch-size", "Bytes of a partition in one answer (max.partition.fetch.bytes).",
            "1048576"),
    texts("command-property", "NAME=VALUE of the consumer."),
    flag("from-latest", "Begins at the end where nothing is committed."),
    integer("socket-buffer-size", "Bytes that a socket holds (receive.buffer.bytes).", "2097152"),
    text("consumer.config", "Deprecated: --command-config."),
    text("command-config", "Properties file of the consumer."),
    flag("print-metrics", "Tells at the end what was counted."),
    flag("show-detailed-stats", "A line each reporting interval, none of the whole."),
    {.name = "timeout",
     .takes = Option::Takes::kOptionalText,
     .help = "Ends when no record has come for so many ms.",
     .fallback = "10000"},
    number("messages", "Deprecated: --num-records."),
    number("num-records", "How many records to read. Needed."),
    number("reporting-interval", "Between two lines, in ms.", "5000"),
    text("date-format", "As in Java's SimpleDateFormat.", kDateFormat),
    flag("hide-header", "Without the names of the columns."),
};

Attempt<> check(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(options.one_of({"topic", "include"}));
  RETURN_IF_ERROR(options.one_of({"messages", "num-records"}));
  RETURN_IF_ERROR(options.refuse_with("consumer.config", {"command-config"}));
  if (options.has("messages"))
    fmt::print("Warning: --messages is deprecated. Use --num-records instead.\n");
  if (options.has("consumer.config"))
    fmt::print("Warning: --consumer.config is deprecated. Use --command-config instead.\n");
  return {};
}

void print_header(bool detailed) {
  fmt::print(
      "{}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
      "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n",
      detailed ? "time, threadId" : "start.time, end.time");
}

Attempt<Properties> properties_of(const Options& options) {
  Properties properties;
  const auto file = options.has("consumer.config") ? "consumer.config" : "command-config";
  if (const auto path = options.value(file)) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  for (auto& [name, value] : key_value_properties(options.values("command-property")))
    properties.insert_or_assign(name, value);
  std::random_device random;
  const auto set = [&](std::string_view name, std::string value) {
    properties.insert_or_assign(std::string(name), std::move(value));
  };
  set("bootstrap.servers", *options.value("bootstrap-server"));
  set("group.id",
      options.value("group").value_or(fmt::format("perf-consumer-{}", random() % 100'000)));
  set("max.partition.fetch.bytes", *options.value("fetch-size"));
  set("auto.offset.reset", options.has("from-latest") ? "latest" : "earliest");
  properties.emplace("client.id", "perf-consumer-client");
  return properties;
}

struct Wish {
  int64_t records = 0;
  int64_t timeout_ms = 0;
  int64_t interval_ms = 0;
  bool detailed = false;
};

Attempt<Wish> wish_of(const Options& options) {
  ASSIGN_OR_RETURN(const int64_t timeout, parse_long(options.value("timeout").value_or("10000")));
  const Wish wish{.records = *options.number(options.has("messages") ? "messages" : "num-records"),
                  .timeout_ms = timeout,
                  .interval_ms = *options.number("reporting-interval"),
                  .detailed = options.has("show-detailed-stats")};
  if (wish.interval_ms <= 0) return illegal_argument("Reporting interval must be greater than 0.");
  return wish;
}

struct Amount {
  int64_t records = 0;
  int64_t bytes = 0;
  double megabytes() const { return static_cast<double>(bytes) / kMegabyte; }
};

std::string fixed(double value) { return java_fixed(value, 4); }

class PerfTest final : public RebalanceListener {
 public:
  PerfTest(Session& session, const ConsumerConfig& config, const Wish& wish, const JavaDate& date)
      : wish_(wish),
        date_(date),
        start_(steady_clock::now()),
        start_wall_ms_(std::chrono::duration_cast<milliseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count()),
        consumer_(session, config, *this) {}

  Attempt<> run(const std::vector<std::string>& topics) {
    if (!topics.empty()) consumer_.subscribe(topics);
    RETURN_IF_ERROR(consume());
    if (read_.records < wish_.records && consumer_.signal() == 0)
      fmt::print(
          "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) "
          "exceeded. You can use the --timeout option to increase the timeout.\n",
          wish_.timeout_ms);
    return {};
  }

  void print_total() const {
    const int64_t end = now_ms();
    const int64_t fetching = end - join_ms_;
    const double seconds = static_cast<double>(end) / 1000.0;
    const double fetch_seconds = static_cast<double>(fetching) / 1000.0;
    const auto records = static_cast<double>(read_.records);
    fmt::print("{}, {}, {}, {}, {}, {}, {}, {}, {}, {}\n", date_.format(start_wall_ms_),
               date_.format(start_wall_ms_ + end), fixed(read_.megabytes()),
               fixed(read_.megabytes() / seconds), read_.records, fixed(records / seconds),
               join_ms_, fetching, fixed(read_.megabytes() / fetch_seconds),
               fixed(records / fetch_seconds));
  }

  void print_metrics(const std::string& client) const {
    const auto line = [&](std::string_view name, int64_t value) {
      fmt::print("consumer-fetch-manager-metrics:{:<22}:{{client-id={}}} : {}.000\n", name, client,
                 value);
    };
    fmt::print("\n{:<{}}   Value\n", "Metric Name", 66 + client.size());
    line("bytes-consumed-total", read_.bytes);
    line("records-consumed-total", read_.records);
  }

  void close() { consumer_.close(); }
  int signal() const { return consumer_.signal(); }

  void assigned(const std::vector<TopicPartition>& partitions) override {
    if (assigned_.empty()) {
      const int64_t took = now_ms() - join_start_ms_;
      join_ms_ += took;
      join_ms_of_round_ += took;
    }
    assigned_.insert(partitions.begin(), partitions.end());
  }
  void revoked(const std::vector<TopicPartition>& partitions) override {
    for (const auto& each : partitions) assigned_.erase(each);
    if (assigned_.empty()) join_start_ms_ = now_ms();
  }

 private:
  int64_t now_ms() const {
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start_).count();
  }

  Attempt<> consume() {
    int64_t now = now_ms();
    int64_t last_consumed = now;
    int64_t last_report = now;
    Amount reported;
    while (read_.records < wish_.records && now - last_consumed <= wish_.timeout_ms &&
           consumer_.signal() == 0) {
      ASSIGN_OR_RETURN(const auto records, consumer_.poll(steady_clock::now() + kPoll));
      now = now_ms();
      if (!records.empty()) last_consumed = now;
      for (const auto& record : records) {
        ++read_.records;
        if (record.key) read_.bytes += static_cast<int64_t>(record.key->size());
        if (record.value) read_.bytes += static_cast<int64_t>(record.value->size());
        if (now - last_report < wish_.interval_ms) continue;
        if (wish_.detailed) print_progress(reported, now, now - last_report);
        join_ms_of_round_ = 0;
        last_report = now;
        reported = read_;
      }
    }
    return {};
  }

  void print_progress(const Amount& before, int64_t now, int64_t elapsed) const {
    const double megabytes = static_cast<double>(read_.bytes - before.bytes) / kMegabyte;
    const auto records = static_cast<double>(read_.records - before.records);
    const int64_t fetching = elapsed - join_ms_of_round_;
    const auto a_second = [](double amount, int64_t ms) {
      return 1000.0 * amount / static_cast<double>(ms);
    };
    fmt::print("{}, 0, {}, {}, {}, {}, {}, {}, {}, {}\n", date_.format(start_wall_ms_ + now),
               fixed(read_.megabytes()), fixed(a_second(megabytes, elapsed)), read_.records,
               fixed(a_second(records, elapsed)), join_ms_of_round_, fetching,
               fixed(fetching <= 0 ? 0.0 : a_second(megabytes, fetching)),
               fixed(fetching <= 0 ? 0.0 : a_second(records, fetching)));
    std::fflush(stdout);
  }

  const Wish& wish_;
  const JavaDate& date_;
  steady_clock::time_point start_;
  int64_t start_wall_ms_;
  Amount read_;
  std::set<TopicPartition> assigned_;
  int64_t join_start_ms_ = 0;
  int64_t join_ms_ = 0;
  int64_t join_ms_of_round_ = 0;
  GroupConsumer consumer_;
};

// Those that are there; --topic, too, when brokers make topics by themselves.
std::vector<std::string> topics_of(Admin& admin, const Options& options,
                                   const std::optional<TopicFilter>& filter) {
  std::vector<std::string> topics;
  if (const auto topic = options.value("topic")) {
    if (admin.metadata({.names = {*topic}, .create = true}, "metadata")) topics.push_back(*topic);
    return topics;
  }
  const auto all = admin.list_topics();
  if (!all) return topics;
  for (const auto& [name, listing] : *all)
    if (!listing.internal && filter->allows(name)) topics.push_back(name);
  return topics;
}

Attempt<> run_consumer_perf_test(const Options& options) {
  RETURN_IF_ERROR(check(options));
  const auto date = JavaDate::of_pattern(*options.value("date-format"));
  if (!options.has("hide-header")) print_header(options.has("show-detailed-stats"));
  RETURN_IF_ERROR(options.check_values());
  ASSIGN_OR_RETURN(auto properties, properties_of(options));
  ASSIGN_OR_RETURN(const auto config, consumer_config(properties));
  const auto client = properties.at("client.id");
  // Nobody there is no failure: no record comes.
  properties.insert_or_assign("default.api.timeout.ms", *options.value("timeout"));
  ASSIGN_OR_RETURN(const auto admin, open_for_consumer(properties));
  ASSIGN_OR_RETURN(const auto wish, wish_of(options));
  std::optional<TopicFilter> filter;
  if (const auto pattern = options.value("include")) {
    ASSIGN_OR_RETURN(filter, TopicFilter::parse(*pattern));
  }
  if (!date) return std::unexpected(date.error());
  PerfTest test(admin->session(), config, wish, *date);
  RETURN_IF_ERROR(test.run(topics_of(*admin, options, filter)));
  if (!wish.detailed) test.print_total();
  if (options.has("print-metrics")) test.print_metrics(client);
  test.close();
  return test.signal() == 0 ? Attempt<>() : ended(128 + test.signal());
}

}  // namespace

int consumer_perf_test(const Words& words) {
  return run({.about = "This tool is used to verify the consumer performance.",
              .options = kOptions,
              .run = run_consumer_perf_test,
              .refused = refuse_with_help,
              .failed = tell_message_and_stack},
             words);
}

}  // namespace millrace::app::kafka::clients
