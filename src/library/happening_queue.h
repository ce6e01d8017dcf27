// What happened on the event loop, in order, for a thread that waits for it. Counts what the
// waiting records weigh, so that their source can be held back.
// Threads: next() on one; the rest on any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace millrace::library {

template <class Happening>
class HappeningQueue {
 public:
  // More than `most` may not be held for long: records, bytes, whatever the owner counts.
  explicit HappeningQueue(size_t most) : most_(most) {}

  void add(Happening happening) {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(happening));
    }
    there_.notify_one();
  }

  // Whether so much is held now that no more should come.
  bool hold(size_t weight) {
    std::lock_guard lock(mutex_);
    held_ += weight;
    return held_ > most_;
  }
  // Whether more may come again.
  bool release(size_t weight) {
    std::lock_guard lock(mutex_);
    const bool was_full = held_ > most_;
    held_ -= weight;
    return was_full && held_ <= most_;
  }

  // The next one; nothing when `until` has come.
  std::optional<Happening> next(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    if (!there_.wait_until(lock, until, [&] { return !queue_.empty(); })) return std::nullopt;
    std::optional<Happening> happening(std::move(queue_.front()));
    queue_.pop_front();
    return happening;
  }

 private:
  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<Happening> queue_;
  size_t held_ = 0;
  const size_t most_;
};

}  // namespace millrace::library
