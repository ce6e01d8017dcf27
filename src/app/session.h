// A client for straight-line code: the event loop runs on a thread of its own, and every call here
// blocks until its answer is there. What all commands that talk to a cluster begin with.
// Threads: used by one thread, which is not the loop's. Errors are those of client::Client.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/failure.h"
#include "client/client.h"
#include "runtime/host.h"

namespace millrace::app {

// How to reach the cluster.
struct Connect {
  std::string bootstrap = "localhost:9092";
  int32_t timeout_seconds = 30;
  std::string client_id = "millrace";
};

struct ListedOffset {
  Offset offset;
  TimestampMs timestamp = kNoTimestamp;
  int16_t error = 0;
};

class Session {
 public:
  static Outcome<std::unique_ptr<Session>> open(const Connect& connect);
  ~Session();

  client::Client& client() { return *client_; }  // only on its shard: run()
  env::Shard& shard() { return host_.shard(0); }
  runtime::Host& host() { return host_; }
  env::Disk& disk() { return host_.disk(); }

  // Runs `work` on the shard and waits for it.
  void run(std::function<void()> work);

  template <class Request>
  Result<client::core::ResponseOf<Request>> call(client::core::Destination to, Request request) {
    using Response = client::core::ResponseOf<Request>;
    return wait<Response>([&](client::Done<Response> done) {
      client_->call(to, std::move(request), std::move(done));
    });
  }
  template <class Request>
  Result<client::core::ResponseOf<Request>> call_any(Request request) {
    return call(client::core::Destination::any(), std::move(request));
  }

  // Calls the coordinator of the group, again while it is being found or loads. `code_of` gives the
  // response's error code.
  template <class Request, class CodeOf>
  Result<client::core::ResponseOf<Request>> call_group(const std::string& group, Request request,
                                                       CodeOf code_of) {
    for (Patience patience = patience_for_coordinator();;) {
      ASSIGN_OR_RETURN(const NodeId node, coordinator(group));
      auto response = call(client::core::Destination::to(node), request);
      if (!response || !is_about_coordinator(code_of(*response)) || !patience.wait())
        return response;
    }
  }

  // Asks for topics, and what is known then.
  Result<client::core::MetadataCache> look_up(const client::Client::Topics& topics);
  Result<NodeId> coordinator(const std::string& group);
  Result<wire::ApiVersionsResponse> api_versions(NodeId node);

  // Before the cluster is asked once more whether something has come about: there is nothing that
  // tells when.
  static void pause();

  // The offsets at the given timestamps (-1 the end, -2 the start, ...), asked of the leaders.
  using Timestamps = std::map<TopicPartition, int64_t>;
  Outcome<std::map<TopicPartition, ListedOffset>> list_offsets(const Timestamps& timestamps);

  // The same for those of the partitions that exist.
  Outcome<std::map<TopicPartition, ListedOffset>> list_existing(const Timestamps& timestamps);

  // The partitions by their leaders; a failure names the one that has none.
  using ByLeader = std::map<NodeId, std::vector<TopicPartition>>;
  Outcome<ByLeader> by_leader(const std::vector<TopicPartition>& partitions);

  // Starts something asynchronous on the shard and waits for what it gives.
  template <class T>
  Result<T> wait(std::function<void(client::Done<T>)> start) {
    std::promise<Result<T>> promise;
    auto future = promise.get_future();
    shard().post(
        [&] { start([&promise](Result<T> result) { promise.set_value(std::move(result)); }); });
    return future.get();
  }

 private:
  // Waits a little between tries, and says when it is enough.
  class Patience {
   public:
    explicit Patience(std::chrono::steady_clock::time_point end) : end_(end) {}
    bool wait();

   private:
    std::chrono::steady_clock::time_point end_;
  };

  explicit Session(const Connect& connect, std::vector<env::Address> bootstrap);
  Patience patience_for_coordinator() const;
  static bool is_about_coordinator(int16_t code);
  Result<> ask_leader(NodeId leader, const Timestamps& timestamps,
                      std::map<TopicPartition, ListedOffset>& into);

  Connect connect_;
  runtime::Host host_;
  std::unique_ptr<client::Client> client_;
  std::jthread loop_;
};

}  // namespace millrace::app
