#include "app/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <system_error>

namespace millrace::app {
namespace {

std::string footer_of(const Command::Text& text) {
  std::string footer = text.example.empty() ? "" : "\nFor example:";
  for (size_t begin = 0; begin < text.example.size();) {
    const size_t end = std::min(text.example.find('\n', begin), text.example.size());
    footer += "\n  " + text.example.substr(begin, end - begin);
    begin = end + 1;
  }
  return footer;
}

// What was printed must have arrived, or the command has not done what it was asked to. A reader
// that has seen enough and went away is none of our business.
int run_action(const std::function<int()>& action) {
  int status = kExitFailed;
  std::string problem;
  try {
    status = action();
  } catch (const std::system_error& failed) {  // fmt::print
    problem = failed.code().message();
  }
  if (std::fflush(stdout) != 0 && errno != EPIPE) problem = std::strerror(errno);
  if (problem.empty()) return status;
  fmt::print(stderr, "millrace: cannot write the output: {}\n", problem);
  return kExitFailed;
}

int tell_usage(const Command::Program& program, std::string_view problem,
               std::string_view command) {
  fmt::print(stderr, "{}: {}\n  Help: {} {}{}--help\n", program.name, problem, program.name,
             command, command.empty() ? "" : " ");
  return program.usage_status;
}

}  // namespace

int usage_error(std::string_view problem, std::string_view command) {
  return tell_usage({"millrace", kExitUsage}, problem, command);
}

struct Command::Tree {
  CLI::App root;
  Program program;
  std::map<const CLI::App*, std::function<int()>> actions;
  std::map<const CLI::Option*, std::vector<std::string>> choices;

  Shape shape_of(const CLI::App& app) const;
};

Command::Shape Command::Tree::shape_of(const CLI::App& app) const {
  Shape shape{
      .name = app.get_name(), .summary = app.get_description(), .options = {}, .commands = {}};
  for (const CLI::Option* option : app.get_options()) {
    Shape::Option made{.names = {},
                       .help = option->get_description(),
                       .takes_value = option->get_expected_max() > 0,
                       .choices = {}};
    for (const std::string& name : option->get_snames()) made.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) made.names.push_back("--" + name);
    if (const auto of = choices.find(option); of != choices.end()) made.choices = of->second;
    if (!made.names.empty()) shape.options.push_back(std::move(made));
  }
  for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; }))
    shape.commands.push_back(shape_of(*each));
  return shape;
}

Command::Shape Command::shape() const { return tree_->shape_of(*self_); }

Command Command::root(const Text& text, const Program& program) {
  auto tree = std::make_shared<Tree>();
  tree->program = program;
  tree->root.description(text.summary);
  tree->root.footer(footer_of(text));
  tree->root.name(program.name);
  tree->root.set_help_flag("-h,--help", "Prints this help");
  tree->root.require_subcommand(1);
  return {tree, &tree->root};
}

Command Command::add(const std::string& name, const Text& text) {
  CLI::App* added = self_->add_subcommand(name, text.summary);
  added->footer(footer_of(text));
  added->require_subcommand(1);  // until it gets an action
  return {tree_, added};
}

void Command::flag(const std::string& names, bool& into, const std::string& help) {
  self_->add_flag(names, into, help);
}

void Command::option(const std::string& names, std::string& into, const std::string& help) {
  self_->add_option(names, into, help)->type_name("");
}

void Command::option(const std::string& names, int32_t& into, const std::string& help) {
  self_->add_option(names, into, help)->type_name("N");
}

void Command::option(const std::string& names, std::optional<int64_t>& into,
                     const std::string& help) {
  self_->add_option_function<int64_t>(
           names, [&into](int64_t value) { into = value; }, help)
      ->type_name("N");
}

void Command::option(const std::string& names, std::optional<std::string>& into,
                     const std::string& help) {
  self_
      ->add_option_function<std::string>(
          names, [&into](const std::string& value) { into = value; }, help)
      ->type_name("");
}

void Command::option(const std::string& names, std::vector<std::string>& into,
                     const std::string& help) {
  self_->add_option(names, into, help)
      ->type_name("")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void Command::option(const std::string& names, std::vector<int32_t>& into,
                     const std::string& help) {
  self_->add_option(names, into, help)
      ->type_name("N")
      ->expected(1)
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void Command::option(const std::string& names, std::string& into, const std::string& help,
                     const Choice& choice) {
  CLI::Option* option = self_->add_option(names, into, help);
  option->type_name("")->capture_default_str();
  tree_->choices[option] = choice.values;
  if (!choice.values.empty()) option->check(CLI::IsMember(choice.values).description(""));
  if (!choice.variable.empty()) option->envname(choice.variable);
}

void Command::require(const std::string& name) { self_->get_option(name)->required(); }

void Command::argument(const std::string& name, std::string& into, const std::string& help,
                       Count count) {
  self_->add_option(name, into, help)->type_name("")->required(count == Count::kOne);
}

void Command::argument(const std::string& name, std::vector<std::string>& into,
                       const std::string& help) {
  self_->add_option(name, into, help)->type_name("")->required();
}

void Command::runs(std::function<int()> action) {
  self_->require_subcommand(0);
  tree_->actions[self_] = std::move(action);
}

int Command::run(int argc, const char* const* argv) {
  CLI::App& root = tree_->root;
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return root.exit(help);
  } catch (const CLI::ParseError& error) {
    std::string path;
    for (const CLI::App* at = &root; !at->get_subcommands().empty();) {
      at = at->get_subcommands().front();
      path += (path.empty() ? "" : " ") + at->get_name();
    }
    const auto unknown = root.remaining(true);
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !unknown.empty())
      return tell_usage(tree_->program, fmt::format("'{}' is not understood", unknown.front()),
                        path);
    return tell_usage(tree_->program, error.what(), path);
  }
  const CLI::App* chosen = &root;
  while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().front();
  return run_action(tree_->actions.at(chosen));
}

}  // namespace millrace::app
