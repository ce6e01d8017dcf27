#include "group/topic_regex.h"

#include <re2/re2.h>

namespace millrace::group {
namespace {

constexpr int64_t kMaxMemory = 1 << 20;  // of a program and its automaton: what a peer may ask for

RE2::Options options() {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(kMaxMemory);
  return options;
}

const char* words_for(RE2::ErrorCode code) {
  switch (code) {
    case RE2::ErrorBadEscape: return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
    case RE2::ErrorBadCharRange: return "invalid character class range";
    case RE2::ErrorMissingBracket: return "missing closing ]";
    case RE2::ErrorMissingParen: return "missing closing )";
    case RE2::ErrorUnexpectedParen: return "unexpected )";
    case RE2::ErrorTrailingBackslash: return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument: return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize: return "invalid repeat count";
    case RE2::ErrorRepeatOp: return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp: return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8: return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture: return "invalid named capture";
    case RE2::ErrorPatternTooLarge: return "expression too large";
    default: return "internal error";
  }
}

}  // namespace

TopicRegex::TopicRegex(std::string_view pattern)
    : regex_(std::make_unique<RE2>(re2::StringPiece(pattern.data(), pattern.size()), options())) {}
TopicRegex::~TopicRegex() = default;
TopicRegex::TopicRegex(TopicRegex&&) noexcept = default;

std::optional<std::string> TopicRegex::error() const {
  if (regex_->ok()) return std::nullopt;
  return words_for(regex_->error_code());
}

bool TopicRegex::matches(std::string_view name) const {
  return regex_->ok() && RE2::FullMatch(re2::StringPiece(name.data(), name.size()), *regex_);
}

}  // namespace millrace::group
