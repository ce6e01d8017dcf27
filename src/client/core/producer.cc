#include "client/core/producer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"
#include "client/core/call.h"
#include "record/builder.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

constexpr size_t kRecordOverhead = 24;  // varints, attributes, deltas

size_t size_of(const OutgoingRecord& record) {
  size_t size = kRecordOverhead;
  if (record.key) size += record.key->size();
  if (record.value) size += record.value->size();
  for (const auto& header : record.headers)
    size += header.key.size() + (header.value ? header.value->size() : 0) + 2;
  return size;
}

std::optional<ByteView> view_of(const std::optional<ByteBuffer>& bytes) {
  return bytes ? std::optional<ByteView>(*bytes) : std::nullopt;
}

// Topics that will not come to be by waiting.
bool is_hopeless(ErrorCode error) {
  return error == ErrorCode::kInvalidTopicException ||
         error == ErrorCode::kTopicAuthorizationFailed;
}

}  // namespace

Producer::Producer(const MetadataCache& metadata, const ProducerOptions& options)
    : metadata_(&metadata), options_(options), random_(options.seed) {
  if (!options.transaction) return;
  ASSERT(options.acks == -1 && options.idempotent, "a transaction's records have sequences");
  transaction_.emplace(*options.transaction);
}

Producer::Action Producer::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  expire(now);
  if (transaction_) {
    follow_failures(now);  // before anything more is sent
    include_ready(now);
  }
  drain(now);
  if (transaction_) follow_records(now);
  if (idle()) flushing_ = false;
  set_wake(now);
  return std::exchange(action_, {});
}

void Producer::on(Produce& event, Instant now) {
  OutgoingRecord& record = event.record;
  const size_t size = size_of(record);
  buffered_bytes_ += size;
  ++buffered_records_;
  if (refuses(record)) return;
  if (size > options_.max_record_bytes)
    return deliver(record, {.error = ErrorCode::kMessageTooLarge,
                            .message = fmt::format("a record of {} bytes is over the bound of {}",
                                                   size, options_.max_record_bytes)});
  place(std::move(record), now);
}

void Producer::place(OutgoingRecord record, Instant now) {
  const TopicInfo* topic = metadata_->topic(record.topic);
  if (topic == nullptr || topic->partitions.empty()) {
    auto& unplaced = unplaced_[record.topic];
    if (unplaced.records.empty()) {
      unplaced.since = now;
      action_.refresh.insert(record.topic);
    }
    unplaced.records.push_back(std::move(record));
    return;
  }
  const PartitionIndex partition = choose_partition(record, *topic);
  if (!topic->partitions.contains(partition))
    return deliver(
        record, {.error = ErrorCode::kUnknownTopicOrPartition,
                 .message = fmt::format("topic '{}' has no partition {}: it has {}", record.topic,
                                        partition, topic->partitions.size())});
  Queue& queue = queues_[{record.topic, partition}];
  const size_t size = size_of(record);
  // The first batch may be under way: then it is as it was sent.
  const bool closed = queue.batches.empty() || (queue.under_way && queue.batches.size() == 1) ||
                      queue.batches.back().maybe_written ||
                      queue.batches.back().bytes + size > options_.batch_bytes;
  if (closed)
    queue.batches.push_back({.records = {}, .bytes = 0, .created = now, .not_before = now});
  queue.batches.back().bytes += size;
  queue.batches.back().records.push_back(std::move(record));
}

PartitionIndex Producer::choose_partition(const OutgoingRecord& record, const TopicInfo& topic) {
  const auto count = static_cast<int32_t>(topic.partitions.size());
  if (record.partition) return *record.partition;
  if (record.key) return PartitionIndex(partition_of_key(*record.key, count));
  if (auto found = sticky_.find(topic.name);
      found != sticky_.end() && topic.partitions.contains(found->second))
    return found->second;
  std::vector<PartitionIndex> led;
  for (const auto& [index, info] : topic.partitions)
    if (metadata_->leader({topic.name, index})) led.push_back(index);
  random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
  const PartitionIndex chosen =
      led.empty() ? topic.partitions.begin()->first : led[(random_ >> 33) % led.size()];
  return sticky_[topic.name] = chosen;
}

void Producer::on(Tick&, Instant now) {
  if (transaction_) tell(Transaction::Tick{}, now);
  for (const auto& [topic, waiting] : unplaced_) action_.refresh.insert(topic);
}

void Producer::on(MetadataRefreshed&, Instant now) {
  for (auto& [name, waiting] : std::exchange(unplaced_, {})) {
    const TopicInfo* topic = metadata_->topic(name);
    if (topic != nullptr && !topic->partitions.empty()) {
      for (auto& record : waiting.records) place(std::move(record), now);
      continue;
    }
    unplaced_[name] = std::move(waiting);
    give_up_unknown(name, now);
  }
}

void Producer::give_up_unknown(const std::string& name, Instant now) {
  auto known = metadata_->topics().find(name);
  const ErrorCode error = known == metadata_->topics().end() ? ErrorCode::kUnknownTopicOrPartition
                                                             : known->second.error;
  auto waiting = unplaced_.find(name);
  if (!is_hopeless(error) && now < waiting->second.since + options_.topic_patience) return;
  for (const auto& record : waiting->second.records)
    deliver(record, {.error = error, .message = {}});
  unplaced_.erase(waiting);
}

void Producer::on(MetadataFailed& event, Instant now) {
  for (auto& [name, waiting] : std::exchange(unplaced_, {})) {
    // Brokers may be slow to reach; that says nothing about the topic.
    if (now < waiting.since + options_.request_timeout) {
      unplaced_[name] = std::move(waiting);
      continue;
    }
    for (const auto& record : waiting.records)
      deliver(record, {.error = ErrorCode::kNetworkException, .message = event.why.message});
  }
}

void Producer::on(Identified& event, Instant now) {
  identifying_ = false;
  if (event.response && event.response->error_code == 0) {
    identity_ = {ProducerId(event.response->producer_id),
                 ProducerEpoch(event.response->producer_epoch)};
    return;
  }
  identify_after_ = now + options_.retry_backoff;
  if (!event.response) {
    // A broker of before KIP-98: records are sent as such producers did.
    if (event.response.error().code == Errc::kUnsupported) options_.idempotent = false;
    return;
  }
  const auto error = static_cast<ErrorCode>(event.response->error_code);
  if (wire::is_retriable(error)) return;
  for (auto queue = queues_.begin(); queue != queues_.end(); ++queue)
    while (!queue->second.under_way && !queue->second.batches.empty())
      reject(queue, {.error = error, .message = "no producer id is given", .by_record = {}});
}

// A batch whose time is over; one that is under way is decided by its answer.
void Producer::expire(Instant now) {
  for (auto queue = queues_.begin(); queue != queues_.end(); ++queue)
    while (!queue->second.under_way && !queue->second.batches.empty() &&
           now >= queue->second.batches.front().created + options_.delivery_timeout)
      reject(queue, {.error = ErrorCode::kRequestTimedOut,
                     .message = "it could not be delivered in time",
                     .by_record = {}});
}

bool Producer::is_ready(const Queue& queue, Instant now) const {
  if (queue.under_way || queue.batches.empty()) return false;
  const Batch& first = queue.batches.front();
  if (now < first.not_before) return false;
  return flushing_ || queue.batches.size() > 1 || first.bytes >= options_.batch_bytes ||
         first.maybe_written || now >= first.created + options_.linger;
}

bool Producer::is_identified(Queue& queue) {
  if (transaction_) {
    identify_by_transaction(queue);
    return true;
  }
  if (!options_.idempotent || options_.acks != -1 || queue.identity) return true;
  if (!identity_) return false;
  queue.identity = identity_;
  queue.next_sequence = ProducerSequence(0);
  return true;
}

void Producer::drain(Instant now) {
  std::map<NodeId, std::vector<Queues::iterator>> by_leader;
  if (transaction_ && !transaction_->sends_records()) return;
  for (auto queue = queues_.begin(); queue != queues_.end(); ++queue) {
    if (!is_ready(queue->second, now)) continue;
    if (transaction_ && !transaction_->includes(queue->first)) continue;
    if (!is_identified(queue->second)) {
      if (!identifying_ && now >= identify_after_) {
        identifying_ = true;
        action_.identify = wire::InitProducerIdRequest{.transactional_id = std::nullopt,
                                                       .transaction_timeout_ms = INT32_MAX};
      }
      continue;
    }
    if (auto leader = metadata_->leader(queue->first)) {
      by_leader[*leader].push_back(queue);
    } else {
      queue->second.batches.front().not_before = now + options_.retry_backoff;
      action_.refresh.insert(queue->first.topic);
    }
  }
  for (auto& [leader, ready] : by_leader)
    if (in_flight_[leader] < options_.requests_in_flight) send_to(leader, std::move(ready));
}

void Producer::send_to(NodeId leader, std::vector<Queues::iterator> ready) {
  Send send{
      .id = static_cast<RequestId>(++last_request_),
      .to = leader,
      .request = {.acks = options_.acks,
                  .timeout_ms = static_cast<int32_t>(
                      std::chrono::duration_cast<milliseconds>(options_.request_timeout).count())},
      .bytes = std::make_shared<std::vector<ByteBuffer>>(),
      .versions = spoken_versions(wire::ApiKey::kProduce)};
  if (transaction_) {
    send.request.transactional_id = transaction_->id();
    send.versions = versions_for(transaction_->protocol(), wire::ApiKey::kProduce);
  }
  auto& [node, partitions] = requests_[send.id];
  node = leader;
  ++in_flight_[leader];
  size_t total = 0;
  send.bytes->reserve(ready.size());
  for (auto queue : ready) {
    const auto& [partition, state] = *queue;
    ASSERT(!transaction_ || transaction_->includes(partition), "CT2: {}", partition.topic);
    if (total > 0 && total + state.batches.front().bytes > options_.request_bytes) break;
    total += state.batches.front().bytes;
    send.bytes->push_back(encode(state));
    auto& topics = send.request.topic_data;
    if (topics.empty() || topics.back().name != partition.topic) {
      const TopicInfo* topic = metadata_->topic(partition.topic);
      topics.push_back({.name = partition.topic, .topic_id = topic ? topic->id : Uuid::zero()});
    }
    topics.back().partition_data.push_back(
        {.index = partition.partition.value(), .records = wire::Records::of(send.bytes->back())});
    queue->second.under_way = true;
    partitions.push_back(partition);
    // The next records without a key go elsewhere.
    if (auto sticky = sticky_.find(partition.topic);
        sticky != sticky_.end() && sticky->second == partition.partition)
      sticky_.erase(sticky);
  }
  action_.sends.push_back(std::move(send));
}

ByteBuffer Producer::encode(const Queue& queue) const {
  record::BatchOptions options{.codec = options_.codec, .level = options_.level};
  options.transactional = transaction_.has_value();
  if (queue.identity) {
    options.producer_id = queue.identity->id;
    options.producer_epoch = queue.identity->epoch;
    options.base_sequence = queue.next_sequence;
  }
  record::BatchBuilder builder(options);
  for (const auto& each : queue.batches.front().records) {
    std::vector<record::HeaderView> headers;
    for (const auto& header : each.headers) headers.push_back({header.key, view_of(header.value)});
    builder.append({.timestamp = each.timestamp,
                    .key = view_of(each.key),
                    .value = view_of(each.value),
                    .headers = headers});
  }
  return std::move(builder).build();
}

void Producer::on(Produced& event, Instant now) {
  auto request = requests_.extract(event.id);
  ASSERT(!request.empty());
  auto& [node, partitions] = request.mapped();
  --in_flight_[node];
  std::map<TopicPartition, const wire::produce_response::PartitionProduceResponse*> answers;
  if (event.response)
    for (const auto& topic : event.response->responses) {
      const TopicInfo* by_id = topic.name.empty() ? metadata_->topic(topic.topic_id) : nullptr;
      for (const auto& each : topic.partition_responses)
        answers[{by_id ? by_id->name : topic.name, PartitionIndex(each.index)}] = &each;
    }
  for (const auto& partition : partitions) {
    auto queue = queues_.find(partition);
    queue->second.under_way = false;
    if (options_.acks == 0 && event.response) {
      accept(queue, Offset(-1));
    } else if (auto found = answers.find(partition); found != answers.end()) {
      finish(partition, *found->second, now);
    } else {  // nobody knows whether it was written
      action_.refresh.insert(partition.topic);
      retry(queue->second, true, now);
    }
  }
}

void Producer::finish(const TopicPartition& partition,
                      const wire::produce_response::PartitionProduceResponse& answer, Instant now) {
  auto queue = queues_.find(partition);
  const auto error = static_cast<ErrorCode>(answer.error_code);
  if (error == ErrorCode::kNone) return accept(queue, Offset(answer.base_offset));
  if (error == ErrorCode::kDuplicateSequenceNumber) return accept(queue, Offset(-1));
  if (error == ErrorCode::kMessageTooLarge && queue->second.batches.front().records.size() > 1)
    return split(queue->second);
  if (MetadataCache::is_stale_after(error)) action_.refresh.insert(partition.topic);
  const bool maybe_written = error == ErrorCode::kRequestTimedOut ||
                             error == ErrorCode::kNotEnoughReplicasAfterAppend ||
                             error == ErrorCode::kNetworkException;
  if (wire::is_retriable(error)) return retry(queue->second, maybe_written, now);
  Rejection rejection{
      .error = error, .message = answer.error_message.value_or(""), .by_record = {}};
  for (const auto& each : answer.record_errors)
    rejection.by_record[each.batch_index] = each.batch_index_error_message.value_or("");
  if (error == ErrorCode::kOutOfOrderSequenceNumber || error == ErrorCode::kUnknownProducerId ||
      error == ErrorCode::kInvalidProducerEpoch)
    queue->second.batches.front().maybe_written = true;  // leaves this producer id behind
  reject(queue, rejection);
}

void Producer::accept(Queues::iterator queue, Offset base_offset) {
  Batch batch = std::move(queue->second.batches.front());
  queue->second.batches.pop_front();
  const auto count = static_cast<int32_t>(batch.records.size());
  queue->second.next_sequence = record::advance_sequence(queue->second.next_sequence, count);
  for (int32_t i = 0; i < count; ++i)
    deliver(batch.records[static_cast<size_t>(i)],
            {.partition = queue->first,
             .offset = base_offset.value() < 0 ? base_offset : base_offset + i});
}

void Producer::retry(Queue& queue, bool maybe_written, Instant now) {
  Batch& batch = queue.batches.front();
  batch.maybe_written = batch.maybe_written || maybe_written;
  batch.not_before = now + options_.retry_backoff;
}

// The broker finds the batch too large: its halves may pass.
void Producer::split(Queue& queue) {
  Batch& first = queue.batches.front();
  Batch second{.records = {}, .bytes = 0, .created = first.created, .not_before = first.not_before};
  const auto half = first.records.begin() + static_cast<ptrdiff_t>(first.records.size() / 2);
  second.records.assign(std::make_move_iterator(half),
                        std::make_move_iterator(first.records.end()));
  first.records.erase(half, first.records.end());
  for (const auto& record : second.records) second.bytes += size_of(record);
  first.bytes -= second.bytes;
  queue.batches.insert(queue.batches.begin() + 1, std::move(second));
}

void Producer::reject(Queues::iterator queue, const Rejection& rejection) {
  Batch batch = std::move(queue->second.batches.front());
  queue->second.batches.pop_front();
  // What may have been written must never be taken for what follows (PR3); of a transaction: CT6.
  if (batch.maybe_written && transaction_) {
    if (!failed_) failed_.emplace(rejection.error, rejection.message);
    failed_->maybe_written = true;
  } else if (batch.maybe_written && queue->second.identity) {
    if (identity_ && identity_->id == queue->second.identity->id) identity_.reset();
    queue->second.identity.reset();
  }
  for (size_t i = 0; i < batch.records.size(); ++i) {
    std::string message = rejection.message;
    if (auto own = rejection.by_record.find(static_cast<int32_t>(i));
        own != rejection.by_record.end() && !own->second.empty())
      message = own->second;
    deliver(batch.records[i],
            {.partition = queue->first, .error = rejection.error, .message = message});
  }
}

void Producer::deliver(const OutgoingRecord& record, Delivery delivery) {
  delivery.tag = record.tag;
  if (delivery.partition.topic.empty())
    delivery.partition = {record.topic, record.partition.value_or(PartitionIndex(-1))};
  if (transaction_ && delivery.error != ErrorCode::kNone && !failed_)
    failed_.emplace(delivery.error, delivery.message);
  buffered_bytes_ -= size_of(record);
  --buffered_records_;
  action_.deliveries.push_back(std::move(delivery));
}

void Producer::set_wake(Instant now) {
  auto wake_at = [&](Instant at) {
    if (!action_.wake || at < *action_.wake) action_.wake = std::max(at, now + milliseconds(1));
  };
  for (const auto& [partition, queue] : queues_) {
    if (queue.under_way || queue.batches.empty()) continue;
    const Batch& first = queue.batches.front();
    wake_at(is_ready(queue, now) ? now + options_.retry_backoff
                                 : std::max(first.not_before, first.created + options_.linger));
  }
  if (!unplaced_.empty()) wake_at(now + options_.retry_backoff);
  if (transaction_wake_) wake_at(*transaction_wake_);
}

std::string Producer::describe() const {
  return fmt::format("{} records, {} bytes, {} requests under way", buffered_records_,
                     buffered_bytes_, requests_.size());
}

}  // namespace millrace::client::core
