// A client for straight-line code, on a loop of its own (library/loop.h): every call here blocks
// until its answer is there. What all commands that talk to a cluster begin with.
// Threads: used by one thread, which is not the loop's. Errors are those of client::Client.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/failure.h"
#include "library/loop.h"

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

  library::Loop& loop() { return loop_; }
  client::Client& client() { return loop_.client(); }  // only on its shard: run()
  env::Shard& shard() { return loop_.shard(); }
  runtime::Host& host() { return loop_.host(); }
  env::Disk& disk() { return loop_.host().disk(); }

  // Runs `work` on the shard and waits for it.
  void run(std::function<void()> work) { loop_.run(std::move(work)); }

  template <class Request>
  Result<client::core::ResponseOf<Request>> call(client::core::Destination to, Request request) {
    return loop_.call(to, std::move(request));
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
    for (const auto until = coordinator_deadline();;) {
      ASSIGN_OR_RETURN(const NodeId node, coordinator(group));
      auto response = call(client::core::Destination::to(node), request);
      if (!response || !library::Loop::is_about_coordinator(code_of(*response)) ||
          !library::Loop::pause_before(until))
        return response;
    }
  }

  // Asks for topics, and what is known then.
  Result<client::core::MetadataCache> look_up(const client::Client::Topics& topics) {
    return loop_.look_up(topics);
  }
  Result<NodeId> coordinator(const std::string& group);
  Result<wire::ApiVersionsResponse> api_versions(NodeId node) {
    return loop_.api_versions(client::core::Destination::to(node));
  }

  // Before the cluster is asked once more whether something has come about.
  static void pause() { library::Loop::pause(); }

  // The offsets at the given timestamps (-1 the end, -2 the start, ...), asked of the leaders.
  using Timestamps = std::map<TopicPartition, int64_t>;
  Outcome<std::map<TopicPartition, ListedOffset>> list_offsets(const Timestamps& timestamps);

  // The same for those of the partitions that exist.
  Outcome<std::map<TopicPartition, ListedOffset>> list_existing(const Timestamps& timestamps);

  // The partitions by their leaders; a failure names the one that has none.
  using ByLeader = std::map<NodeId, std::vector<TopicPartition>>;
  Outcome<ByLeader> by_leader(const std::vector<TopicPartition>& partitions);

 private:
  Session(const Connect& connect, std::vector<env::Address> bootstrap);
  library::Loop::Deadline coordinator_deadline() const;
  Result<> ask_leader(NodeId leader, const Timestamps& timestamps,
                      std::map<TopicPartition, ListedOffset>& into);

  Connect connect_;
  library::Loop loop_;
};

}  // namespace millrace::app
