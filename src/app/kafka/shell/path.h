// Paths of nodes with `*`, `?` and `{a,b}`, as the shell of Apache Kafka finds them.
// Not here: what is done with a node that was found (app/kafka/shell/commands.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/ending.h"
#include "app/kafka/shell/node.h"

namespace millrace::app::kafka::shell {

// One part of a path. One that is malformed stands for itself.
class Glob {
 public:
  explicit Glob(std::string part);

  bool is_literal() const { return pieces_.empty(); }
  const std::string& part() const { return part_; }
  bool matches(std::string_view name) const;

 private:
  struct Piece {
    enum class Kind : uint8_t { kByte, kOne, kMany, kChoice } kind = Kind::kByte;
    char byte = '\0';
    std::vector<std::vector<Piece>> choices;
  };
  using Pieces = std::vector<Piece>;
  using Ends = std::vector<bool>;  // by length: whether what was matched so far may be that long
  class Parser;

  static Ends after(const Pieces& pieces, Ends ends, std::string_view name);

  std::string part_;
  Pieces pieces_;
};

struct Found {
  std::vector<std::string> path;
  const Node& node;

  std::string name() const { return path.empty() ? "/" : path.back(); }
  std::string absolute() const;
};

struct Where {
  const Node& root;
  std::string_view working_directory;
};

// Calls for each node that the path stands for; once without any if there is none.
using Visit = std::function<Attempt<>(const Found* found)>;
Attempt<> visit(const Where& where, std::string_view path, const Visit& act);

// RuntimeException: the folder names a child that it does not have.
Ending missing_child(std::string_view name, std::string_view of);

}  // namespace millrace::app::kafka::shell
