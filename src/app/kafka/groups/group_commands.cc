#include "app/kafka/groups/group_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "app/kafka/java_order.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

constexpr std::string_view kIllegalArgument = "java.lang.IllegalArgumentException";

}  // namespace

Attempt<> check_describe(const Options& options) {
  if (!options.has("describe")) return {};
  if (!options.has("group") && !options.has("all-groups"))
    return usage("Option [describe] takes one of these options: [all-groups], [group]");
  int views = 0;
  for (const auto view : {"members", "offsets", "state"}) views += options.has(view) ? 1 : 0;
  if (views > 1)
    return usage(
        "Option [describe] takes at most one of these options: [members], [offsets], [state]");
  if (options.value("state")) return usage("Option [describe] does not take a value for [state]");
  return {};
}

Attempt<std::vector<std::string>> chosen_groups(Admin& admin, const Options& options,
                                                const GroupFilter& all) {
  if (!options.has("all-groups")) return options.values("group");
  auto listings = list_groups(admin, all);
  if (!listings) return std::unexpected(executed_at_run_time(listings.error()));
  std::vector<std::string> groups;
  for (const auto& each : *listings) groups.push_back(each.id);
  return groups;
}

Attempt<std::vector<std::string>> parse_names(const std::string& text, std::string_view what,
                                              const std::vector<std::string>& valid) {
  std::vector<std::string> names;
  for (const auto& part : split(text, ',')) {
    const auto known = std::ranges::find_if(
        valid, [&](const auto& each) { return lower_case(each) == lower_case(trimmed(part)); });
    if (known == valid.end())
      return illegal_argument(fmt::format("Invalid {} list '{}'. Valid {} are: {}", what, text,
                                          what == "state" ? "states" : "types",
                                          fmt::join(valid, ", ")));
    names.push_back(*known);
  }
  return names;
}

Attempt<> list_with_states(Admin& admin, const Options& options, GroupFilter filter,
                           const std::vector<std::string>& valid_states) {
  const bool states = options.has("state");
  if (const auto text = options.value("state"); text && !text->empty()) {
    ASSIGN_OR_RETURN(filter.states, parse_names(*text, "state", valid_states));
  }
  const auto listings = list_groups(admin, filter);
  if (!listings)
    return std::unexpected(states ? executed(listings.error())
                                  : executed_at_run_time(listings.error()));
  Columns columns({15});
  for (const auto& group : *listings) columns.fit({group.id}, {0});
  if (states) fmt::print("{}\n", columns.line({"GROUP", "STATE"}));
  for (const auto& group : *listings)
    if (states)
      fmt::print("{}\n", columns.line({group.id, group.state.empty() ? "Unknown" : group.state}));
    else
      fmt::print("{}\n", group.id);
  return {};
}

Attempt<Deletion> refuse_deletions(Admin& admin, const std::vector<std::string>& groups,
                                   const GroupFilter& all, const Deletable& words) {
  auto listings = list_groups(admin, all);
  if (!listings) return std::unexpected(executed_at_run_time(listings.error()));
  Deletion deletion;
  const auto refuse = [&](const std::string& group, std::string_view type, std::string text) {
    deletion.failed.emplace_back(group, thrown(type, std::move(text)).error());
  };
  for (const auto& group : std::set<std::string>(groups.begin(), groups.end())) {
    const auto listed = std::ranges::find(*listings, group, &GroupListing::id);
    if (listed == listings->end())
      refuse(group, kIllegalArgument, fmt::format("Group '{}' {}", group, words.absent));
    else if (listed->state == "Dead")
      refuse(group, "java.lang.IllegalStateException",
             fmt::format("{} '{}' group state is DEAD.", words.title, group));
    else if (!listed->state.empty() && listed->state != "Empty")
      refuse(group, "org.apache.kafka.common.errors.GroupNotEmptyException",
             fmt::format("{} '{}' is not EMPTY.", words.title, group));
  }
  return deletion;
}

void delete_groups(Admin& admin, const std::vector<std::string>& groups, std::string_view call,
                   Deletion& deletion) {
  for (const auto& group : std::set<std::string>(groups.begin(), groups.end())) {
    if (is_in(deletion.failed, group, [](const auto& each) { return each.first; })) continue;
    auto response = admin.call_group(
        call, group, wire::DeleteGroupsRequest{.groups_names = {group}},
        [](const auto& r) { return r.results.empty() ? 0 : r.results[0].error_code; });
    if (!response)
      deletion.failed.emplace_back(group, response.error());
    else if (!response->results.empty() && response->results[0].error_code != 0)
      deletion.failed.emplace_back(group, exception_of(response->results[0].error_code));
    else
      deletion.deleted.push_back(group);
  }
  sort_as_hash_map(deletion.deleted, [](const auto& each) { return std::string_view(each); });
  sort_as_hash_map(deletion.failed, [](const auto& each) { return std::string_view(each.first); });
}

std::string quoted(const std::vector<std::string>& groups) {
  std::string names;
  for (const auto& group : groups) names += fmt::format("{}'{}'", names.empty() ? "" : ", ", group);
  return names;
}

void print_deletion(std::string_view kind, const Deletion& deletion, std::string_view end) {
  if (deletion.failed.empty()) {
    fmt::print("Deletion of requested {} groups ({}) was successful.\n", kind,
               quoted(deletion.deleted));
    return;
  }
  print_error(fmt::format("Deletion of some {} groups failed:", kind));
  for (const auto& [group, ending] : deletion.failed)
    fmt::print("* Group '{}' could not be deleted due to: {}\n", group, ending.to_string());
  if (!deletion.deleted.empty())
    fmt::print("\nThese {} groups were deleted successfully: {}{}\n", kind,
               quoted(deletion.deleted), end);
}

std::string assignment_text(const std::vector<TopicPartition>& partitions) {
  std::map<std::string, std::vector<int32_t>> topics;
  for (const auto& each : partitions) topics[each.topic].push_back(each.partition.value());
  std::vector<std::string> parts;
  for (auto& [topic, indexes] : topics) {
    std::ranges::sort(indexes);
    parts.push_back(fmt::format("{}:{}", topic, fmt::join(indexes, ",")));
  }
  std::ranges::sort(parts);
  return fmt::format("{}", fmt::join(parts, ";"));
}

std::string coordinator_text(const GroupCoordinator& coordinator, std::string_view gap) {
  return fmt::format("{}:{}{}({})", coordinator.address.host, coordinator.address.port, gap,
                     coordinator.node);
}

void print_error(std::string_view text) {
  fmt::print("\nError: {}\n", text);
  std::fflush(stdout);
}

Attempt<> tell_failure(std::string_view kind, const Attempt<>& done, int status) {
  if (done || done.error().kind != Ending::Kind::kException) return done;
  if (done.error().type == kIllegalArgument) return usage(done.error().message);
  print_error(
      fmt::format("Executing {} group command failed due to {}", kind, done.error().message));
  fmt::print(stderr, "{}\n", done.error().to_string());
  return status == 0 ? Attempt<>{} : Attempt<>(ended(status));
}

}  // namespace millrace::app::kafka::groups
