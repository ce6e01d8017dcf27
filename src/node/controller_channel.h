// Requests of this broker to the active controller, whichever node that is: this one, where they
// are decided in place, or another, where they go over a connection to its controller listener.
// Not here: the decisions (controller), who leads (node/raft_driver), which requests of clients are
// forwarded (server).
//
// A request is asked again while there is no active controller, it has moved (NOT_CONTROLLER), or
// it does not answer; so one whose answer was lost may be decided twice. A change of the controller
// is noticed at once.
// Threads: shard 0; callbacks run there, in a later turn.
// Ownership: host, properties and controller outlive this; what is under way when it goes is never
// called back.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "node/controller_host.h"
#include "node/controller_requests.h"
#include "node/peer_link.h"
#include "node/published_image.h"

namespace millrace::node {

// A client's request as it came, header and body, for the controller to answer in the client's name
// (KIP-590).
struct ForwardedRequest {
  ByteBuffer frame;
  ByteBuffer principal;       // DefaultPrincipalData, version first
  ByteBuffer client_address;  // 4 or 16 bytes
};

class ControllerChannel {
 public:
  ControllerChannel(env::Host& host, const config::NodeProperties& properties,
                    ControllerHost& controller);

  // kTimedOut: no answer within `timeout`. Error codes inside of the response are the caller's.
  template <class Request>
  void ask(Request request, Duration timeout, client::Done<ControllerResponse<Request>> done) {
    struct Exchange {
      Request request;
      ControllerResponse<Request> response;
    };
    auto exchange = std::make_shared<Exchange>(Exchange{std::move(request), {}});
    begin(
        {.lane = lane_of(static_cast<wire::ApiKey>(Request::kApiKey)),
         .call = [exchange] { return peer_call(exchange->request, versions_of<Request>()); },
         .decide =
             [exchange](controller::Controller& controller, const controller::Position& position) {
               auto decided = decide_request(controller, exchange->request, position);
               exchange->response = std::move(decided.response);
               return std::move(decided.records);
             },
         .take = [exchange](const client::core::Answer& answer) -> Result<wire::ErrorCode> {
           ASSIGN_OR_RETURN(exchange->response,
                            wire::decode<ControllerResponse<Request>>(answer.body, answer.version));
           return code_of_response(exchange->response);
         },
         .finish =
             [exchange, done = std::move(done)](Result<> outcome) mutable {
               if (!outcome) return done(std::unexpected(std::move(outcome).error()));
               done(std::move(exchange->response));
             }},
        timeout);
  }
  // The body of the response to a forwarded request, its header included, as the controller wrote
  // it.
  // kUnsupported: the controller cannot read the request.
  void forward(ForwardedRequest request, Duration timeout, client::Done<ByteBuffer> done);
  // What the active controller serves. Null: it is this node, or has not been spoken to yet. Any
  // thread.
  std::shared_ptr<const wire::ApiVersionsResponse> controller_versions() const {
    return controller_versions_.load();
  }

 private:
  // Answers leave a connection in the order of the requests: what may take long must not hold up
  // heartbeats.
  enum class Lane : uint8_t { kLife, kPartitions, kOthers };
  struct Question {
    Lane lane;
    std::function<client::core::Call()> call;
    // Empty: it always goes over a connection.
    std::function<controller::Records(controller::Controller&, const controller::Position&)> decide;
    std::function<Result<wire::ErrorCode>(const client::core::Answer&)> take;
    std::move_only_function<void(Result<>)> finish;
    uint64_t attempt = 0;  // answers to older ones are late
    env::TimerId timeout = env::TimerId::kNone;
    std::string last_failure;
  };
  using Open = std::list<std::shared_ptr<Question>>;
  struct Leader {
    NodeId id = kNoNode;
    LeaderEpoch epoch;
    bool is_active_here = false;
    friend bool operator==(const Leader&, const Leader&) = default;
  };

  static Lane lane_of(wire::ApiKey api);
  template <class Request>
  static constexpr wire::VersionRange versions_of() {
    return {Request::kMinVersion, Request::kMaxVersion};
  }
  void begin(Question question, Duration timeout);
  void attempt(const std::shared_ptr<Question>& question);
  void decide_here(const std::shared_ptr<Question>& question);
  void ask_leader(const std::shared_ptr<Question>& question);
  void answered(const std::shared_ptr<Question>& question, Result<client::core::Answer> answer);
  void try_later(const std::shared_ptr<Question>& question, std::string why);
  void end(const std::shared_ptr<Question>& question, Result<> outcome);
  std::shared_ptr<client::Link> link_to(const env::Address& address, Lane lane);
  void moved();

  env::Host* host_;
  const config::NodeProperties* properties_;
  ControllerHost* controller_;
  Leader leader_;
  Open open_;
  uint64_t last_attempt_ = 0;
  struct LinkTo {
    env::Address address;
    std::shared_ptr<client::Link> link;
  };
  std::map<Lane, LinkTo> links_;
  Published<wire::ApiVersionsResponse> controller_versions_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace millrace::node
