// Uuids as words of a script, and what Java says of those that are none.
#pragma once

#include <string_view>

#include "app/kafka/ending.h"
#include "base/uuid.h"

namespace millrace::app::kafka {

// IllegalArgumentException.
Attempt<Uuid> parse_uuid(std::string_view text);

}  // namespace millrace::app::kafka
