// kafka-verifiable-consumer: a member of a group that tells of everything that happens, in JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "app/kafka/clients/group_consumer.h"
#include "app/kafka/clients/scripts.h"
#include "app/kafka/clients/tool_event.h"
#include "app/kafka/commands.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;
using Takes = Argument::Takes;

constexpr auto kForever = std::chrono::hours(24 * 365);

constexpr Argument kArguments[] = {
    {.name = "--bootstrap-server",
     .help = "Brokers to begin with: HOST:PORT,... Needed.",
     .required = true,
     .connects = true},
    {.name = "--topic", .help = "The topic. Needed.", .required = true},
    {.name = "--group-protocol", .help = "classic; consumer is refused."},
    {.name = "--group-remote-assignor", .help = "Of the protocol consumer, which is refused."},
    {.name = "--group-id", .help = "The group. Needed.", .required = true},
    {.name = "--group-instance-id", .help = "Of a static member."},
    {.name = "--max-messages",
     .help = "How many; -1, the default: until it is stopped.",
     .takes = Takes::kInteger},
    {.name = "--session-timeout", .help = "Of the member, in ms.", .takes = Takes::kInteger},
    {.name = "--verbose", .help = "Tells of each record.", .takes = Takes::kNothing},
    {.name = "--enable-autocommit",
     .help = "Commits from time to time, and does not tell of it.",
     .takes = Takes::kNothing},
    {.name = "--reset-policy",
     .help = "Where to begin when nothing is committed: earliest or latest."},
    {.name = "--assignment-strategy", .help = "Class that shares partitions out."},
    {.name = "--consumer.config", .help = "Deprecated: --command-config."},
    {.name = "--command-config", .help = "Properties file of the consumer."},
};

constexpr Program kProgram = {
    .name = "verifiable-consumer",
    .about =
        "This tool consumes messages from a specific topic and emits consumer events as JSON "
        "objects to STDOUT.",
    .arguments = kArguments,
    .commands = {},
    .must_connect = true};

Attempt<Properties> properties_of(const Parsed& words) {
  ASSIGN_OR_RETURN(Properties properties, config_file_of(words, "--consumer.config"));
  const auto set = [&](std::string_view name, std::string value) {
    properties.insert_or_assign(std::string(name), std::move(value));
  };
  const std::string protocol = lower_case(words.value("--group-protocol").value_or("classic"));
  if (protocol != "classic" && protocol != "consumer")
    return illegal_argument(
        fmt::format("No enum constant org.apache.kafka.clients.consumer.GroupProtocol.{}",
                    upper_case(protocol)));
  set("group.protocol", protocol);
  set("partition.assignment.strategy",
      words.value("--assignment-strategy")
          .value_or("org.apache.kafka.clients.consumer.RangeAssignor"));
  if (const auto timeout = words.value("--session-timeout")) set("session.timeout.ms", *timeout);
  set("group.id", *words.value("--group-id"));
  if (const auto id = words.value("--group-instance-id")) set("group.instance.id", *id);
  set("bootstrap.servers", *words.value("--bootstrap-server"));
  set("enable.auto.commit", words.has("--enable-autocommit") ? "true" : "false");
  set("auto.offset.reset", words.value("--reset-policy").value_or("earliest"));
  properties.emplace("client.id", fmt::format("consumer-{}-1", *words.value("--group-id")));
  return properties;
}

json::object object_of(const TopicPartition& partition) {
  return {{"topic", partition.topic}, {"partition", partition.partition.value()}};
}

void tell_partitions(std::string_view name, const std::vector<TopicPartition>& partitions) {
  json::array list;
  for (const auto& each : partitions) list.push_back(object_of(each));
  tell_event(name, {{"partitions", std::move(list)}});
}

json::value text_of(const std::optional<ByteBuffer>& bytes) {
  return bytes ? json::value(java_text(as_text(*bytes))) : json::value(nullptr);
}

class Verifier final : public RebalanceListener {
 public:
  Verifier(Session& session, const ConsumerConfig& config, const Parsed& words)
      : most_(words.number("--max-messages").value_or(-1)),
        verbose_(words.has("--verbose")),
        commits_(!config.auto_commit),
        consumer_(session, config, *this) {}

  // 0, or the signal that ended it.
  int run(const std::string& topic) {
    consumer_.subscribe({topic});
    if (const auto done = consume(); !done) {
      log_line("ERROR", "Error during processing, terminating consumer process: ",
               "org.apache.kafka.tools.VerifiableConsumer");
      fmt::print(stderr, "{}\n", done.error().to_string());
    }
    const int signal = consumer_.signal();
    if (signal != 0) tell_event("shutdown_requested");
    consumer_.close();
    tell_event("shutdown_complete");
    if (signal == 0) tell_event("shutdown_requested");
    return signal;
  }

  void assigned(const std::vector<TopicPartition>& partitions) override {
    tell_partitions("partitions_assigned", partitions);
  }
  void revoked(const std::vector<TopicPartition>& partitions) override {
    tell_partitions("partitions_revoked", partitions);
  }

 private:
  bool is_finished() const { return most_ >= 0 && consumed_ >= most_; }

  Attempt<> consume() {
    while (!is_finished() && consumer_.signal() == 0) {
      ASSIGN_OR_RETURN(auto records, consumer_.poll(steady_clock::now() + kForever));
      if (records.empty()) continue;
      const auto offsets = received(std::move(records));
      if (!commits_) continue;
      ASSIGN_OR_RETURN(const auto error, consumer_.commit(offsets));
      committed(offsets, error);
    }
    return {};
  }

  GroupConsumer::Offsets received(GroupConsumer::Records records) {
    GroupConsumer::Offsets offsets;
    json::array summaries;
    const size_t count = records.size();
    for (auto begin = records.begin(); begin != records.end() && !is_finished();) {
      const auto end = std::find_if(begin, records.end(), [&](const auto& each) {
        return each.partition != begin->partition;
      });
      auto last = end;
      if (most_ >= 0) last = begin + std::min<ptrdiff_t>(end - begin, most_ - consumed_);
      json::object summary = object_of(begin->partition);
      summary["count"] = last - begin;
      summary["minOffset"] = begin->offset.value();
      summary["maxOffset"] = (last - 1)->offset.value();
      offsets[begin->partition] = (last - 1)->offset + 1;
      summaries.push_back(std::move(summary));
      if (verbose_) std::for_each(begin, last, tell_record);
      consumed_ += last - begin;
      begin = end;
    }
    tell_event("records_consumed", {{"count", count}, {"partitions", std::move(summaries)}});
    return offsets;
  }

  static void tell_record(const client::core::ConsumedRecord& record) {
    tell_event("record_data", {{"key", text_of(record.key)},
                               {"value", text_of(record.value)},
                               {"topic", record.partition.topic},
                               {"partition", record.partition.partition.value()},
                               {"offset", record.offset.value()}});
  }

  static void committed(const GroupConsumer::Offsets& offsets, wire::ErrorCode error) {
    json::array list;
    for (const auto& [partition, offset] : offsets) {
      json::object each = object_of(partition);
      each["offset"] = offset.value();
      list.push_back(std::move(each));
    }
    json::object event{{"offsets", std::move(list)}};
    if (error != wire::ErrorCode::kNone)
      event["error"] = exception_of(wire::code_of(error)).message;
    event["success"] = error == wire::ErrorCode::kNone;
    tell_event("offsets_committed", event);
  }

  int64_t most_;
  bool verbose_;
  bool commits_;
  int64_t consumed_ = 0;
  GroupConsumer consumer_;
};

Attempt<> act(const Words& all) {
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  ASSIGN_OR_RETURN(const auto properties, properties_of(words));
  ASSIGN_OR_RETURN(const auto config, consumer_config(properties));
  ASSIGN_OR_RETURN(const auto admin, open_for_consumer(properties));
  const std::string topic = *words.value("--topic");
  tell_event("startup_complete");
  // Made if the broker makes topics by itself; nobody there is no failure yet.
  (void)admin->metadata({.names = {topic}, .create = true}, "metadata");
  const int signal = Verifier(admin->session(), config, words).run(topic);
  return signal == 0 ? Attempt<>() : ended(128 + signal);
}

}  // namespace

int verifiable_consumer(const Words& words) { return run_program(kProgram, words, act); }

}  // namespace millrace::app::kafka::clients
