// A share consumer (KIP-932) on a client: runs the conversations of client/core/share_membership.h
// and client/core/share_fetcher.h with the brokers.
// Not here: what they decide, and what is done with records.
// Threads: those of the client's shard; events are told there.
// Ownership: the client and the events outlive the consumer. One that is destroyed without leave()
// keeps its records from others until their locks time out.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/core/share_fetcher.h"
#include "client/core/share_membership.h"

namespace millrace::client {

class ShareConsumerEvents {
 public:
  // They are ours until the locks time out. More come when more() is said, but for those of
  // requests that are under way.
  virtual void records(std::vector<core::ConsumedRecord> records) = 0;
  virtual void acknowledged(const core::ShareFetcher::Outcome& outcome) = 0;
  virtual void problem(const core::ShareFetcher::Problem& problem) = 0;
  // The member is out of the group; no record comes any more.
  virtual void failed(const Error& error) = 0;
  virtual void left() = 0;

 protected:
  ~ShareConsumerEvents() = default;
};

class ShareConsumer {
 public:
  // Joins the group. A member without an id gets one; `reading` gets group and id from the member.
  struct Options {
    core::ShareMembershipOptions member;
    core::ShareFetcherOptions reading;
  };
  ShareConsumer(Client& client, Options options, ShareConsumerEvents& events);
  ~ShareConsumer();

  void acknowledge(core::ShareFetcher::Acknowledge acknowledgements);
  void more();
  // What was acknowledged is said, all else is given back, and the member leaves. Ends with left(),
  // unless a broker cannot be reached: who calls does not wait for ever.
  void leave();

  const std::string& member_id() const { return membership_.member_id(); }
  std::optional<Duration> lock_timeout() const { return fetcher_.lock_timeout(); }

 private:
  ShareConsumer(Client& client, const Options& options, ShareConsumerEvents* events);

  void run(core::ShareFetcher::Event event);
  void tell(core::ShareMembership::Event event);
  void send(core::ShareFetcher::Send send);
  template <class Event, class Request>
  void ask(const core::ShareFetcher::Send& send, Request request);
  void beat(NodeId to, wire::ShareGroupHeartbeatRequest request);
  void look_up(const std::set<Uuid>& topics);
  void refresh();
  void wake_at(env::TimerId& timer, std::optional<Instant> when, void (ShareConsumer::*tick)());
  void tick_fetcher() { run(core::ShareFetcher::Tick{}); }
  void tick_member() { tell(core::ShareMembership::Tick{}); }

  template <class T, class F>
  Done<T> while_alive(F f) {
    return [weak = std::weak_ptr(alive_), f = std::move(f)](Result<T> result) mutable {
      if (!weak.expired()) f(std::move(result));
    };
  }

  Client* client_;
  ShareConsumerEvents* events_;
  std::string group_;
  core::ShareMembership membership_;
  core::ShareFetcher fetcher_;
  std::set<std::string> wanted_;  // topics to ask for
  bool refreshing_ = false;
  env::TimerId fetch_timer_ = env::TimerId::kNone;
  env::TimerId group_timer_ = env::TimerId::kNone;
  std::shared_ptr<void> alive_;
};

}  // namespace millrace::client
