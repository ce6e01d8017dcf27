// kafka-streams-groups (KIP-1071): the words. Descriptions are in
// app/kafka/streams_group_tables.cc, offsets in app/kafka/streams_group_reset.cc, deletions and
// topics of an application's own in app/kafka/streams_group_topics.cc.
#include "app/kafka/groups/streams_groups.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/scripts.h"
#include "app/kafka/script.h"

namespace millrace::app::kafka::groups {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    texts("group", "The streams group; repeatable."),
    texts("input-topic", "A topic read from, or TOPIC:0,1 for some of its partitions; repeatable."),
    flag("all-input-topics", "All topics that the group reads from."),
    flag("list", "Lists the streams groups."),
    flag("describe", "Shows groups and their lag."),
    flag("all-groups", "All streams groups."),
    flag("delete", "Deletes groups, with their offsets."),
    flag("delete-offsets", "Deletes the offsets of topics."),
    number("timeout", "Milliseconds that a call may take.", "30000"),
    text("command-config", "Properties file of the client."),
    {.name = "state",
     .takes = Option::Takes::kOptionalText,
     .help = "Shows the state; with --list, of all groups, or those in the states given: Empty, "
             "NotReady, Stable, Assigning, Reconciling, Dead.",
     .only_with = "list,describe"},
    with_describe("members", "Shows the members."),
    with_describe("offsets", "Shows lag; so it does without."),
    flag("reset-offsets", "Moves the offsets of a group that has no members."),
    number("to-offset", "Resets to this offset."),
    texts("from-file", "Resets to what the CSV file says."),
    texts("to-datetime", "Resets to a time: YYYY-MM-DDThh:mm:ss.sss"),
    text("by-duration", "Resets to so long ago: PnDTnHnMnS"),
    flag("to-earliest", "Resets to the start."),
    flag("to-latest", "Resets to the end."),
    flag("to-current", "Resets to where the group is."),
    number("shift-by", "Resets by so many records, forth or (negative) back."),
    texts("delete-internal-topic",
          "With --reset-offsets --execute: deletes this topic of the application's own; "
          "repeatable."),
    flag("delete-all-internal-topics",
         "With --reset-offsets --execute or --delete: deletes all topics of the application's "
         "own."),
    with_describe("verbose", "Shows more."),
    flag("dry-run", "Only shows what a reset would do."),
    flag("execute", "Does the reset."),
    flag("export", "Prints a reset as CSV."),
};

constexpr std::initializer_list<std::string_view> kScenarios = {
    "to-offset", "to-datetime", "by-duration", "to-earliest",
    "to-latest", "to-current",  "shift-by",    "from-file"};

bool has_topics(const Options& options) {
  return options.has("input-topic") || options.has("all-input-topics");
}

Attempt<> check_delete(const Options& options) {
  if (options.has("delete")) {
    if (!options.has("group") && !options.has("all-groups"))
      return usage("Option [delete] takes one of these options: [all-groups], [group]");
    if (has_topics(options))
      return usage(
          "Kafka Streams does not support topic-specific offset deletion from a streams group.");
  }
  if (!options.has("delete-offsets")) return {};
  if (!has_topics(options) || !options.has("group"))
    return usage(
        "Option [delete-offsets] takes the [group] and one of these options: [all-input-topics], "
        "[input-topic]");
  if (const auto groups = options.values("group"); groups.size() > 1)
    return usage(
        fmt::format("Option [delete-offsets] supports only one [group] at a time, but found: [{}]",
                    fmt::join(groups, ", ")));
  return {};
}

Attempt<> check_reset(const Options& options) {
  if (!options.has("reset-offsets")) return {};
  if (options.has("dry-run") && options.has("execute"))
    return usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
  if (!options.has("dry-run") && !options.has("execute"))
    return usage("Option [reset-offsets] takes the option: [execute] or [dry-run]");
  if (!options.has("group") && !options.has("all-groups"))
    return usage("Option [reset-offsets] takes one of these options: [all-groups], [group]");
  for (const auto scenario : kScenarios) RETURN_IF_ERROR(options.refuse_with(scenario, kScenarios));
  return {};
}

Attempt<> check_internal_topics(const Options& options) {
  const bool resets = options.has("reset-offsets"), executes = options.has("execute");
  if (options.has("delete-all-internal-topics")) {
    if (!resets && !options.has("delete"))
      return usage(
          "Option [delete-all-internal-topics] takes one of these options: [delete], "
          "[reset-offsets]");
    if (resets && !executes)
      return usage(
          "Option [delete-all-internal-topics] takes [execute] when [reset-offsets] is used.");
  } else if (options.has("delete-internal-topic") && (!resets || !executes)) {
    return usage("Option [delete-internal-topic] takes [reset-offsets] when [execute] is used.");
  }
  return {};
}

Attempt<> check(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(check_describe(options));
  RETURN_IF_ERROR(check_delete(options));
  RETURN_IF_ERROR(check_reset(options));
  RETURN_IF_ERROR(check_internal_topics(options));
  if ((options.has("dry-run") || options.has("execute")) && !options.has("reset-offsets"))
    return usage("Only Option [reset-offsets] accepts [execute] or [dry-run]");
  RETURN_IF_ERROR(options.refuse_with("list", {"members", "offsets"}));
  RETURN_IF_ERROR(options.refuse_with("group", {"all-groups"}));
  RETURN_IF_ERROR(options.refuse_with("group", {"list"}));
  RETURN_IF_ERROR(options.refuse_with("input-topic", {"list", "describe", "delete"}));
  constexpr std::string_view kActions[] = {"list", "describe", "reset-offsets", "delete",
                                           "delete-offsets"};
  if (std::ranges::count_if(kActions, [&](auto each) { return options.has(each); }) != 1)
    return usage(
        "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, "
        "or --delete-offsets.");
  return {};
}

Attempt<> act(const Options& options) {
  if (const auto sound = options.check_values(); !sound) return usage(sound.error().message);
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  if (options.has("list"))
    return list_with_states(*admin, options, streams_groups_only(),
                            {"Stable", "Dead", "Empty", "Assigning", "Reconciling", "NotReady"});
  if (options.has("describe")) return describe_streams_groups(*admin, options);
  if (options.has("reset-offsets")) return reset_streams_groups(*admin, options);
  if (options.has("delete")) return delete_streams_groups(*admin, options);
  return delete_streams_offsets(*admin, options);
}

Attempt<> run_streams_groups(const Options& options) {
  RETURN_IF_ERROR(check(options));
  return tell_failure("streams", act(options), 1);
}

int refuse(const Ending& ending) {
  fmt::print(stderr, "{}\n", ending.message);
  return 1;
}

}  // namespace

GroupFilter streams_groups_only() {
  return {.states = {}, .types = {"streams"}, .protocols = std::nullopt};
}

int streams_groups(const Words& words) {
  return run({.about = "This tool helps to list, or describe streams groups.",
              .options = kOptions,
              .run = run_streams_groups,
              .refused = refuse},
             words);
}

}  // namespace millrace::app::kafka::groups
