// What may be used by one thread at a time, and not once it is closed; whoever breaks that is told.
// Threads: any.
#pragma once

#include <atomic>
#include <stdexcept>
#include <thread>

namespace millrace::library {

class SingleUser {
 public:
  // Held by every call: the thread that holds one may take more.
  class Use {
   public:
    enum class Of { kOpen, kAny };  // std::logic_error of one that is closed
    explicit Use(SingleUser& used, Of of = Of::kOpen) : used_(used) {
      std::thread::id nobody;
      const auto me = std::this_thread::get_id();
      if (!used_.user_.compare_exchange_strong(nobody, me) && nobody != me)
        throw std::logic_error("two threads use one consumer at a time");
      if (used_.closed_ && of == Of::kOpen) {
        if (used_.uses_ == 0) used_.user_ = std::thread::id();
        throw std::logic_error("the consumer is closed");
      }
      ++used_.uses_;
    }
    ~Use() {
      if (--used_.uses_ == 0) used_.user_ = std::thread::id();
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    SingleUser& used_;
  };

 protected:
  bool closed_ = false;

 private:
  std::atomic<std::thread::id> user_{};
  int uses_ = 0;
};

}  // namespace millrace::library
