#include "sim/txn_producer.h"

#include "base/probe.h"
#include "record/builder.h"
#include "wire/add_offsets_to_txn.h"
#include "wire/add_partitions_to_txn.h"
#include "wire/end_txn.h"
#include "wire/errors.h"
#include "wire/init_producer_id.h"
#include "wire/txn_offset_commit.h"

namespace millrace::sim {
namespace {

using wire::ErrorCode;

constexpr int16_t kInitVersion = 4;
constexpr int16_t kAddVersion = 3;
constexpr Range kRetryMs{1, 150};
constexpr double kCommitChance = 0.7;
constexpr double kOffsetChance = 0.3;
constexpr double kLateChance = 0.3;
constexpr double kSilentChance = 0.03;  // the producer dies in the middle and comes back
constexpr double kAgainChance = 0.5;
constexpr int16_t kUnanswered = -1000;

bool may_be_asked_again(int16_t error) {
  switch (static_cast<ErrorCode>(error)) {
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kLeaderNotAvailable:
    case ErrorCode::kNotLeaderOrFollower:
    case ErrorCode::kRequestTimedOut:
    case ErrorCode::kNetworkException:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kNotEnoughReplicas:
    case ErrorCode::kNotEnoughReplicasAfterAppend:
    case ErrorCode::kConcurrentTransactions:
    case ErrorCode::kUnknownTopicId:
    case ErrorCode::kKafkaStorageError: return true;
    default: return error == kUnanswered;
  }
}

bool place_is_wrong(int16_t error) {
  return error == kUnanswered ||
         (may_be_asked_again(error) && error != wire::code_of(ErrorCode::kConcurrentTransactions));
}

}  // namespace

TxnProducer::TxnProducer(const Site& site, TxnOracle& oracle, TxnProducerOptions options)
    : host_(site.host),
      oracle_(&oracle),
      options_(std::move(options)),
      client_(site, options_.name),
      late_(site, options_.name + "-late"),
      dice_(host_->world().workload.next()),
      name_{options_.name, 0} {}

void TxnProducer::later(Step step) {
  host_->shard(0).after(milliseconds(dice_.between(kRetryMs)), [this, step] { (this->*step)(); });
}

template <class Response, class Request, class ErrorOf>
void TxnProducer::ask(const Client::Place& place, const Request& request, int16_t version,
                      const ErrorOf& error_of) {
  client_.call<Response>(place, request, version, [error_of](Result<Response> response) {
    error_of(response ? &*response : nullptr);
  });
}

void TxnProducer::react(int16_t error, const Client::Place& place, Step next, Step again) {
  if (error == 0) return (this->*next)();
  if (place_is_wrong(error)) client_.doubt(place);
  if (may_be_asked_again(error)) return later(again);
  begin_anew();
}

// What the transaction had is aborted, by InitProducerId if by nothing else: unless its end was
// asked for.
void TxnProducer::begin_anew() {
  if (!end_asked_ && !batches_.empty()) oracle_->ended(name_, TxnOracle::End::kAborted);
  past_.reset();
  if (!batches_.empty()) past_ = Past{self_, batches_.back(), false, "TX5", "TX5"};
  batches_.clear();
  later(&TxnProducer::init);
}

void TxnProducer::init() {
  wire::InitProducerIdRequest request;
  request.transactional_id = options_.name;
  request.transaction_timeout_ms = options_.timeout_ms;
  using Response = wire::InitProducerIdResponse;
  ask<Response>(coordinator(), request, kInitVersion, [this](const Response* response) {
    const int16_t error = response ? response->error_code : kUnanswered;
    if (error == 0) return initialised(response->producer_id, response->producer_epoch);
    if (place_is_wrong(error)) client_.doubt(coordinator());
    later(&TxnProducer::init);
  });
}

void TxnProducer::initialised(int64_t id, int16_t epoch) {
  if (epoch < 0 || epoch > INT16_MAX - 1 || !given_.insert({id, epoch}).second)
    host_->world().violated(
        "TX10", fmt::format("{} was given {}/{}, once more or in vain", options_.name, id, epoch));
  self_ = {id, epoch};
  sequences_.clear();
  if (past_ && dice_.chance(kLateChance)) come_late(*past_);
  past_.reset();
  begin();
}

void TxnProducer::begin() {
  if (finishing_) {
    done_ = true;
    return;
  }
  ++name_.number;
  batches_.clear();
  const auto count = dice_.between({1, 4});
  for (int64_t b = 0; b < count; ++b) {
    Batch& batch = batches_.emplace_back();
    batch.partition = static_cast<int32_t>(dice_.between({0, options_.partitions - 1}));
    const auto values = dice_.between({1, 3});
    for (int64_t v = 0; v < values; ++v)
      batch.values.push_back(fmt::format("{}/{}/{}.{}", options_.name, name_.number, b, v));
  }
  next_batch_ = 0;
  added_ = end_asked_ = false;
  with_offset_ = dice_.chance(kOffsetChance);
  commit_ = dice_.chance(kCommitChance);
  step();
}

void TxnProducer::step() {
  if (dice_.chance(kSilentChance)) return begin_anew();
  if (next_batch_ == batches_.size()) return with_offset_ ? add_offsets() : end();
  Batch& batch = batches_[next_batch_];
  if (!options_.modern && !added_) return add_partition(batch);
  batch.sequence = sequences_[batch.partition];
  produce(batch);
}

void TxnProducer::add_partition(const Batch& batch) {
  wire::AddPartitionsToTxnRequest request;
  request.v3_and_below_transactional_id = options_.name;
  request.v3_and_below_producer_id = self_.id;
  request.v3_and_below_producer_epoch = self_.epoch;
  request.v3_and_below_topics = {{.name = options_.topic, .partitions = {batch.partition}}};
  using Response = wire::AddPartitionsToTxnResponse;
  ask<Response>(coordinator(), request, kAddVersion, [this](const Response* response) {
    const int16_t error = response ? response->results_by_topic_v3_and_below.at(0)
                                         .results_by_partition.at(0)
                                         .partition_error_code
                                   : kUnanswered;
    added_ = error == 0;
    react(error, coordinator(), &TxnProducer::step, &TxnProducer::step);
  });
}

wire::ProduceRequest TxnProducer::request_of(const Batch& batch, const Identity& producer,
                                             ByteBuffer& bytes) const {
  record::BatchBuilder builder({.producer_id = ProducerId(producer.id),
                                .producer_epoch = ProducerEpoch(producer.epoch),
                                .base_sequence = ProducerSequence(batch.sequence),
                                .transactional = true});
  for (const std::string& value : batch.values)
    builder.append({.timestamp = host_->shard(0).clock().wall(),
                    .key = as_bytes(value),
                    .value = as_bytes(value),
                    .headers = {}});
  bytes = std::move(builder).build();
  wire::ProduceRequest request{.transactional_id = options_.name, .acks = -1, .timeout_ms = 5'000};
  request.topic_data.push_back({.name = options_.topic});
  request.topic_data[0].partition_data.push_back(
      {.index = batch.partition, .records = wire::Records::of(bytes)});
  return request;
}

void TxnProducer::produce(const Batch& batch) {
  for (const std::string& value : batch.values) oracle_->sent(name_, batch.partition, value);
  ByteBuffer bytes;
  const auto request = request_of(batch, self_, bytes);
  using Response = wire::ProduceResponse;
  ask<Response>(at(batch.partition), request, produce_version(), [this](const Response* response) {
    const Batch& sent = batches_.at(next_batch_);
    const int16_t error =
        response ? response->responses.at(0).partition_responses.at(0).error_code : kUnanswered;
    if (error == 0) {
      sequences_[sent.partition] += static_cast<int32_t>(sent.values.size());
      ++next_batch_;
      added_ = false;
    }
    react(error, at(sent.partition), &TxnProducer::step, &TxnProducer::step);
  });
}

void TxnProducer::add_offsets() {
  if (options_.modern) return commit_offset();
  wire::AddOffsetsToTxnRequest request;
  request.transactional_id = options_.name;
  request.producer_id = self_.id;
  request.producer_epoch = self_.epoch;
  request.group_id = options_.name;
  using Response = wire::AddOffsetsToTxnResponse;
  ask<Response>(coordinator(), request, kAddVersion, [this](const Response* response) {
    react(response ? response->error_code : kUnanswered, coordinator(), &TxnProducer::commit_offset,
          &TxnProducer::add_offsets);
  });
}

void TxnProducer::commit_offset() {
  wire::TxnOffsetCommitRequest request;
  request.transactional_id = options_.name;
  request.group_id = options_.name;
  request.producer_id = self_.id;
  request.producer_epoch = self_.epoch;
  request.topics = {{.name = options_.topic,
                     .partitions = {{.partition_index = 0, .committed_offset = name_.number}}}};
  using Response = wire::TxnOffsetCommitResponse;
  ask<Response>(group(), request, options_.modern ? 5 : 3, [this](const Response* response) {
    const int16_t error =
        response ? response->topics.at(0).partitions.at(0).error_code : kUnanswered;
    if (error == 0) oracle_->sent_offset(name_);
    react(error, group(), &TxnProducer::end, &TxnProducer::commit_offset);
  });
}

void TxnProducer::end() {
  end_asked_ = true;
  wire::EndTxnRequest request;
  request.transactional_id = options_.name;
  request.producer_id = self_.id;
  request.producer_epoch = self_.epoch;
  request.committed = commit_;
  using Response = wire::EndTxnResponse;
  ask<Response>(coordinator(), request, end_version(), [this](const Response* response) {
    if (response == nullptr) return ended(kUnanswered, self_);
    ended(response->error_code, {response->producer_id, response->producer_epoch});
  });
}

void TxnProducer::ended(int16_t error, Identity next) {
  if (error != 0) {
    // Aborted it is in any case when that is what was asked for.
    if (!commit_) oracle_->ended(name_, TxnOracle::End::kAborted);
    return react(error, coordinator(), &TxnProducer::between, &TxnProducer::end);
  }
  oracle_->ended(name_, commit_ ? TxnOracle::End::kCommitted : TxnOracle::End::kAborted);
  past_ = Past{self_, batches_.back(), commit_, "TX9", "TX6"};
  if (options_.modern) {
    if (!given_.insert(next).second)
      host_->world().violated(
          "TX10", fmt::format("{} was given {}/{} twice", options_.name, next.id, next.epoch));
    self_ = next;
    sequences_.clear();
  } else if (!commit_ && options_.uses_sequences_again && dice_.chance(kAgainChance)) {
    use_sequence_again();
  }
  between();
}

void TxnProducer::use_sequence_again() {
  PROBE("sim.sequence_used_again");
  const Batch& last = batches_.back();
  sequences_[last.partition] = last.sequence;
}

void TxnProducer::between() {
  batches_.clear();
  if (options_.modern && past_ && dice_.chance(kLateChance)) come_late(*past_);
  host_->shard(0).after(dice_.around(options_.pause) + milliseconds(1), [this] { begin(); });
}

void TxnProducer::come_late(const Past& past) {
  end_late(past);
  produce_late(past);
}

// The other decision: nobody may agree.
void TxnProducer::end_late(const Past& past) {
  wire::EndTxnRequest request;
  request.transactional_id = options_.name;
  request.producer_id = past.producer.id;
  request.producer_epoch = past.producer.epoch;
  request.committed = !past.committed;
  late_.call<wire::EndTxnResponse>(
      coordinator(), request, end_version(),
      [this, invariant = past.by_end](Result<wire::EndTxnResponse> response) {
        if (!response) return late_.doubt(coordinator());
        if (response->error_code == 0)
          host_->world().violated(
              invariant, fmt::format("{} decided a transaction that is not its", options_.name));
        else if (may_be_asked_again(response->error_code))
          late_.doubt(coordinator());
      });
}

// It belongs nowhere any more.
void TxnProducer::produce_late(const Past& past) {
  ByteBuffer bytes;
  Batch batch = past.batch;
  if (dice_.chance(0.5)) {
    batch.partition = static_cast<int32_t>(dice_.between({0, options_.partitions - 1}));
    batch.sequence = 0;
  }
  // Of a length that no other has, so that it repeats none.
  batch.values.assign(7, options_.name + "/late");
  const auto request = request_of(batch, past.producer, bytes);
  const TopicPartition place = at(batch.partition);
  late_.call<wire::ProduceResponse>(
      place, request, produce_version(),
      [this, place, invariant = past.by_batch](Result<wire::ProduceResponse> response) {
        if (!response) return late_.doubt(place);
        const int16_t error = response->responses.at(0).partition_responses.at(0).error_code;
        if (error == 0)
          host_->world().violated(
              invariant, fmt::format("a batch of {} was appended behind the end of its transaction",
                                     options_.name));
        else if (may_be_asked_again(error))
          late_.doubt(place);
      });
}

}  // namespace millrace::sim
