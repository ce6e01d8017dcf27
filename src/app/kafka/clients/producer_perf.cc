// kafka-producer-perf-test: how many records a second a cluster takes, and how soon it has them; in
// transactions, where it is asked to.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "app/feeder.h"
#include "app/kafka/clients/payloads.h"
#include "app/kafka/clients/perf_stats.h"
#include "app/kafka/clients/producer_config.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/clients/throttle.h"
#include "app/kafka/commands.h"
#include "app/kafka/text.h"
#include "app/random_id.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;
using std::chrono::steady_clock;
using Takes = Argument::Takes;

constexpr size_t kHandOver = 512;  // records, at most, that go to the event loop together
constexpr std::string_view kTransactionalId = "transactional.id";

constexpr Argument kArguments[] = {
    {.name = "--bootstrap-server", .help = "Brokers to begin with: HOST:PORT,..."},
    {.name = "--topic", .help = "The topic. Needed.", .required = true},
    {.name = "--num-records",
     .help = "How many records. Needed.",
     .takes = Takes::kLong,
     .required = true},
    {.name = "--record-size",
     .help = "Bytes of a record; this, a file or numbers.",
     .takes = Takes::kInteger,
     .connects = true},
    {.name = "--payload-file", .help = "File with records to choose from.", .connects = true},
    {.name = "--payload-monotonic",
     .help = "The records are numbers: 0, 1, ...",
     .takes = Takes::kNothing,
     .connects = true},
    {.name = "--payload-delimiter", .help = "Between records of the file. Default: \\n."},
    {.name = "--throughput",
     .help = "So many records a second; -1: as many as go. Needed.",
     .takes = Takes::kDouble,
     .required = true},
    {.name = "--producer-props", .help = "Deprecated: --command-property.", .takes = Takes::kTexts},
    {.name = "--command-property",
     .help = "NAME=VALUE of the producer, several.",
     .takes = Takes::kTexts},
    {.name = "--producer.config", .help = "Deprecated: --command-config."},
    {.name = "--command-config", .help = "Properties file of the producer."},
    {.name = "--print-metrics",
     .help = "Tells at the end what was counted.",
     .takes = Takes::kNothing},
    {.name = "--transactional-id", .help = "Records go in transactions of this id."},
    {.name = "--transaction-duration-ms",
     .help = "How long each is open, in ms. Default: 3000.",
     .takes = Takes::kLong},
    {.name = "--warmup-records",
     .help = "So many come before the steady state. Default: 0.",
     .takes = Takes::kLong},
    {.name = "--reporting-interval",
     .help = "Between two lines, in ms. Default: 5000.",
     .takes = Takes::kLong},
};

constexpr Program kProgram = {.name = "kafka-producer-perf-test",
                              .about = "This tool is used to verify the producer performance.",
                              .arguments = kArguments,
                              .commands = {},
                              .must_connect = true};

struct Wish {
  std::string topic;
  int64_t records = 0;
  int64_t warm_up = 0;
  int64_t interval_ms = 0;
  double throughput = 0;
  bool print_metrics = false;
  int64_t transaction_ms = 0;
  Payloads::Wish payloads;
  Properties properties;
};

Attempt<> check(const Parsed& words) {
  const auto number = [&](std::string_view name, int64_t otherwise) {
    return words.number(name).value_or(otherwise);
  };
  const auto both = [&](std::string_view newer, std::string_view older) {
    return words.has(newer) && words.has(older);
  };
  if (number("--num-records", 0) <= 0)
    return argument_error("--num-records should be greater than zero.");
  if (number("--warmup-records", 0) >= number("--num-records", 0))
    return argument_error(
        "The value for --warmup-records must be strictly fewer than the number of records in the "
        "test, --num-records.");
  if (number("--record-size", 1) <= 0)
    return argument_error("--record-size should be greater than zero.");
  bool reaches = false;
  for (const auto name : {"--bootstrap-server", "--command-property", "--producer-props",
                          "--producer.config", "--command-config"})
    reaches = reaches || words.has(name);
  if (!reaches)
    return argument_error(
        "At least one of --bootstrap-server, --command-property, --producer-props, "
        "--producer.config or --command-config must be specified.");
  if (both("--command-property", "--producer-props"))
    return argument_error("--command-property and --producer-props cannot be specified together.");
  if (both("--command-config", "--producer.config"))
    return argument_error("--command-config and --producer.config cannot be specified together.");
  if (number("--transaction-duration-ms", 1) <= 0)
    return argument_error("--transaction-duration-ms should be greater than zero.");
  if (number("--reporting-interval", 1) <= 0)
    return argument_error("--reporting-interval should be greater than zero.");
  return {};
}

// The one that is given; the older one with a word about it.
std::string_view either(const Parsed& words, std::string_view newer, std::string_view older) {
  if (!words.has(older)) return newer;
  fmt::print(
      "Option {} has been deprecated and will be removed in a future version. Use {} instead.\n",
      older, newer);
  return older;
}

Attempt<Properties> properties_of(const Parsed& words) {
  const auto given = either(words, "--command-property", "--producer-props");
  const auto file = either(words, "--command-config", "--producer.config");
  Properties properties;
  if (const auto path = words.value(file)) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  for (const auto& each : words.values(given)) {
    const auto parts = split(each, '=');
    if (parts.size() != 2) return illegal_argument(fmt::format("Invalid property: {}", each));
    properties.insert_or_assign(parts[0], parts[1]);
  }
  properties.emplace("client.id", "perf-producer-client");
  if (const auto bootstrap = words.value("--bootstrap-server"))
    properties.insert_or_assign("bootstrap.servers", *bootstrap);
  if (const auto id = words.value("--transactional-id"))
    properties.insert_or_assign(std::string(kTransactionalId), *id);
  if (words.has("--transaction-duration-ms"))
    properties.emplace(kTransactionalId,
                       fmt::format("performance-producer-{}", random_id().to_string()));
  return properties;
}

Attempt<Wish> wish_of(const Parsed& words) {
  RETURN_IF_ERROR(check(words));
  Wish wish{.topic = *words.value("--topic"),
            .records = *words.number("--num-records"),
            .warm_up = std::max<int64_t>(0, words.number("--warmup-records").value_or(0)),
            .interval_ms = words.number("--reporting-interval").value_or(5000),
            .throughput = *words.real("--throughput"),
            .print_metrics = words.has("--print-metrics"),
            .transaction_ms = words.number("--transaction-duration-ms").value_or(3000)};
  wish.payloads.size = words.number("--record-size");
  wish.payloads.numbers = words.has("--payload-monotonic");
  if (const auto path = words.value("--payload-file")) {
    const std::string delimiter = words.value("--payload-delimiter").value_or("\\n");
    ASSIGN_OR_RETURN(wish.payloads.lines,
                     read_payloads(*path, delimiter == "\\n" ? "\n" : delimiter));
  }
  ASSIGN_OR_RETURN(wish.properties, properties_of(words));
  return wish;
}

// What is to be known of a record when it is there, in the tag that comes back with it.
struct Tag {
  static constexpr int kSizeBits = 28, kTimeBits = 35;
  bool steady;
  int64_t sent_ms;
  int64_t size;

  uint64_t packed() const {
    return (static_cast<uint64_t>(steady) << (kSizeBits + kTimeBits)) |
           (static_cast<uint64_t>(sent_ms) << kSizeBits) | static_cast<uint64_t>(size);
  }
  static Tag of(uint64_t packed) {
    return {
        .steady = (packed >> (kSizeBits + kTimeBits)) != 0,
        .sent_ms = static_cast<int64_t>((packed >> kSizeBits) & ((uint64_t{1} << kTimeBits) - 1)),
        .size = static_cast<int64_t>(packed & ((uint64_t{1} << kSizeBits) - 1))};
  }
};

class PerfTest {
 public:
  PerfTest(Session& session, const Wish& wish, const ProducerConfig& config)
      : wish_(wish),
        config_(config),
        start_(steady_clock::now()),
        stats_({.records = wish.records, .interval_ms = wish.interval_ms}, 0),
        feeder_(
            session, config.options, [this](const Delivery& each) { delivered(each); },
            static_cast<size_t>(std::max<int64_t>(1, config.buffer_memory))) {}

  Attempt<> run() {
    RETURN_IF_ERROR(begin());
    if (wish_.warm_up > 0)
      fmt::print(
          "Warmup first {} records. Steady state results will print after the complete test "
          "summary.\n",
          wish_.warm_up);
    Payloads payloads(wish_.payloads);
    Throttle throttle(wish_.throughput);
    for (int64_t i = 0; i < wish_.records; ++i) {
      auto payload = payloads.next(i);
      if (!payload) return std::unexpected(payload.error());
      const auto elapsed = steady_clock::now() - start_;
      const int64_t now = ms_of(elapsed);
      if (wish_.warm_up > 0 && i == wish_.warm_up) begin_steady_state(now);
      RETURN_IF_ERROR(begin_transaction(now));
      send(std::move(*payload), now);
      if (now - transaction_began_ms_ >= wish_.transaction_ms) {
        RETURN_IF_ERROR(commit_transaction());
      }
      if (!throttle.is_due(i, elapsed)) continue;
      if (throttle.sleeps()) hand_over();
      throttle.wait();
    }
    hand_over();
    RETURN_IF_ERROR(commit_transaction());
    feeder_.finish();
    stats_.print_total(now_ms());
    if (steady_) steady_->print_total(now_ms());
    if (wish_.print_metrics) print_metrics();
    return {};
  }

 private:
  static int64_t ms_of(steady_clock::duration elapsed) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count();
  }
  int64_t now_ms() const { return ms_of(steady_clock::now() - start_); }

  // The time that transactions take to be initialized is not counted.
  Attempt<> begin() {
    if (config_.options.transaction)
      if (const auto failed = feeder_.init_transactions())
        return std::unexpected(exception_of_init(*failed, config_));
    start_ = steady_clock::now();
    return {};
  }

  Attempt<> begin_transaction(int64_t now) {
    if (!config_.options.transaction || in_transaction_) return {};
    transaction_began_ms_ = now;
    in_transaction_ = true;
    if (const auto failed = feeder_.begin_transaction())
      return std::unexpected(exception_of_commit(*failed, config_));
    return {};
  }

  Attempt<> commit_transaction() {
    if (!std::exchange(in_transaction_, false)) return {};
    hand_over();
    if (const auto failed = feeder_.commit_transaction())
      return std::unexpected(exception_of_commit(*failed, config_));
    return {};
  }

  void begin_steady_state(int64_t now) {
    hand_over();
    steady_ = std::make_unique<PerfStats>(PerfStats::Setup{.records = wish_.records - wish_.warm_up,
                                                           .interval_ms = wish_.interval_ms,
                                                           .steady = true},
                                          now);
    stats_.stop_windows();
  }

  // What is ready goes when it is much, or a millisecond old.
  void send(ByteBuffer payload, int64_t now) {
    if (now != batch_ms_ || batch_.size() >= kHandOver) hand_over();
    batch_ms_ = now;
    const Tag tag{
        .steady = steady_ != nullptr, .sent_ms = now, .size = static_cast<int64_t>(payload.size())};
    OutgoingRecord record{.tag = tag.packed(), .topic = wish_.topic, .value = std::move(payload)};
    if (const auto refused = too_large(record, config_)) {
      fmt::print(stderr, "{}\n", refused->to_string());
      ++failed_;
      return;
    }
    batch_.push_back(std::move(record));
  }

  void hand_over() {
    if (!batch_.empty()) feeder_.feed(std::exchange(batch_, {}));
    batch_.reserve(kHandOver);
  }

  // On the event loop.
  void delivered(const Delivery& delivery) {
    if (delivery.error != wire::ErrorCode::kNone) {
      fmt::print(stderr, "{}\n", exception_of(delivery, config_).to_string());
      ++failed_;
      return;
    }
    const Tag tag = Tag::of(delivery.tag);
    const int64_t now = now_ms();
    const PerfStats::Sample sample{
        .latency_ms = now - tag.sent_ms, .bytes = tag.size, .now_ms = now};
    stats_.record(sample);
    if (tag.steady) steady_->record(sample);
  }

  void print_metrics() const {
    const auto client = wish_.properties.find("client.id")->second;
    const auto line = [&](std::string_view name, int64_t value) {
      fmt::print("producer-metrics:{:<18}:{{client-id={}}} : {}.000\n", name, client, value);
    };
    fmt::print("\n{:<{}}   Value\n", "Metric Name", 48 + client.size());
    line("record-error-total", failed_);
    line("record-send-total", stats_.count());
  }

  const Wish& wish_;
  const ProducerConfig& config_;
  steady_clock::time_point start_;
  PerfStats stats_;                    // on the event loop until all is delivered
  std::unique_ptr<PerfStats> steady_;  // likewise, for tags that say so
  std::atomic<int64_t> failed_ = 0;
  std::vector<OutgoingRecord> batch_;
  int64_t batch_ms_ = 0;
  bool in_transaction_ = false;
  int64_t transaction_began_ms_ = 0;
  Feeder feeder_;
};

Attempt<> act(const Words& all) {
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  ASSIGN_OR_RETURN(const auto wish, wish_of(words));
  ASSIGN_OR_RETURN(const auto config, producer_config(wish.properties));
  ASSIGN_OR_RETURN(const auto admin, open_for_producer(wish.properties));
  return PerfTest(admin->session(), wish, config).run();
}

}  // namespace

int producer_perf_test(const Words& words) { return run_program(kProgram, words, act); }

}  // namespace millrace::app::kafka::clients
