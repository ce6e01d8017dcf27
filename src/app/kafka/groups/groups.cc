// kafka-groups: lists the groups of all kinds.
#include <fmt/format.h>

#include "app/kafka/groups/scripts.h"
#include "app/kafka/groups_admin.h"
#include "app/kafka/script.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("command-config", "Properties file of the client."),
    flag("list", "Lists the groups."),
    text("group-type", "Only groups of this type: classic, consumer, share or streams."),
    text("protocol", "Only groups of this protocol."),
    flag("consumer", "Only groups of consumers, also classic ones and such as only commit."),
    flag("share", "Only share groups."),
    flag("streams", "Only streams groups."),
};

constexpr std::string_view kTypes[] = {"Classic", "Consumer", "Share", "Streams"};

Attempt<> check(const Options& options) {
  if (!options.has("bootstrap-server"))
    return usage("Missing required option(s) [bootstrap-server]");
  if (!options.has("list")) return usage("Command must include exactly one action: --list.");
  RETURN_IF_ERROR(options.check_values());
  if (const auto type = options.value("group-type")) {
    const auto is_it = [&](auto each) { return lower_case(each) == lower_case(trimmed(*type)); };
    if (std::ranges::none_of(kTypes, is_it))
      return illegal_argument("--group-type must be a valid group type.");
  }
  RETURN_IF_ERROR(options.refuse_with("consumer", {"group-type", "protocol", "share", "streams"}));
  RETURN_IF_ERROR(options.refuse_with("share", {"consumer", "group-type", "protocol", "streams"}));
  return options.refuse_with("streams", {"consumer", "group-type", "protocol", "share"});
}

bool is_wanted(const GroupListing& group, const Options& options) {
  const auto type = options.value("group-type");
  const auto protocol = options.value("protocol");
  if (type && lower_case(trimmed(*type)) != lower_case(group.type)) return false;
  if (protocol && *protocol != group.protocol) return false;
  if (options.has("consumer"))
    return group.protocol == "consumer" || group.protocol.empty() || group.type == "Consumer";
  if (options.has("share")) return group.type == "Share";
  if (options.has("streams")) return group.type == "Streams";
  return true;
}

Attempt<> list(const Options& options) {
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  ASSIGN_OR_RETURN(const auto listings, list_groups(*admin, {}));
  std::vector<std::vector<std::string>> lines;
  size_t width = 20;
  for (const auto& group : listings) {
    if (!is_wanted(group, options)) continue;
    lines.push_back({group.id, group.type, group.protocol});
    for (const auto& cell : lines.back()) width = std::max(width, cell.size());
  }
  fmt::print("{:<{}} {:<{}} {:<{}}\n", "GROUP", width, "TYPE", width, "PROTOCOL", width);
  for (const auto& line : lines) {
    for (const auto& cell : line) fmt::print("{:<{}} ", cell, width);
    fmt::print("\n");
  }
  return {};
}

Attempt<> run_groups(const Options& options) {
  RETURN_IF_ERROR(check(options));
  const auto done = list(options);
  if (done || done.error().kind != Ending::Kind::kException) return done;
  fmt::print("Error while executing groups command : {}\n", done.error().message);
  std::fflush(stdout);
  log_line("ERROR", done.error().to_string() + "\n", "org.apache.kafka.tools.GroupsCommand");
  return ended(1);
}

}  // namespace

int groups(const Words& words) {
  return run({.about = words.empty() ? "Missing required option(s) [bootstrap-server]"
                                     : "This tool helps to list groups of all types.",
              .options = kOptions,
              .run = run_groups,
              .refused = refuse_with_help,
              .failed = tell_message_and_stack},
             words);
}

}  // namespace millrace::app::kafka::groups
