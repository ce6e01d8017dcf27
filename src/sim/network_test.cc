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
  void say(std::string_view words) {
    const ByteView bytes = as_bytes(words);
    ASSERT_EQ(stream_->write({&bytes, 1}, false).value(), words.size());
  }

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
    reached_ = ended_ = false;
    client_.connect(client_.shard(0), {.host = "server", .port = 1}, [this](auto stream) {
      reached_ = stream.has_value();
      ended_ = true;
      if (reached_) connected_.take(std::move(*stream));
    });
    world_.run_for(seconds(1));
    return reached_;
  }
  void send(std::string_view text) { connected_.say(text); }

  World world_{3};
  Network network_{world_};
  Medium medium_{world_};
  Host server_{network_, medium_, {.name = "server"}};
  Host client_{network_, medium_, {.name = "client"}};
  std::unique_ptr<env::Listener> listener_;
  Listening accepted_, connected_;
  bool reached_ = false, ended_ = false;
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
  network_.isolate("server");
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

TEST_F(NetworkTest, a_cut_of_one_direction_lets_the_other_through) {
  ASSERT_TRUE(connect());
  network_.cut({.from = "server", .to = "client"});
  send("question");
  accepted_.say("answer");
  world_.run_for(seconds(5));
  EXPECT_EQ(accepted_.text, "question");
  EXPECT_EQ(connected_.text, "");
  network_.heal({.from = "server", .to = "client"});
  world_.run_for(seconds(1));
  EXPECT_EQ(connected_.text, "answer");
}

TEST_F(NetworkTest, nobody_connects_through_a_cut_of_either_direction) {
  network_.cut({.from = "server", .to = "client"});
  EXPECT_FALSE(connect());
  world_.run_for(seconds(60));
  EXPECT_FALSE(reached_);
  EXPECT_TRUE(ended_);
}

TEST_F(NetworkTest, a_reset_between_two_leaves_the_others) {
  ASSERT_TRUE(connect());
  network_.reset_between({"server", "other"});
  world_.run_for(seconds(1));
  EXPECT_EQ(connected_.ended, "");
  network_.reset_between({"server", "client"});
  world_.run_for(seconds(1));
  EXPECT_EQ(connected_.ended, "reset");
}

TEST_F(NetworkTest, hosts_listen_on_one_port_each_under_its_name) {
  Host other(network_, medium_, {.name = "other"});
  bool reached_other = false;
  auto listener =
      other.listen({.host = "", .port = 1}, [&](env::Shard&, auto) { reached_other = true; });
  ASSERT_TRUE(listener);
  ASSERT_TRUE(connect());
  EXPECT_FALSE(reached_other);
  EXPECT_NE(connected_.stream().peer_host(), accepted_.stream().peer_host());
}

TEST_F(NetworkTest, the_machine_of_a_dead_process_tells_its_peers) {
  ASSERT_TRUE(connect());
  network_.died("server", Network::Death::kProcess);
  world_.run_for(seconds(1));
  EXPECT_EQ(connected_.ended, "reset");
}

TEST_F(NetworkTest, a_machine_without_power_tells_nobody_until_it_is_back) {
  ASSERT_TRUE(connect());
  network_.died("server", Network::Death::kMachine);
  send("anybody there?");
  world_.run_for(seconds(30));
  EXPECT_EQ(connected_.ended, "");
  EXPECT_FALSE(connect());
  network_.appeared("server");
  world_.run_for(seconds(30));
  EXPECT_EQ(connected_.ended, "reset");
}

TEST_F(NetworkTest, a_process_that_stands_still_takes_what_came_when_it_goes_on) {
  ASSERT_TRUE(connect());
  server_.pause();
  send("hello");
  world_.run_for(seconds(30));
  EXPECT_EQ(accepted_.text, "");
  server_.go_on();
  world_.run_for(seconds(1));
  EXPECT_EQ(accepted_.text, "hello");
}

TEST_F(NetworkTest, what_is_slowed_down_is_late_that_way) {
  ASSERT_TRUE(connect());
  network_.slow_down({"client", "server"}, seconds(1000));
  send("slow");
  accepted_.say("quick");
  world_.run_for(seconds(1));
  EXPECT_EQ(accepted_.text, "");
  EXPECT_EQ(connected_.text, "quick");
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
