// Sends records to a cluster: batches of them, compressed and retried in the background, each
// written once and in the order given (enable.idempotence, KIP-98).
//
// Threads: send(), flush() and partitions_of() may be called by any number of threads at once; a
// producer has a thread of its own. close() and the destructor are for one, when no other call is
// under way. Callbacks run on the producer's thread, one after the other: they may send(), and must
// neither wait nor throw; flush(), partitions_of() and close() there are std::logic_error.
// Ownership: a moved-from producer may only be destroyed or assigned to.
// Memory: at most buffer.memory bytes of keys and values wait to be sent or answered.
// After a fork() only the parent may use it.
//
// Transactions (KIP-98), with transactional.id: init_transactions() once, then begin, send, and
// commit or abort, again and again. Records sent by any thread between are of the transaction;
// consumers with isolation.level=read_committed see all of them or none. An Error of these calls or
// of a record is answered by abort_transaction(); if that fails too, or the code is PRODUCER_FENCED
// or INVALID_PRODUCER_EPOCH (another producer has the id), this producer is of no use any more.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "millrace/config.h"
#include "millrace/error.h"
#include "millrace/export.h"
#include "millrace/record.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

// What became of a record: `error` is null if it was written, and lives as long as the call. If
// not, `metadata` names the partition as far as it was chosen (-1: not yet).
using DeliveryCallback = std::function<void(const RecordMetadata& metadata, const Error* error)>;

class MILLRACE_API Producer {
 public:
  // Connects in the background. Error: INVALID_CONFIG.
  explicit Producer(const Config& config);
  // As close().
  ~Producer();
  Producer(Producer&& other) noexcept;
  Producer& operator=(Producer&& other) noexcept;

  // Takes a record over; it leaves after linger.ms, or when its batch is full. Blocks while
  // buffer.memory is full, at most max.block.ms: then Error REQUEST_TIMED_OUT, and the record is
  // not taken. All other failures are the record's, by its callback or future: a topic that is not
  // there and is not created either (UNKNOWN_TOPIC_OR_PARTITION, after max.block.ms), no broker
  // that can be reached (NETWORK_EXCEPTION, after request.timeout.ms), a record over
  // max.request.size (MESSAGE_TOO_LARGE), what the broker refuses, and REQUEST_TIMED_OUT after
  // delivery.timeout.ms. In a callback nothing is thrown and nothing waited for: there a record
  // that finds no room fails at once.
  // Records of one thread to one partition are written in the order of their send()s.
  // std::logic_error: after close().
  void send(ProducerRecord record, DeliveryCallback callback);
  // The same; the future throws Error.
  std::future<RecordMetadata> send(ProducerRecord record);

  // Sends at once what waits, and blocks until it is known what became of every record that was
  // sent before. Their callbacks have returned then.
  void flush();

  // With transactional.id. Each but begin_transaction() blocks, for at most max.block.ms with each
  // question to the coordinator. std::logic_error: not in this order, or without the config.
  // Whoever had the transactional.id before is fenced, and its transaction over.
  void init_transactions();
  void begin_transaction();
  // Commits offsets of a consumer with the transaction: exactly once from reading to writing. The
  // consumer has enable.auto.commit=false. Error: the member is none of its group any more.
  void send_offsets(const Offsets& offsets, const GroupMetadata& group);
  // Delivers what was sent first.
  void commit_transaction();
  // What was not delivered yet fails.
  void abort_transaction();

  // The partitions of a topic, in order; it is created if the brokers do that. Blocks at most
  // max.block.ms. Error: UNKNOWN_TOPIC_OR_PARTITION, NETWORK_EXCEPTION, others of the broker.
  std::vector<PartitionInfo> partitions_of(const std::string& topic);

  // Aborts a transaction that is open, then as flush(), but for at most `timeout`; what is not
  // delivered by then fails with REQUEST_TIMED_OUT, though it may have been written. Nothing can be
  // sent any more. A second close() does nothing.
  void close(std::chrono::milliseconds timeout = std::chrono::hours(24));

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace millrace
