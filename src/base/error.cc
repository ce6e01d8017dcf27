#include "base/error.h"

#include <fmt/format.h>

namespace millrace {

std::string_view errc_name(Errc code) {
  switch (code) {
    case Errc::kCorrupt: return "corrupt";
    case Errc::kTruncated: return "truncated";
    case Errc::kLimit: return "limit";
    case Errc::kInvalid: return "invalid";
    case Errc::kUnsupported: return "unsupported";
    case Errc::kNotFound: return "not found";
    case Errc::kExists: return "exists";
    case Errc::kLocked: return "locked";
    case Errc::kNoSpace: return "no space";
    case Errc::kIo: return "i/o error";
    case Errc::kWouldBlock: return "would block";
    case Errc::kClosed: return "closed";
    case Errc::kTimedOut: return "timed out";
    case Errc::kBusy: return "busy";
    case Errc::kNotController: return "not the active controller";
  }
  return "unknown";
}

Error Error::within(std::string_view what) && {
  return {code, fmt::format("{}: {}", what, message)};
}

std::string Error::to_string() const { return fmt::format("{} ({})", message, errc_name(code)); }

}  // namespace millrace
