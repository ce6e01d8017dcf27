#include "app/kafka/shell/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "app/kafka/shell/arguments.h"
#include "app/kafka/shell/listing.h"
#include "app/kafka/shell/path.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::shell {
namespace {

using Act = Attempt<> (*)(Session& session, const Words& words);

struct Command {
  std::string_view name;
  std::string_view about;
  std::string_view words;  // as its usage shows them
  size_t least, most;
  bool typed_only;
  Act act;
};

Where where_of(const Session& session) {
  return {.root = session.root, .working_directory = session.working_directory};
}

// The session's own directory if none is named.
Words targets_of(const Words& words) {
  Words targets;
  for (const auto& each : words)
    if (!each.empty()) targets.push_back(each);
  if (targets.empty()) targets.emplace_back(".");
  return targets;
}

Attempt<> cat(Session& session, const Words& words) {
  for (const auto& target : words)
    RETURN_IF_ERROR(visit(where_of(session), target, [&](const Found* found) -> Attempt<> {
      if (found == nullptr)
        fmt::print("cat: {}: No such file or directory.\n", target);
      else if (found->node.is_folder())
        fmt::print("cat: {}: Is a directory\n", target);
      else
        found->node.print();
      return {};
    }));
  return {};
}

Attempt<> cd(Session& session, const Words& words) {
  const std::string target = words.empty() ? "/" : words.front();
  std::string next = session.working_directory;
  RETURN_IF_ERROR(visit(where_of(session), target, [&](const Found* found) -> Attempt<> {
    if (found == nullptr)
      fmt::print("cd: {}: no such directory.\n", target);
    else if (!found->node.is_folder())
      fmt::print("cd: {}: not a directory.\n", target);
    else
      next = found->absolute();
    return {};
  }));
  session.working_directory = std::move(next);
  return {};
}

Attempt<> leave(Session&, const Words&) { return ended(0); }

Attempt<> print_below(const std::string& path, const Node& node) {
  fmt::print("{}\n", path);
  if (!node.is_folder()) return {};
  for (const auto& name : node.names()) {
    const auto child = node.child(name);
    if (!child) return std::unexpected(missing_child(name, path));
    RETURN_IF_ERROR(print_below(fmt::format("{}{}{}", path, path == "/" ? "" : "/", name), *child));
  }
  return {};
}

Attempt<> find(Session& session, const Words& words) {
  for (const auto& target : targets_of(words))
    RETURN_IF_ERROR(visit(where_of(session), target, [&](const Found* found) -> Attempt<> {
      if (found != nullptr) return print_below(target, found->node);
      fmt::print("find: {}: no such file or directory.\n", target);
      return {};
    }));
  return {};
}

Attempt<> history(Session& session, const Words& words) {
  session.history->print(words.empty() ? INT32_MAX : *parse_int(words.front()));
  return {};
}

Attempt<> ls(Session& session, const Words& words) {
  struct Folder {
    std::string name;
    Node::Names names;
  };
  Node::Names leaves;
  std::vector<Folder> folders;
  for (const auto& target : targets_of(words))
    RETURN_IF_ERROR(visit(where_of(session), target, [&](const Found* found) -> Attempt<> {
      if (found == nullptr)
        fmt::print("ls: {}: no such file or directory.\n", target);
      else if (found->node.is_folder())
        folders.push_back({found->name(), found->node.names()});
      else
        leaves.push_back(found->name());
      return {};
    }));
  if (!leaves.empty()) print_columns(leaves, session.screen_width);
  const bool titled = !leaves.empty() || folders.size() > 1;
  bool first = leaves.empty();
  for (const auto& [name, names] : folders) {
    if (titled && !names.empty()) fmt::print("{}{}:\n", first ? "" : "\n", name);
    first = false;
    if (!names.empty()) print_columns(names, session.screen_width);
  }
  return {};
}

Attempt<> pwd(Session& session, const Words&) {
  fmt::print("{}\n", session.working_directory);
  return {};
}

Attempt<> tree(Session& session, const Words& words) {
  for (const auto& target : words)
    RETURN_IF_ERROR(visit(where_of(session), target, [&](const Found* found) -> Attempt<> {
      if (found == nullptr)
        fmt::print("tree: {}: No such file or directory.\n", target);
      else
        found->node.print();
      return {};
    }));
  return {};
}

Attempt<> help(Session& session, const Words& words);
Attempt<> man(Session& session, const Words& words);

constexpr Command kCommands[] = {
    {"cat", "Prints what leaves hold.", "PATH...", 1, SIZE_MAX, false, cat},
    {"cd", "Goes to another folder; to / if none is named.", "[PATH]", 0, 1, true, cd},
    {"exit", "Leaves the shell.", "", 0, 0, true, leave},
    {"find", "Lists all paths below a folder.", "[PATH...]", 0, SIZE_MAX, false, find},
    {"help", "Lists the commands.", "", 0, 0, true, help},
    {"history", "Lists the lines that were typed, or the last NUMBER of them.", "[NUMBER]", 0, 1,
     true, history},
    {"ls", "Lists what is in a folder.", "[PATH...]", 0, SIZE_MAX, false, ls},
    {"man", "Tells what a command does.", "COMMAND", 1, 1, true, man},
    {"pwd", "Prints the path of the folder one is in.", "", 0, 0, true, pwd},
    {"tree", "Prints folders with all that is below them.", "PATH...", 1, SIZE_MAX, false, tree},
};

void print_usage(const Command& command) {
  fmt::print("usage: {}{}{}\n", command.name, command.words.empty() ? "" : " ", command.words);
}

Attempt<> help(Session&, const Words&) {
  fmt::print("Welcome to the Apache Kafka metadata shell.\n\n");
  for (const Command& each : kCommands) fmt::print("  {:<8} {}\n", each.name, each.about);
  fmt::print("\nA PATH may have *, ? and {{a,b}} in its parts.\n");
  return {};
}

Attempt<> man(Session&, const Words& words) {
  const auto found = std::ranges::find(kCommands, words.front(), &Command::name);
  if (found == std::end(kCommands)) {
    fmt::print("man: unknown command {}. Type help to get a list of commands.\n", words.front());
    return {};
  }
  fmt::print("{}: {}\n\n", found->name, found->about);
  print_usage(*found);
  return {};
}

using Choice = std::expected<const Command*, std::string>;

// By its name or the beginning of it.
Choice choose(std::string_view word, bool typed) {
  std::vector<const Command*> begun;
  std::vector<std::string_view> names;
  std::vector<std::string> quoted;
  for (const Command& each : kCommands) {
    if (each.typed_only && !typed) continue;
    if (each.name == word) return &each;
    quoted.push_back(fmt::format("'{}'", each.name));
    if (word.empty() || !each.name.starts_with(word)) continue;
    begun.push_back(&each);
    names.push_back(each.name);
  }
  if (begun.size() == 1) return begun.front();
  return std::unexpected(
      begun.empty()
          ? fmt::format("invalid choice: '{}' (choose from {})", word, fmt::join(quoted, ", "))
          : fmt::format("ambiguous command: {} could match {}", word, fmt::join(names, ", ")));
}

struct Chosen {
  const Command* command;
  Words words;
};

// Nothing: there is nothing to do, or help was asked for, and given. Else what is wrong.
std::expected<std::optional<Chosen>, std::string> parse(const Words& words, bool typed) {
  const Syntax before{.options = Syntax::Options::kNone};
  if (words.front() == "--" || is_flag(words.front())) {
    const auto taken = take_arguments({.options = before.options, .most = 0}, words);
    return std::unexpected(taken ? "too few arguments" : taken.error().message);
  }
  const auto command = choose(words.front(), typed);
  if (!command) return std::unexpected(command.error());
  const Syntax syntax{.least = (*command)->least, .most = (*command)->most};
  auto taken = take_arguments(syntax, {words.begin() + 1, words.end()});
  if (!taken && taken.error().asks_help) {
    print_usage(**command);
    fmt::print("\n{}\n", (*command)->about);
    return std::nullopt;
  }
  if (!taken) return std::unexpected(taken.error().message);
  if ((*command)->act == history && !taken->positional.empty())
    if (const auto number = parse_int(taken->positional.front()); !number)
      return std::unexpected(
          fmt::format("argument numEntriesToShow: could not convert '{}' to Integer ({})",
                      taken->positional.front(), number.error().message));
  if ((*command)->name != words.front())
    return std::unexpected(
        fmt::format("invalid choice: '{}': did you mean '{}'?", words.front(), (*command)->name));
  return Chosen{*command, std::move(taken->positional)};
}

}  // namespace

Attempt<> run_command(Session& session, Words words) {
  while (!words.empty() && words.back().empty()) words.pop_back();
  if (words.empty()) return {};
  const auto chosen = parse(words, session.history != nullptr);
  if (!chosen) {
    fmt::print("{}\n", chosen.error());
    return {};
  }
  return *chosen ? (*chosen)->command->act(session, (*chosen)->words) : Attempt<>{};
}

}  // namespace millrace::app::kafka::shell
