// A group of its own that commits offsets and looks whether they expire when they should, and only
// then. The scenario moves the brokers' clocks in between.
//
// GR7 offsets stay as long as their group has members that subscribe to the topic, and for
// offsets.retention.minutes after the last of them has left (of a topic that nobody subscribes to,
// or a group that never had members: after the commit)
// Threads: one. Requests are repeated until they are answered.
#pragma once

#include <functional>
#include <string>

#include "sim/client.h"

namespace millrace::sim {

class Expiry {
 public:
  static constexpr int kRetentionMinutes = 1;
  using Done = std::function<void()>;
  // What the scenario lends.
  struct Stage {
    // Two thirds of the retention later by the brokers' clocks, with time to look what has
    // expired.
    std::function<void()> age;
    // The coordinator's memory is gone; the clocks stay.
    std::function<void()> restart;
    // Until it is done; a violation, named so, if the time is over before.
    std::function<void(const std::string&, const std::function<bool()>&)> await;
  };

  Expiry(const Site& site, std::string topic);
  // All of it, when nothing else goes on.
  void run(const Stage& stage);

 private:
  // A member joins that subscribes to the topic, and commits to it and to another one; a client
  // without a group commits too.
  void commit(Done done);
  void leave(Done done);
  struct Expected {
    bool subscribed, unsubscribed, simple;  // the offset is there
  };
  void check(const std::string& when, Expected expected, Done done);
  void await_check(const Stage& stage, const std::string& when, Expected expected);
  template <class Response, class Request>
  void ask(const Client::Place& place, const Request& request,
           std::function<bool(const Response&)> taken);
  void make_other_topic(Done done);
  void join(Done done);
  void sync(Done done);
  void commit_to(const std::string& group, const std::string& topic, Done done);
  void check_one(const std::string& group, const std::string& topic, bool expected, Done done);

  Host* host_;
  Client client_;
  std::string topic_;
  std::string member_id_;
  int32_t generation_ = -1;
};

}  // namespace millrace::sim
