#include "server/transaction_pattern.h"

#include <re2/re2.h>

namespace millrace::server {
namespace {

constexpr int64_t kMaxMemory = 1 << 20;

}  // namespace

TransactionPattern::TransactionPattern() = default;
TransactionPattern::~TransactionPattern() = default;
TransactionPattern::TransactionPattern(TransactionPattern&&) noexcept = default;

std::optional<TransactionPattern> TransactionPattern::compile(const std::string& pattern) {
  TransactionPattern compiled;
  if (pattern.empty()) return compiled;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  compiled.pattern_ = std::make_unique<RE2>(pattern, options);
  if (!compiled.pattern_->ok()) return std::nullopt;
  return compiled;
}

bool TransactionPattern::matches(std::string_view transactional_id) const {
  if (!pattern_) return true;
  return RE2::FullMatch({transactional_id.data(), transactional_id.size()}, *pattern_);
}

}  // namespace millrace::server
