#include "app/kafka/shell/path.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <utility>

namespace millrace::app::kafka::shell {
namespace {

// Without `.`, `..` and empty parts.
std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.emplace_back(part);
    }
  }
  return parts;
}

class Walk {
 public:
  Walk(std::vector<std::string> parts, const Visit& visit)
      : parts_(std::move(parts)), visit_(visit) {}

  // Whether anything was found.
  Attempt<bool> from(const Node& node) {
    if (path_.size() == parts_.size()) {
      const Found found{.path = path_, .node = node};
      RETURN_IF_ERROR(visit_(&found));
      return true;
    }
    if (!node.is_folder()) return false;
    const Glob glob(parts_[path_.size()]);
    if (glob.is_literal()) {
      const auto child = node.child(glob.part());
      return child ? into(glob.part(), *child) : false;
    }
    bool any = false;
    for (const auto& name : node.names()) {
      if (!glob.matches(name)) continue;
      const auto child = node.child(name);
      if (!child) return std::unexpected(missing_child(name, "class " + node.java_class));
      ASSIGN_OR_RETURN(const bool below, into(name, *child));
      any |= below;
    }
    return any;
  }

 private:
  Attempt<bool> into(const std::string& name, const Node& child) {
    path_.push_back(name);
    auto found = from(child);
    path_.pop_back();
    return found;
  }

  std::vector<std::string> parts_;
  const Visit& visit_;
  std::vector<std::string> path_;
};

size_t width_of_first(std::string_view text) {
  size_t width = 1;
  while (width < text.size() && (static_cast<uint8_t>(text[width]) & 0xC0) == 0x80) ++width;
  return width;
}

}  // namespace

class Glob::Parser {
 public:
  explicit Parser(std::string_view part) : part_(part) {}

  // Nothing: it is malformed, or has nothing to match with.
  std::optional<Pieces> parse() {
    while (at_ < part_.size())
      if (!take(part_[at_++])) return std::nullopt;
    if (group_ || literal_) return std::nullopt;
    return std::move(pieces_);
  }

 private:
  using Kind = Piece::Kind;

  bool take(char c) {
    if (c == '{') return open();
    if (c == ',' && group_) {
      group_->choices.emplace_back();
    } else if (c == '}' && group_) {
      pieces_.push_back(std::move(*group_));
      group_.reset();
    } else if (c == '?' || c == '*') {
      literal_ = false;
      put({.kind = c == '?' ? Kind::kOne : Kind::kMany, .choices = {}});
    } else if (c == '\\') {
      // Java's shell makes "\$" of the backslash at the end and what ends its expression.
      put({.byte = at_ == part_.size() ? '$' : part_[at_++], .choices = {}});
    } else {
      put({.byte = c, .choices = {}});
    }
    return true;
  }

  bool open() {
    if (group_) return false;
    literal_ = false;
    group_ = Piece{.kind = Kind::kChoice, .choices = {{}}};
    return true;
  }

  void put(Piece piece) { (group_ ? group_->choices.back() : pieces_).push_back(std::move(piece)); }

  std::string_view part_;
  size_t at_ = 0;
  bool literal_ = true;
  std::optional<Piece> group_;
  Pieces pieces_;
};

Glob::Glob(std::string part) : part_(std::move(part)) {
  if (auto pieces = Parser(part_).parse()) pieces_ = std::move(*pieces);
}

Glob::Ends Glob::after(const Pieces& pieces, Ends ends, std::string_view name) {
  for (const Piece& piece : pieces) {
    Ends next(ends.size(), false);
    if (piece.kind == Piece::Kind::kChoice) {
      for (const auto& choice : piece.choices) {
        const Ends chosen = after(choice, ends, name);
        for (size_t i = 0; i < next.size(); ++i) next[i] = next[i] || chosen[i];
      }
    } else if (piece.kind == Piece::Kind::kMany) {
      bool begun = false;
      for (size_t i = 0; i < next.size(); ++i) next[i] = begun = begun || ends[i];
    } else {
      for (size_t i = 0; i < name.size(); ++i) {
        if (!ends[i]) continue;
        if (piece.kind == Piece::Kind::kOne) next[i + width_of_first(name.substr(i))] = true;
        if (piece.kind == Piece::Kind::kByte && name[i] == piece.byte) next[i + 1] = true;
      }
    }
    ends = std::move(next);
  }
  return ends;
}

bool Glob::matches(std::string_view name) const {
  if (is_literal()) return name == part_;
  Ends begin(name.size() + 1, false);
  begin.front() = true;
  return after(pieces_, std::move(begin), name).back();
}

std::string Found::absolute() const { return fmt::format("/{}", fmt::join(path, "/")); }

Attempt<> visit(const Where& where, std::string_view path, const Visit& act) {
  const std::string whole = path.starts_with('/')
                                ? std::string(path)
                                : fmt::format("{}/{}", where.working_directory, path);
  ASSIGN_OR_RETURN(const bool any, Walk(parts_of(whole), act).from(where.root));
  return any ? Attempt<>{} : act(nullptr);
}

Ending missing_child(std::string_view name, std::string_view of) {
  return {
      .type = "java.lang.RuntimeException",
      .message = fmt::format("Expected {} to be a valid child of {}, but it was not.", name, of)};
}

}  // namespace millrace::app::kafka::shell
