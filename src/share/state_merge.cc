#include "share/state_merge.h"

#include <algorithm>
#include <queue>
#include <tuple>

namespace millrace::share {
namespace {

auto rank(const StateBatch& batch) { return std::tuple(batch.delivery_count, batch.state); }

auto place(const StateBatch& batch) {
  return std::tuple(batch.first, batch.last, batch.delivery_count, batch.state);
}

struct IsBehind {
  bool operator()(const StateBatch& a, const StateBatch& b) const { return place(a) > place(b); }
};

// What is still to be compared, lowest first: sorted batches, and the pieces that became of some.
class Pending {
 public:
  explicit Pending(std::vector<StateBatch> sorted) : sorted_(std::move(sorted)) {}

  bool is_empty() const { return next_ == sorted_.size() && pieces_.empty(); }
  const StateBatch& lowest() const { return is_piece_lowest() ? pieces_.top() : sorted_[next_]; }
  StateBatch take() {
    const StateBatch batch = lowest();
    if (is_piece_lowest())
      pieces_.pop();
    else
      ++next_;
    return batch;
  }
  void add(const StateBatch& piece) { pieces_.push(piece); }

 private:
  bool is_piece_lowest() const {
    if (pieces_.empty()) return false;
    return next_ == sorted_.size() || place(pieces_.top()) < place(sorted_[next_]);
  }

  std::vector<StateBatch> sorted_;
  size_t next_ = 0;
  std::priority_queue<StateBatch, std::vector<StateBatch>, IsBehind> pieces_;
};

StateBatch within(StateBatch batch, Offset first, Offset last) {
  batch.first = first;
  batch.last = last;
  return batch;
}

// `upper` is not below `lower`.
bool belong_together(const StateBatch& lower, const StateBatch& upper) {
  if (upper.first <= lower.last) return true;
  return lower.last + 1 == upper.first && rank(lower) == rank(upper);
}

// The pieces that two of them become.
void combine(const StateBatch& lower, const StateBatch& upper, Pending& pending) {
  if (rank(lower) == rank(upper))
    return pending.add(within(lower, lower.first, std::max(lower.last, upper.last)));
  if (rank(upper) < rank(lower)) {
    pending.add(lower);
    if (upper.last > lower.last) pending.add(within(upper, lower.last + 1, upper.last));
    return;
  }
  if (upper.first > lower.first) pending.add(within(lower, lower.first, upper.first - 1));
  pending.add(upper);
  if (upper.last < lower.last) pending.add(within(lower, upper.last + 1, lower.last));
}

void drop_below(std::vector<StateBatch>& batches, Offset start) {
  std::erase_if(batches, [&](const StateBatch& each) { return each.last < start; });
  for (StateBatch& each : batches) each.first = std::max(each.first, start);
}

}  // namespace

// A batch that the next one does not belong to is done, though pieces of later ones may come to
// begin where it ends.
std::vector<StateBatch> merge_batches(std::vector<StateBatch> known,
                                      const std::vector<StateBatch>& added, Offset start) {
  known.insert(known.end(), added.begin(), added.end());
  if (start != kNoStartOffset) drop_below(known, start);
  if (known.size() < 2) return known;
  std::ranges::sort(known, {}, place);
  std::vector<StateBatch> merged;
  merged.reserve(known.size());
  Pending pending(std::move(known));
  StateBatch lower = pending.take();
  while (!pending.is_empty()) {
    if (belong_together(lower, pending.lowest()))
      combine(lower, pending.take(), pending);
    else
      merged.push_back(lower);
    lower = pending.take();
  }
  merged.push_back(lower);
  return merged;
}

bool are_whole(const std::vector<StateBatch>& batches) {
  return std::ranges::all_of(batches,
                             [](const StateBatch& each) { return each.first <= each.last; });
}

bool are_of_records(const std::vector<StateBatch>& batches) {
  return std::ranges::all_of(batches, [](const StateBatch& each) {
    return each.first >= Offset(0) && each.last < Offset(INT64_MAX);
  });
}

bool are_merged(const std::vector<StateBatch>& batches, Offset start) {
  if (!are_whole(batches)) return false;
  if (start != kNoStartOffset && !batches.empty() && batches.front().first < start) return false;
  return std::ranges::adjacent_find(batches, [](const StateBatch& a, const StateBatch& b) {
           return b.first <= a.last;
         }) == batches.end();
}

}  // namespace millrace::share
