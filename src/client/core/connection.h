// The conversation with one broker over one byte stream: agrees on versions (ApiVersions, with the
// fallback of KIP-511), numbers requests, cuts answers out of the stream and gives each to the call
// that it belongs to. A conversation (ARCHITECTURE.md): it does no I/O.
// Not here: the stream itself, timeouts, which broker (client/link.h, client/client.h).
// Inputs: what happened.
// Outputs: what to write, which calls have ended, whether to close.
// Threads: one caller at a time.
// Invariants:
//   CC1 every call ends exactly once: with its answer or with an error.
//   CC2 no call is sent before versions are agreed on, and calls are sent in the order they came.
//   CC3 an answer whose announced size is over the bound, or whose correlation id is not the oldest
//      outstanding one (Kafka answers in order), ends the conversation; an announced size alone
//      allocates nothing: no more than kReadBytes, what an answer had before, or a few times
//      of what has arrived.
// Copies: the stream is read to where a long answer stays.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/core/call.h"

namespace millrace::client::core {

enum class CallId : uint64_t {};

struct ConnectionOptions {
  std::string client_id = "millrace";
  std::string software_version = "unknown";
  size_t max_answer_bytes = size_t{256} * 1024 * 1024;
};

class Connection {
 public:
  // The stream is there.
  struct Connected {};
  // So many bytes were read into room().
  struct Received {
    size_t count = 0;
  };
  struct Submitted {
    CallId id;
    Call call;
  };
  // The stream ended, or its owner gives up on it; no event may follow.
  struct Lost {
    Error why;
  };
  using Event = std::variant<Connected, Received, Submitted, Lost>;

  struct Ended {
    CallId id;
    Result<Answer> answer;
  };
  struct Action {
    ByteBuffer write;
    std::vector<Ended> ended;
    bool close = false;  // the conversation is over; every call has ended
  };

  explicit Connection(ConnectionOptions options = {}) : options_(std::move(options)) {}

  static constexpr size_t kReadBytes = 64 * 1024;

  // Where the next bytes of the stream are to be read to: some, at least; until the next event.
  MutableByteView room();
  Action resume(Event event);

  bool ready() const { return state_ == State::kReady; }
  bool over() const { return state_ == State::kOver; }
  size_t outstanding() const { return sent_.size() + waiting_.size(); }
  // What the broker serves, once ready().
  const wire::ApiVersionsResponse& broker() const { return broker_; }
  std::string describe() const;

 private:
  enum class State { kConnecting, kAgreeing, kReady, kOver };
  struct Sent {
    CallId id{};
    wire::ApiKey api{};
    int16_t version = 0;
    int32_t correlation_id = 0;
  };

  void on(const Connected&, Action& action);
  void on(const Received& event, Action& action);
  void on(Submitted& event, Action& action);
  void on(const Lost& event, Action& action);

  void ask_versions(int16_t version, Action& action);
  Result<> send(CallId id, const Call& call, Action& action);
  Result<int16_t> version_for(const Call& call) const;
  void write_frame(const Sent& request, ByteView body, Action& action);
  Result<> take_frames(Action& action);
  Result<> take_frame(ByteView frame, Action& action);
  AnswerBody take_body(ByteView body);
  Result<> agree(ByteView body, int16_t version, Action& action);
  void end_all(const Error& why, Action& action);

  ConnectionOptions options_;
  State state_ = State::kConnecting;
  int32_t next_correlation_ = 0;
  FrameBuffer received_;
  size_t usual_frame_ = 0;  // how large long answers were
  std::deque<Sent> sent_;
  std::deque<std::pair<CallId, Call>> waiting_;  // until versions are agreed on
  wire::ApiVersionsResponse broker_;
  std::map<int16_t, wire::VersionRange> served_;
};

}  // namespace millrace::client::core
