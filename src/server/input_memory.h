// The memory that the connections of one shard hold for requests that are not whole yet: accounted
// before it is taken, and bounded.
// Not here: when a connection reads (server/connection).
//
// Invariants (asserted): IM1 what is held is at most the limit, and beyond it only what
// take_beyond() gave: small tails, which every connection may have, and the buffer of the one
// connection at a time that is favoured. So all that is held is at most limit + connections *
// kSmallTail + 2 * the largest request, and a favoured connection, which gets its request whole,
// ends every wait for memory. Buffers that are done with are kept warm for the next large requests
// while there is room.
// Threads: those of the shard.
#pragma once

#include <memory>
#include <vector>

#include "base/frame_buffer.h"

namespace millrace::server {

class Connection;

class InputMemory {
 public:
  static constexpr size_t kDefaultLimit = 64 << 20;
  static constexpr size_t kSmallTail = 4096;
  static constexpr size_t kSpareBytes = 256 << 10;  // what is smaller is not kept
  static constexpr size_t kMostSpares = 4;

  explicit InputMemory(size_t limit = kDefaultLimit) : limit_(limit) {}

  // A buffer of at least `bytes`; an empty one: there is no room, and the connection has to wait.
  FrameBuffer take(size_t bytes);
  FrameBuffer take_beyond(size_t bytes);
  // A warm buffer, if the last one kept has so much room; an empty one otherwise.
  FrameBuffer take_spare(size_t bytes);
  void give_back(FrameBuffer buffer);  // one that is not empty was outgrown, and is not kept

  // Makes the connection the favoured one, unless another is.
  bool favour(const std::shared_ptr<Connection>& connection);
  void end_favour(const Connection& connection);

  size_t held() const { return held_; }  // spare buffers included
  size_t most_held() const { return most_held_; }
  size_t limit() const { return limit_; }
  // What can still be taken.
  size_t room() const;
  size_t spares() const { return spares_.size(); }

 private:
  FrameBuffer make(size_t bytes);
  void drop_spares_beyond(size_t held);

  size_t limit_;
  size_t held_ = 0;
  size_t most_held_ = 0;
  std::vector<FrameBuffer> spares_;
  std::weak_ptr<Connection> favoured_;
};

}  // namespace millrace::server
