#include "share/state_batches.h"

#include <algorithm>

namespace millrace::share {
namespace {

StateBatch part_of(StateBatch batch, Offset first, Offset last) {
  batch.first = first;
  batch.last = last;
  return batch;
}

bool continues(const StateBatch& left, const StateBatch& right) {
  return left.last + 1 == right.first && left.state == right.state &&
         left.delivery_count == right.delivery_count;
}

}  // namespace

void overlay(std::vector<StateBatch>& batches, const StateBatch& newer) {
  // Most changes are behind all others.
  if (batches.empty() || batches.back().last < newer.first) return batches.push_back(newer);
  std::vector<StateBatch> result;
  result.reserve(batches.size() + 2);
  bool is_placed = false;
  for (const StateBatch& old : batches) {
    if (old.first < newer.first)
      result.push_back(part_of(old, old.first, std::min(old.last, newer.first - 1)));
    if (old.last < newer.first) continue;
    if (!std::exchange(is_placed, true)) result.push_back(newer);
    if (old.last > newer.last)
      result.push_back(part_of(old, std::max(old.first, newer.last + 1), old.last));
  }
  batches = std::move(result);
}

std::vector<StateBatch> combined(std::vector<StateBatch> batches, Offset start) {
  std::vector<StateBatch> result;
  for (StateBatch& batch : batches) {
    if (batch.last < start) continue;
    batch.first = std::max(batch.first, start);
    if (!result.empty() && continues(result.back(), batch))
      result.back().last = batch.last;
    else
      result.push_back(batch);
  }
  return result;
}

}  // namespace millrace::share
