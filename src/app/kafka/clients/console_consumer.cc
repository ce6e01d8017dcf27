// kafka-console-consumer: prints records as they come. Without --group it reads the partitions
// itself, where Apache Kafka's makes a group up that nobody sees again.
#include <fmt/format.h>

#include <csignal>
#include <limits>

#include "app/happenings.h"
#include "app/kafka/clients/console_output.h"
#include "app/kafka/clients/console_properties.h"
#include "app/kafka/clients/group_member.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/script.h"
#include "app/kafka/text.h"
#include "app/kafka/topic_filter.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::ConsumedRecord;
using client::core::GroupVocabulary;
using client::core::StartAt;
using std::chrono::steady_clock;

constexpr std::string_view kLogger = "org.apache.kafka.tools.consumer.ConsoleConsumer";
constexpr std::string_view kOlderConfig = "consumer.config";
constexpr auto kCommitInterval = std::chrono::seconds(5);
constexpr auto kLeaveWithin = std::chrono::seconds(5);
constexpr auto kForever = std::chrono::hours(24 * 365);

constexpr Option kOptions[] = {
    text("topic", "The topic."),
    text("include", "Topics as a regular expression."),
    integer("partition", "The partition; without --offset from its end on."),
    text("offset", "Where to begin: an offset, earliest or latest.", "latest"),
    texts("consumer-property", "Deprecated: --command-property."),
    texts("command-property", "NAME=VALUE of the consumer."),
    text("consumer.config", "Deprecated: --command-config."),
    text("command-config", "Properties file of the consumer."),
    text("formatter", "Class that prints records.", kDefaultFormatter),
    texts("property", "Deprecated: --formatter-property."),
    texts("formatter-property",
          "NAME=VALUE: print.timestamp, print.key, print.offset, print.epoch, print.partition, "
          "print.headers, print.value, key.separator, line.separator, headers.separator, "
          "null.literal, key.deserializer, value.deserializer, headers.deserializer."),
    text("formatter-config", "Properties file of the formatter."),
    flag("from-beginning", "Begins at the start where nothing is committed."),
    integer("max-messages", "Ends after so many records."),
    number("timeout-ms", "Ends when no record has come for so long."),
    flag("skip-message-on-error", "Goes on after a record that cannot be printed."),
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("key-deserializer", "Class that reads keys."),
    text("value-deserializer", "Class that reads values."),
    flag("enable-systest-events", "Says when it ends."),
    text("isolation-level", "read_committed or read_uncommitted.", "read_uncommitted"),
    text("group", "The consumer group."),
};

Attempt<> check(const Options& options) {
  RETURN_IF_ERROR(options.one_of({"topic", "include"}));
  if (options.has("partition")) {
    if (!options.has("topic")) return usage("The topic is required when partition is specified.");
    if (options.has("from-beginning") && options.has("offset"))
      return usage("Options from-beginning and offset cannot be specified together.");
  } else if (options.has("offset")) {
    return usage("The partition is required when offset is specified.");
  }
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  return check_property_options(options, kOlderConfig);
}

struct Wish {
  Properties properties;
  std::optional<std::string> group;
  GroupMember member;
  StartAt start;  // of a partition
  StartAt reset;  // where nothing is committed
  MessageFormatter formatter;
  int64_t timeout_ms = std::numeric_limits<int64_t>::max();
  int64_t max_messages = -1;
};

Attempt<> take_reset(const Options& options, Wish& wish) {
  const bool earliest = options.has("from-beginning");
  const auto found = wish.properties.find("auto.offset.reset");
  if (found == wish.properties.end()) {
    wish.reset = earliest ? StartAt::earliest() : StartAt::latest();
    return {};
  }
  if (earliest && found->second != "earliest") {
    fmt::print(stderr,
               "Can't simultaneously specify --from-beginning and 'auto.offset.reset={}', please "
               "remove one option\n",
               found->second);
    return ended(1);
  }
  wish.reset = found->second == "earliest" ? StartAt::earliest() : StartAt::latest();
  return {};
}

Attempt<> take_offset(const Options& options, Wish& wish) {
  if (!options.has("offset")) {
    wish.start = options.has("from-beginning") ? StartAt::earliest() : StartAt::latest();
    return {};
  }
  const std::string text = *options.value("offset");
  const auto number = parse_long(text);
  if (lower_case(text) == "earliest")
    wish.start = StartAt::earliest();
  else if (lower_case(text) == "latest")
    wish.start = StartAt::latest();
  else if (number && *number >= 0)
    wish.start = StartAt::offset(Offset(*number));
  else
    return usage(
        fmt::format("The provided offset value '{}' is incorrect. Valid values are 'earliest', "
                    "'latest', or a non-negative long.",
                    text));
  return {};
}

Attempt<Wish> wish_of(const Options& options) {
  Wish wish;
  ASSIGN_OR_RETURN(auto given, console_properties(options, kOlderConfig));
  if (given.group && options.has("partition"))
    return usage("Options group and partition cannot be specified together.");
  wish.group = std::move(given.group);
  wish.properties = std::move(given.properties);
  RETURN_IF_ERROR(take_reset(options, wish));
  wish.properties.insert_or_assign("bootstrap.servers", *options.value("bootstrap-server"));
  wish.properties.emplace("client.id", "console-consumer");
  if (options.has("isolation-level") || !wish.properties.contains("isolation.level"))
    wish.properties.insert_or_assign("isolation.level", *options.value("isolation-level"));
  RETURN_IF_ERROR(take_offset(options, wish));
  const int64_t timeout = options.number("timeout-ms").value_or(-1);
  if (timeout >= 0) wish.timeout_ms = timeout;
  ASSIGN_OR_RETURN(wish.formatter, formatter_of(options));
  wish.max_messages = options.number("max-messages").value_or(-1);
  return wish;
}

// Reads, prints and counts until there is a reason to end.
class Consumption {
 public:
  Consumption(Admin& admin, const Wish& wish)
      : session_(admin.session()), wish_(wish), happenings_(session_) {}

  void begin() {
    happenings_.begin({.read_committed = wish_.properties.at("isolation.level") == "read_committed",
                       .reset = wish_.reset});
  }

  void join(const std::vector<std::string>& topics) {
    auto member = wish_.member;
    std::visit(
        [&](auto& options) {
          options.group = *wish_.group;
          options.topics = topics;
          session_.run([&] { happenings_.consumer().join(options); });
        },
        member);
  }
  void assign(const std::map<TopicPartition, StartAt>& partitions) {
    session_.run([&] { happenings_.consumer().assign(partitions); });
  }

  // Returns when the time is over, or `deadline` has come; false: it is to end.
  bool go_on(steady_clock::time_point deadline) {
    while (!done_ && steady_clock::now() < deadline) {
      const auto idle_end = idle_end_of(last_record_);
      const auto until = std::min({next_commit_, idle_end, deadline});
      auto happening = happenings_.next(until);
      if (happening) std::visit([&](auto& what) { on(what); }, *happening);
      const auto now = steady_clock::now();
      if (now >= next_commit_) {
        next_commit_ = now + kCommitInterval;
        commit();
      }
      if (!done_ && now >= idle_end_of(last_record_)) time_out();
    }
    return !done_;
  }

  void leave() {
    if (!wish_.group) return;
    commit();
    session_.shard().post([this] { happenings_.consumer().leave(); });
    const auto until = steady_clock::now() + kLeaveWithin;
    while (auto happening = happenings_.next(until))
      if (std::holds_alternative<Left>(*happening) || std::holds_alternative<Failure>(*happening))
        return;
  }

  int64_t count() const { return count_; }
  int signal() const { return signal_; }
  bool is_full() const { return wish_.max_messages >= 0 && count_ >= wish_.max_messages; }

 private:
  steady_clock::time_point idle_end_of(steady_clock::time_point since) const {
    const auto forever = std::chrono::duration_cast<std::chrono::milliseconds>(kForever);
    return since + std::min(std::chrono::milliseconds(wish_.timeout_ms), forever);
  }

  void time_out() {
    tell_end(kLogger, "org.apache.kafka.common.errors.TimeoutException");
    done_ = true;
  }

  void on(std::vector<ConsumedRecord>& records) {
    std::string text;
    for (const auto& record : records) {
      if (is_full()) break;
      wish_.formatter(record, text);
      printed_[record.partition] = record.offset + 1;
      ++count_;
    }
    last_record_ = steady_clock::now();
    if (!write_out(text) || is_full()) done_ = true;
  }
  void on(TopicPartition&) {}
  void on(Joined&) {}
  void on(Failure& failure) {
    tell_end(kLogger, "org.apache.kafka.common.KafkaException: " + failure.problem);
    done_ = true;
  }
  void on(Revoked& revoked) {
    if (revoked.lost) printed_.clear();
    commit();
    session_.shard().post([this] { happenings_.consumer().done_revoking(); });
  }
  void on(GroupVocabulary::CommitOutcome&) {}
  void on(Stopped& stopped) {
    signal_ = stopped.signal;
    done_ = true;
  }
  void on(Left&) {}

  void commit() {
    const auto& switched = wish_.properties.find("enable.auto.commit");
    if (switched != wish_.properties.end() && switched->second == "false") return;
    if (!wish_.group || printed_.empty()) return;
    session_.shard().post([this, offsets = std::exchange(printed_, {})]() mutable {
      happenings_.consumer().commit(std::move(offsets));
    });
  }

  Session& session_;
  const Wish& wish_;
  Happenings happenings_;
  GroupVocabulary::Offsets printed_;  // and not yet committed
  steady_clock::time_point last_record_ = steady_clock::now();
  steady_clock::time_point next_commit_ = steady_clock::now() + kCommitInterval;
  int64_t count_ = 0;
  int signal_ = 0;
  bool done_ = false;
};

// The topics that are wanted and there; --topic is made if the broker makes topics by itself.
Attempt<std::vector<std::string>> wanted_topics(Admin& admin, const Options& options) {
  std::vector<std::string> topics;
  if (const auto topic = options.value("topic")) {
    ASSIGN_OR_RETURN(const auto known,
                     admin.metadata({.names = {*topic}, .create = true}, "metadata"));
    if (known.topic(*topic) != nullptr) topics.push_back(*topic);
    return topics;
  }
  ASSIGN_OR_RETURN(const auto filter, TopicFilter::parse(*options.value("include")));
  ASSIGN_OR_RETURN(const auto all, admin.list_topics());
  for (const auto& [name, listing] : all)
    if (!listing.internal && filter.allows(name)) topics.push_back(name);
  return topics;
}

Attempt<std::map<TopicPartition, StartAt>> wanted_partitions(Admin& admin, const Options& options,
                                                             const Wish& wish) {
  std::map<TopicPartition, StartAt> partitions;
  ASSIGN_OR_RETURN(const auto topics, wanted_topics(admin, options));
  if (topics.empty()) return partitions;
  ASSIGN_OR_RETURN(const auto known, admin.metadata({.names = topics}, "metadata"));
  const auto only = options.number("partition");
  for (const auto& name : topics) {
    const auto* topic = known.topic(name);
    if (topic == nullptr) continue;
    for (const auto& [index, info] : topic->partitions)
      if (!only || *only == index.value())
        partitions[{name, index}] = only ? wish.start : wish.reset;
  }
  return partitions;
}

Attempt<> consume(Admin& admin, const Options& options, const Wish& wish,
                  Consumption& consumption) {
  constexpr auto kLookAgain = std::chrono::milliseconds(200);
  const bool is_member = wish.group.has_value();
  for (bool begun = false; !begun;) {
    if (is_member) {
      ASSIGN_OR_RETURN(const auto topics, wanted_topics(admin, options));
      begun = !topics.empty();
      if (begun) consumption.join(topics);
    } else {
      ASSIGN_OR_RETURN(const auto partitions, wanted_partitions(admin, options, wish));
      begun = !partitions.empty();
      if (begun) consumption.assign(partitions);
    }
    if (!begun && !consumption.go_on(steady_clock::now() + kLookAgain)) return {};
  }
  while (consumption.go_on(steady_clock::now() + kForever)) {
  }
  return {};
}

Attempt<> run_console_consumer(const Options& options) {
  RETURN_IF_ERROR(check(options));
  RETURN_IF_ERROR(options.check_values());
  ASSIGN_OR_RETURN(auto wish, wish_of(options));
  auto member = group_member(wish.properties);
  if (!member) return not_made(kLogger, member.error());
  wish.member = std::move(*member);
  auto admin = Admin::open(wish.properties);
  if (!admin)
    return not_made(kLogger, thrown("org.apache.kafka.common.KafkaException",
                                    "Failed to construct kafka consumer")
                                 .error());
  if (std::holds_alternative<client::core::MembershipOptions>(wish.member) &&
      !options.has("partition"))
    fmt::print(stderr,
               "The consumer rebalance protocol (KIP-848) is production-ready! Set "
               "group.protocol=consumer to try it out. See "
               "https://kafka.apache.org/documentation/#consumer_rebalance_protocol\n");
  std::signal(SIGPIPE, SIG_IGN);
  Consumption consumption(**admin, wish);
  consumption.begin();
  const auto done =
      consumption.is_full() ? Attempt<>() : consume(**admin, options, wish, consumption);
  if (!done) tell_end(kLogger, done.error().to_string());
  consumption.leave();
  fmt::print(stderr, "Processed a total of {} messages\n", consumption.count());
  if (options.has("enable-systest-events")) fmt::print("shutdown_complete\n");
  std::fflush(stdout);
  return consumption.signal() == 0 ? Attempt<>() : ended(128 + consumption.signal());
}

}  // namespace

int console_consumer(const Words& words) {
  return run({.about = "This tool helps to read data from Kafka topics and outputs it to standard "
                       "output.",
              .options = kOptions,
              .run = run_console_consumer,
              .refused = refuse_with_help},
             words);
}

}  // namespace millrace::app::kafka::clients
