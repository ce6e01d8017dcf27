// A transactional producer's conversation with its coordinators: who it is, what is part of its
// transaction, how that ends. A conversation (ARCHITECTURE.md): resume(event, now) gives the one
// question that is to be asked now, and what became of what the caller wants.
// Not here: records (client/core/producer.h, which holds one of these and tells it of partitions
// and of records that failed), sending (client/producer.h).
// Inputs: the caller's wishes, one at a time; answers; `now`, which never goes back.
// Outputs: Action.
// Threads: one caller at a time.
// A failure is of the transaction, which can only be aborted then, or fatal: of the producer. What
// may pass (a coordinator that moves, loads or is busy with the last transaction, a connection that
// is lost) is asked again, for as long as options.patience.
// Invariants:
//   CT1 a commit is asked for only when every record of the transaction was delivered.
//   CT2 no record is sent to a partition that is not part of the transaction (asserted where they
//       are sent: producer.cc).
//   CT3 after a fatal failure nothing is asked, and no record sent.
//   CT4 in each epoch the sequence numbers of a partition begin at 0 (producer_transaction.cc).
//   CT5 once its end was asked for, the same is asked until it is answered, with one decision.
//   CT6 where a record of an aborted transaction may be written although nobody knows, the next one
//       has another epoch: no sequence number stands for two records.
// KIP-98, KIP-360 (an epoch after a failure), KIP-447 (offsets of a member), KIP-588, KIP-890,
// KIP-1050 (which errors are what).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "base/time.h"
#include "client/core/metadata_cache.h"
#include "record/batch.h"
#include "wire/add_offsets_to_txn.h"
#include "wire/add_partitions_to_txn.h"
#include "wire/api_table.h"
#include "wire/api_versions.h"
#include "wire/end_txn.h"
#include "wire/init_producer_id.h"
#include "wire/txn_offset_commit.h"

namespace millrace::client::core {

// kExplicit: partitions and groups are added to the transaction first (KIP-98). kImplicit: by the
// requests that use them, and each transaction has an epoch of its own (KIP-890); what brokers of a
// cluster with transaction.version 2 understand.
enum class TransactionProtocol : uint8_t { kExplicit, kImplicit };

// Of the versions of an API those in which a producer of the protocol speaks.
wire::VersionRange versions_for(TransactionProtocol protocol, wire::ApiKey api);

struct ProducerIdentity {
  ProducerId id = kNoProducerId;
  ProducerEpoch epoch = record::kNoProducerEpoch;
  friend bool operator==(const ProducerIdentity&, const ProducerIdentity&) = default;
};

struct TransactionOptions {
  std::string id;
  Duration timeout = seconds(60);  // after which the coordinator aborts
  Duration retry_backoff = milliseconds(100);
  Duration patience = seconds(60);  // with one question
};

struct TransactionFailure {
  wire::ErrorCode error = wire::ErrorCode::kNone;
  std::string message;
  bool fatal = false;  // the producer is of no use any more; else: abort
};

// Offsets that a group has read up to, to be committed with the transaction.
struct TransactionalOffsets {
  std::string group;
  std::string member_id;  // with its generation; both left out: whoever is in the group
  int32_t generation = -1;
  std::optional<std::string> instance_id;
  std::map<TopicPartition, Offset> offsets;
};

class Transaction {
 public:
  // The caller's. Each but Begin ends in one Outcome; another one may be asked for then.
  struct Init {};
  struct Begin {};  // when is_ready()
  struct SendOffsets {
    TransactionalOffsets offsets;
  };
  struct End {
    bool commit = false;
  };
  // The records'.
  struct Include {
    std::set<TopicPartition> partitions;
  };
  struct RecordFailed {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    std::string message;
    bool maybe_written = false;
  };
  struct Drained {};  // it is known of every record what became of it
  struct Tick {};
  using Answer =
      std::variant<FoundCoordinator, wire::ApiVersionsResponse, wire::InitProducerIdResponse,
                   wire::AddPartitionsToTxnResponse, wire::AddOffsetsToTxnResponse,
                   wire::TxnOffsetCommitResponse, wire::EndTxnResponse>;
  struct Answered {
    Result<Answer> answer;
  };
  using Event =
      std::variant<Init, Begin, SendOffsets, End, Include, RecordFailed, Drained, Tick, Answered>;

  struct FindCoordinator {
    bool of_group = false;  // else: of the transactional id
    std::string key;
  };
  struct AskFeatures {};  // ApiVersions, as the connection has it
  using Question = std::variant<FindCoordinator, AskFeatures, wire::InitProducerIdRequest,
                                wire::AddPartitionsToTxnRequest, wire::AddOffsetsToTxnRequest,
                                wire::TxnOffsetCommitRequest, wire::EndTxnRequest>;
  struct Send {
    NodeId to = kNoNode;  // kNoNode: any
    Question question;
  };
  struct Outcome {
    std::optional<TransactionFailure> failure;
  };
  struct Action {
    std::optional<Send> send;
    std::optional<Outcome> outcome;
    std::optional<Instant> wake;  // when to Tick
  };

  explicit Transaction(TransactionOptions options) : options_(std::move(options)) {}

  Action resume(Event event, Instant now);

  const std::string& id() const { return options_.id; }
  bool is_ready() const { return state_ == State::kReady; }
  bool takes_records() const { return state_ == State::kOpen; }
  bool sends_records() const {
    return takes_records() || (state_ == State::kEnding && commit_ && !drained_);
  }
  bool gives_up_records() const { return !takes_records() && !sends_records(); }
  bool awaits_records() const { return state_ == State::kEnding && !drained_; }
  bool includes(const TopicPartition& partition) const { return partitions_.contains(partition); }
  const ProducerIdentity& identity() const { return identity_; }
  TransactionProtocol protocol() const { return protocol_; }
  // Why nothing can be done but to abort, or nothing at all.
  const std::optional<TransactionFailure>& failure() const { return failure_; }
  std::string describe() const;

 private:
  enum class State { kNew, kInitializing, kReady, kOpen, kFailed, kEnding, kFatal };
  enum class Verdict { kDone, kAgain, kElsewhere, kAbortable, kFatal };

  void on(Init&, Instant);
  void on(Begin&, Instant);
  void on(SendOffsets& event, Instant now);
  void on(End& event, Instant now);
  void on(Include& event, Instant);
  void on(RecordFailed& event, Instant);
  void on(Drained&, Instant) { drained_ = true; }
  void on(Tick&, Instant) {}
  void on(Answered& event, Instant now);

  void take(FoundCoordinator& found, Instant now);
  void take(wire::ApiVersionsResponse& response, Instant now);
  void take(wire::InitProducerIdResponse& response, Instant now);
  void take(wire::AddPartitionsToTxnResponse& response, Instant now);
  void take(wire::AddOffsetsToTxnResponse& response, Instant now);
  void take(wire::TxnOffsetCommitResponse& response, Instant now);
  void take(wire::EndTxnResponse& response, Instant now);

  static Verdict judge(wire::ErrorCode error);
  // Deals with an answer that is no success; true: it is one.
  bool passes(wire::ErrorCode error, Instant now);
  void lost(const Error& why, Instant now);
  void again(wire::ErrorCode error, Instant now);
  void forget_coordinator();
  void refuse(wire::ErrorCode error, std::string message);
  void fail(TransactionFailure failure);
  std::string told(wire::ErrorCode error) const;
  void finish_ending();
  void tell_success() { action_.outcome = Outcome{}; }

  void ask(Instant now);
  std::optional<Question> next_question() const;
  Question identity_question() const;
  Question partitions_question() const;
  Question offsets_question() const;
  NodeId destination_of(const Question& question) const;

  TransactionOptions options_;
  State state_ = State::kNew;
  std::optional<NodeId> coordinator_, group_coordinator_;
  std::string group_;  // of group_coordinator_
  bool knows_protocol_ = false;
  TransactionProtocol protocol_ = TransactionProtocol::kExplicit;
  ProducerIdentity identity_;
  std::optional<TransactionFailure> failure_;

  // Of the transaction.
  std::set<TopicPartition> partitions_;
  std::set<TopicPartition> to_include_;
  std::set<std::string> groups_;  // that were added
  std::optional<TransactionalOffsets> offsets_;
  bool begun_ = false;        // the coordinator knows of it, or soon will
  bool maybe_begun_ = false;  // it was told, and no answer came
  bool commit_ = false;
  bool drained_ = false;
  bool decided_ = false;   // the coordinator has answered the end
  bool doubtful_ = false;  // a record may be written although it failed

  std::optional<Question> under_way_;
  std::optional<Instant> asked_since_;  // the same question
  Instant not_before_{};
  Action action_;  // of the event being handled
};

}  // namespace millrace::client::core
