// What the shell walks through: a folder with named children, or a leaf with its text. Children are
// made when they are asked for.
// Not here: what there is (app/kafka/shell/image_nodes.h), paths (app/kafka/shell/path.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace millrace::app::kafka::shell {

struct Node {
  using Names = std::vector<std::string>;

  std::optional<std::string> text;  // of a leaf
  std::function<Names()> list;      // of a folder, in any order
  // By a name, listed or not; nothing: there is none.
  std::function<std::optional<Node>(const std::string& name)> child;
  std::string java_class;

  bool is_folder() const { return !text.has_value(); }
  Names names() const;  // sorted
  // The leaf's text, or what is below the folder, indented.
  void print(int depth = 0) const;
};

Node leaf(std::string text);
Node folder(std::function<Node::Names()> list,
            std::function<std::optional<Node>(const std::string& name)> child);

}  // namespace millrace::app::kafka::shell
