// kafka-get-offsets: offsets of partitions at a time, or at an end.
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/admin.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"
#include "app/kafka/topic_filter.h"

namespace millrace::app::kafka {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("topic-partitions",
         "Patterns between commas: TOPIC:PARTITIONS, where TOPIC is a regular expression and "
         "PARTITIONS a number or a range 0-3, 5-, -3; each may be left out."),
    text("topic", "The topic, as a regular expression."),
    text("partitions", "Numbers of partitions, between commas."),
    text("time",
         "A timestamp, or -1 latest, -2 earliest, -3 max-timestamp, -4 earliest-local, -5 "
         "latest-tiered, -6 earliest-pending-upload.",
         "latest"),
    text("command-config", "Properties file of the client."),
    flag("exclude-internal-topics", "Leaves internal topics out."),
};

constexpr std::string_view kTerse = "org.apache.kafka.tools.TerseException";

struct NamedTime {
  std::string_view name;
  int64_t timestamp;
};
constexpr NamedTime kTimes[] = {{"latest", -1},        {"earliest", -2},
                                {"max-timestamp", -3}, {"earliest-local", -4},
                                {"latest-tiered", -5}, {"earliest-pending-upload", -6}};

Attempt<int64_t> parse_time(const std::string& text) {
  const auto named = std::ranges::find(kTimes, text, &NamedTime::name);
  if (named != std::end(kTimes)) return named->timestamp;
  if (const auto number = parse_long(text)) return *number;
  return thrown(
      kTerse, fmt::format("Malformed time argument {}. Please use -1 or latest / -2 or earliest / "
                          "-3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered / -6 "
                          "or earliest-pending-upload, or a specified long format timestamp",
                          text));
}

// Partitions of topics: one of the patterns of --topic-partitions, or --topic and --partitions.
struct Rule {
  TopicFilter topics;
  std::set<int32_t> partitions;  // empty: all from `from` up to `to`
  int32_t from = 0;
  int32_t to = std::numeric_limits<int32_t>::max();

  bool allows(int32_t partition) const {
    if (!partitions.empty()) return partitions.contains(partition);
    return partition >= from && partition < to;
  }
};

bool is_digits(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

Attempt<Rule> parse_rule(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string topic = text.substr(0, colon);
  const std::string partitions = colon == std::string::npos ? "" : text.substr(colon + 1);
  const size_t dash = partitions.find('-');
  const std::string from = partitions.substr(0, dash);
  const std::string to = dash == std::string::npos ? "" : partitions.substr(dash + 1);
  if (!is_digits(from) || !is_digits(to))
    return thrown("java.lang.RuntimeException",
                  fmt::format("{}: Invalid rule specification: {}", kTerse, text));
  ASSIGN_OR_RETURN(auto filter, TopicFilter::parse(topic.empty() ? ".*" : topic));
  Rule rule{.topics = std::move(filter), .partitions = {}};
  if (!from.empty()) {
    ASSIGN_OR_RETURN(rule.from, parse_int(from));
  }
  if (!to.empty()) {
    ASSIGN_OR_RETURN(rule.to, parse_int(to));
  }
  if (dash == std::string::npos && !from.empty()) rule.partitions = {rule.from};
  return rule;
}

Attempt<std::vector<Rule>> rules_of(const Options& options) {
  std::vector<Rule> rules;
  if (const auto patterns = options.value("topic-partitions")) {
    for (const auto& text : split(*patterns, ',')) {
      ASSIGN_OR_RETURN(rules.emplace_back(), parse_rule(text));
    }
    return rules;
  }
  Rule& rule = rules.emplace_back();
  ASSIGN_OR_RETURN(rule.topics, TopicFilter::parse(options.value("topic").value_or(".*")));
  const std::string listed = options.value("partitions").value_or("");
  if (listed.empty()) return rules;
  for (const auto& text : split(listed, ',')) {
    const auto number = parse_int(text);
    if (!number)
      return thrown(kTerse, fmt::format("--partitions expects a comma separated list of numeric "
                                        "partition ids, but received: {}",
                                        listed));
    rule.partitions.insert(*number);
  }
  return rules;
}

Attempt<std::vector<TopicPartition>> chosen(Admin& admin, const Options& options,
                                            const std::vector<Rule>& rules) {
  const auto topics = admin.list_topics();
  if (!topics) return std::unexpected(executed(topics.error()));
  std::vector<std::string> names;
  for (const auto& [name, listing] : *topics)
    if (!(listing.internal && options.has("exclude-internal-topics")) &&
        std::ranges::any_of(rules, [&](const Rule& rule) { return rule.topics.allows(name); }))
      names.push_back(name);
  ASSIGN_OR_RETURN(const auto described, admin.describe_topics(names));
  std::vector<TopicPartition> partitions;
  for (const auto& topic : described)
    for (const auto& [index, replicas] : topic.partitions)
      if (std::ranges::any_of(rules, [&](const Rule& rule) {
            return rule.topics.allows(topic.name) && rule.allows(index);
          }))
        partitions.push_back({topic.name, PartitionIndex(index)});
  if (partitions.empty())
    return thrown(kTerse, "Could not match any topic-partitions with the specified filters");
  return partitions;
}

Attempt<> run_get_offsets(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(options.check_values());
  RETURN_IF_ERROR(check_bootstrap(*options.value("bootstrap-server")));
  if (options.has("topic-partitions") && (options.has("topic") || options.has("partitions")))
    return thrown(kTerse, "--topic-partitions cannot be used with --topic or --partitions");
  ASSIGN_OR_RETURN(const int64_t time, parse_time(*options.value("time")));
  ASSIGN_OR_RETURN(const auto rules, rules_of(options));
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  ASSIGN_OR_RETURN(const auto partitions, chosen(*admin, options, rules));
  Admin::Timestamps timestamps;
  for (const auto& each : partitions) timestamps[each] = time;
  ASSIGN_OR_RETURN(const auto listed, admin->list_offsets_each(timestamps));
  std::map<std::string, std::string> lines;  // sorted by the partition as text
  for (const auto& [partition, each] : listed) {
    if (each.error != 0)
      fmt::print(stderr, "Skip getting offsets for topic-partition {} due to error: {}\n",
                 partition.to_string(), exception_of(each.error).to_string());
    else if (each.offset.value() >= 0)
      lines[partition.to_string()] =
          fmt::format("{}:{}:{}", partition.topic, partition.partition, each.offset);
  }
  for (const auto& [partition, line] : lines) fmt::print("{}\n", line);
  return {};
}

int tell_error(const Ending& ending) {
  fmt::print(stderr, "Error occurred: {}\n", ending.message);
  if (!ending.is("TerseException")) fmt::print(stderr, "{}\n\n", ending.to_string());
  return 1;
}

int tell_terse(const Ending& ending) {
  fmt::print(stderr, "Error occurred: {}\n", ending.message);
  return 1;
}

}  // namespace

int get_offsets(const Words& words) {
  return run({.about = "An interactive shell for getting topic-partition offsets.",
              .options = kOptions,
              .run = run_get_offsets,
              .refused = tell_terse,
              .failed = tell_error},
             words);
}

}  // namespace millrace::app::kafka
