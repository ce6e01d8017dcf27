#include "server/output_queue.h"

#include <gtest/gtest.h>

#include "env/testing/memory_disk.h"
#include "env/testing/scripted_stream.h"

namespace millrace::server {
namespace {

// Counts how what is sent is handed over.
class CountingStream final : public env::Connection {
 public:
  explicit CountingStream(env::testing::StreamScript& script) : stream_(script) {}

  void set_events(env::ConnectionEvents*) override {}
  void watch_read(bool) override {}
  void watch_write(bool) override {}
  Result<size_t> read(MutableByteView) override { return 0; }
  Result<size_t> write(std::span<const ByteView> pieces, bool more) override {
    ++writes;
    last_said_more = more;
    return stream_.write(pieces, more);
  }
  Result<size_t> send_file(env::File& file, uint64_t position, size_t length) override {
    ++files;
    return stream_.send_file(file, position, length);
  }
  std::string peer() const override { return ""; }
  std::string peer_host() const override { return ""; }

  int writes = 0;
  int files = 0;
  bool last_said_more = false;

 private:
  env::testing::ScriptedStream stream_;
};

class OutputQueueTest : public testing::Test {
 protected:
  OutputQueueTest() {
    for (size_t i = 0; i < 1000; ++i) log_.push_back(static_cast<uint8_t>(i * 7));
    file_ = *disk_.open("log", env::OpenMode::kReplace);
    EXPECT_TRUE(file_->write_at(log_, 0));
  }

  void push_memory(size_t bytes, uint8_t value) {
    queue_.push([&] {
      std::vector<OutputPiece> pieces;
      pieces.push_back({.bytes = ByteBuffer(bytes, value)});
      return pieces;
    }());
    expected_.insert(expected_.end(), bytes, value);
  }
  void push_file(size_t position, size_t length) {
    queue_.push([&] {
      std::vector<OutputPiece> pieces;
      pieces.push_back({.file = file_, .position = position, .length = length});
      return pieces;
    }());
    const auto begin = log_.begin() + static_cast<ptrdiff_t>(position);
    expected_.insert(expected_.end(), begin, begin + static_cast<ptrdiff_t>(length));
  }
  bool send(size_t scratch_bytes) {
    ByteBuffer scratch(scratch_bytes);
    auto sent = queue_.send(stream_, scratch);
    EXPECT_TRUE(sent.has_value());
    return sent.value_or(false);
  }

  env::testing::MemoryDisk disk_;
  ByteBuffer log_, expected_;
  std::shared_ptr<env::File> file_;
  env::testing::StreamScript script_;
  CountingStream stream_{script_};
  OutputQueue queue_;
};

TEST_F(OutputQueueTest, short_ranges_of_files_leave_with_what_is_around_them_in_one_call) {
  push_memory(10, 1);
  push_file(100, 300);
  push_memory(20, 2);
  push_file(500, 200);
  push_memory(5, 3);
  EXPECT_TRUE(send(500));
  EXPECT_EQ(script_.outgoing, expected_);
  EXPECT_EQ(stream_.writes, 1);
  EXPECT_EQ(stream_.files, 0);
  EXPECT_FALSE(stream_.last_said_more);
}

TEST_F(OutputQueueTest, a_range_that_is_longer_than_the_scratch_is_sent_as_a_file) {
  push_memory(10, 1);
  push_file(0, 501);
  push_memory(5, 3);
  EXPECT_TRUE(send(500));
  EXPECT_EQ(script_.outgoing, expected_);
  EXPECT_EQ(stream_.writes, 2);
  EXPECT_EQ(stream_.files, 1);
}

TEST_F(OutputQueueTest, what_a_slow_peer_left_is_not_copied_again) {
  push_memory(10, 1);
  push_file(100, 300);
  push_memory(5, 3);
  script_.window = 50;
  EXPECT_FALSE(send(500));
  EXPECT_EQ(queue_.bytes_waiting(), 265u);
  script_.window = 100;
  EXPECT_FALSE(send(500));
  script_.window = SIZE_MAX;
  EXPECT_TRUE(send(500));
  EXPECT_EQ(script_.outgoing, expected_);
  EXPECT_GE(stream_.files, 2);
}

TEST_F(OutputQueueTest, a_peer_that_took_everything_is_not_slow_any_more) {
  push_memory(10, 1);
  push_file(100, 300);
  script_.window = 50;
  EXPECT_FALSE(send(500));
  script_.window = SIZE_MAX;
  EXPECT_TRUE(send(500));
  const int files = stream_.files;
  push_memory(10, 1);
  push_file(100, 300);
  EXPECT_TRUE(send(500));
  EXPECT_EQ(script_.outgoing, expected_);
  EXPECT_EQ(stream_.files, files);
}

TEST_F(OutputQueueTest, a_file_that_ends_before_its_range_is_an_error) {
  queue_.push([&] {
    std::vector<OutputPiece> pieces;
    pieces.push_back({.file = file_, .position = 1000, .length = 10});
    return pieces;
  }());
  ByteBuffer scratch(100);
  EXPECT_FALSE(queue_.send(stream_, scratch).has_value());
}

TEST_F(OutputQueueTest, more_pieces_than_fit_in_one_call_all_leave) {
  for (uint8_t i = 0; i < 200; ++i) push_memory(3, i);
  EXPECT_TRUE(send(0));
  EXPECT_EQ(script_.outgoing, expected_);
  EXPECT_TRUE(queue_.empty());
}

}  // namespace
}  // namespace millrace::server
