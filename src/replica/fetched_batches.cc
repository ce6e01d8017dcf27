#include "replica/fetched_batches.h"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::replica {

Result<std::vector<record::BatchView>> fetched_batches(ByteView records, const FetchedFrom& from) {
  std::vector<record::BatchView> batches;
  record::BatchIterator iterator(records);
  Offset next = from.log_end;
  while (true) {
    ASSIGN_OR_RETURN(auto batch, iterator.next());
    if (!batch) return batches;
    const record::BatchHeader& header = batch->header();
    if (header.is_legacy()) return fail(Errc::kCorrupt, "a batch of an old format");
    if (header.leader_epoch > from.leader_epoch) return batches;
    // Where everything below was deleted, the leader's first batch may begin before its log start.
    if (from.log_is_empty && batches.empty() && header.last_offset() >= next)
      next = std::min(next, header.base_offset);
    if (header.base_offset < next || header.last_offset_delta < 0 ||
        header.last_offset() < header.base_offset)
      return fail(Errc::kCorrupt,
                  fmt::format("the batch at offset {} lies before {}", header.base_offset, next));
    if (!batch->verify_crc())
      return fail(Errc::kCorrupt,
                  fmt::format("the batch at offset {} has a wrong checksum", header.base_offset));
    next = header.next_offset();
    batches.push_back(*batch);
  }
}

}  // namespace millrace::replica
