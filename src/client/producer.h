// A producer on a client: runs the conversation of client/core/producer.h with its brokers.
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

  Producer(Client& client, const core::ProducerOptions& options, OnDelivery on_delivery);
  ~Producer();

  void produce(core::OutgoingRecord record);
  void produce(std::vector<core::OutgoingRecord> records);
  // Sends what is buffered without linger.
  void flush();
  bool idle() const { return core_.idle(); }
  size_t buffered_bytes() const { return core_.buffered_bytes(); }

 private:
  void run(core::Producer::Event event);
  void perform(core::Producer::Action action);  // but for the timer
  void send(core::Producer::Send send);
  void identify(wire::InitProducerIdRequest request);
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
  std::set<std::string> wanted_;  // topics to ask for
  bool refreshing_ = false;
  env::TimerId timer_ = env::TimerId::kNone;
  std::shared_ptr<void> alive_;
};

}  // namespace millrace::client
