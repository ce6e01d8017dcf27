#include "sim/network.h"

#include <gtest/gtest.h>

#include "sim/host.h"

namespace millrace::sim {
namespace {

// Reads everything, and notes how it ended.
class Listening : public env::ConnectionEvents {
 public:
  void take(std::unique_ptr<env::Connection> stream) {
    stream_ = std::move(stream);
    stream_->set_events(this);
    stream_->watch_read(true);
  }
  void readable() override {
    ByteBuffer bytes(1000);
    auto got = stream_->read(bytes);
    if (!got || *got == 0) {
      ended = got ? "closed" : "reset";
      return stream_->watch_read(false);
    }
    text += as_text(ByteView(bytes).first(*got));
  }
  void writable() override {}
  env::Connection& stream() { return *stream_; }
  void close() { stream_.reset(); }

  std::string text, ended;

 private:
  std::unique_ptr<env::Connection> stream_;
};

class NetworkTest : public testing::Test {
 protected:
  NetworkTest() {
    listener_ = *server_.listen({.host = "", .port = 1}, [this](env::Shard&, auto stream) {
      accepted_.take(std::move(stream));
    });
  }
  ~NetworkTest() override {
    connected_.close();
    accepted_.close();
  }
  bool connect() {
    bool reached = false;
    client_.connect(client_.shard(0), {.host = "server", .port = 1}, [&](auto stream) {
      reached = stream.has_value();
      if (reached) connected_.take(std::move(*stream));
    });
    world_.run_for(seconds(1));
    return reached;
  }
  void send(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    ASSERT_EQ(connected_.stream().write({&bytes, 1}, false).value(), text.size());
  }

  World world_{3};
  Network network_{world_};
  Medium medium_{world_};
  Host server_{network_, medium_, {.name = "server"}};
  Host client_{network_, medium_, {.name = "client"}};
  std::unique_ptr<env::Listener> listener_;
  Listening accepted_, connected_;
};

TEST_F(NetworkTest, bytes_arrive_in_order_in_pieces_of_any_size) {
  network_.largest_piece = 3;
  ASSERT_TRUE(connect());
  send("hello ");
  send("world");
  world_.run_for(seconds(1));
  EXPECT_EQ(accepted_.text, "hello world");
}

TEST_F(NetworkTest, nothing_gets_through_a_cut_until_it_heals) {
  ASSERT_TRUE(connect());
  network_.cut("server");
  send("late");
  world_.run_for(seconds(5));
  EXPECT_EQ(accepted_.text, "");
  network_.heal();
  world_.run_for(seconds(1));
  EXPECT_EQ(accepted_.text, "late");
}

TEST_F(NetworkTest, a_closed_end_is_told_behind_the_last_byte) {
  ASSERT_TRUE(connect());
  send("bye");
  connected_.close();
  world_.run_for(seconds(1));
  EXPECT_EQ(accepted_.text, "bye");
  EXPECT_EQ(accepted_.ended, "closed");
}

TEST_F(NetworkTest, a_reset_ends_both_sides) {
  ASSERT_TRUE(connect());
  network_.reset_all("server");
  world_.run_for(seconds(1));
  EXPECT_EQ(accepted_.ended, "reset");
  EXPECT_EQ(connected_.ended, "reset");
}

TEST_F(NetworkTest, a_port_that_nobody_listens_on_refuses) {
  listener_.reset();
  EXPECT_FALSE(connect());
}

TEST_F(NetworkTest, a_writer_is_stopped_when_the_reader_does_not_read) {
  ASSERT_TRUE(connect());
  accepted_.stream().watch_read(false);
  const ByteBuffer much(1'000'000);
  const ByteView bytes = much;
  const size_t taken = connected_.stream().write({&bytes, 1}, false).value();
  EXPECT_LT(taken, much.size());
  EXPECT_EQ(connected_.stream().write({&bytes, 1}, false).error().code, Errc::kWouldBlock);
}

TEST(World, the_same_seed_gives_the_same_trace) {
  auto trace_of = [](uint64_t seed) {
    World world(seed);
    for (int i = 0; i < 20; ++i)
      world.after(world.network.around(milliseconds(5)), Owner::kScenario,
                  [&world, i] { world.note(std::to_string(i)); });
    world.run_for(seconds(1));
    return world.trace_hash();
  };
  EXPECT_EQ(trace_of(5), trace_of(5));
  EXPECT_NE(trace_of(5), trace_of(6));
}

TEST(World, events_of_a_dead_owner_do_not_run) {
  World world(1);
  const Owner owner = world.new_owner();
  bool ran = false;
  world.after(milliseconds(1), owner, [&] { ran = true; });
  world.drop(owner);
  world.run_for(seconds(1));
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace millrace::sim
