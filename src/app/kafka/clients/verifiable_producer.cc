// kafka-verifiable-producer: produces numbers and tells of each, in JSON, whether it is there.
#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>

#include "app/feeder.h"
#include "app/kafka/clients/producer_config.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/clients/throttle.h"
#include "app/kafka/clients/tool_event.h"
#include "app/kafka/commands.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;
using std::chrono::steady_clock;
using Takes = Argument::Takes;

constexpr size_t kHandOver = 512;  // records, at most, that go to the event loop together

constexpr Argument kArguments[] = {
    {.name = "--topic", .help = "The topic. Needed.", .required = true},
    {.name = "--bootstrap-server",
     .help = "Brokers to begin with: HOST:PORT,... Needed.",
     .connects = true},
    {.name = "--max-messages",
     .help = "How many; -1, the default: until it is stopped.",
     .takes = Takes::kInteger},
    {.name = "--throughput", .help = "So many a second at most.", .takes = Takes::kInteger},
    {.name = "--acks", .help = "Who must have a record: 0, 1 or -1.", .takes = Takes::kInteger},
    {.name = "--producer.config", .help = "Deprecated: --command-config."},
    {.name = "--message-create-time",
     .help = "Timestamps begin here, in ms since 1970.",
     .takes = Takes::kLong},
    {.name = "--value-prefix",
     .help = "A number before every value, and a dot.",
     .takes = Takes::kInteger},
    {.name = "--repeating-keys",
     .help = "Keys are 0, 1, ... below this, again and again.",
     .takes = Takes::kInteger},
    {.name = "--command-config", .help = "Properties file of the producer."},
};

constexpr Program kProgram = {
    .name = "verifiable-producer",
    .about =
        "This tool produces increasing integers to the specified topic and prints JSON "
        "metadata to stdout on each \"send\" request.",
    .arguments = kArguments,
    .commands = {},
    .must_connect = true};

struct Wish {
  std::string topic;
  int64_t messages = -1;
  int64_t throughput = -1;
  std::optional<int64_t> create_ms, prefix, keys;
  Properties properties;
};

Attempt<Properties> properties_of(const Parsed& words) {
  const int64_t acks = words.number("--acks").value_or(-1);
  if (acks < -1 || acks > 1)
    return argument_error(
        fmt::format("argument --acks: invalid choice: '{}' (choose from {{0,1,-1}})", acks));
  ASSIGN_OR_RETURN(Properties properties, config_file_of(words, "--producer.config"));
  properties.emplace("bootstrap.servers", *words.value("--bootstrap-server"));
  properties.emplace("acks", std::to_string(acks));
  properties.emplace("retries", "0");
  properties.emplace("client.id", "producer-1");
  return properties;
}

Attempt<Wish> wish_of(const Parsed& words) {
  Wish wish{.topic = *words.value("--topic"),
            .messages = words.number("--max-messages").value_or(-1),
            .throughput = words.number("--throughput").value_or(-1),
            .create_ms = words.number("--message-create-time"),
            .prefix = words.number("--value-prefix"),
            .keys = words.number("--repeating-keys")};
  if (wish.create_ms == -1) wish.create_ms.reset();
  ASSIGN_OR_RETURN(wish.properties, properties_of(words));
  return wish;
}

class Production {
 public:
  Production(Session& session, const Wish& wish, const ProducerConfig& config)
      : session_(session),
        wish_(wish),
        config_(config),
        throttle_(static_cast<double>(wish.throughput)),
        start_(steady_clock::now()),
        feeder_(
            session, config.options, [this](const Delivery& each) { delivered(each); },
            static_cast<size_t>(std::max<int64_t>(1, config.buffer_memory))) {
    session_.run([this] {
      session_.host().on_signal([this](int signal) {
        if (signal_.exchange(signal) != 0) std::_Exit(128 + signal);  // the second one
        throttle_.stop();
      });
    });
  }
  ~Production() {
    session_.run(
        [this] { session_.host().on_signal([](int signal) { std::_Exit(128 + signal); }); });
  }

  // 0, or the signal that ended it.
  int run() {
    tell_event("startup_complete");
    const int64_t most = wish_.messages < 0 ? std::numeric_limits<int64_t>::max() : wish_.messages;
    for (int64_t i = 0; i < most && signal_ == 0; ++i) {
      const auto elapsed = steady_clock::now() - start_;
      send(i, ms_of(elapsed));
      if (!throttle_.is_due(i, elapsed)) continue;
      if (throttle_.sleeps()) hand_over();
      throttle_.wait();
    }
    hand_over();
    feeder_.finish();
    tell_event("shutdown_complete");
    const double average = 1000.0 * (static_cast<double>(acked_) / static_cast<double>(now_ms()));
    tell_event("tool_data", {{"sent", sent_},
                             {"acked", acked_.load()},
                             {"target_throughput", wish_.throughput},
                             {"avg_throughput", average}});
    return signal_;
  }

 private:
  static int64_t ms_of(steady_clock::duration elapsed) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count();
  }
  int64_t now_ms() const { return ms_of(steady_clock::now() - start_); }

  std::optional<std::string> key_of(int64_t index) const {
    if (!wish_.keys) return std::nullopt;
    return std::to_string(*wish_.keys > 0 ? index % *wish_.keys : index);
  }
  std::string value_of(int64_t index) const {
    return wish_.prefix ? fmt::format("{}.{}", *wish_.prefix, index) : std::to_string(index);
  }

  void send(int64_t index, int64_t now) {
    if (now != batch_ms_ || batch_.size() >= kHandOver) hand_over();
    batch_ms_ = now;
    OutgoingRecord record{.tag = static_cast<uint64_t>(index),
                          .topic = wish_.topic,
                          .value = copy_of(as_bytes(value_of(index)))};
    if (const auto key = key_of(index)) record.key = copy_of(as_bytes(*key));
    if (wish_.create_ms) {
      record.timestamp = TimestampMs(*wish_.create_ms + create_after_ms_);
      create_after_ms_ += now;  // each time as much as has gone by since the start
    }
    ++sent_;
    batch_.push_back(std::move(record));
  }

  void hand_over() {
    if (!batch_.empty()) feeder_.feed(std::exchange(batch_, {}));
  }

  // On the event loop.
  void delivered(const Delivery& delivery) {
    const auto index = static_cast<int64_t>(delivery.tag);
    boost::json::object event{{"key", nullptr}, {"value", value_of(index)}};
    if (const auto key = key_of(index)) event["key"] = *key;
    event["topic"] = wish_.topic;
    if (delivery.error != wire::ErrorCode::kNone) {
      const Ending why = exception_of(delivery, config_);
      event["exception"] = "class " + why.type;
      event["message"] = why.message;
      return tell_event("producer_send_error", event);
    }
    ++acked_;
    event["partition"] = delivery.partition.partition.value();
    event["offset"] = delivery.offset.value();
    tell_event("producer_send_success", event);
  }

  Session& session_;
  const Wish& wish_;
  const ProducerConfig& config_;
  Throttle throttle_;
  steady_clock::time_point start_;
  std::atomic<int> signal_ = 0;
  int64_t sent_ = 0;
  std::atomic<int64_t> acked_ = 0;
  int64_t create_after_ms_ = 0;
  std::vector<OutgoingRecord> batch_;
  int64_t batch_ms_ = 0;
  Feeder feeder_;
};

Attempt<> act(const Words& all) {
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  ASSIGN_OR_RETURN(const auto wish, wish_of(words));
  ASSIGN_OR_RETURN(const auto config, producer_config(wish.properties));
  ASSIGN_OR_RETURN(const auto admin, open_for_producer(wish.properties));
  const int signal = Production(admin->session(), wish, config).run();
  return signal == 0 ? Attempt<>() : ended(128 + signal);
}

}  // namespace

int verifiable_producer(const Words& words) { return run_program(kProgram, words, act); }

}  // namespace millrace::app::kafka::clients
