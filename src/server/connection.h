// One client connection: cuts the byte stream into requests, hands each to the handler, and sends
// the responses in the order of the requests.
// Not here: what a request means (server/dispatch, server/handlers).
//
// Reading: into the shard's one hot scratch buffer; a connection owns memory only for an incomplete
// request. A frame larger than the scratch grows a buffer of its own as bytes arrive, never faster:
// a declared length alone allocates nothing.
// Order: Kafka serves one request of a connection at a time. Here the next one starts while Produce
// requests wait for the disk (their appends already stand in order), so that pipelined producers
// share one sync; any other unanswered request stops the line, and so does a Produce that waits for
// something else before it appends (Reply::stop_line). Responses leave in request order always.
// Quotas: a client that is told to wait is not read meanwhile, whether it waits by itself or not
// (KIP-219).
// Backpressure: no read while a request stops the line, while kMaxUnsentBytes of responses wait for
// the peer, or while the shard has no memory for what would be left of it (server/input_memory).
// Ends: a malformed or oversized frame, an unknown API or version, and a handler's Reply dropped
// unanswered close the connection with one log line that names peer and cause, as Kafka does
// without an error frame.
//
// Invariants (asserted):
//   C1 responses leave in request order.
//   C2 at most kMaxPipelined requests are unanswered.
//   C3 a Reply is used at most once (server/reply).
//
// Threads: everything happens on the shard of the connection; a Reply must be completed there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/frame_buffer.h"
#include "base/time.h"
#include "env/net.h"
#include "env/shard.h"
#include "server/input_memory.h"
#include "server/output_queue.h"
#include "server/reply.h"
#include "server/request_statistics.h"

namespace millrace::server {

// On whose behalf a request is made. Nobody is asked who they are yet: all are this one.
struct Principal {
  std::string type = "User";
  std::string name = "ANONYMOUS";
  bool token_authenticated = false;  // by a delegation token
  friend bool operator==(const Principal&, const Principal&) = default;
};

// What is known of the peer, for handlers: constant during the connection but for the client's
// software name.
struct PeerInfo {
  Principal principal;
  std::string listener;         // name of the listener it came in by ("PLAINTEXT")
  std::string host;             // "127.0.0.1"
  std::string address;          // "127.0.0.1:51234"
  std::string client_software;  // from ApiVersions 3+: "apache-kafka-java 4.3.1"
};

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // `frame` is one request, header and body, without its size; the view ends when this returns: who
  // answers later keeps copies. `peer` lives as long as the reply.
  virtual void handle(ByteView frame, PeerInfo& peer, Reply reply) = 0;
  // May the request behind this one start before this one is answered?
  virtual bool may_be_overtaken(int16_t api_key) const = 0;
};

struct ConnectionLimits {
  size_t max_request_bytes = 100 * 1024 * 1024;  // socket.request.max.bytes
};

// What all connections of one shard share.
struct ShardInput {
  ByteBuffer scratch = ByteBuffer(256 * 1024);
  InputMemory memory;  // for what is incomplete, or waits behind a stopped line
  std::vector<std::weak_ptr<Connection>> waiting_for_memory;
  RequestStatistics statistics;
};

class Connection final : public env::ConnectionEvents,
                         public ReplyTarget,
                         public std::enable_shared_from_this<Connection> {
 public:
  struct Parts {
    std::unique_ptr<env::Connection> stream;
    env::Shard* shard;
    ShardInput* input;
    RequestHandler* handler;
    std::function<void(Connection&)> closed;  // the server forgets it
  };
  Connection(Parts parts, std::string listener, ConnectionLimits limits);
  ~Connection();

  void start();
  void close(const std::string& cause, bool expected = false);

  bool is_open() const { return stream_ != nullptr; }
  bool has_unanswered_requests() const { return !slots_.empty(); }
  // Whether one of them is at work here. Those that wait for others to do something (long polls of
  // Fetch, members of a group) are not: whoever sent them asks elsewhere when this node is gone.
  bool has_work_under_way() const;
  bool has_unsent_bytes() const { return !output_.empty(); }
  size_t unsent_bytes() const { return output_.bytes_waiting(); }
  Instant last_active() const { return last_active_; }
  const PeerInfo& peer() const { return peer_; }
  env::Shard& shard() const override { return *shard_; }

  static constexpr size_t kMaxPipelined = 64;
  static constexpr size_t kMaxUnsentBytes = 1024 * 1024;
  static constexpr size_t kReadBudgetPerTurn = 512 * 1024;

 private:
  // One request under way; answered ones wait here until those before them are answered.
  struct Slot {
    uint64_t sequence;
    int16_t api_key;
    Instant begun;
    bool overtakable;
    bool answered = false;
    std::vector<OutputPiece> pieces;
  };

  void readable() override;
  void writable() override;

  Result<size_t> read_stream();
  Result<size_t> read_through_scratch();
  Result<size_t> read_into_tail();
  size_t serve_frames(ByteView bytes);
  void serve_frame(ByteView frame);
  void serve_tail();
  void keep_tail(ByteView rest);
  FrameBuffer buffer_for(ByteView rest);
  FrameBuffer bigger_buffer(size_t bytes);
  bool grow_tail();
  void drop_tail();
  bool memory_is_short() const;
  size_t frame_size_at_front() const;
  void wake_memory_waiters();
  bool line_is_stopped() const;

  void complete(uint64_t sequence, std::vector<OutputPiece> pieces) override;
  void let_overtake(uint64_t sequence, bool may) override;
  void abandon(const std::string& cause) override { close(cause); }
  bool throttle(Duration wait) override;
  void end_throttle();
  void schedule_flush();
  void flush();
  void resume();
  void update_watches();

  std::unique_ptr<env::Connection> stream_;
  env::Shard* shard_;
  ShardInput* input_;
  RequestHandler* handler_;
  std::function<void(Connection&)> closed_;
  ConnectionLimits limits_;
  PeerInfo peer_;

  FrameBuffer tail_;  // an incomplete frame, or frames that wait behind a stopped line
  std::vector<Slot> slots_;
  uint64_t next_sequence_ = 0;
  OutputQueue output_;
  Instant last_active_;
  Instant muted_until_;
  bool muted_ = false;  // a quota's time runs
  bool flush_scheduled_ = false;
  bool serving_ = false;
  bool waiting_for_memory_ = false;
  bool peer_finished_ = false;
};

}  // namespace millrace::server
