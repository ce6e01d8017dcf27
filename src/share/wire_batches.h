// State batches to and from the structs of messages and records: each of them has its own.
// Threads: values.
#pragma once

#include <vector>

#include "share/state.h"

namespace millrace::share {

template <class WireBatch>
std::vector<WireBatch> to_wire(const std::vector<StateBatch>& batches) {
  std::vector<WireBatch> all;
  all.reserve(batches.size());
  for (const StateBatch& each : batches)
    all.push_back({.first_offset = each.first.value(),
                   .last_offset = each.last.value(),
                   .delivery_state = static_cast<int8_t>(each.state),
                   .delivery_count = each.delivery_count});
  return all;
}

template <class WireBatch>
std::vector<StateBatch> of_wire(const std::vector<WireBatch>& batches) {
  std::vector<StateBatch> all;
  all.reserve(batches.size());
  for (const WireBatch& each : batches)
    all.push_back({.first = Offset(each.first_offset),
                   .last = Offset(each.last_offset),
                   .state = static_cast<DeliveryState>(each.delivery_state),
                   .delivery_count = each.delivery_count});
  return all;
}

}  // namespace millrace::share
