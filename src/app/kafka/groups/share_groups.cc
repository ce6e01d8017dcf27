// kafka-share-groups (KIP-932): the words, lists and deletions. Descriptions are in
// app/kafka/share_group_tables.cc, offsets in app/kafka/share_group_offsets.cc.
#include "app/kafka/groups/share_groups.h"

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/scripts.h"
#include "app/kafka/script.h"

namespace millrace::app::kafka::groups {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    texts("group", "The share group; repeatable to describe and to delete."),
    texts("topic", "The topic, or TOPIC:0,1 for some of its partitions; repeatable."),
    flag("all-topics", "All topics that the group has offsets of."),
    flag("list", "Lists the share groups."),
    flag("describe", "Shows groups, and where they begin."),
    flag("all-groups", "All share groups."),
    flag("delete", "Deletes groups."),
    number("timeout", "Milliseconds that a call may take.", "30000"),
    text("command-config", "Properties file of the client."),
    flag("reset-offsets", "Moves the start offsets of a group that has no members."),
    flag("delete-offsets", "Deletes the offsets of topics."),
    flag("dry-run", "Only shows what a reset would do."),
    flag("execute", "Does the reset."),
    texts("to-datetime", "Resets to a time: YYYY-MM-DDThh:mm:ss.sss"),
    flag("to-earliest", "Resets to the start."),
    flag("to-latest", "Resets to the end."),
    with_describe("members", "Shows the members."),
    with_describe("offsets", "Shows start offsets; so it does without."),
    {.name = "state",
     .takes = Option::Takes::kOptionalText,
     .help = "Shows the state; with --list, of all groups, or those in the states given: Empty, "
             "Stable, Dead.",
     .only_with = "describe,list"},
    with_describe("verbose", "Shows more."),
};

constexpr std::initializer_list<std::string_view> kScenarios = {"to-datetime", "to-earliest",
                                                                "to-latest"};

Attempt<> check_delete(const Options& options) {
  if (!options.has("delete")) return {};
  if (!options.has("group") && !options.has("all-groups"))
    return usage("Option [delete] takes the options [group] or [all-groups]");
  if (options.has("group") && options.has("all-groups"))
    return usage("Option [delete] takes either [group] or [all-groups], not both.");
  if (options.has("topic")) return usage("Option [delete] does not take the option: [topic]");
  return {};
}

Attempt<> check_reset(const Options& options) {
  if (!options.has("reset-offsets")) return {};
  if (options.has("dry-run") && options.has("execute"))
    return usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
  if (!options.has("dry-run") && !options.has("execute"))
    return usage("Option [reset-offsets] takes the option: [execute] or [dry-run]");
  if (!options.has("group")) return usage("Option [reset-offsets] takes the option: [group]");
  if (!options.has("topic") && !options.has("all-topics"))
    return usage("Option [reset-offsets] takes one of these options: [all-topics], [topic]");
  if (std::ranges::none_of(kScenarios, [&](auto each) { return options.has(each); }))
    return usage(
        "Option [reset-offsets] takes one of these options: [to-datetime], [to-earliest], "
        "[to-latest]");
  for (const auto scenario : kScenarios) RETURN_IF_ERROR(options.refuse_with(scenario, kScenarios));
  return {};
}

Attempt<> check(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(check_describe(options));
  RETURN_IF_ERROR(check_delete(options));
  if (options.has("delete-offsets") && (!options.has("group") || !options.has("topic")))
    return usage("Option [delete-offsets] takes the following options: [group], [topic]");
  RETURN_IF_ERROR(check_reset(options));
  RETURN_IF_ERROR(options.refuse_with("group", {"all-groups"}));
  RETURN_IF_ERROR(options.refuse_with("group", {"list"}));
  RETURN_IF_ERROR(options.refuse_with("topic", {"list", "describe"}));
  constexpr std::string_view kActions[] = {"list", "describe", "delete", "reset-offsets",
                                           "delete-offsets"};
  if (std::ranges::count_if(kActions, [&](auto each) { return options.has(each); }) != 1)
    return usage(
        "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, "
        "--delete-offsets.");
  return {};
}

Attempt<> remove(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto groups, chosen_groups(admin, options, share_groups_only()));
  ASSIGN_OR_RETURN(auto deletion,
                   refuse_deletions(admin, groups, share_groups_only(),
                                    {.title = "Share group", .absent = "is not a share group."}));
  delete_groups(admin, groups, "deleteShareGroups", deletion);
  print_deletion("share", deletion);
  return {};
}

Attempt<> act(const Options& options) {
  RETURN_IF_ERROR(options.check_values());
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  if (options.has("list"))
    return list_with_states(*admin, options, share_groups_only(), {"Stable", "Dead", "Empty"});
  if (options.has("describe")) return describe_share_groups(*admin, options);
  if (options.has("delete")) return remove(*admin, options);
  if (options.has("reset-offsets")) return reset_share_group(*admin, options);
  return delete_share_offsets(*admin, options);
}

Attempt<> run_share_groups(const Options& options) {
  RETURN_IF_ERROR(check(options));
  return tell_failure("share", act(options), 0);
}

}  // namespace

GroupFilter share_groups_only() {
  return {.states = {}, .types = {"share"}, .protocols = std::nullopt};
}

int share_groups(const Words& words) {
  return run({.about = "This tool helps to list, describe, reset and delete share groups.",
              .options = kOptions,
              .run = run_share_groups},
             words);
}

}  // namespace millrace::app::kafka::groups
