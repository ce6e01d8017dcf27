#include "app/transactional_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace millrace::app {

using client::core::OutgoingRecord;

Outcome<> TransactionalFeed::begin() {
  if (auto failed = feeder_.init_transactions())
    return std::unexpected(
        Failure(fmt::format("cannot begin with transactions: {}", failed->message), ""));
  return {};
}

Outcome<> TransactionalFeed::feed(std::vector<OutgoingRecord> records) {
  auto next = records.begin();
  while (next != records.end()) {
    const auto left = static_cast<int64_t>(records.end() - next);
    const int64_t room = setup_.every ? *setup_.every - in_transaction_ : left;
    const auto end = next + std::min(left, room);
    std::vector<OutgoingRecord> some(std::make_move_iterator(next), std::make_move_iterator(end));
    next = end;
    if (auto fed = feed_some(std::move(some)); !fed) return fed;
  }
  return {};
}

Outcome<> TransactionalFeed::feed_some(std::vector<OutgoingRecord> records) {
  if (!open_) {
    if (auto failed = feeder_.begin_transaction())
      return std::unexpected(Failure(failed->message, ""));
    open_ = true;
  }
  in_transaction_ += static_cast<int64_t>(records.size());
  feeder_.feed(std::move(records));
  if (setup_.record_failed()) return std::unexpected(abandon(Failure()));
  if (setup_.every && in_transaction_ >= *setup_.every) return commit();
  return {};
}

Outcome<> TransactionalFeed::commit() {
  if (auto failed = feeder_.commit_transaction())
    return std::unexpected(abandon(Failure(failed->message, "")));
  open_ = false;
  committed_ += std::exchange(in_transaction_, 0);
  setup_.committed();
  return {};
}

Outcome<> TransactionalFeed::finish() {
  if (!open_) return {};
  return commit();
}

Failure TransactionalFeed::abandon(Failure why) {
  if (!std::exchange(open_, false)) return why;
  const bool record_failed = setup_.record_failed();  // others do because of the abort
  if (const auto failed = feeder_.abort_transaction()) {
    // Why a producer cannot go on says more than what it met first.
    why = Failure(fmt::format("cannot go on with transactions: {}", failed->message), "");
  } else {
    if (record_failed) why = setup_.why_record();
    why.problem = fmt::format("the transaction was aborted: {}", why.problem);
  }
  if (committed_ > 0)
    why.problem += fmt::format("; {} records of transactions before it are committed", committed_);
  return why;
}

}  // namespace millrace::app
