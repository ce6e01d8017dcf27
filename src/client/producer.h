// A producer on a client: runs the conversation of client/core/producer.h with its brokers, and
// with options.transaction that of client/core/transaction.h with its coordinators.
// Not here: what it decides.
// Threads: those of the client's shard; deliveries are told there.
// Ownership: the client outlives the producer. What is buffered when it is destroyed is dropped:
// wait for idle() first.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/core/producer.h"

namespace millrace::client {

class Producer {
 public:
  using OnDelivery = std::function<void(const core::Delivery&)>;
  // Nothing: it is done. Else what it was, and whether the transaction can be aborted.
  using OnOutcome = std::move_only_function<void(std::optional<core::TransactionFailure>)>;

  Producer(Client& client, const core::ProducerOptions& options, OnDelivery on_delivery);
  ~Producer();

  void produce(core::OutgoingRecord record);
  void produce(std::vector<core::OutgoingRecord> records);
  // Sends what is buffered without linger.
  void flush();
  bool idle() const { return core_.idle(); }
  size_t buffered_bytes() const { return core_.buffered_bytes(); }

  // Transactions: one of these at a time, each ends in one call of `done`, behind the deliveries.
  // The first: whoever had the transactional id before is fenced, its transaction over.
  void init_transactions(OnOutcome done);
  // kInvalid: one is open, or none can be any more.
  Result<> begin_transaction();
  void send_offsets(core::TransactionalOffsets offsets, OnOutcome done);
  // Delivers what is buffered first.
  void commit_transaction(OnOutcome done);
  // What is buffered fails.
  void abort_transaction(OnOutcome done);

 private:
  void run(core::Producer::Event event);
  void perform(core::Producer::Action action);  // but for the timer
  void send(core::Producer::Send send);
  void identify(wire::InitProducerIdRequest request);
  void want(core::Transaction::Event event, OnOutcome done);
  void ask(core::Transaction::Send send);
  template <class Request>
  void ask(NodeId to, Request request);
  template <class T>
  Done<T> hears();
  void refresh();
  void wake_at(std::optional<Instant> when);
  // Wraps a callback so that it does nothing once the producer is gone.
  template <class T, class F>
  Done<T> while_alive(F f) {
    return [weak = std::weak_ptr(alive_), f = std::move(f)](Result<T> result) mutable {
      if (!weak.expired()) f(std::move(result));
    };
  }

  Client* client_;
  core::ProducerOptions options_;
  core::Producer core_;
  OnDelivery on_delivery_;
  OnOutcome on_outcome_;          // of what is wanted now
  std::set<std::string> wanted_;  // topics to ask for
  bool refreshing_ = false;
  env::TimerId timer_ = env::TimerId::kNone;
  std::shared_ptr<void> alive_;
};

}  // namespace millrace::client
