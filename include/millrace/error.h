// What this library throws when something fails outside of the program: a broker that refuses, a
// cluster that cannot be reached, a config that makes no sense.
// Mistakes of the program itself (a call after close(), a blocking call on a callback's thread) are
// std::logic_error.
#pragma once

#include <stdexcept>
#include <string>

#include "millrace/error_code.h"
#include "millrace/export.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

// what() is a sentence for a person: what could not be done, and why.
// Codes that no broker sent stand for what Kafka's clients would throw:
//   REQUEST_TIMED_OUT             the time given is over
//   NETWORK_EXCEPTION             no broker can be reached, or a connection was lost
//   INVALID_CONFIG                a config's name or value
//   UNKNOWN_TOPIC_OR_PARTITION    the cluster does not know it
//   OFFSET_OUT_OF_RANGE           with auto.offset.reset=none: no offset to begin at
//   REBALANCE_IN_PROGRESS         a partition belongs to another member of the group by now
class MILLRACE_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);
  ~Error() override;

  ErrorCode code() const noexcept { return code_; }
  // Kafka's name of the code: "UNKNOWN_TOPIC_OR_PARTITION"; "UNKNOWN" of one that is not known.
  std::string name() const;
  // Whether the same call may succeed later, as Kafka defines it for the code.
  bool retriable() const noexcept;

 private:
  ErrorCode code_;
};

}  // namespace v0
}  // namespace millrace
