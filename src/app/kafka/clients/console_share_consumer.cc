// kafka-console-share-consumer: prints records of a share group (KIP-932) and says what became of
// each: accepted, released or rejected.
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <limits>
#include <memory>
#include <variant>

#include "app/kafka/clients/config_reader.h"
#include "app/kafka/clients/console_output.h"
#include "app/kafka/clients/console_properties.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/script.h"
#include "base/log.h"
#include "client/share_consumer.h"
#include "library/happening_queue.h"
#include "library/share_options.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::AcknowledgeType;
using client::core::ConsumedRecord;
using client::core::ShareFetcher;
using std::chrono::steady_clock;

constexpr std::string_view kLogger = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
constexpr std::string_view kOlderConfig = "consumer-config";
constexpr std::string_view kDefaultGroup = "console-share-consumer";
constexpr auto kLeaveWithin = std::chrono::seconds(10);
constexpr auto kForever = std::chrono::milliseconds(std::chrono::hours(24 * 365));

constexpr Option kOptions[] = {
    text("topic", "The topic. Needed."),
    texts("consumer-property", "Deprecated: --command-property."),
    texts("command-property", "NAME=VALUE of the consumer."),
    text("consumer-config", "Deprecated: --command-config."),
    text("command-config", "Properties file of the consumer."),
    text("formatter", "Class that prints records.", kDefaultFormatter),
    texts("property", "Deprecated: --formatter-property."),
    texts("formatter-property",
          "NAME=VALUE: print.timestamp, print.key, print.offset, print.delivery, print.epoch, "
          "print.partition, print.headers, print.value, key.separator, line.separator, "
          "headers.separator, null.literal, key.deserializer, value.deserializer, "
          "headers.deserializer."),
    text("formatter-config", "Properties file of the formatter."),
    integer("max-messages", "Ends after so many records."),
    number("timeout-ms", "Ends when no record has come for so long."),
    flag("reject", "Rejects what was printed: nobody gets it again."),
    flag("release", "Releases what was printed: it may be given again."),
    flag("reject-message-on-error", "Rejects a record that cannot be printed, and goes on."),
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("key-deserializer", "Class that reads keys."),
    text("value-deserializer", "Class that reads values."),
    flag("enable-systest-events", "Says when it ends."),
    text("group", "The share group; otherwise console-share-consumer."),
};

struct Wish {
  Properties properties;
  client::ShareConsumer::Options consumer;
  AcknowledgeType type = AcknowledgeType::kAccept;
  MessageFormatter formatter;
  int64_t timeout_ms = std::numeric_limits<int64_t>::max();
  int64_t max_messages = -1;
};

Attempt<> check(const Options& options) {
  if (!options.has("topic")) return usage("--topic is a required argument");
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(check_property_options(options, kOlderConfig));
  if (options.has("reject") && options.has("release"))
    return usage("At most one of --reject and --release may be specified.");
  return {};
}

Attempt<Wish> wish_of(const Options& options) {
  Wish wish;
  ASSIGN_OR_RETURN(auto given, console_properties(options, kOlderConfig));
  wish.properties = std::move(given.properties);
  wish.properties.insert_or_assign("bootstrap.servers", *options.value("bootstrap-server"));
  wish.properties.insert_or_assign("group.id", given.group.value_or(std::string(kDefaultGroup)));
  wish.properties.emplace("client.id", "console-share-consumer");
  if (options.has("reject")) wish.type = AcknowledgeType::kReject;
  if (options.has("release")) wish.type = AcknowledgeType::kRelease;
  const int64_t timeout = options.number("timeout-ms").value_or(-1);
  if (timeout >= 0) wish.timeout_ms = timeout;
  ASSIGN_OR_RETURN(wish.formatter, formatter_of(options));
  wish.max_messages = options.number("max-messages").value_or(-1);
  wish.consumer.member.topics = {*options.value("topic")};
  return wish;
}

Attempt<> read_configs(Wish& wish) {
  ConfigReader reader(wish.properties);
  library::read_share_consumer(reader, wish.consumer);
  return reader.fine();
}

// Reads, prints, acknowledges and counts until there is a reason to end. One answer's records are
// done with before the next are acquired: their locks run meanwhile.
class Consumption final : public client::ShareConsumerEvents {
 public:
  Consumption(Admin& admin, const Wish& wish) : session_(admin.session()), wish_(wish) {
    session_.run([&] {
      consumer_ = std::make_unique<client::ShareConsumer>(session_.client(), wish_.consumer, *this);
      session_.host().on_signal([this](int signal) {
        if (std::exchange(stopping_, true)) std::_Exit(130);  // the second one does not wait
        queue_.add(Stopped{signal});
      });
    });
  }
  ~Consumption() {
    session_.run([&] {
      session_.host().on_signal([](int) { std::_Exit(130); });
      consumer_.reset();
    });
  }

  void run() {
    auto idle_end = idle_end_from_now();
    while (!done_) {
      const auto happening = queue_.next(idle_end);
      if (!happening) return tell_end(kLogger, "org.apache.kafka.common.errors.TimeoutException");
      std::visit([&](const auto& what) { on(what); }, *happening);
      if (std::holds_alternative<Records>(*happening)) idle_end = idle_end_from_now();
    }
  }

  void leave() {
    session_.shard().post([this] { consumer_->leave(); });
    const auto until = steady_clock::now() + kLeaveWithin;
    while (const auto happening = queue_.next(until))
      if (std::holds_alternative<Left>(*happening) || std::holds_alternative<Failure>(*happening))
        return;
  }

  int64_t count() const { return count_; }
  int signal() const { return signal_; }

 private:
  using Records = std::vector<ConsumedRecord>;
  struct Left {};
  struct Stopped {
    int signal = 0;
  };
  using Happening = std::variant<Records, Failure, Stopped, Left>;

  // On the loop.
  void records(Records records) override { queue_.add(std::move(records)); }
  void acknowledged(const ShareFetcher::Outcome& outcome) override {
    if (outcome.error != wire::ErrorCode::kNone)
      LOG_WARN("{} records of {} were not acknowledged: {}", outcome.offsets.size(),
               outcome.partition.to_string(), wire::error_name(outcome.error));
  }
  void problem(const ShareFetcher::Problem& problem) override {
    if (!problem.goes_on) queue_.add(Failure(problem.error));
  }
  void failed(const Error& error) override { queue_.add(Failure(error)); }
  void left() override { queue_.add(Left{}); }

  steady_clock::time_point idle_end_from_now() const {
    return steady_clock::now() + std::min(std::chrono::milliseconds(wish_.timeout_ms), kForever);
  }
  bool is_full() const { return wish_.max_messages >= 0 && count_ >= wish_.max_messages; }

  void on(const Records& records) {
    std::string text;
    ShareFetcher::Acknowledge printed{.types = {}, .more = true};
    for (const auto& record : records) {
      if (is_full()) break;
      wish_.formatter(record, text);
      printed.types[record.partition][record.offset] = wish_.type;
      ++count_;
    }
    if (!write_out(text) || is_full()) done_ = true;
    if (done_) printed.more = false;
    session_.shard().post([this, printed = std::move(printed)]() mutable {
      consumer_->acknowledge(std::move(printed));
    });
  }
  void on(const Failure& failure) {
    tell_end(kLogger, "org.apache.kafka.common.KafkaException: " + failure.problem);
    done_ = true;
  }
  void on(const Stopped& stopped) {
    signal_ = stopped.signal;
    done_ = true;
  }
  void on(const Left&) {}

  Session& session_;
  const Wish& wish_;
  std::unique_ptr<client::ShareConsumer> consumer_;  // on the event loop
  bool stopping_ = false;                            // on the event loop
  library::HappeningQueue<Happening> queue_{0};      // it waits to be told that more may come
  int64_t count_ = 0;
  int signal_ = 0;
  bool done_ = false;
};

Attempt<> run_console_share_consumer(const Options& options) {
  RETURN_IF_ERROR(check(options));
  ASSIGN_OR_RETURN(auto wish, wish_of(options));
  if (const auto read = options.check_values(); !read) return not_made(kLogger, read.error());
  if (const auto read = read_configs(wish); !read) return not_made(kLogger, read.error());
  auto admin = Admin::open(wish.properties);
  if (!admin)
    return not_made(kLogger, thrown("org.apache.kafka.common.KafkaException",
                                    "Failed to construct Kafka share consumer")
                                 .error());
  std::signal(SIGPIPE, SIG_IGN);
  Consumption consumption(**admin, wish);
  if (wish.max_messages != 0) consumption.run();
  consumption.leave();
  fmt::print(stderr, "Processed a total of {} messages\n", consumption.count());
  if (options.has("enable-systest-events")) fmt::print("shutdown_complete\n");
  std::fflush(stdout);
  return consumption.signal() == 0 ? Attempt<>() : ended(128 + consumption.signal());
}

}  // namespace

int console_share_consumer(const Words& words) {
  return run({.about = "This tool helps to read data from Kafka topics using share groups and "
                       "outputs it to standard output.",
              .options = kOptions,
              .run = run_console_share_consumer,
              .refused = refuse_with_help},
             words);
}

}  // namespace millrace::app::kafka::clients
