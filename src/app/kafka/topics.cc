// kafka-topics: lists, creates, shows, changes and deletes topics.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "app/kafka/admin.h"
#include "app/kafka/java_order.h"
#include "app/kafka/reassignment_admin.h"
#include "app/kafka/resource_configs.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"
#include "app/kafka/topic_filter.h"
#include "app/kafka/uuid_argument.h"

namespace millrace::app::kafka {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("command-config", "Properties file of the client."),
    flag("list", "Lists the topics."),
    flag("create", "Creates a topic."),
    flag("delete", "Deletes topics."),
    flag("alter", "Changes the number of partitions. (kafka-configs changes configs.)"),
    flag("describe", "Shows topics and their partitions."),
    text("topic", "The topic; but for --create a regular expression."),
    text("topic-id", "The id of the topic to describe."),
    texts("config", "NAME=VALUE of a config of the topic to create; repeatable."),
    texts("delete-config", "No longer supported."),
    integer("partitions", "How many partitions the topic has, or shall have."),
    integer("replication-factor", "Replicas of each partition."),
    text("replica-assignment", "Brokers of each partition: 1:2,2:3 for two partitions."),
    flag("under-replicated-partitions", "Shows partitions whose ISR lacks replicas only."),
    flag("unavailable-partitions", "Shows partitions without a leader that is there only."),
    flag("under-min-isr-partitions",
         "Shows partitions with an ISR below min.insync.replicas only."),
    flag("at-min-isr-partitions", "Shows partitions with an ISR of min.insync.replicas only."),
    flag("topics-with-overrides", "Shows topics with configs of their own only."),
    flag("if-exists", "A topic that is not there is no failure."),
    flag("if-not-exists", "A topic that is there already is no failure."),
    flag("exclude-internal", "Leaves internal topics out."),
    integer("partition-size-limit-per-response", "Partitions in one answer, at most."),
};

constexpr std::string_view kActions[] = {"alter", "create", "describe", "list", "delete"};
constexpr std::string_view kReports[] = {"under-replicated-partitions", "under-min-isr-partitions",
                                         "at-min-isr-partitions", "unavailable-partitions"};

// None of the other actions, nor of `also`, may come with an option of these.
Attempt<> only_with(const Options& options, std::string_view option,
                    std::initializer_list<std::string_view> allowed) {
  for (const auto action : kActions)
    if (std::ranges::find(allowed, action) == allowed.end())
      RETURN_IF_ERROR(options.refuse_with(option, {action}));
  return {};
}

Attempt<> check_required(const Options& options) {
  if (!options.has("bootstrap-server"))
    return illegal_argument("--bootstrap-server must be specified");
  if (options.has("describe") && options.has("if-exists")) {
    if (!options.has("topic") && !options.has("topic-id"))
      return usage("--topic or --topic-id is required to describe a topic");
    if (options.has("topic") && options.has("topic-id"))
      fmt::print(
          "Only topic id will be used when both --topic and --topic-id are specified and topicId "
          "is not Uuid.ZERO_UUID\n");
  }
  if (!options.has("list") && !options.has("describe")) RETURN_IF_ERROR(options.require({"topic"}));
  if (!options.has("alter")) return {};
  if (options.has("config"))
    return usage(
        "Option combination \"[[bootstrap-server], [config]]\" can't be used with option "
        "\"[alter]\" (To alter topic configurations, the kafka-configs tool can be used.)");
  return options.require({"partitions"});
}

Attempt<> check(const Options& options) {
  const auto actions =
      std::ranges::count_if(kActions, [&](auto each) { return options.has(each); });
  if (actions != 1)
    return usage(
        "Command must include exactly one action: --list, --describe, --create, --alter or "
        "--delete");
  if (options.has("delete-config"))
    fmt::print(stderr,
               "delete-config option is no longer supported and deprecated since version 4.0. The "
               "config will be fully removed in future releases.\n");
  RETURN_IF_ERROR(check_required(options));
  RETURN_IF_ERROR(only_with(options, "config", {"alter", "create"}));
  RETURN_IF_ERROR(only_with(options, "partitions", {"alter", "create"}));
  RETURN_IF_ERROR(only_with(options, "replication-factor", {"create"}));
  RETURN_IF_ERROR(only_with(options, "replica-assignment", {"alter", "create"}));
  if (options.has("create"))
    RETURN_IF_ERROR(
        options.refuse_with("replica-assignment", {"partitions", "replication-factor"}));
  for (const auto report : kReports) {
    RETURN_IF_ERROR(only_with(options, report, {"describe"}));
    RETURN_IF_ERROR(options.refuse_with(report, {"topics-with-overrides"}));
  }
  RETURN_IF_ERROR(only_with(options, "topics-with-overrides", {"describe"}));
  RETURN_IF_ERROR(only_with(options, "if-exists", {"alter", "delete", "describe"}));
  RETURN_IF_ERROR(only_with(options, "if-not-exists", {"create"}));
  return only_with(options, "exclude-internal", {"list", "describe"});
}

// "1:2,2:3": the brokers of partition 0, of partition 1, ...
Attempt<std::vector<std::vector<int32_t>>> parse_assignment(const std::string& text) {
  std::vector<std::vector<int32_t>> assignment;
  for (const auto& partition : split(text, ',')) {
    auto& brokers = assignment.emplace_back();
    std::vector<int32_t> twice;
    for (const auto& each : split(partition, ':')) {
      ASSIGN_OR_RETURN(const int32_t broker, parse_int(trimmed(each)));
      if (is_in(brokers, broker)) twice.push_back(broker);
      brokers.push_back(broker);
    }
    if (!twice.empty())
      return thrown("org.apache.kafka.tools.AdminCommandFailedException",
                    fmt::format("Partition replica lists may not contain duplicate entries: {}",
                                fmt::join(twice, ",")));
    if (brokers.size() != assignment.front().size())
      return thrown("org.apache.kafka.tools.AdminOperationException",
                    fmt::format("Partition {} has different replication factor: [{}]",
                                assignment.size() - 1, fmt::join(brokers, ", ")));
  }
  return assignment;
}

Attempt<std::vector<std::vector<int32_t>>> assignment_of(const Options& options) {
  const std::string text = options.value("replica-assignment").value_or("");
  if (text.empty()) return {};
  return parse_assignment(text);
}

Attempt<Properties> configs_of(const Options& options) {
  Properties configs;
  for (const auto& text : options.values("config")) {
    const size_t equals = text.find('=');
    const std::string value = equals == std::string::npos ? "" : trimmed(text.substr(equals + 1));
    if (value.empty() || value.contains('='))
      return illegal_argument(
          "requirement failed: Invalid topic config: all configs to be added must be in the format "
          "\"key=val\".");
    configs.insert_or_assign(trimmed(text.substr(0, equals)), value);
  }
  return configs;
}

Attempt<> create(Admin& admin, const Options& options) {
  const std::string name = options.value("topic").value_or("");
  wire::CreateTopicsRequest request{.timeout_ms = 30'000};
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  ASSIGN_OR_RETURN(const auto assignment, assignment_of(options));
  ASSIGN_OR_RETURN(const auto configs, configs_of(options));
  if (name.find_first_of("._") != std::string::npos)
    fmt::print(
        "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore "
        "('_') could collide. To avoid issues it is best to use either, but not both.\n");
  const auto factor = options.number("replication-factor");
  const auto partitions = options.number("partitions");
  if (factor && (*factor < 1 || *factor > std::numeric_limits<int16_t>::max()))
    return illegal_argument("The replication factor must be between 1 and 32767 inclusive");
  if (partitions && *partitions < 1)
    return illegal_argument("The partitions must be greater than 0");
  topic.num_partitions = assignment.empty() ? static_cast<int32_t>(partitions.value_or(-1)) : -1;
  topic.replication_factor = assignment.empty() ? static_cast<int16_t>(factor.value_or(-1)) : -1;
  for (size_t i = 0; i < assignment.size(); ++i)
    topic.assignments.push_back(
        {.partition_index = static_cast<int32_t>(i), .broker_ids = assignment[i]});
  for (const auto& [config, value] : configs)
    topic.configs.push_back({.name = config, .value = value});
  ASSIGN_OR_RETURN(const auto response, admin.call("createTopics", std::move(request)));
  for (const auto& each : response.topics) {
    const bool there =
        static_cast<wire::ErrorCode>(each.error_code) == wire::ErrorCode::kTopicAlreadyExists;
    if (there && options.has("if-not-exists")) return {};
    if (each.error_code != 0)
      return std::unexpected(exception_of(each.error_code, each.error_message));
  }
  fmt::print("Created topic {}.\n", name);
  return {};
}

// The topics that --topic matches, sorted; all of them without it.
Attempt<std::vector<std::string>> matching_topics(Admin& admin, const Options& options) {
  const bool no_internal = options.has("exclude-internal");
  const auto wanted = options.value("topic");
  ASSIGN_OR_RETURN(const auto filter, TopicFilter::parse(wanted.value_or(".*")));
  ASSIGN_OR_RETURN(const auto topics, admin.list_topics());
  std::vector<std::string> names;
  for (const auto& [name, listing] : topics)
    if (!(no_internal && listing.internal) && (!wanted || filter.allows(name)))
      names.push_back(name);
  return names;
}

Attempt<> ensure_there(const std::vector<std::string>& found, const Options& options) {
  const std::string wanted = options.value("topic").value_or("");
  if (wanted.empty() || !found.empty() || options.has("if-exists")) return {};
  return illegal_argument(fmt::format("Topic '{}' does not exist as expected", wanted));
}

Attempt<> list(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto names, matching_topics(admin, options));
  fmt::print("{}\n", fmt::join(names, "\n"));
  return {};
}

Attempt<> alter(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto assignment, assignment_of(options));
  ASSIGN_OR_RETURN(const auto names, matching_topics(admin, options));
  RETURN_IF_ERROR(ensure_there(names, options));
  if (names.empty()) return {};
  ASSIGN_OR_RETURN(const auto topics, admin.describe_topics(names));
  wire::CreatePartitionsRequest request{.timeout_ms = 30'000};
  for (const auto& described : topics) {
    auto& topic = request.topics.emplace_back();
    topic.name = described.name;
    topic.count = static_cast<int32_t>(options.number("partitions").value_or(0));
    topic.assignments = std::nullopt;
    if (assignment.empty()) continue;
    topic.assignments.emplace();
    for (size_t i = described.partitions.size(); i < assignment.size(); ++i)
      topic.assignments->push_back({.broker_ids = assignment[i]});
  }
  ASSIGN_OR_RETURN(const auto response, admin.call("createPartitions", std::move(request)));
  for (const auto& each : response.results)
    if (each.error_code != 0)
      return std::unexpected(exception_of(each.error_code, each.error_message));
  return {};
}

Attempt<> remove(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto names, matching_topics(admin, options));
  RETURN_IF_ERROR(ensure_there(names, options));
  if (names.empty()) return {};
  ASSIGN_OR_RETURN(const auto failed, admin.delete_topics(names));
  if (!failed.empty()) return std::unexpected(failed.front().second);
  return {};
}

// What --describe shows, with what decides which of it.
class Description {
 public:
  Description(Admin& admin, const Options& options) : admin_(admin), options_(options) {}

  Attempt<> print(const std::vector<TopicDescription>& topics) {
    ASSIGN_OR_RETURN(const auto brokers, admin_.brokers());
    for (const auto& [node, address] : brokers) live_.insert(node.value());
    RETURN_IF_ERROR(look_for_moves(topics));
    const bool all =
        std::ranges::none_of(kReports, [&](auto report) { return options_.has(report); });
    for (const auto& topic : topics) {
      RETURN_IF_ERROR(look_for_configs(topic.name));
      if (all) print_topic(topic);
      if (options_.has("topics-with-overrides")) continue;
      for (const auto& [index, partition] : topic.partitions)
        if (all || is_reported({topic.name, PartitionIndex(index)}, partition))
          print_partition({topic.name, PartitionIndex(index)}, partition);
    }
    return {};
  }

 private:
  Attempt<> look_for_moves(const std::vector<TopicDescription>& topics) {
    std::set<TopicPartition> partitions;
    for (const auto& topic : topics)
      for (const auto& [index, partition] : topic.partitions)
        partitions.insert({topic.name, PartitionIndex(index)});
    if (partitions.empty()) return {};
    if (auto listed = list_reassignments(admin_, partitions)) moving_ = std::move(*listed);
    return {};  // where it failed: an old broker
  }

  Attempt<> look_for_configs(const std::string& topic) {
    ASSIGN_OR_RETURN(configs_, config_entries(admin_, {ConfigResourceType::kTopic, topic}));
    sort_as_hash_map(configs_, [](const ConfigEntry& each) { return std::string_view(each.name); });
    return {};
  }

  size_t factor_of(const TopicPartition& partition, const Replicas& replicas) const {
    const auto found = moving_.find(partition);
    if (found == moving_.end()) return replicas.replicas.size();
    const auto& [all, adding, removing] = found->second;
    const bool under_way = std::ranges::any_of(replicas.replicas, [&](int32_t each) {
      return is_in(adding, each) || is_in(removing, each);
    });
    return under_way ? all.size() - adding.size() : replicas.replicas.size();
  }

  size_t min_isr() const {
    const auto found = std::ranges::find(configs_, "min.insync.replicas", &ConfigEntry::name);
    return found == configs_.end() ? 1 : std::stoul(found->value.value_or("1"));
  }

  bool is_reported(const TopicPartition& partition, const Replicas& replicas) const {
    const bool has_leader = replicas.leader >= 0;
    return (options_.has("under-replicated-partitions") &&
            factor_of(partition, replicas) > replicas.isr.size()) ||
           (options_.has("unavailable-partitions") &&
            (!has_leader || !live_.contains(replicas.leader))) ||
           (options_.has("under-min-isr-partitions") &&
            (!has_leader || replicas.isr.size() < min_isr())) ||
           (options_.has("at-min-isr-partitions") && replicas.isr.size() == min_isr());
  }

  void print_topic(const TopicDescription& topic) const {
    constexpr int8_t kDefault = 5;
    std::vector<std::string> own;
    for (const auto& each : configs_)
      if (each.config_source != kDefault)
        own.push_back(fmt::format("{}={}", each.name, each.value.value_or("null")));
    if (own.empty() && options_.has("topics-with-overrides")) return;
    const auto& [index, first] = *topic.partitions.begin();
    fmt::print("Topic: {}", topic.name);
    if (!topic.id.is_zero()) fmt::print("\tTopicId: {}", topic.id);
    fmt::print("\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n",
               topic.partitions.size(), factor_of({topic.name, PartitionIndex(index)}, first),
               fmt::join(own, ","));
  }

  void print_partition(const TopicPartition& partition, const Replicas& replicas) const {
    fmt::print("\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}", partition.topic,
               partition.partition, replicas.leader < 0 ? "none" : std::to_string(replicas.leader),
               fmt::join(replicas.replicas, ","), fmt::join(replicas.isr, ","));
    if (const auto found = moving_.find(partition); found != moving_.end())
      fmt::print("\tAdding Replicas: {}\tRemoving Replicas: {}",
                 fmt::join(found->second.adding, ","), fmt::join(found->second.removing, ","));
    const auto list = [](const std::optional<std::vector<int32_t>>& nodes) {
      return nodes ? fmt::format("{}", fmt::join(*nodes, ",")) : "N/A";
    };
    fmt::print("\tElr: {}\tLastKnownElr: {}\n", list(replicas.elr), list(replicas.last_known_elr));
  }

  Admin& admin_;
  const Options& options_;
  std::set<int32_t> live_;
  Reassignments moving_;
  std::vector<ConfigEntry> configs_;
};

Attempt<> describe(Admin& admin, const Options& options) {
  std::vector<std::string> names;
  const auto text = options.value("topic-id");
  const auto id = text ? parse_uuid(*text) : Uuid::zero();
  if (!id) return std::unexpected(id.error());
  if (id->is_zero()) {
    ASSIGN_OR_RETURN(names, matching_topics(admin, options));
    RETURN_IF_ERROR(ensure_there(names, options));
  } else {
    ASSIGN_OR_RETURN(const auto topics, admin.list_topics());
    for (const auto& [name, listing] : topics)
      if (listing.id == *id) names.push_back(name);
    if (names.empty() && !options.has("if-exists"))
      return illegal_argument(fmt::format("TopicId '{}' does not exist as expected", *id));
  }
  ASSIGN_OR_RETURN(const auto topics, admin.describe_topics(names));
  return Description(admin, options).print(topics);
}

int tell_failed(const Ending& ending) {
  fmt::print("Error while executing topic command : {}\n", ending.message);
  std::fflush(stdout);
  log_line("ERROR", ending.to_string() + "\n", "org.apache.kafka.tools.TopicCommand");
  return 1;
}

Attempt<> act(Admin& admin, const Options& options) {
  RETURN_IF_ERROR(options.check_values());
  if (options.has("create")) return create(admin, options);
  if (options.has("alter")) return alter(admin, options);
  if (options.has("list")) return list(admin, options);
  if (options.has("describe")) return describe(admin, options);
  return remove(admin, options);
}

Attempt<> run_topics(const Options& options) {
  RETURN_IF_ERROR(check(options));
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  if (const auto done = act(*admin, options); !done) {
    if (done.error().kind != Ending::Kind::kException) return done;
    return ended(tell_failed(done.error()));
  }
  return {};
}

}  // namespace

int topics(const Words& words) {
  return run({.about = words.empty() ? "Create, delete, describe, or change a topic."
                                     : "This tool helps to create, delete, describe, or change a "
                                       "topic.",
              .options = kOptions,
              .run = run_topics,
              .refused = tell_message_and_stack,
              .failed = tell_message_and_stack},
             words);
}

}  // namespace millrace::app::kafka
