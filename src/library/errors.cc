#include "library/errors.h"

#include <fmt/format.h>

namespace millrace::v0 {
namespace {

wire::ErrorCode inner(ErrorCode code) { return static_cast<wire::ErrorCode>(code); }

}  // namespace

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(message), code_(code) {}

Error::~Error() = default;

std::string Error::name() const { return std::string(wire::error_name(inner(code_))); }

bool Error::retriable() const noexcept { return wire::is_retriable(inner(code_)); }

}  // namespace millrace::v0

namespace millrace::library {
namespace {

using Code = v0::ErrorCode;

Code code_of(Errc code) {
  switch (code) {
    case Errc::kClosed: return Code::kNetworkException;
    case Errc::kTimedOut: return Code::kRequestTimedOut;
    case Errc::kUnsupported: return Code::kUnsupportedVersion;
    case Errc::kCorrupt:
    case Errc::kTruncated: return Code::kCorruptMessage;
    case Errc::kLimit: return Code::kMessageTooLarge;
    case Errc::kInvalid: return Code::kInvalidRequest;
    case Errc::kNotFound: return Code::kBrokerNotAvailable;
    default: return Code::kUnknownServerError;
  }
}

std::string_view why(wire::ErrorCode code) {
  switch (code) {
    case wire::ErrorCode::kUnknownTopicOrPartition: return "the cluster does not know it";
    case wire::ErrorCode::kTopicAlreadyExists: return "it exists already";
    case wire::ErrorCode::kRebalanceInProgress: return "the group is sharing out its partitions";
    case wire::ErrorCode::kRequestTimedOut: return "the time for it is over";
    default: return "";
  }
}

}  // namespace

v0::Error error_of(const Error& error) { return {code_of(error.code), error.message}; }

v0::Error error_of(int16_t code, std::string_view action,
                   const std::optional<std::string>& message) {
  const auto known = static_cast<wire::ErrorCode>(code);
  std::string reason = message.value_or("");
  if (reason.empty()) reason = why(known);
  if (reason.empty()) reason = fmt::format("the broker answers {}", wire::error_name(known));
  return {static_cast<Code>(code), fmt::format("cannot {}: {}", action, reason)};
}

v0::Error error_of(wire::ErrorCode code, std::string_view action) {
  return error_of(wire::code_of(code), action);
}

}  // namespace millrace::library
