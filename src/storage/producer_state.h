// What a partition remembers of the producers that wrote to it: the last five batches of each
// producer id, so that a retried batch is recognised and a gap is refused (KIP-98, KIP-360).
// Kafka's `.snapshot` files, byte for byte.
// Not here: transactions' coordinators (txn), who allocates producer ids (controller).
// Threads: those of the log that owns it.
// Invariants:
//   ID1 an accepted batch's sequence follows the last one of its producer, or starts a new epoch at
//      0.
//   ID2 a batch that was accepted is never accepted again while it is among the last five.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"
#include "record/batch.h"

namespace millrace::storage {

// One batch that a producer had appended.
struct ProducedBatch {
  ProducerSequence last_sequence = record::kNoSequence;
  Offset last_offset;
  int32_t offset_delta = 0;
  TimestampMs timestamp = kNoTimestamp;
  Offset base_offset() const { return last_offset - offset_delta; }
  ProducerSequence base_sequence() const;
};

struct ProducerEntry {
  static constexpr size_t kKept = 5;
  ProducerEpoch epoch = record::kNoProducerEpoch;
  std::array<ProducedBatch, kKept> batches;  // oldest first
  size_t batch_count = 0;
  TimestampMs last_timestamp = kNoTimestamp;  // when it last wrote, for expiry
  int32_t coordinator_epoch = -1;
  std::optional<Offset> transaction_start;

  const ProducedBatch* last() const { return batch_count ? &batches[batch_count - 1] : nullptr; }
  bool is_in_open_transaction(const ProducedBatch& batch) const {
    return transaction_start && batch.base_offset() >= *transaction_start;
  }
};

// What to do with a batch of an idempotent producer.
enum class SequenceError {
  kOutOfOrderSequence,
  kInvalidProducerEpoch,
  kBehindRefused  // one that comes before it could not be written (refuse()): it may come again
};
struct Accepted {};
using SequenceVerdict = std::variant<Accepted, ProducedBatch, SequenceError>;  // batch: a duplicate

class ProducerState {
 public:
  // `header` as the client sent it (base offset not yet given). A transactional batch is a
  // duplicate only while the transaction of the one that it repeats is open. Apache Kafka calls it
  // one later on, too: librdkafka (as of 2.13) counts what it gave up in an aborted transaction as
  // never sent, gives the sequence to the next transaction's first batch, and would be told that
  // this stands in the log. It is out of order.
  SequenceVerdict check(const record::BatchHeader& header) const;
  // The batch passed check() and could not be written. Those that its producer had sent behind it
  // are not out of order, which would have the producer begin a new epoch and write again what is
  // in doubt elsewhere: they wait for it as it does for the disk.
  void refuse(const record::BatchHeader& header);
  // The batch stands in the log.
  void update(const record::BatchHeader& header, TimestampMs now);
  // A snapshot holds the last batch of each producer only. `recent` are the producers as the last
  // batches of the log show them: where both end in the same batch, the ones before it are taken
  // over, so that they are recognised when they come again.
  void complete_from(const ProducerState& recent);
  // A commit or abort marker stands in the log.
  void end_transaction(const record::BatchHeader& marker, int32_t coordinator_epoch);

  // Forgets producers that wrote nothing since `before` and have no open transaction.
  void expire(TimestampMs before);
  void clear() { *this = {}; }

  const std::map<ProducerId, ProducerEntry>& producers() const { return producers_; }
  // The start of the oldest transaction that is still open.
  std::optional<Offset> first_unstable_offset() const;
  // The same, where one whose marker lies at or behind `high_watermark` counts as open: a marker
  // that is not replicated may be lost, and the transaction end in another way.
  std::optional<Offset> first_unstable_offset(Offset high_watermark) const;
  // What lies below is replicated.
  void replicated(Offset high_watermark);

  ByteBuffer snapshot() const;
  static Result<ProducerState> parse_snapshot(ByteView bytes);

 private:
  static constexpr size_t kMaxRefused = 1000;
  struct Refused {
    ProducerEpoch epoch;
    ProducerSequence base_sequence;
  };
  struct Ended {
    Offset start;
    Offset marker;
  };
  SequenceVerdict check_known(const record::BatchHeader& header, const ProducerEntry& known) const;
  bool is_behind_refused(const record::BatchHeader& header) const;

  std::map<ProducerId, ProducerEntry> producers_;
  std::map<ProducerId, Refused> refused_;  // the first one of each that is still missing
  std::set<Offset> open_;                  // where the open transactions begin
  std::vector<Ended> ended_;  // whose markers were not replicated when last looked at; ascending
};

}  // namespace millrace::storage
