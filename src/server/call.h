// One request on its way through a handler: the decoded header, who sent it, the services a handler
// may use, and the right to answer. Handlers are free functions `void handle_x(Call call)`
// (server/handlers, one file an API); they move the call into whatever answers later.
// Not here: framing and order (server/connection), the table of APIs (server/dispatch).
//
// A handler that cannot decode the body closes the connection, as Kafka does: there is no error
// frame for that.
// Threads: the shard of the connection, from the call's birth to its answer.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "node/client_quotas.h"
#include "node/node.h"
#include "record/record.h"
#include "server/connection.h"
#include "server/fetch_session_cache.h"
#include "server/reply.h"
#include "wire/api_table.h"
#include "wire/codec.h"

namespace millrace::server {

class ClientTelemetry;

// What the handlers of one shard share.
struct Services {
  node::Node* node = nullptr;
  FetchSessionCache* fetch_sessions = nullptr;  // of the whole broker
  ClientTelemetry* telemetry = nullptr;         // the same
  record::ReadScratch scratch;
};

// A range of a log file that stands for the `records` of a response: Records::external_id is its
// place in the list that respond() gets.
struct FileRange {
  std::shared_ptr<env::File> file;
  uint64_t position = 0;
  size_t length = 0;
};

// What a listener is for: its own set of APIs (server/dispatch).
enum class ListenerKind : uint8_t { kBroker, kController };

struct CallHeader {
  wire::ApiKey api{};
  int16_t version = 0;
  ListenerKind listener = ListenerKind::kBroker;
  int32_t correlation_id = 0;
  std::string client_id;  // null counts as ""
};

// How long a request has kept its shard, for quotas of request time: made only where there are any.
// What is done after the handler has returned is not counted, as in Kafka.
struct HandlerTime {
  Instant begun;
  std::optional<Duration> taken;  // once the handler has returned
};

class Call {
 public:
  struct Parts {
    CallHeader header;
    ByteView frame;          // the whole request as it came, header and body
    size_t body_offset = 0;  // in the frame
    PeerInfo* peer = nullptr;
    Services* services = nullptr;
    std::shared_ptr<HandlerTime> time{};  // null: none of it is charged
    bool is_exempt = false;               // charged to no client
  };
  Call(Parts parts, Reply reply) : parts_(std::move(parts)), reply_(std::move(reply)) {}

  const CallHeader& header() const { return parts_.header; }
  int16_t version() const { return parts_.header.version; }
  PeerInfo& peer() const { return *parts_.peer; }
  env::Shard& shard() const { return reply_.shard(); }
  node::Node& node() const { return *parts_.services->node; }
  Services& services() const { return *parts_.services; }
  const Parts& parts() const { return parts_; }
  // For an answer that is encoded already.
  Reply& reply() { return reply_; }

  // Who is charged for it.
  quota::Client client() const { return {peer().principal.name, header().client_id}; }
  // The answer will tell the client to wait, and it is not heard for as long. Of several waits the
  // longest counts.
  void throttle(quota::Kind why, Duration wait);
  // The time that this request takes is charged to no client.
  void exempt_from_request_quota() { parts_.is_exempt = true; }
  // For the request inside of this one, which is charged instead.
  std::shared_ptr<HandlerTime> give_time() { return std::exchange(parts_.time, nullptr); }
  // Charges the time that it has taken, once, and has its connection be silent: for how long. For
  // an answer that is encoded already; respond() does it.
  Duration settle_quotas();
  // Its first part: how long the client has to wait for its time; zero when it was charged before.
  Duration charge_time();

  // The request, or nothing: then the connection has been closed and the handler returns. Views in
  // the request (wire::Records) end when the handler returns.
  template <class Request>
  std::optional<Request> decode() {
    auto request = wire::decode<Request>(parts_.frame.subspan(parts_.body_offset), version());
    if (request) return std::move(*request);
    close(fmt::format("{} v{}: {}", wire::api_name(header().api), version(),
                      request.error().message));
    return std::nullopt;
  }

  template <class Response>
  void respond(const Response& response, std::vector<FileRange> ranges = {}) {
    if (owes_nothing()) return send_encoded(response, std::move(ranges));
    const Duration wait = settle_quotas();
    if constexpr (requires { response.throttle_time_ms; })
      if (wait > Duration::zero()) {
        Response slowed = response;
        slowed.throttle_time_ms = static_cast<int32_t>(wait / milliseconds(1));
        return send_encoded(slowed, std::move(ranges));
      }
    send_encoded(response, std::move(ranges));
  }
  // Of a response at the request's version, as it would be sent, without its header.
  template <class Response>
  size_t size_of(const Response& response) const {
    wire::Writer writer;
    writer.int32(0);
    write(writer, version(), response);
    return writer.total_size();
  }
  // A response that says that this node is not the active controller: who passed the request on
  // asks another.
  template <class Response>
  void respond_not_controller(const Response& response) {
    auto writer = encode(response);
    if (writer) reply_.send_not_controller(std::move(*writer).take());
  }
  // Encoded at another version than the request's: ApiVersions answers a version it does not know
  // so.
  template <class Response>
  void respond_at(int16_t version, const Response& response) {
    parts_.header.version = version;
    respond(response);
  }
  // The request's bytes outlive the handler's turn: it may be decoded again.
  void keep_frame() {
    kept_ = std::make_unique<ByteBuffer>(copy_of(parts_.frame));
    parts_.frame = *kept_;
  }
  void respond_nothing() {  // acks=0
    settle_quotas();
    reply_.send_nothing();
  }
  void close(const std::string& cause) { reply_.close(cause); }

 private:
  bool owes_nothing() const { return !parts_.time && wait_ == Duration::zero(); }
  template <class Response>
  void send_encoded(const Response& response, std::vector<FileRange> ranges) {
    auto writer = encode(response);
    if (writer) send(std::move(*writer), std::move(ranges));
  }
  // Nothing: it cannot be encoded at this version, and the connection has been closed.
  template <class Response>
  std::optional<wire::Writer> encode(const Response& response) {
    wire::Writer writer = begin_frame();
    write(writer, version(), response);  // found beside the response, in wire
    if (!finish_frame(writer)) return std::nullopt;
    return writer;
  }
  wire::Writer begin_frame() const;
  bool finish_frame(wire::Writer& writer);
  void send(wire::Writer writer, std::vector<FileRange> ranges);

  Parts parts_;
  Duration wait_{};
  quota::Kind why_ = quota::Kind::kRequest;  // it has to wait
  std::unique_ptr<ByteBuffer> kept_;
  Reply reply_;
};

}  // namespace millrace::server
