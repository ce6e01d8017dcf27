// Reads records as a member of a share group, whose members share the records of a partition as
// those of a queue: each record is given to one of them for a while, which says what became of it.
//
// Threads: one at a time, but for wakeup(), which any may call; a second one is std::logic_error.
// The share consumer has a thread of its own, which keeps the membership alive and acquires the
// records of the next poll() when that is called.
// Acknowledgement: with share.acknowledgement.mode=implicit, the default, a poll(), commit() or
// close() accepts all that the poll() before it gave. With explicit each record has to be spoken of
// before the next poll().
// After a fork() only the parent may use it.
//
// KIP-932, KIP-1206 (share.acquire.mode), KIP-1222 (renewal).
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millrace/config.h"
#include "millrace/error.h"
#include "millrace/export.h"
#include "millrace/record.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

enum class AcknowledgeType {
  kAccept = 1,   // done with
  kRelease = 2,  // to be given again, to whomever
  kReject = 3,   // never to be given again
  kRenew = 4,    // more time is needed: it stays with this consumer, and is to be spoken of again
};

// What the leader of a partition answered to acknowledgements; no error: it has them.
struct AcknowledgeOutcome {
  TopicPartition partition;
  std::vector<std::int64_t> offsets;
  std::optional<Error> error;
};

class MILLRACE_API ShareConsumer {
 public:
  // Connects in the background. Error: INVALID_CONFIG; group.id is needed.
  explicit ShareConsumer(const Config& config);
  // As close(), without throwing.
  ~ShareConsumer();
  ShareConsumer(ShareConsumer&& other) noexcept;
  ShareConsumer& operator=(ShareConsumer&& other) noexcept;

  // Joins the group for these topics; once. Does not wait: records come while poll() is called.
  void subscribe(const std::vector<std::string>& topics);

  // Records that are this consumer's until acquisition_lock_timeout() is over; about
  // max.poll.records at most (share.acquire.mode=record_limit: no more). None when the timeout has
  // come or wakeup() was called. Returns as soon as there are some.
  // std::logic_error: explicit, and records of the last one were not spoken of.
  // Error: what ends the membership or the reading (no authorization, no share groups there).
  std::vector<ConsumerRecord> poll(std::chrono::milliseconds timeout);
  // Ends a poll() that waits, or the next one that would. Any thread, and signal-unsafe.
  void wakeup();

  // What became of a record; told to the leader with the next poll(), commit() or close().
  // std::logic_error: with implicit acknowledgement, or of a record that is not this consumer's.
  void acknowledge(const ConsumerRecord& record, AcknowledgeType type = AcknowledgeType::kAccept);
  // Tells the leaders, and waits for what they answer: to these and to all acknowledgements whose
  // answers were not given by a commit() before. What is not answered in time is told the next
  // time.
  std::vector<AcknowledgeOutcome> commit(
      std::chrono::milliseconds timeout = std::chrono::seconds(30));
  // How long a record is this consumer's from when it was given; none: not known yet.
  std::optional<std::chrono::milliseconds> acquisition_lock_timeout();

  // Tells the leaders what was acknowledged, gives everything else back, and leaves the group.
  // Waits at most `timeout`. A second close() does nothing; every other call but wakeup() is
  // std::logic_error then.
  void close(std::chrono::milliseconds timeout = std::chrono::seconds(30));

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace millrace
