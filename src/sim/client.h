// A client of a cluster: begins at any of the brokers that it was told of, learns the others, who
// leads each partition and who coordinates a group, and sends each request there. What it knows it
// believes until a request fails or the caller says that it is wrong; then it asks again before the
// next request to that place, as librdkafka does.
// Not here: one connection (sim/conversation), what to ask and when to ask again (sim/producer,
// sim/consumer, ...).
//
// Requests to one place are sent in the order of the calls. A leader of an epoch older than one
// that was heard of is not believed in (KIP-320).
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "sim/conversation.h"
#include "wire/codec.h"
#include "wire/find_coordinator.h"
#include "wire/metadata.h"

namespace millrace::sim {

// Where clients live, and the brokers that they are told of.
struct Site {
  Host* host;
  std::vector<env::Address> bootstrap;
};

class Client {
 public:
  struct AnyBroker {};
  using LeaderOf = TopicPartition;
  struct CoordinatorOf {
    std::string key;
    int8_t type = 0;  // 0 of a group, 1 of a transactional id
    friend auto operator<=>(const CoordinatorOf&, const CoordinatorOf&) = default;
  };
  struct At {
    env::Address broker;
  };
  using Place = std::variant<AnyBroker, LeaderOf, CoordinatorOf, At>;

  Client(const Site& site, std::string client_id);

  // `done` gets the response, whose views end with the call, or why there is none: nobody was
  // reached, or it is not known where to send it.
  template <class Response, class Request>
  void call(const Place& place, const Request& request, int16_t version,
            std::function<void(Result<Response>)> done) {
    auto body = wire::encode(request, version);
    send(place, {.api = {Request::kApiKey, version},
                 .body = std::move(*body),
                 .done = [version, done = std::move(done)](Result<ByteView> answer) {
                   if (!answer) return done(std::unexpected(std::move(answer).error()));
                   done(wire::decode<Response>(*answer, version));
                 }});
  }
  // What is known of this place is wrong, or may be.
  void doubt(const Place& place);
  void disconnect();
  // Of the partition's leader, as far as one is known; -1: none is.
  int32_t leader_epoch(const TopicPartition& partition) const;

  Duration timeout = seconds(5);  // of every request from now on

 private:
  struct Request {
    Api api;
    ByteBuffer body;
    Conversation::Done done;
  };
  struct Leader {
    NodeId id = kNoNode;
    int32_t epoch = -1;
  };
  void send(const Place& place, Request request);
  void send_to(const env::Address& broker, const Place& place, Request request);
  const env::Address* address_of(const Place& place) const;
  const env::Address* address_of(NodeId node) const;
  env::Address any_broker();
  void find_out(const Place& place);
  void find_leader(const TopicPartition& partition);
  void find_coordinator(const CoordinatorOf& coordinator);
  void learn(const wire::MetadataResponse& response);
  void learn(const CoordinatorOf& coordinator, const wire::FindCoordinatorResponse& response);
  void found_out(const std::string& key, const Place& place);
  template <class Response, class Question>
  void ask_any(const Question& question, int16_t version,
               std::function<void(Result<Response>)> done);

  Site site_;
  std::string client_id_;
  Stream dice_;
  std::map<std::string, std::unique_ptr<Conversation>> conversations_;  // by address
  std::map<NodeId, env::Address> nodes_;
  std::map<TopicPartition, Leader> leaders_;
  std::map<CoordinatorOf, NodeId> coordinators_;
  std::optional<env::Address> any_;  // the one asked last, while it answers
  // What waits until its place is known, and the question is under way.
  std::map<std::string, std::vector<Request>> waiting_;
};

}  // namespace millrace::sim
