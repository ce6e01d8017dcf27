#include "client/core/fetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

constexpr int8_t kReadCommitted = 1;

int64_t timestamp_of(const StartAt& start) {
  switch (start.kind) {
    case StartAt::Kind::kEarliest: return kAtStart;
    case StartAt::Kind::kTimestamp: return start.value;
    default: return kAtEnd;
  }
}

// Which batches of a partition belong to aborted transactions, as they are met one after the other.
class AbortFilter {
 public:
  explicit AbortFilter(std::vector<wire::fetch_response::AbortedTransaction> aborted)
      : aborted_(std::move(aborted)) {
    std::ranges::sort(aborted_, {}, [](const auto& each) { return each.first_offset; });
  }

  bool drops(const record::BatchHeader& header) {
    while (next_ < aborted_.size() && aborted_[next_].first_offset <= header.last_offset().value())
      active_.insert(ProducerId(aborted_[next_++].producer_id));
    return header.attributes.transactional() && !header.attributes.control() &&
           active_.contains(header.producer_id);
  }
  void ended(ProducerId producer) { active_.erase(producer); }

 private:
  std::vector<wire::fetch_response::AbortedTransaction> aborted_;
  size_t next_ = 0;
  std::set<ProducerId> active_;
};

}  // namespace

Fetcher::Action Fetcher::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  ask(now);
  set_wake(now);
  return std::exchange(action_, {});
}

void Fetcher::on(Assign& event, Instant now) {
  for (const auto& [partition, start] : event.partitions) {
    State& state = partitions_[partition] = {.not_before = now};
    if (start.kind == StartAt::Kind::kOffset)
      state.position = Offset(start.value);
    else
      state.start = start;
  }
}

void Fetcher::on(Revoke& event, Instant) {
  for (const auto& partition : event.partitions) {
    partitions_.erase(partition);
    paused_.erase(partition);
  }
}

void Fetcher::on(Pause& event, Instant) {
  for (const auto& partition : event.partitions)
    if (event.paused)
      paused_.insert(partition);
    else
      paused_.erase(partition);
}

std::optional<Offset> Fetcher::position(const TopicPartition& partition) const {
  auto found = partitions_.find(partition);
  if (found == partitions_.end() || found->second.start) return std::nullopt;
  return found->second.position;
}

void Fetcher::ask(Instant now) {
  std::map<NodeId, std::vector<Partitions::iterator>> to_list, to_fetch;
  for (auto partition = partitions_.begin(); partition != partitions_.end();) {
    auto current = partition++;  // no_leader may remove it
    State& state = current->second;
    if (state.request || state.ended || now < state.not_before) continue;
    if (auto leader = metadata_->leader(current->first)) {
      state.unknown_since.reset();
      if (state.start)
        to_list[*leader].push_back(current);
      else if (room_ && !paused_.contains(current->first) && !fetching_.contains(*leader))
        to_fetch[*leader].push_back(current);
    } else {
      no_leader(current, now);
    }
  }
  for (const auto& [leader, partitions] : to_list) list_from(leader, partitions);
  for (auto& [leader, partitions] : to_fetch) fetch_from(leader, std::move(partitions));
}

void Fetcher::no_leader(Partitions::iterator partition, Instant now) {
  State& state = partition->second;
  state.not_before = now + options_.retry_backoff;
  action_.refresh.insert(partition->first.topic);
  const auto& topics = metadata_->topics();
  auto known = topics.find(partition->first.topic);
  if (known == topics.end()) return;
  if (!state.unknown_since) state.unknown_since = now;
  if (now < *state.unknown_since + options_.topic_patience) return;
  if (known->second.error == ErrorCode::kUnknownTopicOrPartition)
    return give_up(
        partition,
        {Errc::kNotFound, fmt::format("topic '{}' does not exist", partition->first.topic)},
        ErrorCode::kUnknownTopicOrPartition);
  if (known->second.error == ErrorCode::kNone &&
      !known->second.partitions.contains(partition->first.partition))
    give_up(partition,
            {Errc::kNotFound, fmt::format("topic '{}' has no partition {}", partition->first.topic,
                                          partition->first.partition)},
            ErrorCode::kUnknownTopicOrPartition);
}

void Fetcher::list_from(NodeId leader, const std::vector<Partitions::iterator>& partitions) {
  wire::ListOffsetsRequest request{
      .replica_id = -1,
      .isolation_level = options_.read_committed ? kReadCommitted : int8_t{0},
      .timeout_ms = 30'000};
  const auto id = static_cast<RequestId>(++last_request_);
  Request& sent = requests_[id] = {.node = leader, .is_fetch = false, .partitions = {}};
  for (auto partition : partitions) {
    const auto& [name, state] = *partition;
    if (request.topics.empty() || request.topics.back().name != name.topic)
      request.topics.push_back({.name = name.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = name.partition.value(), .timestamp = timestamp_of(*state.start)});
    partition->second.request = id;
    sent.partitions.push_back(name);
  }
  action_.sends.push_back({.id = id, .to = leader, .request = std::move(request)});
}

void Fetcher::fetch_from(NodeId leader, std::vector<Partitions::iterator> partitions) {
  const auto shift = static_cast<ptrdiff_t>(rotation_++ % partitions.size());
  std::ranges::rotate(partitions, partitions.begin() + shift);
  wire::FetchRequest request{
      .max_wait_ms =
          static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(options_.max_wait).count()),
      .min_bytes = options_.min_bytes,
      .max_bytes = options_.max_bytes,
      .isolation_level = options_.read_committed ? kReadCommitted : int8_t{0}};
  const auto id = static_cast<RequestId>(++last_request_);
  Request& sent = requests_[id] = {.node = leader, .is_fetch = true, .partitions = {}};
  for (auto partition : partitions) {
    const auto& [name, state] = *partition;
    // Where the end is shall not be waited for.
    if (options_.until_end && !state.end) request.max_wait_ms = 0;
    if (request.topics.empty() || request.topics.back().topic != name.topic) {
      const TopicInfo* topic = metadata_->topic(name.topic);
      request.topics.push_back({.topic = name.topic, .topic_id = topic->id});
    }
    request.topics.back().partitions.push_back({.partition = name.partition.value(),
                                                .fetch_offset = state.position.value(),
                                                .partition_max_bytes = options_.partition_bytes});
    partition->second.request = id;
    sent.partitions.push_back(name);
  }
  fetching_.insert(leader);
  action_.sends.push_back({.id = id, .to = leader, .request = std::move(request)});
}

std::vector<Fetcher::Partitions::iterator> Fetcher::answered(RequestId id) {
  auto request = requests_.extract(id);
  std::vector<Partitions::iterator> waiting;
  if (request.empty()) return waiting;
  if (request.mapped().is_fetch) fetching_.erase(request.mapped().node);
  for (const auto& name : request.mapped().partitions) {
    auto found = partitions_.find(name);
    if (found == partitions_.end() || found->second.request != id) continue;
    found->second.request.reset();
    waiting.push_back(found);
  }
  return waiting;
}

void Fetcher::on(Listed& event, Instant now) {
  std::map<TopicPartition, const wire::list_offsets_response::ListOffsetsPartitionResponse*> found;
  if (event.response)
    for (const auto& topic : event.response->topics)
      for (const auto& each : topic.partitions)
        found[{topic.name, PartitionIndex(each.partition_index)}] = &each;
  for (auto partition : answered(event.id)) {
    auto answer = found.find(partition->first);
    if (answer == found.end())
      failed(partition, ErrorCode::kNetworkException, now);
    else
      take_listed(partition, *answer->second, now);
  }
}

void Fetcher::take_listed(Partitions::iterator partition,
                          const wire::list_offsets_response::ListOffsetsPartitionResponse& answer,
                          Instant now) {
  State& state = partition->second;
  if (answer.error_code != 0)
    return failed(partition, static_cast<ErrorCode>(answer.error_code), now);
  if (answer.offset < 0) {  // no record is that young
    state.start = StartAt::latest();
    return;
  }
  const bool before_end = state.start->kind == StartAt::Kind::kBeforeEnd;
  state.position =
      Offset(before_end ? std::max<int64_t>(0, answer.offset - state.start->value) : answer.offset);
  state.from_start = before_end;
  state.start.reset();
}

void Fetcher::on(Fetched& event, Instant now) {
  std::map<TopicPartition, const PartitionData*> found;
  if (event.response && event.response->error_code == 0)
    for (const auto& topic : event.response->responses) {
      const TopicInfo* by_id = topic.topic.empty() ? metadata_->topic(topic.topic_id) : nullptr;
      for (const auto& each : topic.partitions)
        found[{by_id ? by_id->name : topic.topic, PartitionIndex(each.partition_index)}] = &each;
    }
  for (auto partition : answered(event.id)) {
    auto answer = found.find(partition->first);
    if (answer == found.end())
      failed(partition, ErrorCode::kNetworkException, now);
    else
      take_fetched(partition, *answer->second, now);
  }
}

void Fetcher::take_fetched(Partitions::iterator partition, const PartitionData& answer,
                           Instant now) {
  State& state = partition->second;
  const auto error = static_cast<ErrorCode>(answer.error_code);
  if (error == ErrorCode::kOffsetOutOfRange) return out_of_range(partition);
  if (error != ErrorCode::kNone) return failed(partition, error, now);
  if (auto read = read_batches(partition, answer); !read)
    return give_up(partition,
                   std::move(read).error().within(fmt::format(
                       "{} at offset {}", partition->first.to_string(), state.position)),
                   ErrorCode::kCorruptMessage);
  if (!options_.until_end) return;
  if (!state.end)
    state.end = Offset(options_.read_committed ? answer.last_stable_offset : answer.high_watermark);
  if (state.position < *state.end) return;
  state.ended = true;
  action_.ended.push_back(partition->first);
}

Result<> Fetcher::read_batches(Partitions::iterator partition, const PartitionData& answer) {
  State& state = partition->second;
  AbortFilter aborted(options_.read_committed && answer.aborted_transactions
                          ? *answer.aborted_transactions
                          : std::vector<wire::fetch_response::AbortedTransaction>{});
  record::BatchIterator batches(answer.records.bytes);
  while (true) {
    ASSIGN_OR_RETURN(const auto batch, batches.next());
    if (!batch) return {};  // the last one may go on behind what was asked for
    const bool dropped = aborted.drops(batch->header());
    if (batch->header().attributes.control()) aborted.ended(batch->header().producer_id);
    if (batch->last_offset() < state.position) continue;
    if (!batch->verify_crc()) return fail(Errc::kCorrupt, "the checksum of a batch is wrong");
    if (!dropped && !batch->header().attributes.control())
      RETURN_IF_ERROR(read_records(partition, *batch));
    state.position = batch->next_offset();
  }
}

Result<> Fetcher::read_records(Partitions::iterator partition, const record::BatchView& batch) {
  ASSIGN_OR_RETURN(auto reader,
                   record::RecordReader::open(batch, scratch_, options_.max_unpacked_bytes));
  record::RecordView view;
  while (true) {
    ASSIGN_OR_RETURN(const bool there, reader.next(view));
    if (!there) return {};
    if (view.offset < partition->second.position) continue;
    action_.records.push_back(consumed(partition->first, batch.header(), view));
  }
}

void Fetcher::out_of_range(Partitions::iterator partition) {
  State& state = partition->second;
  if (state.from_start) {  // the last N were asked for, and there are fewer
    state.start = StartAt::earliest();
    return;
  }
  if (options_.reset) {
    state.start = options_.reset;
    return;
  }
  give_up(partition,
          {Errc::kNotFound,
           fmt::format("{} has no offset {}", partition->first.to_string(), state.position)},
          ErrorCode::kOffsetOutOfRange);
}

void Fetcher::failed(Partitions::iterator partition, ErrorCode error, Instant now) {
  if (MetadataCache::is_stale_after(error) || wire::is_retriable(error)) {
    partition->second.not_before = now + options_.retry_backoff;
    action_.refresh.insert(partition->first.topic);
    return;
  }
  give_up(partition,
          {Errc::kInvalid, fmt::format("{}: the broker answers {}", partition->first.to_string(),
                                       wire::error_name(error))},
          error);
}

void Fetcher::give_up(Partitions::iterator partition, Error error, ErrorCode code) {
  action_.problems.push_back({partition->first, std::move(error), code});
  partitions_.erase(partition);
}

void Fetcher::set_wake(Instant now) {
  for (const auto& [name, state] : partitions_)
    if (!state.request && !state.ended && now < state.not_before)
      action_.wake = action_.wake ? std::min(*action_.wake, state.not_before) : state.not_before;
}

std::string Fetcher::describe() const {
  return fmt::format("{} partitions, {} requests under way", partitions_.size(), requests_.size());
}

}  // namespace millrace::client::core
