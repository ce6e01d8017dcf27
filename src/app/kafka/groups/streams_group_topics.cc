// kafka-streams-groups --delete, and the topics of an application's own that go with a group.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/streams_groups.h"
#include "app/kafka/java_order.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

using Subtopology = wire::streams_group_describe_response::Subtopology;

// Whether it is called as an application calls its own topics.
bool is_called_internal(const std::string& topic, const std::string& group) {
  if (!topic.starts_with(group + "-")) return false;
  constexpr std::string_view kEnds[] = {"-changelog", "-repartition",
                                        "-subscription-registration-topic",
                                        "-subscription-response-topic"};
  if (std::ranges::any_of(kEnds, [&](auto end) { return topic.ends_with(end); })) return true;
  static const re2::RE2 kForeignKeys(
      R"(.+-KTABLE-FK-JOIN-SUBSCRIPTION-(REGISTRATION|RESPONSE)-\d+-topic)");
  return re2::RE2::FullMatch(topic, kForeignKeys);
}

// As Java's hash tables have the topics of one subtopology.
template <class Topics>
std::vector<std::string> names_of(const Topics& topics) {
  std::vector<std::string> names;
  for (const auto& each : topics) names.push_back(each.name);
  sort_as_hash_map(names, [](const auto& each) { return std::string_view(each); });
  return names;
}

std::vector<std::string> internal_topics_of(const StreamsGroup& group) {
  const auto& told = group.topology->subtopologies;
  const std::vector<Subtopology> none;
  const auto& subtopologies = told ? *told : none;
  std::set<std::string> sources;
  for (const auto& each : subtopologies)
    sources.insert(each.source_topics.begin(), each.source_topics.end());
  std::vector<std::string> topics;
  for (const auto& each : subtopologies)
    for (const auto& names :
         {names_of(each.repartition_source_topics), names_of(each.state_changelog_topics)})
      for (const auto& name : names)
        if (!sources.contains(name)) topics.push_back(name);
  std::erase_if(topics, [&](const std::string& topic) {
    if (is_called_internal(topic, group.group_id)) return false;
    print_error(
        fmt::format("The internal topic '{}' is not inferred as internal and thus will not "
                    "be deleted with the group '{}'.",
                    topic, group.group_id));
    return true;
  });
  return topics;
}

// The first failure by group.
std::vector<std::pair<std::string, Ending>> delete_internal_topics(
    Admin& admin, const std::vector<std::string>& groups, const InternalTopics& topics) {
  std::vector<std::pair<std::string, Ending>> failures;
  for (const auto& group : groups) {
    const auto found = topics.find(group);
    if (found == topics.end()) continue;
    const auto failed = admin.delete_topics(found->second);
    if (!failed) {
      failures.emplace_back(group, failed.error());
      continue;
    }
    for (const auto& [topic, ending] : *failed)
      fmt::print("Failed to delete internal topic: {}\n", topic);
    if (!failed->empty()) failures.emplace_back(group, failed->front().second);
  }
  return failures;
}

void print_internal_topics(const std::vector<std::pair<std::string, Ending>>& failures,
                           const std::vector<std::string>& deleted, const InternalTopics& topics) {
  if (deleted.empty() || topics.empty()) return;
  if (failures.empty()) {
    std::vector<std::string> groups;
    for (const auto& group : deleted)
      if (topics.contains(group)) groups.push_back(group);
    fmt::print(
        "Deletion of associated internal topics of the streams groups ({}) was successful.\n",
        groups.empty() ? "''" : quoted(groups));
    return;
  }
  fmt::print("Deletion of some associated internal topics failed:\n");
  for (const auto& [group, ending] : failures)
    fmt::print("* Internal topics of the streams group '{}' could not be deleted due to: {}\n",
               group, ending.to_string());
}

}  // namespace

InternalTopics internal_topics(Admin& admin, const std::vector<std::string>& groups) {
  std::vector<StreamsGroup> described;
  for (const auto& name : groups) {
    auto group = describe_streams_group(admin, name);
    if (!group) {
      const Ending failure = executed(group.error());
      print_error(fmt::format("Retrieving internal topics failed due to {}", failure.message));
      fmt::print(stderr, "{}\n", failure.to_string());
      return {};
    }
    described.push_back(std::move(*group));
  }
  sort_as_hash_map(described, [](const auto& each) { return std::string_view(each.group_id); });
  InternalTopics topics;
  for (const auto& group : described)
    if (auto found = internal_topics_of(group); !found.empty())
      topics[group.group_id] = std::move(found);
  return topics;
}

Attempt<> delete_streams_groups(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(auto groups, chosen_groups(admin, options, streams_groups_only()));
  ASSIGN_OR_RETURN(auto deletion,
                   refuse_deletions(admin, groups, streams_groups_only(),
                                    {.title = "Streams group",
                                     .absent = "does not exist or is not a streams group."}));
  std::erase_if(groups, [&](const auto& group) {
    return is_in(deletion.failed, group, [](const auto& each) { return each.first; });
  });
  InternalTopics topics;
  if (options.has("delete-all-internal-topics")) topics = internal_topics(admin, groups);
  delete_groups(admin, groups, "deleteStreamsGroups", deletion);
  const auto failures = delete_internal_topics(admin, deletion.deleted, topics);
  if (deletion.failed.empty() && deletion.deleted.empty())
    fmt::print("Deletion of requested streams groups ('') was successful.\n");
  else
    print_deletion("streams", deletion, ".");
  print_internal_topics(failures, deletion.deleted, topics);
  return {};
}

}  // namespace millrace::app::kafka::groups
