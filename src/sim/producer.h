// A producer of a simulation: batches of numbered values to every partition of the topic, several
// under way at once. Idempotent ones repeat what was not answered, in order, under the same
// sequence numbers, to whoever leads the partition then; plain ones never repeat.
//
// Where an unclean election has lost what they wrote they go on under another id, as real ones do.
//
// Threads: one. Checks ID2 itself; tells the oracle what was acknowledged.
#pragma once

#include <deque>
#include <map>

#include "record/compression.h"
#include "sim/client.h"
#include "sim/oracle.h"
#include "wire/produce.h"

namespace millrace::sim {

struct ProducerOptions {
  std::string name;
  std::string topic;
  int32_t partitions = 1;
  bool idempotent = true;
  size_t most_in_flight = 5;
  Duration pause = milliseconds(20);  // between batches, on average
  record::Codec codec = record::Codec::kNone;
  bool keyed = false;  // a key of its own for each record, so that compaction takes none
};

class Producer {
 public:
  Producer(const Site& site, Oracle& oracle, ProducerOptions options);

  void start();
  // No new batches; those begun are finished.
  void finish() { finishing_ = true; }
  // Nothing new for now; what was not acknowledged is sent again.
  void pause(bool paused) { paused_ = paused; }
  bool is_done() const;
  // Called when a batch was acknowledged, after the oracle.
  std::function<void(int32_t partition, int64_t last_offset)> on_acknowledged;

 private:
  struct Batch {
    int64_t first = 0;  // number of the first value, and its sequence
    int32_t count = 0;
    bool sent = false;
    int64_t offset = -1;  // once it was acknowledged
  };
  struct Lane {
    int64_t id = -1;  // of the producer, and its epoch
    int16_t epoch = -1;
    int64_t next = 0;
    std::deque<Batch> waiting;  // not acknowledged, oldest first
    std::deque<Batch> recent;   // the last five that were
    bool repeating = false;     // one of `recent` was sent again: nothing else is, until answered
    uint64_t attempt = 0;       // what is answered to an earlier one is of no interest
    Instant not_before;         // after a failure
  };

  void get_id(std::function<void(int64_t id, int16_t epoch)> got);
  void work();
  void send(int32_t partition, Lane& lane);
  void repeat_one(int32_t partition, Lane& lane);
  wire::ProduceRequest request_of(int32_t partition, const Batch& batch, ByteBuffer& bytes);
  void answered(int32_t partition, int64_t first, int16_t error, int64_t base_offset);
  void failed(int32_t partition, int64_t first, int16_t error);
  void start_over(int32_t partition);
  void begin_anew(int32_t partition);
  TopicPartition at(int32_t partition) const { return {options_.topic, PartitionIndex(partition)}; }

  Host* host_;
  Oracle* oracle_;
  ProducerOptions options_;
  Client client_;
  Stream dice_;
  std::map<int32_t, Lane> lanes_;
  bool finishing_ = false;
  bool paused_ = false;
};

}  // namespace millrace::sim
