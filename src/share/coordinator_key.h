// "group:topicId:partition": what the share coordinator of a share partition is found by (KIP-932).
// Threads: values.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "share/state.h"

namespace millrace::share {

std::string coordinator_key(const SharePartitionKey& key);
// The group's name may have colons. kInvalid: it is none.
Result<SharePartitionKey> parse_coordinator_key(std::string_view text);

}  // namespace millrace::share
