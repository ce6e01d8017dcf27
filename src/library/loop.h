// A client with an event loop on a thread of its own, for straight-line code: what blocks here
// blocks its caller, never the loop.
// Not here: what is asked (library/admin*, app), producers and consumers on the client.
// Threads: any but the loop's own, which would wait for itself; client(), shard() and host() as
// their headers say.
// Ownership: what runs on the client is gone before the loop is.
// Errors: those of client::Client.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "client/client.h"
#include "runtime/host.h"

namespace millrace::library {

class Loop {
 public:
  using Process = runtime::Host::Process;
  Loop(client::ClientOptions options, Process process);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  client::Client& client() { return *client_; }  // only on its shard: run()
  env::Shard& shard() { return host_.shard(0); }
  runtime::Host& host() { return host_; }
  // Whether the caller is the loop's own thread.
  bool is_here() const { return thread_.get_id() == std::this_thread::get_id(); }

  // Runs `work` on the shard and waits for it.
  void run(std::function<void()> work);

  // Starts something asynchronous on the shard and waits for what it gives.
  template <class T>
  Result<T> wait(std::function<void(client::Done<T>)> start) {
    std::promise<Result<T>> promise;
    auto future = promise.get_future();
    shard().post(
        [&] { start([&promise](Result<T> result) { promise.set_value(std::move(result)); }); });
    return future.get();
  }

  template <class Request>
  Result<client::core::ResponseOf<Request>> call(client::core::Destination to, Request request) {
    using Response = client::core::ResponseOf<Request>;
    return wait<Response>([&](client::Done<Response> done) {
      client_->call(to, std::move(request), std::move(done));
    });
  }

  // Asks for topics, and what is known then.
  Result<client::core::MetadataCache> look_up(const client::Client::Topics& topics);
  Result<wire::ApiVersionsResponse> api_versions(client::core::Destination to);

  using Deadline = std::chrono::steady_clock::time_point;
  // The coordinator of a group, asked for again until `until` while there is none yet. The answer
  // may hold an error code.
  Result<client::core::FoundCoordinator> find_coordinator(const std::string& group, Deadline until);
  // Whether the error says that another broker is to be asked, or this one later.
  static bool is_about_coordinator(int16_t code);

  // Before the cluster is asked once more whether something has come about: there is nothing that
  // tells when.
  static void pause();
  // The same, unless `until` has come: false.
  static bool pause_before(Deadline until);

 private:
  runtime::Host host_;
  std::unique_ptr<client::Client> client_;
  std::jthread thread_;
};

}  // namespace millrace::library
