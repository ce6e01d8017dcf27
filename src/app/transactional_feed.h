// Feeds records to a producer in transactions, of so many records each or of all that come. What
// fails ends with the transaction that it was in: that is aborted, and nothing more is fed.
// Not here: what becomes of a single record (app/feeder.h tells it).
// Threads: the feeder's.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "app/failure.h"
#include "app/feeder.h"

namespace millrace::app {

class TransactionalFeed {
 public:
  struct Setup {
    std::optional<int64_t> every;         // records; none: one transaction of all
    std::function<void()> committed;      // what was fed since the last time
    std::function<bool()> record_failed;  // one that was fed
    std::function<Failure()> why_record;  // the first that did
  };
  TransactionalFeed(Feeder& feeder, Setup setup) : feeder_(feeder), setup_(std::move(setup)) {}

  // First of all: no other producer with the transactional id goes on.
  Outcome<> begin();
  Outcome<> feed(std::vector<client::core::OutgoingRecord> records);
  // Commits what is open.
  Outcome<> finish();
  // Aborts what is open, because of `why`; that, and what became of all.
  Failure abandon(Failure why);

 private:
  Outcome<> feed_some(std::vector<client::core::OutgoingRecord> records);
  Outcome<> commit();

  Feeder& feeder_;
  Setup setup_;
  bool open_ = false;
  int64_t in_transaction_ = 0;
  int64_t committed_ = 0;
};

}  // namespace millrace::app
