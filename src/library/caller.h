// A loop and its patience: calls that block until the cluster has answered, and throw v0::Error.
// They are tried again while no broker can be reached, until default.api.timeout.ms is over.
// Threads: any but the loop's own: std::logic_error there.
#pragma once

#include <millrace/record.h>

#include <map>
#include <string>
#include <vector>

#include "library/client_configs.h"
#include "library/errors.h"
#include "library/group_calls.h"
#include "library/listed_offsets.h"
#include "library/loop.h"

namespace millrace::library {

class Caller {
 public:
  explicit Caller(const ClientConfigs& configs)
      : configs_(configs), loop_(configs.options, Loop::Process::kShared) {}

  Loop& loop() { return loop_; }
  // When a call that begins now gives up.
  Loop::Deadline deadline() const {
    return std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::steady_clock::duration>(configs_.api_timeout);
  }
  int32_t timeout_ms() const {
    return static_cast<int32_t>(
        std::chrono::duration_cast<milliseconds>(configs_.options.request_timeout).count());
  }
  void refuse_on_loop() const;

  template <class Request>
  client::core::ResponseOf<Request> call(
      const Request& request, client::core::Destination to = client::core::Destination::any()) {
    return insist<client::core::ResponseOf<Request>>([&] { return loop_.call(to, request); });
  }

  // Of the coordinator of a group, also while it is being found or loads. `code_of` gives the
  // response's error code.
  template <class Request, class CodeOf>
  client::core::ResponseOf<Request> call_group(const std::string& group, const Request& request,
                                               CodeOf code_of) {
    for (const auto until = deadline();;) {
      auto response = call(request, client::core::Destination::to(coordinator(group)));
      if (!Loop::is_about_coordinator(code_of(response)) || !Loop::pause_before(until))
        return response;
    }
  }
  NodeId coordinator(const std::string& group);

  client::core::MetadataCache look_up(const client::Client::Topics& topics);
  // Waits for leaders of a topic that is being made. `create`: if it is not there.
  std::vector<v0::PartitionInfo> partitions_of(const std::string& topic, bool create);
  ListedOffsets list_offsets(const Timestamps& timestamps, Isolation isolation);
  std::map<TopicPartition, Committed> committed(const std::string& group, const Wanted& wanted);

 private:
  // Calls `once` until it reached a broker.
  template <class T, class Once>
  T insist(Once once) {
    refuse_on_loop();
    for (const auto until = deadline();;) {
      Result<T> answer = once();
      if (answer || !may_pass(answer.error()) || !Loop::pause_before(until))
        return value_or_throw(std::move(answer));
    }
  }
  static bool may_pass(const Error& error) {
    return error.code == Errc::kClosed || error.code == Errc::kTimedOut ||
           error.code == Errc::kNotFound;
  }

  ClientConfigs configs_;
  Loop loop_;
};

}  // namespace millrace::library
