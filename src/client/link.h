// One connection to one broker: runs the conversation (client/core/connection.h) over an
// env::Connection, with timeouts.
// Not here: which broker, and what when it fails (client/client.h).
// Threads: those of its shard.
// Ownership: shared, since the callbacks of the host may outlive its use. Callbacks run in a later
// turn than the call that was given them, and not at all once the owner is gone. A call that takes
// longer than its timeout ends the link: a broker answers in order, so that what is behind it waits
// as well.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "client/client.h"

namespace millrace::client {

struct LinkOptions {
  core::ConnectionOptions connection;
  env::Address address;
  Duration connect_timeout{};
  Duration request_timeout{};
  std::weak_ptr<void> owner;
};

class Link final : public env::ConnectionEvents, public std::enable_shared_from_this<Link> {
 public:
  Link(env::Shard& shard, LinkOptions options)
      : shard_(&shard), options_(std::move(options)), conversation_(options_.connection) {}

  void open(env::Host& host);
  void submit(core::Call call, Done<core::Answer> done);
  // Once versions are agreed on, or the link is over.
  void when_ready(Done<void> done);
  // When the link is over, and why; before that nothing is called.
  void when_over(std::move_only_function<void(const Error&)> done) { mourner_ = std::move(done); }
  bool ready() const { return conversation_.ready(); }
  bool over() const { return conversation_.over(); }
  // A connection was there once; over without it: nobody listens at the address.
  bool was_connected() const { return was_connected_; }
  const wire::ApiVersionsResponse& broker() const { return conversation_.broker(); }

  void readable() override;
  void writable() override { flush(); }

 private:
  struct Pending {
    Done<core::Answer> done;
    env::TimerId timer = env::TimerId::kNone;
  };

  void opened(Result<std::unique_ptr<env::Connection>> opened);
  void run(core::Connection::Event event);
  void lose(Errc code, std::string_view what);
  void finish(core::CallId id, Result<core::Answer> answer);
  void tell_waiters();
  void flush();
  void close();
  env::TimerId lose_after(Duration timeout, std::string what);

  env::Shard* shard_;
  LinkOptions options_;
  core::Connection conversation_;
  std::unique_ptr<env::Connection> stream_;
  ByteBuffer outgoing_;
  size_t sent_ = 0;
  uint64_t last_call_ = 0;
  Error why_over_;
  std::map<core::CallId, Pending> calls_;
  std::vector<Done<void>> waiters_;
  std::move_only_function<void(const Error&)> mourner_;
  env::TimerId connecting_ = env::TimerId::kNone;
  bool was_connected_ = false;
};

}  // namespace millrace::client
