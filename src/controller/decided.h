// What a decision gives: records to commit, and the answer that goes out when they are.
#pragma once

#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "wire/errors.h"
#include "wire/metadata_record.h"

namespace millrace::controller {

using Records = std::vector<wire::MetadataRecord>;

template <class Response>
struct Decided {
  Records records;
  Response response;
};

// When a decision is taken: the offset that its first record will have, and the time for sessions.
struct Position {
  Offset next;
  Instant now;
};

struct Refusal {
  wire::ErrorCode code = wire::ErrorCode::kNone;
  std::string message;
};

inline constexpr size_t kMaxRecords = 20'000;  // of one decision that a client asked for

}  // namespace millrace::controller
