// The pattern of ListTransactions for transactional ids (KIP-1152): the syntax of RE2, whose time
// is linear in the text, whatever a client sends.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace millrace::server {

class TransactionPattern {
 public:
  // Nothing: it is no pattern, or too large. An empty one matches everything.
  static std::optional<TransactionPattern> compile(const std::string& pattern);
  ~TransactionPattern();
  TransactionPattern(TransactionPattern&&) noexcept;

  bool matches(std::string_view transactional_id) const;  // the whole of it

 private:
  TransactionPattern();

  std::unique_ptr<re2::RE2> pattern_;  // null: everything
};

}  // namespace millrace::server
