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

// Where the answer to a request goes that a call led to: to `finish`, decoded, which answers that
// call.
template <class Response>
class InnerReply final : public ReplyTarget {
 public:
  using Finish = std::move_only_function<void(Call& outer, Response response)>;
  InnerReply(Call outer, int16_t version, Finish finish)
      : outer_(std::move(outer)), version_(version), finish_(std::move(finish)) {}

  Call& outer() { return outer_; }
  env::Shard& shard() const override { return outer_.shard(); }
  void complete(uint64_t, std::vector<OutputPiece> pieces) override {
    constexpr size_t kSizeBytes = 4;
    wire::Reader reader(ByteView(pieces.at(0).bytes).subspan(kSizeBytes));
    wire::ResponseHeader header;
    Response response;
    const wire::ApiInfo* api = wire::find_api(Response::kApiKey);
    read(reader, wire::response_header_version(*api, version_), header);
    read(reader, version_, response);
    if (auto status = reader.status(); !status) return outer_.close(status.error().message);
    finish_(outer_, std::move(response));
  }
  void abandon(const std::string& cause) override { outer_.close(cause); }

 private:
  Call outer_;
  int16_t version_;
  Finish finish_;
};

// Has another request than the one that came decided, in the same client's name and at this
// version; `finish` gets what became of it and answers the call.
template <class Response, class Request>
void ask_controller_for(Call outer, const Request& request, int16_t version,
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
  auto reply = std::make_shared<InnerReply<Response>>(std::move(outer), version, std::move(finish));
  parts.peer = &reply->outer().peer();
  parts.time.reset();  // charged with the answer to the call
  ask_controller(Call(std::move(parts), Reply(std::move(reply), 0)));
}

}  // namespace millrace::server
