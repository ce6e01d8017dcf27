#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <future>

#include "runtime/host.h"

namespace millrace::runtime {
namespace {

class Directory {
 public:
  Directory() : path_(::testing::TempDir() + "millrace-runtime-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  }
  ~Directory() { EXPECT_EQ(std::system(("rm -rf " + path_).c_str()), 0); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(PosixDisk, reads_what_it_wrote_in_pieces) {
  Directory dir;
  PosixDisk disk;
  auto file = *disk.open(dir / "a", env::OpenMode::kCreate);
  const ByteView pieces[] = {as_bytes("hello "), as_bytes("world")};
  ASSERT_TRUE(file->write_at(pieces, 3).has_value());
  ASSERT_TRUE(file->sync().has_value());
  ByteBuffer read(100);
  EXPECT_EQ(*file->read_at(read, 9), 5u);
  EXPECT_EQ(as_text(ByteView(read).first(5)), "world");
  EXPECT_EQ(*file->size(), 14u);
}

TEST(PosixDisk, names_operation_path_and_cause_in_errors) {
  PosixDisk disk;
  auto missing = disk.open("/nonexistent/x", env::OpenMode::kRead);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  EXPECT_EQ(missing.error().message, "open /nonexistent/x: No such file or directory");
}

TEST(PosixDisk, a_second_lock_on_one_file_is_refused_until_the_first_is_gone) {
  Directory dir;
  PosixDisk disk;
  auto first = disk.lock(dir / ".lock");
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(disk.lock(dir / ".lock").error().code, Errc::kLocked);
  first->reset();
  EXPECT_TRUE(disk.lock(dir / ".lock").has_value());
}

TEST(PosixDisk, lists_by_name_and_makes_nested_directories) {
  Directory dir;
  PosixDisk disk;
  ASSERT_TRUE(disk.make_directories(dir / "b/c").has_value());
  ASSERT_TRUE(env::write_file_atomically(disk, dir / "a", as_bytes("x")).has_value());
  auto entries = *disk.list(dir.path());
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_TRUE(entries[1].is_directory);
  EXPECT_EQ(as_text(*env::read_file(disk, dir / "a")), "x");
}

TEST(Shard, runs_posts_then_due_timers_then_the_end_of_the_turn) {
  Host host(1);
  std::string order;
  host.shard(0).post([&] {
    order += 'p';
    host.shard(0).at_end_of_turn([&] { order += 'e'; });
    host.shard(0).after(milliseconds(1), [&] {
      order += 't';
      host.stop();
    });
  });
  host.run();
  EXPECT_EQ(order, "pet");
}

TEST(Shard, a_cancelled_timer_does_not_run) {
  Host host(1);
  bool ran = false;
  auto timer = host.shard(0).after(milliseconds(1), [&] { ran = true; });
  host.shard(0).cancel(timer);
  host.shard(0).after(milliseconds(5), [&] { host.stop(); });
  host.run();
  EXPECT_FALSE(ran);
}

TEST(Shard, posts_from_another_thread_wake_it_in_order) {
  Host host(2);
  std::vector<int> seen;
  std::jthread other([&] {
    for (int i = 0; i < 1000; ++i) host.shard(1).post([&seen, i] { seen.push_back(i); });
    host.shard(1).post([&] { host.stop(); });
  });
  host.run();
  ASSERT_EQ(seen.size(), 1000u);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(DiskThread, runs_work_in_order_and_reports_by_posting) {
  Host host(1);
  auto thread = host.start_disk_thread("test");
  std::vector<int> seen;
  for (int i = 0; i < 3; ++i)
    thread->run([&, i] {
      host.shard(0).post([&, i] {
        seen.push_back(i);
        if (i == 2) host.stop();
      });
    });
  host.run();
  EXPECT_EQ(seen, std::vector({0, 1, 2}));
}

// Sends back what it gets.
class Echo final : public env::ConnectionEvents {
 public:
  Echo(std::unique_ptr<env::Connection> stream, size_t expected, std::function<void()> done)
      : stream_(std::move(stream)), expected_(expected), done_(std::move(done)) {
    stream_->set_events(this);
    stream_->watch_read(true);
  }
  void readable() override {
    uint8_t bytes[16];
    auto got = stream_->read(bytes);  // once a turn: what is left must bring another event
    if (!got) return;
    seen_ += *got;
    const ByteView piece(bytes, *got);
    if (*got > 0) (void)stream_->write({&piece, 1}, false);
    if (seen_ >= expected_ && done_) std::exchange(done_, nullptr)();
  }
  void writable() override {}
  env::Connection& stream() { return *stream_; }

 private:
  std::unique_ptr<env::Connection> stream_;
  size_t seen_ = 0;
  size_t expected_;
  std::function<void()> done_;
};

TEST(Connection, bytes_left_unread_bring_another_event) {
  Host host(2);
  std::vector<std::unique_ptr<Echo>> ends;
  auto listener = *host.listen(
      {.host = "localhost", .port = 0}, [&](env::Shard&, std::unique_ptr<env::Connection> stream) {
        ends.push_back(std::make_unique<Echo>(std::move(stream), SIZE_MAX, nullptr));
      });
  std::unique_ptr<Echo> client;
  host.connect(host.shard(0), {.host = "127.0.0.1", .port = listener->port()}, [&](auto stream) {
    ASSERT_TRUE(stream.has_value());
    EXPECT_TRUE((*stream)->peer_host() == "127.0.0.1");
    client = std::make_unique<Echo>(std::move(*stream), 1000, [&] { host.stop(); });
    const ByteBuffer bytes(100, 'x');
    const ByteView piece = bytes;
    ASSERT_EQ(*client->stream().write({&piece, 1}, false), 100u);
  });
  host.run();  // ends when 100 bytes went round ten times
  SUCCEED();
}

TEST(Listener, says_when_the_port_is_taken) {
  Host host(1);
  auto first = *host.listen({.host = "127.0.0.1", .port = 0}, [](auto&, auto) {});
  auto second = host.listen({.host = "127.0.0.1", .port = first->port()}, [](auto&, auto) {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kExists);
}

TEST(Host, connecting_to_nobody_is_an_error) {
  Host host(1);
  auto listener = *host.listen({.host = "127.0.0.1", .port = 0}, [](auto&, auto) {});
  const uint16_t port = listener->port();
  listener.reset();
  Errc code = Errc::kInvalid;
  host.connect(host.shard(0), {.host = "127.0.0.1", .port = port}, [&](auto stream) {
    code = stream.error().code;
    host.stop();
  });
  host.run();
  EXPECT_EQ(code, Errc::kClosed);
}

}  // namespace
}  // namespace millrace::runtime
