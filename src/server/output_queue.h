// What a connection still has to send: an ordered queue of pieces, each either bytes in memory or a
// range of a log file.
// Not here: which response comes when (server/connection).
//
// Short ranges that are in the page cache are copied, so that a response leaves in one call: by
// sendfile the pages of a range go out as so many fragments, which costs sender and receiver more
// than the copy does until a range has some hundred KB. Longer ones, those that are not in the
// cache, and whatever a slow peer would have copied again each time it takes a part, go by
// sendfile.
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
  // cannot be completed any more). `scratch`: for this call, and how much is copied at most.
  Result<bool> send(env::Connection& connection, MutableByteView scratch);

  bool empty() const { return pieces_.size() == next_; }
  size_t bytes_waiting() const { return bytes_waiting_; }

 private:
  struct Gathered;

  // What goes out in one call from the front of the queue: nothing, where that is a file.
  Gathered gather(MutableByteView scratch) const;
  Result<size_t> send_front(env::Connection& connection, MutableByteView scratch);
  Result<size_t> send_file(env::Connection& connection);
  void consume(size_t count);

  std::vector<OutputPiece> pieces_;  // pieces_[next_..] wait
  size_t next_ = 0;
  size_t sent_of_front_ = 0;
  size_t bytes_waiting_ = 0;
  bool is_held_up_ = false;  // the peer did not take all of what it was given last
};

}  // namespace millrace::server
