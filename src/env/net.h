// The door to the network: byte streams, non-blocking, watched by the shard that owns them.
//
// A Connection belongs to one shard; all calls and all events happen there. Destroying it closes
// it. Events are level triggered: while reading is watched and bytes (or the end, or an error) are
// there, readable() is called once a turn. The owner may destroy the connection inside an event.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "env/disk.h"
#include "env/shard.h"

namespace millrace::env {

struct Address {
  std::string host;   // name or literal; empty: all interfaces
  uint16_t port = 0;  // 0 when listening: any free one
  friend bool operator==(const Address&, const Address&) = default;
  std::string to_string() const { return host + ":" + std::to_string(port); }
};

class ConnectionEvents {
 public:
  virtual void readable() = 0;
  virtual void writable() = 0;

 protected:
  ~ConnectionEvents() = default;
};

class Connection {
 public:
  virtual ~Connection() = default;
  virtual void set_events(
      ConnectionEvents* events) = 0;     // outlives the connection, or is reset first
  virtual void watch_read(bool on) = 0;  // off is how backpressure is made: the socket is not read
  virtual void watch_write(bool on) = 0;

  // Bytes read; 0: the peer closed its side. kWouldBlock: nothing now; kClosed: reset.
  virtual Result<size_t> read(MutableByteView into) = 0;
  // Bytes taken, in order, possibly fewer than given (then watch_write). `more`: more follows at
  // once (MSG_MORE).
  virtual Result<size_t> write(std::span<const ByteView> pieces, bool more) = 0;
  // Sends a range of a file without copying it through user space where the system can; as write.
  virtual Result<size_t> send_file(File& file, uint64_t position, size_t length) = 0;

  virtual std::string peer() const = 0;       // "127.0.0.1:51234"
  virtual std::string peer_host() const = 0;  // "127.0.0.1"
};

class Listener {
 public:
  virtual ~Listener() = default;  // stops listening
  virtual uint16_t port() const = 0;
};

}  // namespace millrace::env
