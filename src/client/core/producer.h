// A producer without its connections: which partition a record goes to, batches, linger, requests
// for leaders, retries in order, idempotent sequence numbers, and what became of every record. A
// conversation (ARCHITECTURE.md): resume(event, now) gives what to send and what has ended.
// With options.transaction it takes records of an open transaction only; a record that fails is the
// end of it, and what is buffered fails with it.
// Not here: sending (client/producer.h), what is said to coordinators (client/core/transaction.h).
// Inputs: records; answers; a MetadataCache that outlives the producer and is only read. `now`
// never goes back.
// Outputs: Action. The bytes of a request live in its Send.
// Threads: one caller at a time.
// Invariants:
//   PR1 every record ends in exactly one Delivery.
//   PR2 at most one batch of a partition is under way, so that records of one partition are
//      appended in the order given, retried or not.
//   PR3 a sequence number is used again only for the same records, or when the broker has certainly
//      not written those that had it; in any other case the partition goes on under a new producer
//      id.
//   PR4 memory is what the records hold: the caller bounds it by buffered_bytes().
// KIP-98 (idempotence), KIP-480 (sticky partitions), KIP-467 (errors by record).
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "client/core/metadata_cache.h"
#include "client/core/transaction.h"
#include "record/batch.h"
#include "record/compression.h"
#include "wire/init_producer_id.h"
#include "wire/produce.h"

namespace millrace::client::core {

struct ProducerOptions {
  int16_t acks = -1;       // -1: all in-sync replicas; 1: the leader; 0: no answer
  bool idempotent = true;  // takes effect with acks=-1
  record::Codec codec = record::Codec::kNone;
  std::optional<int> level;  // none: the codec's preset
  Duration linger = milliseconds(5);
  size_t batch_bytes = size_t{256} * 1024;             // uncompressed; a larger record goes alone
  size_t request_bytes = size_t{1024} * 1024;          // uncompressed, of one request
  size_t max_record_bytes = size_t{64} * 1024 * 1024;  // a larger one is refused here
  Duration delivery_timeout = seconds(120);
  Duration request_timeout = seconds(30);
  Duration retry_backoff = milliseconds(100);
  Duration topic_patience = seconds(5);  // how long a topic may be unknown
  size_t requests_in_flight = 5;         // to one broker
  uint64_t seed = 0;                     // of the choice of partitions for records without a key
  std::optional<TransactionOptions> transaction;  // only with idempotence and acks=-1
};

struct Header {
  std::string key;
  std::optional<ByteBuffer> value;
  friend bool operator==(const Header&, const Header&) = default;
};

struct OutgoingRecord {
  uint64_t tag = 0;  // the caller's; comes back in the Delivery
  std::string topic;
  std::optional<PartitionIndex> partition;  // none: by key, else sticky
  TimestampMs timestamp = kNoTimestamp;
  std::optional<ByteBuffer> key;
  std::optional<ByteBuffer> value;
  std::vector<Header> headers;
};

// What became of a record.
struct Delivery {
  uint64_t tag = 0;
  TopicPartition partition;  // partition -1: none was chosen
  Offset offset{-1};         // -1: not known (acks=0)
  wire::ErrorCode error = wire::ErrorCode::kNone;
  std::string message;  // of the error; may be empty
};

class Producer {
 public:
  enum class RequestId : uint64_t {};

  struct Produce {
    OutgoingRecord record;
  };
  struct Tick {};
  struct Flush {};              // what is buffered is sent without linger
  struct MetadataRefreshed {};  // the cache has news
  struct MetadataFailed {
    Error why;
  };
  struct Identified {
    Result<wire::InitProducerIdResponse> response;
  };
  struct Produced {
    RequestId id;
    Result<wire::ProduceResponse> response;  // with acks=0: an empty one, once it is sent
  };
  using Event = std::variant<Produce, Tick, Flush, MetadataRefreshed, MetadataFailed, Identified,
                             Produced, Transaction::Event>;

  struct Send {
    RequestId id{};
    NodeId to = kNoNode;
    wire::ProduceRequest request;  // its records point into `bytes`
    std::shared_ptr<std::vector<ByteBuffer>> bytes;
    wire::VersionRange versions;
  };
  struct Action {
    std::vector<Send> sends;
    std::optional<wire::InitProducerIdRequest> identify;
    std::vector<Delivery> deliveries;
    std::set<std::string> refresh;  // topics to ask for
    std::optional<Instant> wake;    // when to Tick
    // Of the transaction; its outcome is to be told behind the deliveries.
    std::optional<Transaction::Send> ask;
    std::optional<Transaction::Outcome> outcome;
  };

  Producer(const MetadataCache& metadata, const ProducerOptions& options);

  Action resume(Event event, Instant now);

  size_t buffered_bytes() const { return buffered_bytes_; }
  bool idle() const { return buffered_records_ == 0; }
  // Null: records are of no transaction.
  const Transaction* transaction() const { return transaction_ ? &*transaction_ : nullptr; }
  std::string describe() const;

 private:
  struct Batch {
    std::vector<OutgoingRecord> records;
    size_t bytes = 0;
    Instant created;
    Instant not_before;          // a retry waits
    bool maybe_written = false;  // it was sent and no answer said that it was not
  };
  struct Queue {
    std::deque<Batch> batches;
    bool under_way = false;  // the first one
    std::optional<ProducerIdentity> identity;
    ProducerSequence next_sequence{0};
  };
  struct Unplaced {  // records whose topic is not known yet
    std::deque<OutgoingRecord> records;
    Instant since;
  };
  using Queues = std::map<TopicPartition, Queue>;

  void on(Produce& event, Instant now);
  void on(Tick& event, Instant now);
  void on(Flush&, Instant) { flushing_ = true; }
  void on(MetadataRefreshed&, Instant now);
  void on(MetadataFailed& event, Instant now);
  void on(Identified& event, Instant now);
  void on(Produced& event, Instant now);
  void on(Transaction::Event& event, Instant now);

  void place(OutgoingRecord record, Instant now);
  PartitionIndex choose_partition(const OutgoingRecord& record, const TopicInfo& topic);
  void give_up_unknown(const std::string& topic, Instant now);
  void expire(Instant now);
  bool is_ready(const Queue& queue, Instant now) const;
  bool is_identified(Queue& queue);
  void drain(Instant now);
  void send_to(NodeId leader, std::vector<Queues::iterator> ready);
  ByteBuffer encode(const Queue& queue) const;
  void finish(const TopicPartition& partition,
              const wire::produce_response::PartitionProduceResponse& answer, Instant now);
  void accept(Queues::iterator queue, Offset base_offset);
  void retry(Queue& queue, bool maybe_written, Instant now);
  void split(Queue& queue);
  struct Rejection {
    wire::ErrorCode error;
    std::string message;
    std::map<int32_t, std::string> by_record;
  };
  void reject(Queues::iterator queue, const Rejection& rejection);
  void deliver(const OutgoingRecord& record, Delivery delivery);
  void set_wake(Instant now);

  // producer_transaction.cc
  void tell(Transaction::Event event, Instant now);
  bool refuses(const OutgoingRecord& record);
  void include_ready(Instant now);
  void identify_by_transaction(Queue& queue);
  void follow_failures(Instant now);
  void follow_records(Instant now);
  void tell_failure(Instant now);
  void give_up_all();

  const MetadataCache* metadata_;
  ProducerOptions options_;
  uint64_t random_;
  Queues queues_;
  std::map<std::string, Unplaced> unplaced_;
  std::map<std::string, PartitionIndex> sticky_;
  std::map<RequestId, std::pair<NodeId, std::vector<TopicPartition>>> requests_;
  std::map<NodeId, size_t> in_flight_;
  std::optional<ProducerIdentity> identity_;
  bool identifying_ = false;
  Instant identify_after_{};
  bool flushing_ = false;
  uint64_t last_request_ = 0;
  size_t buffered_bytes_ = 0;
  size_t buffered_records_ = 0;
  std::optional<Transaction> transaction_;
  std::optional<Transaction::RecordFailed> failed_;  // since the transaction was told
  std::optional<Instant> transaction_wake_;
  Action action_;  // of the event being handled
};

}  // namespace millrace::client::core
