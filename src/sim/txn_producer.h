// A transactional producer of a simulation: one transaction after the other, of a few batches to
// some partitions and now and then a group's offset, committed or aborted. Requests are repeated as
// real clients repeat them; what cannot go on begins anew with InitProducerId. Between transactions
// what belongs to the last one comes again, late, and behind InitProducerId what the producer that
// was fenced still has to say: all of that must change nothing.
//
// It works by either protocol: with an epoch for each transaction (KIP-890), or without; only the
// former promises anything about late requests of the same producer.
// Threads: one. Checks of these requests, and tells the oracle the rest:
//   TX5  nothing of a fenced producer is taken
//   TX6  no batch is taken behind the end of its transaction
//   TX9  a decision that was made is not made again, nor that of a later transaction
//   TX10 a producer id and epoch are given out once
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/client.h"
#include "sim/txn_oracle.h"
#include "wire/produce.h"

namespace millrace::sim {

struct TxnProducerOptions {
  std::string name;  // also the transactional id, and the group
  std::string topic;
  int32_t partitions = 1;
  bool modern = true;
  // The last batch of a transaction that was aborted counts as never sent now and then, as to
  // librdkafka (as of 2.13) those that it gave up: the next has its sequence.
  bool uses_sequences_again = false;
  Duration pause = milliseconds(50);  // between transactions, on average
  int32_t timeout_ms = 10'000;
};

class TxnProducer {
 public:
  TxnProducer(const Site& site, TxnOracle& oracle, TxnProducerOptions options);

  void start() { init(); }
  // The transaction that was begun is ended, nothing new begins.
  void finish() { finishing_ = true; }
  bool is_done() const { return done_; }
  const TxnProducerOptions& options() const { return options_; }

 private:
  struct Batch {
    int32_t partition = 0;
    int32_t sequence = 0;
    std::vector<std::string> values;
  };
  struct Identity {
    int64_t id = -1;
    int16_t epoch = -1;
    friend auto operator<=>(const Identity&, const Identity&) = default;
  };
  // A transaction that is over, and what would be violated if its producer went on with it.
  struct Past {
    Identity producer;
    Batch batch;
    bool committed = false;
    const char* by_end = nullptr;
    const char* by_batch = nullptr;
  };

  void init();
  void initialised(int64_t id, int16_t epoch);
  void begin();
  void step();
  void add_partition(const Batch& batch);
  void produce(const Batch& batch);
  void add_offsets();
  void commit_offset();
  void end();
  void ended(int16_t error, Identity next);
  void use_sequence_again();
  void between();
  void come_late(const Past& past);
  void end_late(const Past& past);
  void produce_late(const Past& past);
  wire::ProduceRequest request_of(const Batch& batch, const Identity& producer,
                                  ByteBuffer& bytes) const;
  // Goes on with `next` after kNone; later with `again`; or begins anew.
  using Step = void (TxnProducer::*)();
  void react(int16_t error, const Client::Place& place, Step next, Step again);
  void begin_anew();
  void later(Step step);
  template <class Response, class Request, class ErrorOf>
  void ask(const Client::Place& place, const Request& request, int16_t version,
           const ErrorOf& error_of);
  int16_t produce_version() const { return options_.modern ? 12 : 11; }
  int16_t end_version() const { return options_.modern ? 5 : 3; }
  Client::Place coordinator() const { return Client::CoordinatorOf{options_.name, 1}; }
  Client::Place group() const { return Client::CoordinatorOf{options_.name}; }
  TopicPartition at(int32_t partition) const { return {options_.topic, PartitionIndex(partition)}; }

  Host* host_;
  TxnOracle* oracle_;
  TxnProducerOptions options_;
  Client client_;
  Client late_;  // of another connection: nothing of the first one's order holds
  Stream dice_;
  Identity self_;
  std::set<Identity> given_;
  std::map<int32_t, int32_t> sequences_;
  TxnOracle::Name name_;
  std::vector<Batch> batches_;
  size_t next_batch_ = 0;
  bool added_ = false;  // the partition of the next batch, by an older client
  bool with_offset_ = false;
  bool commit_ = true;
  bool end_asked_ = false;
  std::optional<Past> past_;
  bool finishing_ = false;
  bool done_ = false;
};

}  // namespace millrace::sim
