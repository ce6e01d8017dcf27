// Requests that arrive once more, much later, on another connection: as those do that were sent
// before a pause or a cut and that nobody waits for any more. What is repeated must change nothing
// that anybody can see: between nodes every request says of which epoch, session or offset it is,
// and a producer's batches have sequences.
// Not repeated: requests that mean something anew each time (a plain producer's, those of groups,
// of administrators, registrations).
// Threads: one.
#pragma once

#include <deque>
#include <map>

#include "sim/host.h"

namespace millrace::sim {

class Replays {
 public:
  explicit Replays(Network& network);
  ~Replays() { network_->tap = nullptr; }  // clients that outlive it close their connections

  // One of those that were sent in the last minute or so, to whom it was sent.
  void repeat_one();

 private:
  struct Sent {
    env::Address to;
    ByteBuffer frame;
  };
  void take(const Network::Piece& piece);
  void remember(const env::Address& to, ByteView frame);

  Network* network_;
  World* world_;
  Stream dice_;
  Medium medium_;
  Host host_;
  std::map<uint64_t, ByteBuffer> unfinished_;  // of each connection, what is no whole frame yet
  std::deque<Sent> sent_;
};

}  // namespace millrace::sim
