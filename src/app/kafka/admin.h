// What the scripts ask a cluster, in the terms of Kafka's Admin client: its names, its exceptions,
// its patience.
// Not here: connections and threads (app/session.h).
// Threads: those of app/session.h. Errors: exceptions as Kafka's client throws them.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "app/kafka/ending.h"
#include "app/kafka/options.h"
#include "app/session.h"
#include "library/config_reader.h"
#include "library/listed_offsets.h"

namespace millrace::app::kafka {

using library::Properties;

// A properties file; an exception when it cannot be read.
Attempt<Properties> load_properties(const std::string& path);
// NAME=VALUE, several times; without '=' the value is empty.
Properties key_value_properties(const std::vector<std::string>& texts);

// Whether it is HOST:PORT,...; a refusal of words.
Attempt<> check_bootstrap(const std::string& text);

struct Replicas {
  int32_t leader = -1;
  std::vector<int32_t> replicas;
  std::vector<int32_t> isr;
  std::optional<std::vector<int32_t>> elr;
  std::optional<std::vector<int32_t>> last_known_elr;
};

struct TopicDescription {
  std::string name;
  Uuid id;
  bool internal = false;
  std::map<int32_t, Replicas> partitions;
};

struct TopicListing {
  Uuid id;
  bool internal = false;
};

using EndOffset = library::ListedOffset;  // the answer about one partition

class Admin {
 public:
  // Of bootstrap.servers (or bootstrap.controllers) and what else the properties say. Nothing is
  // connected yet.
  static Attempt<std::unique_ptr<Admin>> open(const Properties& properties);
  // The same, of one of the controllers that the properties lead to: of the active one, or of
  // `id`. `name` is the call that is to be made of it.
  static Attempt<std::unique_ptr<Admin>> of_controller(const Properties& properties,
                                                       std::optional<NodeId> id,
                                                       std::string_view name);
  // Of --bootstrap-server and --command-config.
  static Attempt<std::unique_ptr<Admin>> of(const Options& options);

  bool asks_controllers() const { return asks_controllers_; }
  Session& session() { return *session_; }

  // `name` is what Kafka's client calls it ("createTopics").
  template <class Request>
  Attempt<client::core::ResponseOf<Request>> call(std::string_view name,
                                                  client::core::Destination to, Request request) {
    RETURN_IF_ERROR(reach(name));
    auto response = session_->call(to, std::move(request));
    if (!response) return std::unexpected(exception_of(response.error(), name));
    return std::move(*response);
  }
  template <class Request>
  Attempt<client::core::ResponseOf<Request>> call(std::string_view name, Request request) {
    return call(name, client::core::Destination::any(), std::move(request));
  }
  // Of the coordinator of a group.
  template <class Request, class CodeOf>
  Attempt<client::core::ResponseOf<Request>> call_group(std::string_view name,
                                                        const std::string& group, Request request,
                                                        CodeOf code_of) {
    RETURN_IF_ERROR(reach(name));
    auto response = session_->call_group(group, std::move(request), code_of);
    if (!response) return std::unexpected(exception_of(response.error(), name));
    return std::move(*response);
  }

  Attempt<std::map<std::string, TopicListing>> list_topics();  // internal ones, too
  // The exception of the first topic (by name) that is not there.
  Attempt<std::vector<TopicDescription>> describe_topics(const std::vector<std::string>& names);
  // Each by itself.
  using Described = std::map<std::string, Attempt<TopicDescription>>;
  Attempt<Described> describe_each(const std::set<std::string>& names);
  // Those that could not be deleted.
  using TopicFailures = std::vector<std::pair<std::string, Ending>>;
  Attempt<TopicFailures> delete_topics(const std::vector<std::string>& names);
  Attempt<client::core::MetadataCache> metadata(const client::Client::Topics& topics,
                                                std::string_view name);
  Attempt<std::map<NodeId, client::core::BrokerAddress>> brokers(
      std::string_view name = "listNodes");
  // Of one that is there; else what Kafka's client says when it has waited for it in vain.
  Attempt<client::core::Destination> broker(NodeId id, std::string_view name);

  using Timestamps = library::Timestamps;
  using EndOffsets = library::ListedOffsets;
  // Error codes by partition.
  Attempt<EndOffsets> list_offsets_each(const Timestamps& timestamps);
  // The exception of the first that fails.
  Attempt<EndOffsets> list_offsets(const Timestamps& timestamps);

  // Waits for a broker as long as default.api.timeout.ms says.
  Attempt<> reach(std::string_view name);

  // Calls `once` until it gives something, or fails, or default.api.timeout.ms is over:
  // TimeoutException. Waits a little before it calls again.
  template <class T>
  Attempt<T> until_there(std::string_view name, std::function<Attempt<std::optional<T>>()> once) {
    const auto deadline = std::chrono::steady_clock::now() + api_timeout_;
    for (;;) {
      ASSIGN_OR_RETURN(auto found, once());
      if (found) return std::move(*found);
      if (std::chrono::steady_clock::now() >= deadline) return timed_out(name);
      Session::pause();
    }
  }

 private:
  Admin() = default;
  static std::unexpected<Ending> timed_out(std::string_view name);

  std::unique_ptr<Session> session_;
  std::string client_id_;
  std::string first_address_;
  std::chrono::milliseconds api_timeout_{};
  bool asks_controllers_ = false;
  bool reached_ = false;
};

}  // namespace millrace::app::kafka
