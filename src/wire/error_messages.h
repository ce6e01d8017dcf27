// The sentences that Kafka's answers have beside an error code.
#pragma once

#include <string>

#include "wire/errors.h"

namespace millrace::wire {

// For a code whose sentence is not here, the code's name. Not empty.
std::string error_message(ErrorCode error);

}  // namespace millrace::wire
