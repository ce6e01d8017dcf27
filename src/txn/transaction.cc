#include "txn/transaction.h"

#include <algorithm>
#include <array>

namespace millrace::txn {
namespace {

constexpr std::array<std::string_view, 8> kNames = {
    "Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
    "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence"};

}  // namespace

bool may_follow(TransactionState before, TransactionState after) {
  using enum TransactionState;
  switch (before) {
    case kOngoing: return after == kOngoing || after == kPrepareCommit || after == kPrepareAbort;
    case kPrepareCommit: return after == kCompleteCommit;
    case kPrepareAbort: return after == kCompleteAbort;
    case kEmpty:
    case kCompleteCommit:
    case kCompleteAbort: return after == kEmpty || after == kOngoing || after == kPrepareAbort;
    case kDead:
    case kPrepareEpochFence: return false;
  }
  return false;
}

std::string_view state_name(TransactionState state) {
  return kNames.at(static_cast<size_t>(state));
}

std::optional<TransactionState> parse_state(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<TransactionState>(found - kNames.begin());
}

}  // namespace millrace::txn
