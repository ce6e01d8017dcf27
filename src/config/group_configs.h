// The configs of a group (consumer.*, share.*, streams.*) as they take effect.
// Not here: what may be set (config/rules), for whom (metadata/image).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "config/properties.h"

namespace millrace::config {

// The broker's name of a bound of a group's config ("min", "max"): consumer.session.timeout.ms is
// within group.consumer.min.session.timeout.ms and group.consumer.max.session.timeout.ms.
std::string bound_name(std::string_view name, std::string_view which);

// A number that the group has set, nothing if it has not: within the broker's bounds, which may
// have become narrower since.
std::optional<int64_t> group_number(const Values& group, std::string_view name,
                                    const NodeProperties& node);

// Where a share group begins in a partition that it has not known (share.auto.offset.reset).
struct OffsetReset {
  enum class To : uint8_t { kLatest, kEarliest, kAge } to = To::kLatest;
  milliseconds age{0};  // with what was written so long ago
};
// Of "latest", "earliest", "by_duration:PnDTnHnMn.nS" (ISO 8601, not negative); nothing for others.
std::optional<OffsetReset> parse_offset_reset(std::string_view text);

}  // namespace millrace::config
