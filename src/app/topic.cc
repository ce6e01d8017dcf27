#include "app/topic.h"

#include <charconv>

#include "app/connect.h"
#include "app/partition_list.h"
#include "app/tally.h"
#include "client/core/fetcher.h"

namespace millrace::app {
namespace {

using client::core::kAtEnd;
using client::core::kAtStart;
using client::core::MetadataCache;
using client::core::TopicInfo;
using wire::ErrorCode;

struct TopicOptions {
  Target target;
  std::vector<std::string> names;
  bool internal = false;
};

struct CreateOptions {
  Target target;
  std::vector<std::string> names;
  int32_t partitions = -1;
  int32_t replication = -1;
  std::vector<std::string> configs;
  bool if_not_exists = false;
  bool dry_run = false;
};

struct GrowOptions {
  Target target;
  std::string name;
  int32_t count = 0;
  bool dry_run = false;
};

struct TrimOptions {
  Target target;
  std::string name;
  std::vector<int32_t> partitions;
  std::string before = "end";
};

int32_t timeout_ms(const Target& target) { return target.connect.timeout_seconds * 1000; }

size_t replication_of(const TopicInfo& topic) {
  return topic.partitions.empty() ? 0 : topic.partitions.begin()->second.replicas.size();
}

Outcome<> list(const TopicOptions& options, Session& session) {
  auto known = session.look_up({.names = {}, .all = true});
  if (!known) return std::unexpected(Failure(known.error()));
  json::array rows;
  for (const auto& [name, topic] : known->topics())
    if (options.internal || !topic.internal)
      rows.push_back(json::object{{"name", name},
                                  {"partitions", topic.partitions.size()},
                                  {"replication", replication_of(topic)},
                                  {"topic_id", topic.id.to_string()},
                                  {"internal", topic.internal}});
  constexpr std::string_view kColumns[] = {"name", "partitions", "replication"};
  print_rows(options.target.format(), rows, kColumns);
  return {};
}

Outcome<wire::CreateTopicsRequest> creation_of(const CreateOptions& options) {
  wire::CreateTopicsRequest request{.timeout_ms = timeout_ms(options.target),
                                    .validate_only = options.dry_run};
  for (const auto& name : options.names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = options.partitions;
    topic.replication_factor = static_cast<int16_t>(options.replication);
    for (const auto& text : options.configs) {
      auto setting = parse_setting(text);
      if (!setting)
        return std::unexpected(Failure(fmt::format("'{}' is no config", text),
                                       "-c takes NAME=VALUE, as in -c retention.ms=1000"));
      topic.configs.push_back({.name = setting->name, .value = setting->value});
    }
  }
  return request;
}

Outcome<> create(const CreateOptions& options, Session& session) {
  auto request = creation_of(options);
  if (!request) return std::unexpected(request.error());
  auto response = session.call_any(std::move(*request));
  if (!response) return std::unexpected(Failure(response.error()));
  Tally tally(options.target.format());
  for (const auto& topic : response->topics) {
    const bool there = static_cast<ErrorCode>(topic.error_code) == ErrorCode::kTopicAlreadyExists;
    if (topic.error_code == 0)
      tally.done(topic.name, options.dry_run ? "could be created" : "created");
    else if (there && options.if_not_exists)
      tally.done(topic.name, "exists already");
    else
      tally.failed(topic.name,
                   refusal({fmt::format("create topic '{}'", topic.name), topic.name, {}},
                           topic.error_code, topic.error_message));
  }
  return tally.finish();
}

Outcome<> remove(const TopicOptions& options, Session& session) {
  wire::DeleteTopicsRequest request{.timeout_ms = timeout_ms(options.target)};
  for (const auto& name : options.names) request.topics.push_back({.name = name});
  auto response = session.call_any(std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  Tally tally(options.target.format());
  for (const auto& topic : response->responses) {
    const std::string name = topic.name.value_or(topic.topic_id.to_string());
    if (topic.error_code == 0)
      tally.done(name, "deleted");
    else if (static_cast<ErrorCode>(topic.error_code) == ErrorCode::kUnknownTopicOrPartition)
      tally.failed(name, {fmt::format("cannot delete topic '{}': it does not exist", name),
                          "see what there is with: millrace topic list"});
    else
      tally.failed(name, refusal({fmt::format("delete topic '{}'", name), name, {}},
                                 topic.error_code, topic.error_message));
  }
  return tally.finish();
}

using Numbers = std::vector<int32_t>;

json::array numbers(const Numbers& values) {
  json::array array;
  for (int32_t value : values) array.push_back(value);
  return array;
}

// Who may lead a partition beside its ISR (KIP-966), by partition.
struct Eligible {
  std::vector<int32_t> replicas;
  std::vector<int32_t> last_known;
};
using EligibleLeaders = std::map<int32_t, Eligible>;

// Nothing where the broker does not tell: it is older than KIP-966.
Outcome<EligibleLeaders> eligible_leaders(const std::string& topic, Session& session) {
  EligibleLeaders result;
  wire::DescribeTopicPartitionsRequest request{.topics = {{.name = topic}}};
  for (bool is_more = true; is_more;) {
    auto response = session.call_any(request);
    if (!response && response.error().code == Errc::kUnsupported) return result;
    if (!response) return std::unexpected(Failure(response.error()));
    for (const auto& each : response->topics)
      for (const auto& partition : each.partitions)
        result[partition.partition_index] = {partition.eligible_leader_replicas.value_or(Numbers{}),
                                             partition.last_known_elr.value_or(Numbers{})};
    is_more = response->next_cursor.has_value();
    if (is_more)
      request.cursor = {.topic_name = response->next_cursor->topic_name,
                        .partition_index = response->next_cursor->partition_index};
  }
  return result;
}

json::object describe_partition(
    const TopicPartition& partition, const client::core::PartitionInfo& info,
    const std::map<TopicPartition, std::pair<Offset, Offset>>& offsets) {
  json::object row{{"partition", partition.partition.value()},
                   {"leader", info.leader.value()},
                   {"leader_epoch", info.leader_epoch.value()},
                   {"replicas", numbers(info.replicas)},
                   {"isr", numbers(info.isr)},
                   {"offline", numbers(info.offline)}};
  if (auto found = offsets.find(partition); found != offsets.end()) {
    const auto [start, end] = found->second;
    row["start_offset"] = start.value();
    row["end_offset"] = end.value();
    row["records"] = end - start;
  }
  return row;
}

using Ranges = std::map<TopicPartition, std::pair<Offset, Offset>>;

// The first and the next offset of each partition that has a leader.
Outcome<Ranges> ranges_of(const MetadataCache& known, const TopicInfo& topic, Session& session) {
  Session::Timestamps starts, ends;
  for (const auto& [index, info] : topic.partitions)
    if (const TopicPartition partition{topic.name, index}; known.leader(partition)) {
      starts[partition] = kAtStart;
      ends[partition] = kAtEnd;
    }
  auto first = session.list_offsets(starts);
  if (!first) return std::unexpected(first.error());
  auto next = session.list_offsets(ends);
  if (!next) return std::unexpected(next.error());
  Ranges ranges;
  for (const auto& [partition, start] : *first)
    ranges[partition] = {start.offset, (*next)[partition].offset};
  return ranges;
}

Outcome<json::object> changed_configs(const std::string& topic, Session& session) {
  constexpr int8_t kTopic = 2;
  constexpr int8_t kSetOnTopic = 1;
  auto response = session.call_any(wire::DescribeConfigsRequest{
      .resources = {
          {.resource_type = kTopic, .resource_name = topic, .configuration_keys = std::nullopt}}});
  json::object configs;
  if (!response) return std::unexpected(Failure(response.error()));
  for (const auto& result : response->results)
    for (const auto& each : result.configs)
      if (each.config_source == kSetOnTopic) configs[each.name] = each.value.value_or("");
  return configs;
}

Outcome<json::object> describe_topic(const MetadataCache& known, const std::string& name,
                                     Session& session) {
  const TopicInfo* topic = known.topic(name);
  const Subject subject{fmt::format("describe topic '{}'", name), name, {}};
  if (topic == nullptr) {
    auto found = known.topics().find(name);
    const bool heard = found != known.topics().end();
    return std::unexpected(refusal(
        subject, wire::code_of(heard ? found->second.error : ErrorCode::kUnknownTopicOrPartition)));
  }
  auto ranges = ranges_of(known, *topic, session);
  if (!ranges) return std::unexpected(ranges.error());
  auto configs = changed_configs(name, session);
  if (!configs) return std::unexpected(configs.error());
  auto eligible = eligible_leaders(name, session);
  if (!eligible) return std::unexpected(eligible.error());
  json::array partitions;
  for (const auto& [index, info] : topic->partitions) {
    auto row = describe_partition({name, index}, info, *ranges);
    if (const auto found = eligible->find(index.value()); found != eligible->end()) {
      row["elr"] = numbers(found->second.replicas);
      row["last_known_elr"] = numbers(found->second.last_known);
    }
    partitions.push_back(std::move(row));
  }
  return json::object{{"name", name},
                      {"topic_id", topic->id.to_string()},
                      {"internal", topic->internal},
                      {"partition_count", topic->partitions.size()},
                      {"replication", replication_of(*topic)},
                      {"configs", std::move(*configs)},
                      {"partitions", std::move(partitions)}};
}

void print_topic(const json::object& topic) {
  json::object summary = topic;
  json::array configs;
  for (const auto& [name, value] : topic.at("configs").as_object())
    configs.push_back(json::string(
        fmt::format("{}={}", std::string_view(name), std::string_view(value.as_string()))));
  summary["configs"] = std::move(configs);
  summary.erase("partitions");
  print_object(OutputFormat::kTable, summary);
  constexpr std::string_view kColumns[] = {"partition",    "leader",     "replicas",
                                           "isr",          "elr",        "offline",
                                           "start_offset", "end_offset", "records"};
  fmt::print("\n");
  print_rows(OutputFormat::kTable, topic.at("partitions").as_array(), kColumns);
}

Outcome<> describe(const TopicOptions& options, Session& session) {
  auto known = session.look_up({.names = options.names});
  if (!known) return std::unexpected(Failure(known.error()));
  json::array topics;
  for (const auto& name : options.names) {
    auto topic = describe_topic(*known, name, session);
    if (!topic) return std::unexpected(topic.error());
    topics.push_back(std::move(*topic));
  }
  if (options.target.format() == OutputFormat::kJson) {
    print_rows(OutputFormat::kJson, topics, {});
    return {};
  }
  for (size_t i = 0; i < topics.size(); ++i) {
    if (i > 0) fmt::print("\n");
    print_topic(topics[i].as_object());
  }
  return {};
}

Outcome<> add_partitions(const GrowOptions& options, Session& session) {
  wire::CreatePartitionsRequest request{.timeout_ms = timeout_ms(options.target),
                                        .validate_only = options.dry_run};
  request.topics.push_back(
      {.name = options.name, .count = options.count, .assignments = std::nullopt});
  auto response = session.call_any(std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  Tally tally(options.target.format());
  for (const auto& each : response->results)
    if (each.error_code == 0)
      tally.done(each.name, fmt::format("{} {} partitions", options.dry_run ? "could have" : "has",
                                        options.count));
    else
      tally.failed(each.name,
                   refusal({fmt::format("add partitions to topic '{}'", each.name), each.name, {}},
                           each.error_code, each.error_message));
  return tally.finish();
}

// The offset that each partition is cut below: -1 says the broker's high watermark.
Outcome<Session::ByLeader> trimmed_partitions(const TrimOptions& options, Session& session) {
  auto partitions = partitions_of(session, options.name, options.partitions);
  if (!partitions) return std::unexpected(partitions.error());
  return session.by_leader(*partitions);
}

Outcome<> delete_records(const TrimOptions& options, Session& session) {
  int64_t before = kAtEnd;
  if (options.before != "end") {
    const char* end = options.before.data() + options.before.size();
    const auto [at, failed] = std::from_chars(options.before.data(), end, before);
    if (failed != std::errc{} || at != end || before < 0)
      return std::unexpected(Failure(fmt::format("'{}' is no offset", options.before),
                                     "--before takes an offset, or 'end' for all records"));
  }
  auto leaders = trimmed_partitions(options, session);
  if (!leaders) return std::unexpected(leaders.error());
  json::array rows;
  for (const auto& [leader, partitions] : *leaders) {
    wire::DeleteRecordsRequest request{.timeout_ms = timeout_ms(options.target)};
    auto& topic = request.topics.emplace_back();
    topic.name = options.name;
    for (const auto& each : partitions)
      topic.partitions.push_back({.partition_index = each.partition.value(), .offset = before});
    auto response = session.call(client::core::Destination::to(leader), std::move(request));
    if (!response) return std::unexpected(Failure(response.error()));
    for (const auto& answered : response->topics)
      for (const auto& each : answered.partitions) {
        if (each.error_code != 0)
          return std::unexpected(
              refusal({fmt::format("delete records of {}-{}", options.name, each.partition_index),
                       options.name,
                       {}},
                      each.error_code));
        rows.push_back(json::object{{"topic", options.name},
                                    {"partition", each.partition_index},
                                    {"start_offset", each.low_watermark}});
      }
  }
  constexpr std::string_view kColumns[] = {"topic", "partition", "start_offset"};
  print_rows(options.target.format(), rows, kColumns);
  return {};
}

void add_list(Command& topic) {
  auto command = topic.add("list", {"Lists topics.", "millrace topic list -o json"});
  auto options = std::make_shared<TopicOptions>();
  command.flag("--internal", options->internal, "Internal topics, too");
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return list(*options, s); });
  });
}

void add_create(Command& topic) {
  auto command = topic.add(
      "create", {"Creates topics.", "millrace topic create orders -p 6 -c retention.ms=86400000"});
  auto options = std::make_shared<CreateOptions>();
  command.argument("TOPIC", options->names, "Names of the topics");
  command.option("-p,--partitions", options->partitions,
                 "Partitions of each (without: the broker's num.partitions)");
  command.option("-r,--replication", options->replication,
                 "Replicas of each partition (without: the broker's default.replication.factor)");
  command.option("-c,--config", options->configs, "NAME=VALUE of a topic config; repeatable");
  command.flag("--if-not-exists", options->if_not_exists, "A topic that exists is no failure");
  command.flag("--dry-run", options->dry_run, "Only asks whether it could be done");
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return create(*options, s); });
  });
}

void add_delete(Command& topic) {
  auto command = topic.add(
      "delete", {"Deletes topics, with all their records.", "millrace topic delete orders"});
  auto options = std::make_shared<TopicOptions>();
  command.argument("TOPIC", options->names, "Names of the topics");
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return remove(*options, s); });
  });
}

void add_describe(Command& topic) {
  auto command = topic.add("describe", {"Shows topics: partitions, leaders, replicas, offsets, and "
                                        "the configs that were set.",
                                        "millrace topic describe orders"});
  auto options = std::make_shared<TopicOptions>();
  command.argument("TOPIC", options->names, "Names of the topics");
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return describe(*options, s); });
  });
}

void add_grow(Command& topic) {
  auto command = topic.add("add-partitions", {"Gives a topic more partitions.",
                                              "millrace topic add-partitions orders --total 12"});
  auto options = std::make_shared<GrowOptions>();
  command.argument("TOPIC", options->name, "Name of the topic");
  command.option("-p,--total", options->count, "How many partitions it shall have in all");
  command.flag("--dry-run", options->dry_run, "Only asks whether it could be done");
  add_target(command, options->target);
  command.runs([options] {
    if (options->count <= 0) return usage_error("--total N is needed", "topic add-partitions");
    return with_session(options->target, [&](Session& s) { return add_partitions(*options, s); });
  });
}

void add_trim(Command& topic) {
  auto command =
      topic.add("delete-records", {"Deletes the records of partitions below an offset.",
                                   "millrace topic delete-records orders --partition 0 --before "
                                   "1000\nmillrace topic delete-records orders --before end"});
  auto options = std::make_shared<TrimOptions>();
  command.argument("TOPIC", options->name, "Name of the topic");
  command.option("--partition", options->partitions, "Partitions, repeatable (without: all)");
  command.option("--before", options->before, "The first offset that stays, or 'end'", {});
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return delete_records(*options, s); });
  });
}

}  // namespace

std::optional<Setting> parse_setting(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return std::nullopt;
  return Setting{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

void add_topic_commands(Command& root) {
  auto topic = root.add("topic", {"Lists, creates, shows, changes and deletes topics.", ""});
  add_list(topic);
  add_create(topic);
  add_describe(topic);
  add_delete(topic);
  add_grow(topic);
  add_trim(topic);
}

}  // namespace millrace::app
