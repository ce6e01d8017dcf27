// The right and duty to answer one request, and what an answer goes to: a connection
// (server/connection), the envelope that the request came in (handlers/58_envelope), or the broker
// that may have to ask another controller (server/forwarding).
// Not here: how a response is encoded (server/call).
//
// Threads: the shard of the target, from birth to use.
// Ownership: a Reply keeps its target alive until it is used.
// Invariants (asserted): C3 a Reply is used at most once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "env/shard.h"
#include "server/output_queue.h"

namespace millrace::server {

class ReplyTarget {
 public:
  virtual env::Shard& shard() const = 0;
  // The whole response, frame size, header and body; no pieces: the request has none.
  // `sequence` is what the Reply was made with.
  virtual void complete(uint64_t sequence, std::vector<OutputPiece> pieces) = 0;
  // The same, of a response that says that this node is not the active controller.
  virtual void complete_not_controller(uint64_t sequence, std::vector<OutputPiece> pieces) {
    complete(sequence, std::move(pieces));
  }
  // Whether requests behind this one may begin before it is answered; where they come one by one
  // anyway it changes nothing.
  virtual void let_overtake(uint64_t /*sequence*/, bool /*may*/) {}
  // Whoever asked shall not be heard for that long from now on (KIP-219). False: it is not this
  // target's to see to that.
  virtual bool throttle(Duration /*wait*/) { return false; }
  // There is and will be no answer; `cause` is for the log.
  virtual void abandon(const std::string& cause) = 0;

 protected:
  ~ReplyTarget() = default;
};

// Destroyed unused it abandons: no client waits for ever.
class Reply {
 public:
  Reply() = default;
  Reply(std::shared_ptr<ReplyTarget> target, uint64_t sequence)
      : target_(std::move(target)), sequence_(sequence) {}
  Reply(Reply&& other) noexcept = default;
  Reply& operator=(Reply&& other) noexcept;
  ~Reply();

  void send(std::vector<OutputPiece> pieces);
  void send(ByteBuffer frame);
  void send_not_controller(ByteBuffer frame);
  // acks=0: the request is done and has no response.
  void send_nothing();
  // The requests behind this one wait until stop_line() was taken back, or it is answered; they go
  // on at the end of the turn.
  void stop_line() { target_->let_overtake(sequence_, false); }
  void let_line_go() { target_->let_overtake(sequence_, true); }
  // Before the answer, which says so.
  bool throttle(Duration wait) { return target_->throttle(wait); }
  // Closes the connection because of this request; `cause` goes to the log.
  void close(const std::string& cause);

  env::Shard& shard() const;
  explicit operator bool() const { return target_ != nullptr; }

 private:
  std::shared_ptr<ReplyTarget> take();

  std::shared_ptr<ReplyTarget> target_;
  uint64_t sequence_ = 0;
};

}  // namespace millrace::server
