#include "group/streams/topology.h"

#include <algorithm>

namespace millrace::group::streams {
namespace {

using Said = wire::StreamsGroupHeartbeatRequest;

std::vector<TopicInfo> infos_of(const std::vector<Said::TopicInfo>& said) {
  std::vector<TopicInfo> infos;
  for (const Said::TopicInfo& each : said) {
    TopicInfo& info = infos.emplace_back();
    info.name = each.name;
    info.partitions = each.partitions;
    info.replication_factor = each.replication_factor;
    for (const auto& config : each.topic_configs)
      info.topic_configs.push_back({.key = config.key, .value = config.value});
  }
  return infos;
}

std::map<std::string_view, const Subtopology*> by_id(const Topology& topology) {
  std::map<std::string_view, const Subtopology*> subtopologies;
  for (const Subtopology& each : topology.subtopologies)
    subtopologies.emplace(each.subtopology_id, &each);
  return subtopologies;
}

bool are_below(const std::vector<int16_t>& indexes, size_t count) {
  return std::ranges::all_of(
      indexes, [&](int16_t index) { return index >= 0 && static_cast<size_t>(index) < count; });
}

}  // namespace

Topology topology_of(const Said::Topology& said) {
  Topology topology;
  topology.epoch = said.epoch;
  for (const Said::Subtopology& each : said.subtopologies) {
    Subtopology& subtopology = topology.subtopologies.emplace_back();
    subtopology.subtopology_id = each.subtopology_id;
    subtopology.source_topics = each.source_topics;
    subtopology.source_topic_regex = each.source_topic_regex;
    subtopology.state_changelog_topics = infos_of(each.state_changelog_topics);
    subtopology.repartition_sink_topics = each.repartition_sink_topics;
    subtopology.repartition_source_topics = infos_of(each.repartition_source_topics);
    for (const auto& group : each.copartition_groups)
      subtopology.copartition_groups.push_back(
          {.source_topics = group.source_topics,
           .source_topic_regex = group.source_topic_regex,
           .repartition_source_topics = group.repartition_source_topics});
  }
  return topology;
}

bool is_same(const Topology& a, const Topology& b) {
  return a.epoch == b.epoch &&
         std::ranges::equal(by_id(a), by_id(b), [](const auto& one, const auto& other) {
           return *one.second == *other.second;
         });
}

bool is_well_formed(const Topology& topology) {
  if (topology.epoch < 0 || by_id(topology).size() != topology.subtopologies.size()) return false;
  return std::ranges::all_of(topology.subtopologies, [](const Subtopology& subtopology) {
    return std::ranges::all_of(subtopology.copartition_groups, [&](const auto& group) {
      return are_below(group.source_topics, subtopology.source_topics.size()) &&
             are_below(group.repartition_source_topics,
                       subtopology.repartition_source_topics.size());
    });
  });
}

std::set<std::string, std::less<>> required_topics(const Topology& topology) {
  std::set<std::string, std::less<>> names;
  for (const Subtopology& subtopology : topology.subtopologies) {
    names.insert(subtopology.source_topics.begin(), subtopology.source_topics.end());
    for (const auto* infos :
         {&subtopology.repartition_source_topics, &subtopology.state_changelog_topics})
      for (const TopicInfo& info : *infos) names.insert(info.name);
  }
  return names;
}

Readers readers_of(const Topology& topology) {
  Readers readers;
  for (const Subtopology& subtopology : topology.subtopologies) {
    for (const std::string& topic : subtopology.source_topics)
      readers[topic] = subtopology.subtopology_id;
    for (const TopicInfo& info : subtopology.repartition_source_topics)
      readers[info.name] = subtopology.subtopology_id;
  }
  return readers;
}

}  // namespace millrace::group::streams
