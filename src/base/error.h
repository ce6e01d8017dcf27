// What can go wrong, as values. An expected failure travels as Result<T>; a bug hits ASSERT
// (base/assert.h).
// Not here: the error codes of the Kafka protocol (wire/errors.h). A driver that answers a client
// turns an Error into one of those.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

// A code exists only if some caller reacts to it; everything else is told by the message.
enum class Errc {
  kCorrupt,      // bytes that cannot be what they should be: bad CRC, length, magic, varint
  kTruncated,    // the bytes end before the value does
  kLimit,        // larger than a bound of ours (count, size, depth, decompressed size)
  kInvalid,      // an argument, a config value or a request that makes no sense
  kUnsupported,  // known, but not served (version, codec, feature)
  kNotFound,     // file, topic, key
  kExists,       // file, topic, key
  kLocked,       // another process holds the directory
  kNoSpace,      // ENOSPC, EDQUOT
  kIo,           // any other failure of a disk operation
  kWouldBlock,   // a non-blocking operation has nothing to do now
  kClosed,       // the peer, file or component is closed
  kTimedOut,
  kBusy,           // a bound is reached now; later may work
  kNotController,  // another node decides, or none does now
};

std::string_view errc_name(Errc code);

// One failure: the code to react to, the message for a person. The message names what was being
// done, to what, and the cause ("open /data/x: Permission denied").
struct Error {
  Errc code = Errc::kInvalid;
  std::string message;

  // The same failure seen from further out: "<what>: <message>".
  Error within(std::string_view what) &&;
  std::string to_string() const;
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

}  // namespace millrace

// Returns the error of `expr` from the enclosing function, or goes on.
#define RETURN_IF_ERROR(expr)                                     \
  do {                                                            \
    if (auto status_ = (expr); !status_.has_value()) [[unlikely]] \
      return std::unexpected(std::move(status_).error());         \
  } while (0)

#define MILLRACE_CONCAT_(a, b) a##b
#define MILLRACE_CONCAT(a, b) MILLRACE_CONCAT_(a, b)

// ASSIGN_OR_RETURN(auto x, f()): x = the value, or returns the error.
#define ASSIGN_OR_RETURN(declaration, expr)                                        \
  auto MILLRACE_CONCAT(result_, __LINE__) = (expr);                                \
  if (!MILLRACE_CONCAT(result_, __LINE__).has_value()) [[unlikely]]                \
    return std::unexpected(std::move(MILLRACE_CONCAT(result_, __LINE__)).error()); \
  declaration = std::move(*MILLRACE_CONCAT(result_, __LINE__))
