#include "share/aborted_batches.h"

#include <algorithm>
#include <set>

namespace millrace::share {

std::vector<FetchedBatch> aborted_batches(std::span<const FetchedBatch> batches,
                                          std::span<const AbortedTransaction> aborted) {
  std::vector<AbortedTransaction> coming(aborted.begin(), aborted.end());
  std::ranges::sort(coming, {}, &AbortedTransaction::first);
  auto next = coming.begin();
  std::set<ProducerId> open;  // producers in an aborted transaction, where the walk is
  std::vector<FetchedBatch> result;
  for (const FetchedBatch& batch : batches) {
    if (batch.producer_id == kNoProducerId) continue;
    for (; next != coming.end() && next->first <= batch.last; ++next)
      open.insert(next->producer_id);
    if (batch.is_control)
      open.erase(batch.producer_id);
    else if (batch.is_transactional && open.contains(batch.producer_id))
      result.push_back(batch);
  }
  return result;
}

std::vector<AcquiredRange> without(std::span<const AcquiredRange> ranges,
                                   std::span<const FetchedBatch> batches) {
  std::vector<AcquiredRange> result;
  auto batch = batches.begin();
  for (AcquiredRange range : ranges) {
    while (batch != batches.end() && batch->last < range.first) ++batch;
    for (auto at = batch; at != batches.end() && at->base <= range.last; ++at) {
      if (at->base > range.first)
        result.push_back({range.first, at->base - 1, range.delivery_count});
      range.first = at->last + 1;
    }
    if (range.first <= range.last) result.push_back(range);
  }
  return result;
}

}  // namespace millrace::share
