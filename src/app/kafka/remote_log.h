// The records of __remote_log_metadata as Apache Kafka shows them.
// KIP-405 (tiered storage).
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/error.h"

namespace millrace::app::kafka {

// "RemoteLogSegmentMetadata{...}" of a record's value.
Result<std::string> describe_remote_log_metadata(ByteView value);

}  // namespace millrace::app::kafka
