// env::Connection on a TCP socket: the shard's epoll says when it is ready; bytes move by plain
// recv, sendmsg and sendfile.
//
// A read that gives less than there was room for has emptied the socket: the next one says
// would-block without asking the kernel, until the next event. Reading that is switched off stays
// registered until an event comes in vain: most often it is on again before that, and nothing was
// spent.
// Threads: those of its shard.
#pragma once

#include <memory>
#include <string>

#include "env/net.h"
#include "runtime/descriptor.h"
#include "runtime/shard.h"

namespace millrace::runtime {

class Connection final : public env::Connection {
 public:
  Connection(Shard& shard, Descriptor socket);
  ~Connection() override;

  void set_events(env::ConnectionEvents* events) override { state_->events = events; }
  void watch_read(bool on) override;
  void watch_write(bool on) override;
  Result<size_t> read(MutableByteView into) override;
  Result<size_t> write(std::span<const ByteView> pieces, bool more) override;
  Result<size_t> send_file(env::File& file, uint64_t position, size_t length) override;
  std::string peer() const override;
  std::string peer_host() const override;

 private:
  // Outlives the connection until the turn is over in which it was closed.
  struct State final : Watcher, std::enable_shared_from_this<State> {
    State(Shard& s, Descriptor d) : shard(&s), socket(std::move(d)) {}
    void on_events(uint32_t ready) override;
    uint32_t wanted() const;
    void arm(uint32_t wanted);
    void close();

    Shard* shard;
    Descriptor socket;
    env::ConnectionEvents* events = nullptr;
    bool watches_read = false, watches_write = false;
    bool drained = false;  // by a short read since the last event
    uint32_t armed = 0;    // the events that epoll was asked for
  };

  Result<size_t> file_through_memory(env::File& file, uint64_t position, size_t length);

  std::shared_ptr<State> state_;
};

}  // namespace millrace::runtime
