// What a client-metrics subscription matches clients by (KIP-714): "client_id=app.*" names an
// attribute, and a regular expression in RE2's syntax that its whole text must match.
// Threads: immutable, any.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace millrace::config {

class ClientMatch {
 public:
  // Nothing: no such attribute, no regular expression, or not one of each with `=` between them.
  static std::optional<ClientMatch> parse(std::string_view item);

  const std::string& attribute() const { return attribute_; }
  bool matches(std::string_view text) const;

 private:
  ClientMatch(std::string attribute, std::shared_ptr<const re2::RE2> pattern)
      : attribute_(std::move(attribute)), pattern_(std::move(pattern)) {}

  std::string attribute_;
  std::shared_ptr<const re2::RE2> pattern_;
};

}  // namespace millrace::config
