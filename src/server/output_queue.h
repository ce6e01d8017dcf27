// What a connection still has to send: an ordered queue of pieces, each either bytes in memory or a
// range of a log file that goes out by sendfile without being copied.
// Not here: which response comes when (server/connection).
//
// Threads: those of the shard that owns the connection.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "env/net.h"

namespace millrace::server {

// One run of bytes to send: `bytes`, or `length` bytes of `file` from `position`.
struct OutputPiece {
  ByteBuffer bytes;
  std::shared_ptr<env::File> file;
  uint64_t position = 0;
  size_t length = 0;

  size_t size() const { return file ? length : bytes.size(); }
};

class OutputQueue {
 public:
  void push(std::vector<OutputPiece> pieces);

  // Sends what the connection takes. True: all is sent; false: the rest waits for writable(). An
  // error means that the connection is dead (or that a file range could not be read: the response
  // cannot be completed any more).
  Result<bool> send(env::Connection& connection);

  bool empty() const { return pieces_.size() == next_; }
  size_t bytes_waiting() const { return bytes_waiting_; }

 private:
  Result<size_t> send_memory(env::Connection& connection);
  Result<size_t> send_gathered(env::Connection& connection);
  Result<size_t> send_file(env::Connection& connection);
  void consume(size_t count);

  std::vector<OutputPiece> pieces_;  // pieces_[next_..] wait
  size_t next_ = 0;
  size_t sent_of_front_ = 0;
  size_t bytes_waiting_ = 0;
};

}  // namespace millrace::server
