// A client's connection to the broker: real requests and responses, encoded and decoded, over a
// simulated stream. It connects when there is something to send.
// Not here: what to ask and what to make of the answer (sim/producer, sim/consumer, ...).
//
// Errors: when the connection fails, or an answer is later than the timeout, every request under
// way gets an error and the connection is given up; the next call connects anew.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "sim/host.h"
#include "wire/codec.h"

namespace millrace::sim {

class Client final : private env::ConnectionEvents {
 public:
  Client(Host& host, std::string client_id);
  ~Client();

  // `done` gets the response, whose views end with the call, or why there is none.
  template <class Response, class Request>
  void call(const Request& request, int16_t version, std::function<void(Result<Response>)> done) {
    auto body = wire::encode(request, version);
    send({Request::kApiKey, version}, *body,
         [version, done = std::move(done)](Result<ByteView> body) {
           if (!body) return done(std::unexpected(std::move(body).error()));
           done(wire::decode<Response>(*body, version));
         });
  }
  void disconnect() { give_up("given up by the client"); }

  Duration timeout = seconds(5);

 private:
  using Done = std::function<void(Result<ByteView>)>;
  struct Waiting {
    Done done;
    int16_t header_version;
    Instant until;
  };

  struct Api {
    int16_t key, version;
  };
  void send(Api api, const ByteBuffer& body, Done done);
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
