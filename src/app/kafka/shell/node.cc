#include "app/kafka/shell/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace::app::kafka::shell {

Node::Names Node::names() const {
  Names names = list();
  std::ranges::sort(names);
  return names;
}

void Node::print(int depth) const {
  const int indent = 2 * depth;
  if (text) {
    fmt::print("{:{}}{}\n", "", indent, *text);
    return;
  }
  for (const auto& name : names()) {
    fmt::print("{:{}}{}:\n", "", indent, name);
    if (const auto below = child(name)) below->print(depth + 1);
  }
}

Node leaf(std::string text) {
  Node node;
  node.text = std::move(text);
  return node;
}

Node folder(std::function<Node::Names()> list,
            std::function<std::optional<Node>(const std::string& name)> child) {
  Node node;
  node.list = std::move(list);
  node.child = std::move(child);
  return node;
}

}  // namespace millrace::app::kafka::shell
