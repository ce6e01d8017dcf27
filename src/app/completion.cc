#include "app/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>

namespace millrace::app {
namespace {

using Visit = std::function<void(const std::string& path, const Command::Shape& command)>;

// Each command with the names that lead to it: "", "topic", "topic create".
void walk(const std::string& path, const Command::Shape& command, const Visit& visit) {
  visit(path, command);
  for (const Command::Shape& each : command.commands)
    walk(path.empty() ? each.name : path + " " + each.name, each, visit);
}

// In single quotes, for any of the shells.
std::string quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// "'topic'|'topic create'": all that are commands.
std::string paths_of(const Command::Shape& root) {
  std::vector<std::string> paths;
  walk("", root, [&](const std::string& path, const Command::Shape&) {
    if (!path.empty()) paths.push_back(quoted(path));
  });
  return fmt::format("{}", fmt::join(paths, "|"));
}

// What may follow an option that has to be one of some words.
std::string choices_of(const Command::Shape& root, std::string_view line) {
  std::string text;
  walk("", root, [&](const std::string& path, const Command::Shape& command) {
    for (const auto& option : command.options) {
      if (option.choices.empty()) continue;
      std::vector<std::string> after;
      for (const std::string& name : option.names)
        after.push_back(quoted(path.empty() ? name : path + " " + name));
      text +=
          fmt::format(fmt::runtime(line), fmt::join(after, "|"), fmt::join(option.choices, " "));
    }
  });
  return text;
}

std::string bash(const Command::Shape& root) {
  std::string words;
  walk("", root, [&](const std::string& path, const Command::Shape& command) {
    std::vector<std::string> all;
    for (const auto& each : command.commands) all.push_back(each.name);
    for (const auto& option : command.options)
      all.insert(all.end(), option.names.begin(), option.names.end());
    words += fmt::format("    {}) words={} ;;\n", quoted(path),
                         quoted(fmt::format("{}", fmt::join(all, " "))));
  });
  return fmt::format(
      "# bash: eval \"$(millrace completion bash)\"\n"
      "_millrace() {{\n"
      "  local at='' next word words=''\n"
      "  for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n"
      "    next=\"${{at:+$at }}$word\"\n"
      "    case \"$next\" in {}) at=$next ;; esac\n"
      "  done\n"
      "  case \"$at\" in\n{}  esac\n"
      "  case \"${{at:+$at }}${{COMP_WORDS[COMP_CWORD-1]}}\" in\n{}  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n"
      "}}\n"
      "complete -o default -F _millrace millrace\n",
      paths_of(root), words, choices_of(root, "    {}) words='{}' ;;\n"));
}

// With a colon between a word and what it means, as _describe takes them.
std::string described(std::string_view name, std::string_view text) {
  std::string line(name);
  line += ':';
  for (const char c : text) line += c == ':' ? std::string("\\:") : std::string(1, c);
  return quoted(line);
}

std::string zsh(const Command::Shape& root) {
  std::string words;
  walk("", root, [&](const std::string& path, const Command::Shape& command) {
    std::string names, options;
    for (const auto& each : command.commands) names += " " + described(each.name, each.summary);
    for (const auto& option : command.options)
      for (const std::string& name : option.names)
        options += " " + described(name, first_line(option.help));
    words += fmt::format("    {}) names=({}) options=({}) ;;\n", quoted(path), names, options);
  });
  return fmt::format(
      "#compdef millrace\n"
      "# zsh: eval \"$(millrace completion zsh)\", behind compinit\n"
      "_millrace() {{\n"
      "  local at='' next word\n"
      "  local -a names options choices\n"
      "  for word in ${{words[2,CURRENT-1]}}; do\n"
      "    next=\"${{at:+$at }}$word\"\n"
      "    case \"$next\" in ({}) at=$next ;; esac\n"
      "  done\n"
      "  case \"${{at:+$at }}${{words[CURRENT-1]}}\" in\n{}  esac\n"
      "  if (( $#choices )); then compadd -a choices; return; fi\n"
      "  case \"$at\" in\n{}  esac\n"
      "  (( $#names )) && _describe command names\n"
      "  _describe -o option options\n"
      "}}\n"
      "compdef _millrace millrace\n",
      paths_of(root), choices_of(root, "    {}) choices=({}) ;;\n"), words);
}

std::string fish(const Command::Shape& root) {
  std::string lines;
  walk("", root, [&](const std::string& path, const Command::Shape& command) {
    const std::string here =
        fmt::format("complete -c millrace -n {} ", quoted("__millrace_at " + quoted(path)));
    for (const auto& each : command.commands)
      lines += fmt::format("{}-a {} -d {}\n", here, quoted(each.name), quoted(each.summary));
    for (const auto& option : command.options) {
      std::string line = here;
      for (const std::string& name : option.names)
        line += name.starts_with("--") ? "-l " + quoted(name.substr(2)) + " "
                                       : "-s " + quoted(name.substr(1)) + " ";
      if (option.takes_value) line += "-r ";
      if (!option.choices.empty())
        line += "-f -a " + quoted(fmt::format("{}", fmt::join(option.choices, " "))) + " ";
      lines += line + "-d " + quoted(first_line(option.help)) + "\n";
    }
  });
  return fmt::format(
      "# fish: millrace completion fish | source\n"
      "function __millrace_at\n"
      "  set -l at ''\n"
      "  for word in (commandline -opc)[2..]\n"
      "    set -l next (string trim \"$at $word\")\n"
      "    contains -- \"$next\" {}\n"
      "    and set at $next\n"
      "  end\n"
      "  test \"$at\" = \"$argv[1]\"\n"
      "end\n{}",
      [&] {
        std::string paths = paths_of(root);
        for (size_t at = 0; (at = paths.find("'|'", at)) != std::string::npos;)
          paths.replace(at, 3, "' '");
        return paths;
      }(),
      lines);
}

}  // namespace

void add_completion_command(Command& root) {
  auto command = root.add("completion", {"Prints a script that completes commands in a shell.",
                                         "eval \"$(millrace completion bash)\"\n"
                                         "millrace completion fish | source"});
  auto shell = std::make_shared<std::string>();
  command.argument("SHELL", *shell, "bash, zsh or fish");
  command.runs([shell, &root] {
    const Command::Shape shape = root.shape();
    if (*shell == "bash")
      fmt::print("{}", bash(shape));
    else if (*shell == "zsh")
      fmt::print("{}", zsh(shape));
    else if (*shell == "fish")
      fmt::print("{}", fish(shape));
    else
      return usage_error(fmt::format("'{}' is none of bash, zsh and fish", *shell), "completion");
    return kExitOk;
  });
}

}  // namespace millrace::app
