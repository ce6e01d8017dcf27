// Regular expressions that name topics (KIP-848): RE2's syntax, matched in linear time against the
// whole name. Internal to group/.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace millrace::group {

class TopicRegex {
 public:
  explicit TopicRegex(std::string_view pattern);
  ~TopicRegex();
  TopicRegex(TopicRegex&&) noexcept;

  // Why the pattern is none, in the words of RE2/J.
  std::optional<std::string> error() const;
  // A pattern that is none matches nothing.
  bool matches(std::string_view name) const;

 private:
  std::unique_ptr<re2::RE2> regex_;
};

}  // namespace millrace::group
