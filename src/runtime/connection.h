// env::Connection on a TCP socket. Asio says when the socket is ready; bytes move by plain recv,
// sendmsg and sendfile.
//
// Asio's epoll registration is edge triggered, so readiness is remembered here: the socket counts
// as ready until a read (or write) says would-block, and only then does it wait for the next edge.
// That gives the level-triggered events of env/net.h without an epoll_ctl a request.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "env/net.h"
#include "runtime/shard.h"

namespace millrace::runtime {

class Connection final : public env::Connection {
 public:
  Connection(Shard& shard, boost::asio::ip::tcp::socket socket);
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
  // One direction of the socket.
  struct Direction {
    bool watched = false;
    bool ready = true;     // no would-block since the last edge
    bool pending = false;  // an event or an async_wait is under way
  };
  // Outlives the connection while Asio or the shard still hold callbacks.
  struct State : std::enable_shared_from_this<State> {
    State(Shard& s, boost::asio::ip::tcp::socket k) : shard(&s), socket(std::move(k)) {}
    void arm_read();
    void arm_write();
    void deliver_read();
    void deliver_write();

    Shard* shard;
    boost::asio::ip::tcp::socket socket;
    env::ConnectionEvents* events = nullptr;
    Direction reading;
    Direction writing;
    bool closed = false;
  };

  Result<size_t> file_through_memory(env::File& file, uint64_t position, size_t length);

  std::shared_ptr<State> state_;
};

}  // namespace millrace::runtime
