// A request that the controller decides and a client made of a broker (KIP-590): decided here when
// this node is the active controller, else asked of that one in an envelope, in the client's name.
// Not here: finding the controller and asking it again (node/controller_channel), the other end
// (handlers/58_envelope).
//
// Inputs: a call of a forwardable API. Answered: with what the controller said; with
// REQUEST_TIMED_OUT when none was found within the request's timeout_ms, or kLongestForward where
// it has none; with UNKNOWN_SERVER_ERROR when the controller would not take the envelope; not at
// all, and the connection is closed, when the controller does not know the request's version: the
// client connects again and learns which ones it may use.
// Threads: the shard of the call; the channel is asked on shard 0.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "server/call.h"
#include "wire/headers.h"

namespace millrace::server {

inline constexpr Duration kLongestForward = seconds(60);
inline constexpr Duration kLongestLook = seconds(8);  // of DescribeQuorum, longer than an election

// Handles a forwardable API on a broker's listener.
void ask_controller(Call call);

// Where the answer goes to a request that a call led to: decoded, to `finish`.
template <class Response>
class InnerReply final : public ReplyTarget {
 public:
  using Finish = std::move_only_function<void(Result<Response>)>;
  InnerReply(const Call& outer, int16_t version, Finish finish)
      : shard_(&outer.shard()),
        peer_(outer.peer()),
        version_(version),
        finish_(std::move(finish)) {}

  PeerInfo& peer() { return peer_; }
  env::Shard& shard() const override { return *shard_; }
  void complete(uint64_t, std::vector<OutputPiece> pieces) override {
    constexpr size_t kSizeBytes = 4;
    wire::Reader reader(ByteView(pieces.at(0).bytes).subspan(kSizeBytes));
    wire::ResponseHeader header;
    Response response;
    const wire::ApiInfo* api = wire::find_api(Response::kApiKey);
    read(reader, wire::response_header_version(*api, version_), header);
    read(reader, version_, response);
    if (auto status = reader.status(); !status) return finish_(std::unexpected(status.error()));
    finish_(std::move(response));
  }
  void abandon(const std::string& cause) override { finish_(fail(Errc::kClosed, cause)); }

 private:
  env::Shard* shard_;
  PeerInfo peer_;
  int16_t version_;
  Finish finish_;
};

// Has another request than the one that came decided, in the same client's name and at this
// version; `finish` gets what became of it, or why nothing is known of that, on the call's shard.
// The call may be answered before.
template <class Response, class Request>
void ask_controller_aside(const Call& outer, const Request& request, int16_t version,
                          typename InnerReply<Response>::Finish finish) {
  const wire::ApiInfo* api = wire::find_api(Request::kApiKey);
  Call::Parts parts = outer.parts();
  parts.header.api = api->key;
  parts.header.version = version;
  wire::Writer writer;
  wire::write(writer, wire::request_header_version(*api, version),
              wire::RequestHeader{.request_api_key = Request::kApiKey,
                                  .request_api_version = version,
                                  .correlation_id = parts.header.correlation_id,
                                  .client_id = parts.header.client_id});
  parts.body_offset = writer.total_size();
  write(writer, version, request);
  const ByteBuffer frame = std::move(writer).take();
  parts.frame = frame;
  auto reply = std::make_shared<InnerReply<Response>>(outer, version, std::move(finish));
  parts.peer = &reply->peer();
  parts.time.reset();  // charged with the answer to the call
  ask_controller(Call(std::move(parts), Reply(std::move(reply), 0)));
}

// The same for a call that waits for it: `finish` answers it; its connection is closed when nothing
// is known.
template <class Response, class Request>
void ask_controller_for(Call outer, const Request& request, int16_t version,
                        std::move_only_function<void(Call& outer, Response response)> finish) {
  auto waiting = std::make_shared<Call>(std::move(outer));
  ask_controller_aside<Response>(
      *waiting, request, version,
      [waiting, finish = std::move(finish)](Result<Response> response) mutable {
        if (!response) return waiting->close(response.error().message);
        finish(*waiting, std::move(*response));
      });
}

}  // namespace millrace::server
