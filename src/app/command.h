// The words of the command line: a tree of commands with their options, help and examples, and what
// runs when one is chosen. CLI11 does the parsing and stays behind this header.
// Not here: what commands do (one file each), how errors are told (app/failure.h).
// Ownership: what options are stored into outlives run(); commands live as long as their root.
// Exit statuses: what the action returns; 2 for words that are not understood, unless the program
// has another one for them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace millrace::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Words that parse well but make no sense together: thrown by nobody, returned by actions.
int usage_error(std::string_view problem, std::string_view command);

class Command {
 public:
  struct Text {
    std::string summary;
    std::string example;  // lines of a shell; shown at the end of the help
  };
  struct Program {
    std::string name;
    int usage_status;
  };
  static Command root(const Text& text, const Program& program = {"millrace", kExitUsage});
  Command add(const std::string& name, const Text& text);

  void flag(const std::string& names, bool& into, const std::string& help);
  void option(const std::string& names, std::string& into, const std::string& help);
  void option(const std::string& names, int32_t& into, const std::string& help);
  void option(const std::string& names, std::optional<int64_t>& into, const std::string& help);
  void option(const std::string& names, std::optional<std::string>& into, const std::string& help);
  // May be given several times, one value each.
  void option(const std::string& names, std::vector<std::string>& into, const std::string& help);
  void option(const std::string& names, std::vector<int32_t>& into, const std::string& help);
  struct Choice {
    std::vector<std::string> values;
    std::string variable;  // of the environment, where the value comes from when it is not given
  };
  void option(const std::string& names, std::string& into, const std::string& help,
              const Choice& choice);

  // An option that was added before has to be given.
  void require(const std::string& name);

  enum class Count { kOne, kOptional };
  void argument(const std::string& name, std::string& into, const std::string& help,
                Count count = Count::kOne);
  // One or more.
  void argument(const std::string& name, std::vector<std::string>& into, const std::string& help);

  // What the command does; gives the exit status. A command without is a family: it needs one of
  // those below it.
  void runs(std::function<int()> action);

  // The command with all below it.
  struct Shape {
    struct Option {
      std::vector<std::string> names;  // "-o", "--output"
      std::string help;
      bool takes_value = false;
      std::vector<std::string> choices;
    };
    std::string name;
    std::string summary;
    std::vector<Option> options;
    std::vector<Shape> commands;
  };
  Shape shape() const;

  // Of the root: takes the words apart and runs what they choose.
  int run(int argc, const char* const* argv);

 private:
  struct Tree;
  Command(std::shared_ptr<Tree> tree, CLI::App* self) : tree_(std::move(tree)), self_(self) {}

  std::shared_ptr<Tree> tree_;
  CLI::App* self_;
};

}  // namespace millrace::app
