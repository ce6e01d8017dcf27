// Records of a share partition that were given to a member together: one state for all of them, or
// one for each as soon as they differ.
// Not here: the window that the batches are in (share/share_partition).
// Threads: values.
#pragma once

#include <vector>

#include "base/assert.h"
#include "share/record_state.h"

namespace millrace::share {

// The records that one state is of.
struct Unit {
  RecordState* state = nullptr;
  Offset first;
  Offset last;  // inclusive
};

class InFlightBatch {
 public:
  InFlightBatch(Offset first, Offset last, RecordState state)
      : first_(first), last_(last), states_{std::move(state)} {
    ASSERT(first <= last);
  }

  Offset first() const { return first_; }
  Offset last() const { return last_; }
  int64_t size() const { return last_ - first_ + 1; }
  bool is_within(Offset first, Offset last) const { return first_ >= first && last_ <= last; }
  bool is_split() const { return states_.size() > 1; }
  // Of all records. Not of one that is split.
  const RecordState& state() const {
    ASSERT(!is_split());
    return states_.front();
  }
  // Each record has its own from now on.
  void split() {
    if (!is_split()) states_.resize(static_cast<size_t>(size()), states_.front());
  }

  // That of `offset`, which is in it.
  Unit unit_at(Offset offset) {
    if (!is_split()) return {&states_.front(), first_, last_};
    return {&states_[static_cast<size_t>(offset - first_)], offset, offset};
  }
  // Calls fn(Unit) for each with records in [first, last], in order.
  template <class F>
  void for_each(Offset first, Offset last, F&& fn) {
    if (first > last_ || last < first_) return;
    if (!is_split()) return fn(Unit{&states_.front(), first_, last_});
    for (Offset at = std::max(first, first_); at <= std::min(last, last_); ++at) fn(unit_at(at));
  }
  template <class F>
  void for_each(F&& fn) {
    for_each(first_, last_, fn);
  }
  // Calls fn(const RecordState&, first, last) for each, in order.
  template <class F>
  void look_at_each(F&& fn) const {
    if (!is_split()) return fn(states_.front(), first_, last_);
    for (size_t i = 0; i < states_.size(); ++i) {
      const Offset at = first_ + static_cast<int64_t>(i);
      fn(states_[i], at, at);
    }
  }

 private:
  Offset first_;
  Offset last_;
  std::vector<RecordState> states_;  // one, or one a record
};

}  // namespace millrace::share
