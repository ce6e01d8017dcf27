// Hands records to a producer on the event loop, not more than it may buffer.
// Threads: called by one thread, which is not the loop's; deliveries are told on the loop.
// Ownership: the session outlives it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "app/session.h"
#include "client/producer.h"

namespace millrace::app {

// Of a codec's name; none for a name that is not one's.
record::Codec codec_of(const std::string& name);

class Feeder {
 public:
  using OnDelivery = std::function<void(const client::core::Delivery&)>;
  static constexpr size_t kMostBytes = size_t{64} * 1024 * 1024;
  // `most_bytes` of records may be under way.
  Feeder(Session& session, client::core::ProducerOptions options, OnDelivery on_delivery,
         size_t most_bytes = kMostBytes);
  ~Feeder();

  // Blocks while the producer holds too much. A record without a timestamp gets the present.
  void feed(std::vector<client::core::OutgoingRecord> records);
  // Waits until it is known what became of all of them.
  void finish();

  // With options.transaction (client/producer.h). Each waits until it is done, and gives what it
  // failed for; deliveries are told before.
  using Failed = std::optional<client::core::TransactionFailure>;
  Failed init_transactions();
  Failed begin_transaction();
  Failed commit_transaction();
  Failed abort_transaction();

 private:
  Failed wait_for(void (client::Producer::*wish)(client::Producer::OnOutcome));
  void delivered(const client::core::Delivery& delivery);
  void tell(size_t taken);  // so much was handed to the producer

  Session& session_;
  OnDelivery on_delivery_;
  std::unique_ptr<client::Producer> producer_;
  size_t told_ = 0;  // the last that `buffered_` was told; on the event loop
  std::mutex mutex_;
  std::condition_variable has_room_;
  size_t most_bytes_;
  size_t handed_ = 0;    // bytes on their way to the loop
  size_t buffered_ = 0;  // bytes that the producer holds
};

}  // namespace millrace::app
