#include "group/streams/configured_topology.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace millrace::group::streams {
namespace {

using Counts = std::map<std::string, int32_t, std::less<>>;
using Names = std::set<std::string, std::less<>>;

// What stops the configuration on its way: the topology is no good, or the topics are not.
struct Stop {
  std::optional<Status> status;  // nothing: the topology is refused
  std::string refusal;
};
template <class T = void>
using Step = std::expected<T, Stop>;

std::unexpected<Stop> refuse(std::string message) {
  return std::unexpected(Stop{std::nullopt, std::move(message)});
}
std::unexpected<Stop> stop(StatusCode code, std::string detail) {
  return std::unexpected(Stop{Status{code, std::move(detail)}, {}});
}
std::unexpected<Stop> misfit(std::string detail) {
  return stop(StatusCode::kIncorrectlyPartitionedTopics, std::move(detail));
}

// Three of them by name.
template <class List>
std::string summary(const List& topics) {
  constexpr size_t kShown = 3;
  std::string text;
  size_t shown = 0;
  for (const std::string& name : topics) {
    if (shown == kShown) break;
    text += (shown++ == 0 ? "" : ", ") + name;
  }
  if (topics.size() > kShown)
    text += fmt::format(" and {} additional topics", topics.size() - kShown);
  return text;
}

// Java reads no string of more than 32,767 bytes, and so not the answer that this one goes with.
std::string listed(const Counts& counts) {
  constexpr size_t kLongest = 30'000;
  std::string text;
  for (const auto& [topic, count] : counts) {
    if (text.size() > kLongest) return "{" + text + ", ...}";
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", topic, count);
  }
  return "{" + text + "}";
}

// How many partitions topics have: the most, and whether all have as many.
struct Spread {
  int32_t most = 0;
  bool is_even = true;
};

Spread spread_of(const Counts& counts) {
  Spread spread;
  for (const auto& [topic, count] : counts) spread.most = std::max(spread.most, count);
  spread.is_even =
      std::ranges::all_of(counts, [&](const auto& entry) { return entry.second == spread.most; });
  return spread;
}

// Of the whole topology: those whose number of partitions the application says, and the others.
struct RepartitionTopics {
  Counts fixed;
  Names flexible;
  Spread fixed_spread;
};

class Configuration {
 public:
  Configuration(const Topology& topology, const PartitionCount& count)
      : topology_(topology), count_(count) {}

  Step<ConfiguredTopology> make() {
    RETURN_IF_ERROR(check_source_topics());
    RETURN_IF_ERROR(decide_repartition_topics());
    RETURN_IF_ERROR(check_repartition_topics());
    RETURN_IF_ERROR(enforce_copartitioning());
    RETURN_IF_ERROR(decide_changelog_topics());
    ConfiguredTopology made;
    made.epoch = topology_.epoch;
    auto& subtopologies = made.subtopologies.emplace();
    for (const Subtopology& each : topology_.subtopologies) {
      ASSIGN_OR_RETURN(auto subtopology, configured(each));
      subtopologies.emplace(each.subtopology_id, std::move(subtopology));
    }
    RETURN_IF_ERROR(check_tasks(made));
    RETURN_IF_ERROR(find_missing(made));
    return made;
  }

 private:
  Step<> check_source_topics() const;
  Step<> decide_repartition_topics();
  Step<> check_repartition_topics() const;
  Step<> enforce_copartitioning();
  Step<> enforce(const Names& topics, const RepartitionTopics& known);
  Step<> decide_changelog_topics();
  Step<ConfiguredSubtopology> configured(const Subtopology& subtopology) const;
  Step<InternalTopics> internal_topics(const std::vector<TopicInfo>& infos) const;
  static Step<> check_tasks(const ConfiguredTopology& made);
  Step<> find_missing(ConfiguredTopology& made) const;

  // Of a topic that there is, or as it was decided; 0: not known.
  int32_t partitions_of(std::string_view topic) const {
    if (const int32_t count = count_(topic); count > 0) return count;
    const auto decided = decided_.find(topic);
    return decided == decided_.end() ? 0 : decided->second;
  }
  int32_t most_read_by(const Subtopology& subtopology) const {
    int32_t most = 0;
    for (const std::string& topic : subtopology.source_topics)
      most = std::max(most, partitions_of(topic));
    for (const TopicInfo& info : subtopology.repartition_source_topics)
      most = std::max(most, partitions_of(info.name));
    return most;
  }
  // Of what a subtopology writes to be partitioned anew; 0: not known yet.
  int32_t written_by(const Subtopology& subtopology) const {
    int32_t most = 0;
    for (const TopicInfo& info : subtopology.repartition_source_topics)
      if (const auto known = decided_.find(info.name); known != decided_.end())
        most = std::max(most, known->second);
    for (const std::string& topic : subtopology.source_topics) most = std::max(most, count_(topic));
    return most;
  }
  RepartitionTopics repartition_topics() const;
  void decide_sinks(const Subtopology& subtopology);

  const Topology& topology_;
  const PartitionCount& count_;
  Counts decided_;
};

Step<> Configuration::check_source_topics() const {
  Names missing;
  for (const Subtopology& subtopology : topology_.subtopologies)
    for (const std::string& topic : subtopology.source_topics)
      if (count_(topic) == 0) missing.insert(topic);
  if (missing.empty()) return {};
  return stop(StatusCode::kMissingSourceTopics,
              fmt::format("Source topics {} are missing.", summary(missing)));
}

// As many partitions as the largest topic has that their writer reads.
void Configuration::decide_sinks(const Subtopology& subtopology) {
  const int32_t count = written_by(subtopology);
  for (const std::string& sink : subtopology.repartition_sink_topics)
    decided_.try_emplace(sink, count);
}

// Kafka looks at all subtopologies in their order, again and again, and decides what one writes as
// soon as anything is known that it reads. Here each waits for that, and for its turn.
Step<> Configuration::decide_repartition_topics() {
  using Turn = std::pair<size_t, size_t>;  // which look, which subtopology
  const auto& subtopologies = topology_.subtopologies;
  std::map<std::string_view, std::vector<size_t>> readers;
  for (size_t i = 0; i < subtopologies.size(); ++i)
    for (const TopicInfo& info : subtopologies[i].repartition_source_topics) {
      if (info.partitions < 0) return refuse("");
      if (info.partitions != 0) decided_[info.name] = info.partitions;
      readers[info.name].push_back(i);
    }
  std::set<Turn> turns;
  for (size_t i = 0; i < subtopologies.size(); ++i)
    if (written_by(subtopologies[i]) != 0) turns.insert({0, i});
  std::vector<bool> is_done(subtopologies.size());
  while (!turns.empty()) {
    const auto [look, at] = *turns.begin();
    turns.erase(turns.begin());
    if (is_done[at]) continue;
    is_done[at] = true;
    decide_sinks(subtopologies[at]);
    for (const std::string& sink : subtopologies[at].repartition_sink_topics)
      for (const size_t reader : readers[sink])
        if (!is_done[reader]) turns.insert({look + (reader < at ? 1 : 0), reader});
  }
  for (const Subtopology& subtopology : subtopologies)
    for (const std::string& sink : subtopology.repartition_sink_topics)
      if (!decided_.contains(sink))
        return refuse(
            "Failed to compute number of partitions for all repartition topics. There may be loops "
            "in the topology that cannot be resolved.");
  return {};
}

Step<> Configuration::check_repartition_topics() const {
  for (const Subtopology& subtopology : topology_.subtopologies)
    for (const TopicInfo& info : subtopology.repartition_source_topics)
      if (!decided_.contains(info.name))
        return refuse(
            "Failed to compute number of partitions for all repartition topics, because a "
            "repartition source topic is never used as a sink topic.");
  return {};
}

RepartitionTopics Configuration::repartition_topics() const {
  RepartitionTopics own;
  for (const Subtopology& subtopology : topology_.subtopologies)
    for (const TopicInfo& info : subtopology.repartition_source_topics) {
      if (info.partitions != 0)
        own.fixed[info.name] = partitions_of(info.name);
      else
        own.flexible.insert(info.name);
    }
  own.fixed_spread = spread_of(own.fixed);
  return own;
}

Step<> Configuration::enforce_copartitioning() {
  const RepartitionTopics own = repartition_topics();
  for (const Subtopology& subtopology : topology_.subtopologies)
    for (const auto& group : subtopology.copartition_groups) {
      Names topics;
      for (const int16_t index : group.source_topics)
        topics.insert(subtopology.source_topics.at(static_cast<size_t>(index)));
      for (const int16_t index : group.repartition_source_topics)
        topics.insert(subtopology.repartition_source_topics.at(static_cast<size_t>(index)).name);
      RETURN_IF_ERROR(enforce(topics, own));
    }
  return {};
}

// Topics that others write have to agree; its own get as many partitions. Without others, those
// that are fixed have to agree, in the whole topology; without those the largest counts.
Step<> Configuration::enforce(const Names& topics, const RepartitionTopics& known) {
  if (topics.empty()) return {};
  Counts own, others;
  for (const std::string& topic : topics)
    (known.fixed.contains(topic) || known.flexible.contains(topic) ? own : others)[topic] =
        partitions_of(topic);
  Spread spread = known.fixed_spread;
  if (!others.empty())
    spread = spread_of(others);
  else if (known.fixed.empty())
    spread = {.most = spread_of(own).most};
  if (!spread.is_even)
    return misfit(fmt::format("Following topics do not have the same number of partitions: [{}]",
                              listed(others.empty() ? own : others)));
  for (const auto& [topic, count] : own) {
    if (known.fixed.contains(topic) && count != spread.most)
      return misfit(
          fmt::format("Number of partitions [{}] of repartition topic [{}] doesn't match "
                      "number of partitions [{}] of the source topic.",
                      count, topic, spread.most));
    decided_[topic] = spread.most;
  }
  return {};
}

Step<> Configuration::decide_changelog_topics() {
  Counts counts;
  for (const Subtopology& subtopology : topology_.subtopologies) {
    if (subtopology.source_topics.empty() && subtopology.repartition_source_topics.empty())
      return refuse("No source topics found for subtopology " + subtopology.subtopology_id);
    for (const TopicInfo& info : subtopology.state_changelog_topics)
      counts[info.name] = most_read_by(subtopology);
  }
  for (auto& [topic, count] : counts) decided_[topic] = count;
  return {};
}

Step<InternalTopics> Configuration::internal_topics(const std::vector<TopicInfo>& infos) const {
  InternalTopics topics;
  for (const TopicInfo& info : infos) {
    const auto decided = decided_.find(info.name);
    InternalTopic topic{.name = info.name,
                        .partitions = info.partitions,
                        .replication_factor = info.replication_factor,
                        .configs = {}};
    if (topic.partitions == 0 && decided != decided_.end()) topic.partitions = decided->second;
    if (topic.partitions < 1) return refuse("");
    for (const auto& config : info.topic_configs) topic.configs[config.key] = config.value;
    topics.insert_or_assign(info.name, std::move(topic));
  }
  return topics;
}

Step<ConfiguredSubtopology> Configuration::configured(const Subtopology& subtopology) const {
  ConfiguredSubtopology made;
  made.tasks = most_read_by(subtopology);
  made.source_topics.insert(subtopology.source_topics.begin(), subtopology.source_topics.end());
  made.repartition_sink_topics.insert(subtopology.repartition_sink_topics.begin(),
                                      subtopology.repartition_sink_topics.end());
  ASSIGN_OR_RETURN(made.repartition_source_topics,
                   internal_topics(subtopology.repartition_source_topics));
  ASSIGN_OR_RETURN(made.state_changelog_topics,
                   internal_topics(subtopology.state_changelog_topics));
  return made;
}

Step<> Configuration::check_tasks(const ConfiguredTopology& made) {
  int64_t tasks = 0;
  for (const auto& [id, subtopology] : *made.subtopologies) tasks += subtopology.tasks;
  if (tasks <= kMaxTasks) return {};
  return refuse(
      fmt::format("The topology has {} tasks, and {} at most are served.", tasks, kMaxTasks));
}

Step<> Configuration::find_missing(ConfiguredTopology& made) const {
  for (const auto& [id, subtopology] : *made.subtopologies)
    for (const auto* topics :
         {&subtopology.repartition_source_topics, &subtopology.state_changelog_topics})
      made.missing.insert(topics->begin(), topics->end());
  for (auto at = made.missing.begin(); at != made.missing.end();) {
    const int32_t there = count_(at->first);
    if (there != 0 && there != at->second.partitions)
      return misfit(
          fmt::format("Existing topic {} has different number of partitions: expected {}, found {}",
                      at->first, at->second.partitions, there));
    at = there != 0 ? made.missing.erase(at) : std::next(at);
  }
  if (made.missing.empty()) return {};
  std::vector<std::string> names;
  for (const auto& [name, topic] : made.missing) names.push_back(name);
  made.problem = Status{StatusCode::kMissingInternalTopics,
                        fmt::format("Internal topics are missing: {}", summary(names))};
  return {};
}

}  // namespace

std::expected<ConfiguredTopology, InvalidTopology> configure(const Topology& topology,
                                                             const PartitionCount& count) {
  auto made = Configuration(topology, count).make();
  if (made) return std::move(*made);
  if (!made.error().status) return std::unexpected(InvalidTopology{made.error().refusal});
  ConfiguredTopology failed;
  failed.epoch = topology.epoch;
  failed.problem = std::move(made.error().status);
  return failed;
}

}  // namespace millrace::group::streams
