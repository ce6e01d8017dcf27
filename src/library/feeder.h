// Hands records to a producer on the event loop, not more than it may buffer. Records that come
// while the loop has not taken those before them are taken together.
// Threads: any but the loop's; deliveries are told on the loop.
// Ownership: the loop outlives it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/producer.h"
#include "library/loop.h"

namespace millrace::library {

// Of a codec's name; none for a name that is not one's.
record::Codec codec_of(const std::string& name);

class Feeder {
 public:
  using OnDelivery = std::function<void(const client::core::Delivery&)>;
  static constexpr size_t kMostBytes = size_t{64} * 1024 * 1024;
  // `most_bytes` of records may be under way.
  Feeder(Loop& loop, client::core::ProducerOptions options, OnDelivery on_delivery,
         size_t most_bytes = kMostBytes);
  ~Feeder();

  // Blocks while the producer holds too much, until `until`: false, and nothing was taken. A record
  // without a timestamp gets the present.
  bool feed(std::vector<client::core::OutgoingRecord> records,
            Loop::Deadline until = Loop::Deadline::max());
  // Has what was fed sent without linger. Does not wait; may be called on the loop.
  void flush();
  // Waits until it is known what became of all of them.
  void finish();

  // With options.transaction (client/producer.h). Each waits until it is done, and gives what it
  // failed for; deliveries are told before.
  using Failed = std::optional<client::core::TransactionFailure>;
  Failed init_transactions();
  Failed begin_transaction();
  Failed send_offsets(client::core::TransactionalOffsets offsets);
  Failed commit_transaction();
  Failed abort_transaction();

 private:
  // Has the producer, on the loop, do what ends in a call of its argument.
  Failed wait_for(std::function<void(client::Producer&, client::Producer::OnOutcome)> wish);
  void take();  // on the event loop
  void delivered(const client::core::Delivery& delivery);
  void tell(size_t taken);  // so much was handed to the producer

  Loop& loop_;
  OnDelivery on_delivery_;
  std::unique_ptr<client::Producer> producer_;
  size_t told_ = 0;  // the last that `buffered_` was told; on the event loop
  std::mutex mutex_;
  std::condition_variable has_room_;
  size_t most_bytes_;
  std::vector<client::core::OutgoingRecord> waiting_;  // for the loop
  size_t handed_ = 0;                                  // bytes on their way to the loop
  size_t buffered_ = 0;                                // bytes that the producer holds
};

}  // namespace millrace::library
