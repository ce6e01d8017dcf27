#include "library/happening_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace millrace::library {
namespace {

using std::chrono::steady_clock;

TEST(HappeningQueue, gives_what_was_added_in_order_and_nothing_after_its_time) {
  HappeningQueue<int> queue(10);
  queue.add(1);
  queue.add(2);
  EXPECT_EQ(queue.next(steady_clock::time_point{}), 1) << "it is there already";
  EXPECT_EQ(queue.next(steady_clock::time_point{}), 2);
  EXPECT_EQ(queue.next(steady_clock::time_point{}), std::nullopt);
}

TEST(HappeningQueue, says_when_it_is_full_and_once_when_there_is_room_again) {
  HappeningQueue<int> queue(10);
  EXPECT_FALSE(queue.hold(10));
  EXPECT_TRUE(queue.hold(5));
  EXPECT_FALSE(queue.release(1)) << "14 are held";
  EXPECT_TRUE(queue.release(4));
  EXPECT_FALSE(queue.release(5)) << "there was room before";
}

TEST(HappeningQueue, wakes_who_waits) {
  HappeningQueue<int> queue(10);
  std::optional<int> got;
  std::jthread waiter([&] { got = queue.next(steady_clock::time_point::max()); });
  queue.add(7);
  waiter.join();
  EXPECT_EQ(got, 7);
}

}  // namespace
}  // namespace millrace::library
