// A client's connection to one broker: real requests and responses, encoded and decoded, over a
// simulated stream. It connects when there is something to send.
// Not here: which broker to ask (sim/client), what to ask (sim/producer, sim/consumer, ...).
//
// Errors: when the connection fails, or an answer is later than the timeout, every request under
// way gets an error and the connection is given up; the next call connects anew.
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "sim/host.h"

namespace millrace::sim {

struct Api {
  int16_t key, version;
};

class Conversation final : private env::ConnectionEvents {
 public:
  // The body of an answer, as long as the call lasts, or why there is none.
  using Done = std::function<void(Result<ByteView>)>;

  Conversation(Host& host, std::string client_id, env::Address broker);
  ~Conversation();

  void send(Api api, const ByteBuffer& body, Done done);
  void disconnect() { give_up("given up by the client"); }

  Duration timeout = seconds(5);

 private:
  struct Waiting {
    Done done;
    int16_t header_version;
    Instant until;
  };

  void connect();
  void readable() override;
  void writable() override { flush(); }
  void flush();
  void take_frames();
  void take_response(ByteView frame);
  void check_timeouts();
  void give_up(const std::string& cause);

  Host* host_;
  env::Shard* shard_;
  std::string client_id_;
  env::Address broker_;
  std::unique_ptr<env::Connection> stream_;
  bool connecting_ = false;
  uint64_t attempt_ = 0;  // connections that were given up do not come back
  ByteBuffer outgoing_, incoming_;
  int32_t last_correlation_id_ = 0;
  std::map<int32_t, Waiting> waiting_;
  env::TimerId timer_ = env::TimerId::kNone;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace millrace::sim
