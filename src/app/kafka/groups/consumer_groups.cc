// kafka-consumer-groups: the words, and what needs no more than a line or two. Descriptions are in
// app/kafka/consumer_group_tables.cc, resets in app/kafka/consumer_group_reset.cc.
#include "app/kafka/groups/consumer_groups.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/scripts.h"
#include "app/kafka/script.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    texts("group", "The group; repeatable."),
    texts("topic", "The topic, or TOPIC:0,1 for some of its partitions; repeatable."),
    flag("all-topics", "All topics that the group has offsets of."),
    flag("list", "Lists the groups."),
    flag("describe", "Shows groups, their offsets and lag."),
    flag("all-groups", "All groups."),
    flag("delete", "Deletes groups, with their offsets."),
    number("timeout", "Milliseconds that a call may take.", "30000"),
    text("command-config", "Properties file of the client."),
    flag("reset-offsets", "Moves the offsets of a group that has no members."),
    flag("delete-offsets", "Deletes the offsets of topics."),
    flag("dry-run", "Only shows what a reset would do."),
    flag("execute", "Does the reset."),
    flag("export", "Prints a reset as CSV."),
    number("to-offset", "Resets to this offset."),
    texts("from-file", "Resets to what the CSV file says."),
    texts("to-datetime", "Resets to a time: YYYY-MM-DDThh:mm:ss.sss"),
    text("by-duration", "Resets to so long ago: PnDTnHnMnS"),
    flag("to-earliest", "Resets to the start."),
    flag("to-latest", "Resets to the end."),
    flag("to-current", "Resets to where the group is."),
    number("shift-by", "Resets by so many records, forth or (negative) back."),
    with_describe("members", "Shows the members."),
    with_describe("verbose", "Shows more."),
    with_describe("offsets", "Shows offsets and lag; so it does without."),
    {.name = "state",
     .takes = Option::Takes::kOptionalText,
     .help = "Shows the state; with --list, of all groups, or those in the states given.",
     .only_with = "describe,list"},
    {.name = "type",
     .takes = Option::Takes::kOptionalText,
     .help = "With --list, shows the type of all groups, or those of the types given.",
     .only_with = "list"},
    text("validate-regex", "Whether RE2 takes this regular expression."),
};

constexpr std::initializer_list<std::string_view> kScenarios = {
    "to-offset",   "shift-by",  "to-datetime", "by-duration",
    "to-earliest", "to-latest", "to-current",  "from-file"};

Attempt<> check_reset(const Options& options) {
  if (!options.has("reset-offsets")) return {};
  if (options.has("dry-run") && options.has("execute"))
    return usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
  if (!options.has("dry-run") && !options.has("execute"))
    fmt::print(stderr,
               "WARN: No action will be performed as the --execute option is missing. In version "
               "5.0, this command will require either --dry-run or --execute to be specified. You "
               "should add the --dry-run option explicitly if you are scripting this command and "
               "want to keep the current default behavior without prompting.\n");
  if (!options.has("group") && !options.has("all-groups"))
    return usage("Option [reset-offsets] takes one of these options: [group], [all-groups]");
  for (const auto scenario : kScenarios) RETURN_IF_ERROR(options.refuse_with(scenario, kScenarios));
  return {};
}

Attempt<> check(const Options& options) {
  if (!options.has("validate-regex")) RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(check_describe(options));
  if (options.has("delete")) {
    if (!options.has("group") && !options.has("all-groups"))
      return usage("Option [delete] takes one of these options: [group], [all-groups]");
    if (options.has("topic"))
      return usage(
          "The consumer does not support topic-specific offset deletion from a consumer group.");
  }
  if (options.has("delete-offsets") && (!options.has("group") || !options.has("topic")))
    return usage("Option [delete-offsets] takes the following options: [group], [topic]");
  RETURN_IF_ERROR(check_reset(options));
  RETURN_IF_ERROR(options.refuse_with("group", {"all-groups"}));
  RETURN_IF_ERROR(options.refuse_with("group", {"list"}));
  RETURN_IF_ERROR(options.refuse_with("topic", {"list", "describe"}));
  constexpr std::string_view kActions[] = {"list",          "describe",       "delete",
                                           "reset-offsets", "delete-offsets", "validate-regex"};
  const auto actions =
      std::ranges::count_if(kActions, [&](auto each) { return options.has(each); });
  if (actions != 1)
    return usage(
        "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, "
        "--delete-offsets, --validate-regex");
  return {};
}

Attempt<> list(Admin& admin, const Options& options) {
  const bool types = options.has("type"), states = options.has("state");
  GroupFilter filter = consumer_groups_only();
  if (const auto text = options.value("type"); text && !text->empty()) {
    ASSIGN_OR_RETURN(filter.types, parse_names(*text, "types", {"Classic", "Consumer"}));
  }
  if (const auto text = options.value("state"); text && !text->empty()) {
    ASSIGN_OR_RETURN(filter.states,
                     parse_names(*text, "state",
                                 {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable",
                                  "Dead", "Assigning", "Reconciling"}));
  }
  auto listings = list_groups(admin, filter);
  if (!listings)
    return std::unexpected(types || states ? executed(listings.error())
                                           : executed_at_run_time(listings.error()));
  if (!types && !states) {
    for (const auto& group : *listings) fmt::print("{}\n", group.id);
    return {};
  }
  size_t width = 15;
  for (const auto& group : *listings) width = std::max(width, group.id.size());
  const auto print = [&](std::string_view id, std::string_view type, std::string_view state) {
    fmt::print("{:<{}}", id, width + 10);
    if (types) fmt::print(" {:<20}", type);
    if (states) fmt::print(" {:<20}", state);
    fmt::print("\n");
  };
  print("GROUP", "TYPE", "STATE");
  for (const auto& group : *listings)
    print(group.id, group.type.empty() ? "Unknown" : group.type,
          group.state.empty() ? "Unknown" : group.state);
  return {};
}

Attempt<> remove(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto groups, chosen_groups(admin, options, consumer_groups_only()));
  Deletion deletion;
  delete_groups(admin, groups, "deleteConsumerGroups", deletion);
  print_deletion("consumer", deletion);
  return {};
}

void validate_regex(const std::string& pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 regex(pattern, options);
  if (regex.ok())
    fmt::print("The regular expression `{}` is valid.\n", pattern);
  else
    fmt::print("The regular expression `{}` is invalid: {}.\n", pattern,
               regex.error().substr(0, regex.error().find(':')));
}

Attempt<> act(const Options& options) {
  RETURN_IF_ERROR(options.check_values());
  if (const auto pattern = options.value("validate-regex")) {
    validate_regex(*pattern);
    return {};
  }
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  if (options.has("list")) return list(*admin, options);
  if (options.has("describe")) return describe_consumer_groups(*admin, options);
  if (options.has("delete")) return remove(*admin, options);
  if (options.has("reset-offsets")) return reset_consumer_groups(*admin, options);
  return delete_consumer_offsets(*admin, options);
}

Attempt<> run_consumer_groups(const Options& options) {
  RETURN_IF_ERROR(check(options));
  return tell_failure("consumer", act(options), 0);
}

}  // namespace

GroupFilter consumer_groups_only() {
  return {.states = {},
          .types = {"classic", "consumer"},
          .protocols = std::vector<std::string>{"", "consumer"}};
}

int consumer_groups(const Words& words) {
  return run({.about = "This tool helps to list all consumer groups, describe a consumer group, "
                       "delete consumer group info, or reset consumer group offsets.",
              .options = kOptions,
              .run = run_consumer_groups},
             words);
}

}  // namespace millrace::app::kafka::groups
