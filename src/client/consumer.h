// A consumer on a client: runs the conversations of client/core/fetcher.h and, in a group, of
// client/core/membership.h or client/core/consumer_membership.h with the brokers.
// Not here: what they decide, and what is done with records.
// Threads: those of the client's shard; events are told there.
// Ownership: the client and the events outlive the consumer. A consumer that is destroyed without
// leave() stays a member until its session ends.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "client/client.h"
#include "client/core/consumer_membership.h"
#include "client/core/fetcher.h"
#include "client/core/membership.h"

namespace millrace::client {

class ConsumerEvents {
 public:
  // More come at once unless room(false) is said.
  virtual void records(std::vector<core::ConsumedRecord> records) = 0;
  // FetcherOptions::until_end: the partition was read to its end.
  virtual void ended(const TopicPartition& partition) = 0;
  virtual void problem(const core::Fetcher::Problem& problem) = 0;

  // In a group: the partitions that are ours from now on.
  virtual void joined(const std::set<TopicPartition>&) {}
  // No record of these comes any more. Commit now what is to be committed, then done_revoking(),
  // once for each call; `lost`: others have them already, nothing can be committed.
  virtual void revoked(const std::vector<TopicPartition>&, bool /*lost*/) {}
  virtual void committed(const core::GroupVocabulary::CommitOutcome&) {}
  // The member is out of the group; no record comes any more.
  virtual void failed(const Error&) {}
  virtual void left() {}

 protected:
  ~ConsumerEvents() = default;
};

class Consumer {
 public:
  Consumer(Client& client, const core::FetcherOptions& options, ConsumerEvents& events);
  ~Consumer();

  // Reads these partitions, outside of any group.
  void assign(std::map<TopicPartition, core::StartAt> partitions);
  // Reads these no more, likewise.
  void unassign(std::vector<TopicPartition> partitions);
  // Goes on from there with a partition that is read, or was until a problem ended that; in a group
  // with one of ours, also when its committed offset is still being asked for.
  void seek(const TopicPartition& partition, core::StartAt start);
  // Asks for nothing more of these, until told otherwise or they go.
  void pause(std::vector<TopicPartition> partitions, bool paused);
  // The offset after the last record that came; nothing while it is not known.
  std::optional<Offset> position(const TopicPartition& partition) const {
    return fetcher_.position(partition);
  }

  // Which member of its group it is now; without an id: none, or not yet.
  struct Identity {
    std::string member_id;
    int32_t generation = -1;  // or epoch
  };
  Identity identity() const;

  // Joins a group, by the classic protocol or by that of KIP-848. A member without an id gets one.
  void join(core::MembershipOptions options);
  void join(core::ConsumerMembershipOptions options);
  void commit(core::GroupVocabulary::Offsets offsets);
  void done_revoking();
  // No record comes any more, and what is to be committed has been said. Ends with left(), unless
  // the group cannot be reached: who calls does not wait for ever.
  void leave();
  // false: enough for now. Requests under way still bring records.
  void room(bool there);

 private:
  void run(core::Fetcher::Event event);
  // The member hears it, if it is of a kind that knows the event.
  template <class Event>
  void tell(Event event);
  void follow(core::Membership::Action& action);
  void follow(core::ConsumerMembership::Action& action);
  void spread(const core::GroupVocabulary::News& news);
  std::set<TopicPartition> owned() const;
  void stop_reading();
  void begin_reading(const std::map<TopicPartition, std::optional<Offset>>& committed);
  void send(core::Fetcher::Send send);
  template <class Member>
  void send(NodeId to, typename Member::Request request);
  void find_coordinator();
  void look_up(std::set<std::string> topics);
  void look_up(const std::set<Uuid>& topics);
  void refresh();
  void wake_at(env::TimerId& timer, std::optional<Instant> when, void (Consumer::*tick)());
  void tick_fetcher() { run(core::Fetcher::Event(core::Fetcher::Tick{})); }
  void tick_member();

  template <class T, class F>
  Done<T> while_alive(F f) {
    return [weak = std::weak_ptr(alive_), f = std::move(f)](Result<T> result) mutable {
      if (!weak.expired()) f(std::move(result));
    };
  }
  // Sends to the coordinator; the response comes back as the event given.
  template <class Event, class Request>
  void ask(core::Destination to, Request request, Duration timeout);

  Client* client_;
  ConsumerEvents* events_;
  core::FetcherOptions options_;
  core::Fetcher fetcher_;
  std::variant<std::monostate, core::Membership, core::ConsumerMembership> member_;
  std::string group_;
  Duration join_patience_{};         // of requests that wait for other members
  std::set<std::string> wanted_;     // topics to ask for
  std::set<TopicPartition> sought_;  // while committed offsets of theirs are asked for
  bool refreshing_ = false;
  env::TimerId fetch_timer_ = env::TimerId::kNone;
  env::TimerId group_timer_ = env::TimerId::kNone;
  std::shared_ptr<void> alive_;
};

}  // namespace millrace::client
