// A request to be made of a broker, before anyone knows which version will be spoken: what the
// machines of this module put out and what connection.h sends.
// Not here: choosing the broker and waiting for the answer (client/client.h).
// Inputs: a message of wire/. The versions are those that we can read and write, and mean what we
// think they mean; the connection takes the newest one that the broker has too.
// Threads: values.
#pragma once

#include <functional>

#include "base/bytes.h"
#include "base/error.h"
#include "base/frame_buffer.h"
#include "base/ids.h"
#include "base/time.h"
#include "client/core/messages.h"
#include "wire/api_table.h"
#include "wire/codec.h"

namespace millrace::client::core {

// A broker answers the requests of one connection one after the other, so what may wait long gets a
// connection of its own.
enum class Lane : uint8_t { kCalls, kFetch, kGroup };

// Which broker a call is for, and on which of the connections to it.
struct Destination {
  NodeId node = kNoNode;  // kNoNode: any
  Lane lane = Lane::kCalls;

  static Destination any() { return {}; }
  static Destination to(NodeId node, Lane lane = Lane::kCalls) { return {node, lane}; }
  friend bool operator==(const Destination&, const Destination&) = default;
};

struct Call {
  wire::ApiKey api = wire::ApiKey::kApiVersions;
  wire::VersionRange versions;
  std::function<Result<ByteBuffer>(int16_t version)> encode;
  bool has_answer = true;  // false: Produce with acks=0
  Duration timeout{};      // zero: the client's
};

// The body of a response. A long one lies in the frame that it was received in.
class AnswerBody {
 public:
  AnswerBody() = default;
  AnswerBody(ByteView bytes) : frame_(bytes.size()) { frame_.append(bytes); }
  AnswerBody(const ByteBuffer& bytes) : AnswerBody(ByteView(bytes)) {}
  AnswerBody(FrameBuffer frame, size_t begin) : frame_(std::move(frame)), begin_(begin) {}

  operator ByteView() const { return frame_.view().subspan(begin_); }

 private:
  FrameBuffer frame_;
  size_t begin_ = 0;
};

// What came back for a call, and the version that it is in.
struct Answer {
  int16_t version = 0;
  AnswerBody body;
};

// The versions of an API that this client speaks. The names of topics are what its machines know of
// committed offsets, so the version of those that has topic ids only is left out; so are those of
// AddPartitionsToTxn that are for brokers.
wire::VersionRange spoken_versions(wire::ApiKey api);

// `request` is kept by the call; bytes that it points to (wire::Records) must live as long.
template <class Request>
Call call_of(Request request) {
  const auto api = static_cast<wire::ApiKey>(Request::kApiKey);
  return {.api = api,
          .versions = spoken_versions(api),
          .encode =
              [request = std::move(request)](int16_t version) {
                auto form = request;
                to_version(form, version);
                return wire::encode(form, version);
              },
          .has_answer = true,
          .timeout = {}};
}

template <class Request>
Result<ResponseOf<Request>> response_to(const Answer& answer) {
  auto response = wire::decode<ResponseOf<Request>>(answer.body, answer.version);
  if (response) from_version(*response, answer.version);
  return response;
}

}  // namespace millrace::client::core
