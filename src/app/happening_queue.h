// What happened on the event loop, in order, for a thread that waits for it. Counts the records
// that wait, so that their source can be held back.
// Threads: add() on the loop's, next() on one other.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "client/core/consumed_record.h"

namespace millrace::app {

template <class Happening>
class HappeningQueue {
 public:
  void add(Happening happening) {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(happening));
    }
    there_.notify_one();
  }

  // Whether so many wait now that no more should come.
  bool add_records(std::vector<client::core::ConsumedRecord> records) {
    bool full = false;
    {
      std::lock_guard lock(mutex_);
      queued_ += records.size();
      full = queued_ > kMaxQueued;
      queue_.emplace_back(std::move(records));
    }
    there_.notify_one();
    return full;
  }

  // The next one; nothing when `until` has come. `room` says whether more may come again.
  std::optional<Happening> next(std::chrono::steady_clock::time_point until, bool& room) {
    std::unique_lock lock(mutex_);
    if (!there_.wait_until(lock, until, [&] { return !queue_.empty(); })) return std::nullopt;
    std::optional<Happening> happening(std::move(queue_.front()));
    queue_.pop_front();
    if (auto* records = std::get_if<std::vector<client::core::ConsumedRecord>>(&*happening)) {
      const bool was_full = queued_ > kMaxQueued;
      queued_ -= records->size();
      room = was_full && queued_ <= kMaxQueued;
    }
    return happening;
  }

 private:
  static constexpr size_t kMaxQueued = 16'384;  // records that wait to be printed

  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<Happening> queue_;
  size_t queued_ = 0;
};

}  // namespace millrace::app
