// A client of a Kafka cluster: connections to its brokers, calls to any of them, what is known of
// topics and leaders. Producers and consumers (client/producer.h, client/consumer.h) run on one.
// Not here: what is said on a connection (client/core/connection.h), waiting for an answer in
// straight-line code (the application's business; callbacks only here).
// Inputs: an env::Host, one of its shards, the addresses to begin with. Works on any env::Host.
// Threads: everything happens on the shard given; every callback runs there, never inside the call
// that was given it.
// Ownership: the host outlives the client; a client that is destroyed drops what it was asked,
// calling nobody.
// Errors of a call: kClosed (the broker went away, or none could be reached), kTimedOut,
// kUnsupported (the broker does not serve it), else what decoding found. Error codes inside of
// responses are the caller's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/core/call.h"
#include "client/core/connection.h"
#include "client/core/metadata_cache.h"
#include "env/host.h"

namespace millrace::client {

class Link;

struct ClientOptions {
  std::vector<env::Address> bootstrap;
  std::string client_id = "millrace";
  std::string software_version = "unknown";
  Duration connect_timeout = seconds(10);
  Duration request_timeout = seconds(30);
  size_t max_answer_bytes = size_t{256} * 1024 * 1024;
};

// "host:port,host,[::1]:port"; a port that is left out is 9092.
Result<std::vector<env::Address>> parse_bootstrap(std::string_view text);

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

class Client {
 public:
  Client(env::Host& host, env::Shard& shard, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  env::Shard& shard() { return *shard_; }
  const core::MetadataCache& metadata() const { return metadata_; }

  // Sends `request` to a broker and gives its response, decoded. Views in the response
  // (wire::Records) live until `done` returns.
  template <class Request>
  void call(core::Destination to, Request request, Done<core::ResponseOf<Request>> done) {
    send(to, core::call_of(std::move(request)), decoding<Request>(std::move(done)));
  }
  void send(core::Destination to, core::Call call, Done<core::Answer> done);

  // Makes a callback for decoded responses one for answers.
  template <class Request>
  static Done<core::Answer> decoding(Done<core::ResponseOf<Request>> done) {
    return [done = std::move(done)](Result<core::Answer> answer) mutable {
      if (!answer) return done(std::unexpected(std::move(answer).error()));
      done(core::response_to<Request>(*answer));
    };
  }

  struct Topics {
    std::vector<std::string> names;  // with `all`: none
    std::vector<Uuid> ids;           // the same
    bool all = false;
    bool create = false;  // those that are not there, if the broker is configured to
  };
  // Asks a broker for brokers and topics, and takes them into metadata().
  void refresh(const Topics& topics, Done<wire::MetadataResponse> done);

  // The coordinator of a consumer group, or of a transactional id; its address is known then.
  void find_coordinator(const std::string& group, Done<core::FoundCoordinator> done);
  void find_transaction_coordinator(const std::string& id, Done<core::FoundCoordinator> done);

  // What a broker serves: from the agreement on versions of its connection.
  void api_versions(core::Destination to, Done<wire::ApiVersionsResponse> done);

 private:
  using LinkKey = std::pair<std::string, core::Lane>;  // address
  using LinkDone = Done<std::shared_ptr<Link>>;

  void find_coordinator(wire::FindCoordinatorRequest request, Done<core::FoundCoordinator> done);
  void with_link(core::Destination to, LinkDone done);
  void try_bootstrap(size_t index, std::string failures, LinkDone done);
  std::shared_ptr<Link> link_to(const env::Address& address, core::Lane lane);

  env::Host* host_;
  env::Shard* shard_;
  ClientOptions options_;
  core::MetadataCache metadata_;
  std::map<LinkKey, std::shared_ptr<Link>> links_;
  std::shared_ptr<void> alive_;  // what callbacks of links ask about
};

}  // namespace millrace::client
