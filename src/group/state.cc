#include "group/state.h"

#include "base/log.h"

namespace millrace::group {

bool Step::takes(const machine::KeyValueRecord& record) const {
  constexpr size_t kAround = 82;  // the batch's header, and what a record has beside key and value
  const size_t bytes = kAround + record.key.size() + (record.value ? record.value->size() : 0);
  if (std::cmp_less_equal(bytes, topics.max_batch_bytes())) return true;
  LOG_WARN("a group's record of {} bytes is refused: max.message.bytes of __consumer_offsets is {}",
           bytes, topics.max_batch_bytes());
  return false;
}

std::expected<void, Refusal> Step::check_sizes() const {
  for (const machine::KeyValueRecord& record : decision.records)
    if (!takes(record)) return refuse(ErrorCode::kUnknownServerError, "");
  return {};
}

}  // namespace millrace::group
