#include "client/core/share_fetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/assert.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

constexpr int32_t kFirstEpoch = 0;
constexpr int32_t kFinalEpoch = -1;
// Of a partition in one answer. No broker gives as many; a count is not believed beyond it.
constexpr int64_t kMostAcquired = 1'000'000;

int32_t epoch_after(int32_t epoch) { return epoch == INT32_MAX ? 1 : epoch + 1; }

bool is_of_session(ErrorCode code) {
  return code == ErrorCode::kShareSessionNotFound || code == ErrorCode::kInvalidShareSessionEpoch ||
         code == ErrorCode::kShareSessionLimitReached || code == ErrorCode::kUnknownMemberId;
}

bool has_renewals(const ShareFetcher::Types& types) {
  return std::ranges::any_of(types | std::views::values,
                             [](auto type) { return type == AcknowledgeType::kRenew; });
}

// A run of offsets is one batch, with one type if all are alike.
template <class Batch>
std::vector<Batch> batches_of(const ShareFetcher::Types& types) {
  std::vector<Batch> batches;
  for (const auto& [offset, type] : types) {
    if (batches.empty() || batches.back().last_offset + 1 != offset.value())
      batches.push_back({.first_offset = offset.value()});
    batches.back().last_offset = offset.value();
    batches.back().acknowledge_types.push_back(static_cast<int8_t>(type));
  }
  for (auto& batch : batches) {
    auto& all = batch.acknowledge_types;
    if (std::ranges::all_of(all, [&](int8_t type) { return type == all.front(); })) all.resize(1);
  }
  return batches;
}

// The entry of a partition in a request's topics, which come in order.
template <class Topics>
auto& entry_of(Topics& topics, const TopicIdPartition& partition) {
  if (topics.empty() || topics.back().topic_id != partition.topic_id)
    topics.push_back({.topic_id = partition.topic_id});
  return topics.back().partitions.emplace_back();
}

template <class Response>
auto partitions_in(const Response& response) {
  std::map<TopicIdPartition, const typename Response::PartitionData*> found;
  for (const auto& topic : response.responses)
    for (const auto& each : topic.partitions)
      found[{topic.topic_id, PartitionIndex(each.partition_index)}] = &each;
  return found;
}

template <class Response>
Result<int16_t> error_of(const Result<Response>& response) {
  if (!response) return std::unexpected(response.error());
  return response->error_code;
}

}  // namespace

ShareFetcher::Action ShareFetcher::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  if (!is_over_) closing_ ? close_sessions() : ask(now);
  set_wake(now);
  return std::exchange(action_, {});
}

void ShareFetcher::on(Assign& event, Instant) {
  assigned_ = std::move(event.partitions);
  std::erase_if(not_before_, [&](const auto& each) { return !assigned_.contains(each.first); });
  for (const auto& [partition, name] : assigned_) known_[partition] = name;
}

void ShareFetcher::on(Close&, Instant) {
  closing_ = true;
  action_.closed = is_over_;
}

// --- What became of records.

void ShareFetcher::on(Acknowledge& event, Instant) {
  std::map<TopicPartition, TopicIdPartition> ids;
  for (const auto& [partition, records] : held_) ids[name_of(partition)] = partition;
  may_acquire_ |= event.more;
  for (const auto& [name, types] : event.types) {
    Outcome unknown{.partition = name, .offsets = {}, .error = ErrorCode::kInvalidRecordState};
    const auto id = ids.find(name);
    for (const auto& [offset, type] : types)
      if (id == ids.end() || !say(id->second, offset, type)) unknown.offsets.push_back(offset);
    if (!unknown.offsets.empty()) action_.acknowledged.push_back(std::move(unknown));
  }
  std::erase_if(held_, [](const auto& each) { return each.second.empty(); });
}

bool ShareFetcher::say(const TopicIdPartition& partition, Offset offset, AcknowledgeType type) {
  auto& records = held_.at(partition);
  const auto record = records.find(offset);
  if (record == records.end()) return false;
  sessions_[record->second].to_say[partition][offset] = type;
  if (type != AcknowledgeType::kRenew) records.erase(record);
  return true;
}

void ShareFetcher::settle(const Said& said, const TopicIdPartition& partition, ErrorCode error) {
  const auto types = said.find(partition);
  if (types == said.end()) return;
  Outcome outcome{.partition = name_of(partition), .offsets = {}, .error = error};
  for (const auto& [offset, type] : types->second)
    if (type != AcknowledgeType::kGap) outcome.offsets.push_back(offset);
  if (!outcome.offsets.empty()) action_.acknowledged.push_back(std::move(outcome));
}

void ShareFetcher::settle_all(const Said& said, ErrorCode error) {
  for (const auto& partition : said | std::views::keys) settle(said, partition, error);
}

size_t ShareFetcher::held() const {
  size_t count = 0;
  for (const auto& records : held_ | std::views::values) count += records.size();
  return count;
}

// --- Requests.

std::map<NodeId, std::set<TopicIdPartition>> ShareFetcher::wanted(Instant now) {
  std::map<NodeId, std::set<TopicIdPartition>> by_leader;
  for (const auto& [partition, name] : assigned_) {
    if (const auto pause = not_before_.find(partition); pause != not_before_.end()) {
      if (now < pause->second) continue;
      not_before_.erase(pause);
    }
    if (const auto leader = metadata_->leader({name, partition.partition})) {
      by_leader[*leader].insert(partition);
    } else {
      not_before_[partition] = now + options_.retry_backoff;
      action_.refresh.insert(name);
    }
  }
  return by_leader;
}

void ShareFetcher::ask(Instant now) {
  auto by_leader = wanted(now);
  for (const auto& leader : by_leader | std::views::keys) sessions_[leader];
  for (auto& [node, session] : sessions_)
    if (!session.request && now >= session.not_before) ask_of(node, by_leader[node]);
  std::erase_if(sessions_, [&](const auto& each) {
    const auto& [node, session] = each;
    return session.epoch == kFirstEpoch && !session.request && session.to_say.empty() &&
           by_leader[node].empty();
  });
}

void ShareFetcher::ask_of(NodeId node, const std::set<TopicIdPartition>& wanted) {
  Session& session = sessions_.at(node);
  const bool may_fetch = may_acquire_ && !wanted.empty();
  if (session.epoch == kFirstEpoch) {
    if (may_fetch) return fetch_from(node, wanted);
    // There is no session to say it in, and no reason to begin one.
    return settle_all(std::exchange(session.to_say, {}), ErrorCode::kShareSessionNotFound);
  }
  // What a fetch tells of a partition makes it one that is read.
  const bool fits_a_fetch = std::ranges::all_of(session.to_say, [&](const auto& each) {
    return wanted.contains(each.first) && !has_renewals(each.second);
  });
  if (may_fetch && fits_a_fetch) return fetch_from(node, wanted);
  if (!session.to_say.empty()) acknowledge_to(node, session.epoch);
}

ShareFetcher::RequestId ShareFetcher::begin_request(NodeId node, Request request) {
  Session& session = sessions_.at(node);
  ASSERT(!session.request, "SF1: {}", describe());
  const auto id = static_cast<RequestId>(++last_request_);
  session.request = id;
  requests_[id] = std::move(request);
  return id;
}

void ShareFetcher::fetch_from(NodeId node, const std::set<TopicIdPartition>& wanted) {
  Session& session = sessions_.at(node);
  wire::ShareFetchRequest request{
      .group_id = options_.group,
      .member_id = options_.member_id,
      .share_session_epoch = session.epoch,
      .max_wait_ms =
          static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(options_.max_wait).count()),
      .min_bytes = options_.min_bytes,
      .max_bytes = options_.max_bytes,
      .max_records = options_.max_records,
      .batch_size = options_.max_records,
      .share_acquire_mode = static_cast<int8_t>(options_.acquire_mode)};
  Said said;
  if (session.epoch != kFirstEpoch) said = std::exchange(session.to_say, {});
  for (const auto& partition : wanted) {
    const auto types = said.find(partition);
    if (session.reads.contains(partition) && types == said.end()) continue;
    auto& entry = entry_of(request.topics, partition);
    entry.partition_index = partition.partition.value();
    if (types != said.end())
      entry.acknowledgement_batches =
          batches_of<wire::ShareFetchRequest::AcknowledgementBatch>(types->second);
  }
  for (const auto& partition : session.reads) {
    if (wanted.contains(partition)) continue;
    auto& forgotten = request.forgotten_topics_data;
    if (forgotten.empty() || forgotten.back().topic_id != partition.topic_id)
      forgotten.push_back({.topic_id = partition.topic_id});
    forgotten.back().partitions.push_back(partition.partition.value());
  }
  session.reads = wanted;
  const auto id =
      begin_request(node, {.is_fetch = true, .is_last = false, .said = std::move(said)});
  action_.sends.push_back({.id = id, .to = node, .request = std::move(request)});
}

void ShareFetcher::acknowledge_to(NodeId node, int32_t epoch) {
  Said said = std::exchange(sessions_.at(node).to_say, {});
  wire::ShareAcknowledgeRequest request{
      .group_id = options_.group, .member_id = options_.member_id, .share_session_epoch = epoch};
  for (const auto& [partition, types] : said) {
    request.is_renew_ack |= has_renewals(types);
    auto& entry = entry_of(request.topics, partition);
    entry.partition_index = partition.partition.value();
    entry.acknowledgement_batches =
        batches_of<wire::ShareAcknowledgeRequest::AcknowledgementBatch>(types);
  }
  const auto id = begin_request(
      node, {.is_fetch = false, .is_last = epoch == kFinalEpoch, .said = std::move(said)});
  action_.sends.push_back({.id = id, .to = node, .request = std::move(request)});
}

void ShareFetcher::close_sessions() {
  for (auto& [node, session] : sessions_) {
    if (session.request) continue;
    if (session.epoch != kFirstEpoch)
      acknowledge_to(node, kFinalEpoch);
    else
      settle_all(std::exchange(session.to_say, {}), ErrorCode::kShareSessionNotFound);
  }
  std::erase_if(sessions_, [](const auto& each) { return !each.second.request; });
  if (!sessions_.empty()) return;
  held_.clear();
  is_over_ = action_.closed = true;
}

// --- Answers.

std::optional<ShareFetcher::Answered> ShareFetcher::answered(RequestId id) {
  auto request = requests_.extract(id);
  const auto session =
      std::ranges::find(sessions_, id, [](const auto& each) { return each.second.request; });
  if (request.empty() || session == sessions_.end()) return std::nullopt;
  session->second.request.reset();
  return Answered{session->first, std::move(request.mapped())};
}

bool ShareFetcher::is_taken(const Answered& answered, const Result<int16_t>& error, Instant now) {
  Session& session = sessions_.at(answered.node);
  const auto code = error ? static_cast<ErrorCode>(*error) : ErrorCode::kNetworkException;
  if (code == ErrorCode::kNone) {
    session.epoch = answered.request.is_last ? kFirstEpoch : epoch_after(session.epoch);
    return true;
  }
  settle_all(answered.request.said, code);
  session.epoch = kFirstEpoch;
  session.reads.clear();
  session.not_before = now + options_.retry_backoff;
  if (is_of_session(code)) return false;
  refresh_all();
  if (!error && error.error().code == Errc::kUnsupported)
    fail_with({Errc::kUnsupported,
               fmt::format("the cluster does not serve share groups: {}", error.error().message)});
  else if (!wire::is_retriable(code) && !MetadataCache::is_stale_after(code))
    fail_with({Errc::kInvalid, fmt::format("group '{}': broker {} answers {}", options_.group,
                                           answered.node, wire::error_name(code))});
  return false;
}

void ShareFetcher::on(Fetched& event, Instant now) {
  const auto request = answered(event.id);
  if (!request || !is_taken(*request, error_of(event.response), now)) return;
  if (event.response->acquisition_lock_timeout_ms > 0)
    lock_timeout_ = milliseconds(event.response->acquisition_lock_timeout_ms);
  const auto found = partitions_in(*event.response);
  for (const auto& partition : request->request.said | std::views::keys) {
    const auto data = found.find(partition);
    settle(request->request.said, partition,
           data == found.end() ? ErrorCode::kUnknownServerError
                               : static_cast<ErrorCode>(data->second->acknowledge_error_code));
  }
  if (closing_) return;  // what it gave is free again when the session ends
  for (const auto& [partition, data] : found)
    if (known_.contains(partition)) take_fetched(request->node, partition, *data, now);
  if (!action_.records.empty()) may_acquire_ = false;
}

void ShareFetcher::on(Acknowledged& event, Instant now) {
  const auto request = answered(event.id);
  if (!request || !is_taken(*request, error_of(event.response), now)) return;
  if (event.response->acquisition_lock_timeout_ms > 0)
    lock_timeout_ = milliseconds(event.response->acquisition_lock_timeout_ms);
  const auto found = partitions_in(*event.response);
  for (const auto& partition : request->request.said | std::views::keys) {
    const auto data = found.find(partition);
    const auto error = data == found.end() ? ErrorCode::kUnknownServerError
                                           : static_cast<ErrorCode>(data->second->error_code);
    settle(request->request.said, partition, error);
    if (MetadataCache::is_stale_after(error)) action_.refresh.insert(name_of(partition).topic);
  }
}

// --- Records.

void ShareFetcher::take_fetched(NodeId node, const TopicIdPartition& partition,
                                const PartitionData& data, Instant now) {
  if (data.error_code != 0) return failed(partition, static_cast<ErrorCode>(data.error_code), now);
  Acquired acquired{.node = node, .partition = partition, .counts = {}};
  Result<> taken;
  int64_t count = 0;
  for (const auto& range : data.acquired_records) {
    const bool is_range = range.first_offset >= 0 && range.first_offset <= range.last_offset;
    if (!is_range || range.last_offset - range.first_offset >= kMostAcquired - count) {
      taken = fail(Errc::kCorrupt, fmt::format("records {} to {} are said to be acquired",
                                               range.first_offset, range.last_offset));
      break;
    }
    count += range.last_offset - range.first_offset + 1;
    for (int64_t offset = range.first_offset; offset <= range.last_offset; ++offset)
      acquired.counts[Offset(offset)] = range.delivery_count;
  }
  if (taken) taken = take_records(acquired, data.records.bytes);
  const auto rest = taken ? AcknowledgeType::kGap : AcknowledgeType::kRelease;
  for (const Offset offset : acquired.counts | std::views::keys)
    sessions_.at(node).to_say[partition][offset] = rest;
  if (taken) return;
  not_before_[partition] = now + options_.retry_backoff;
  action_.problems.push_back(
      {.partition = name_of(partition), .error = std::move(taken).error(), .goes_on = true});
}

Result<> ShareFetcher::take_records(Acquired& acquired, ByteView records) {
  const TopicPartition name = name_of(acquired.partition);
  record::BatchIterator batches(records);
  record::RecordView view;
  while (true) {
    ASSIGN_OR_RETURN(const auto batch, batches.next());
    if (!batch) return {};
    const auto first = acquired.counts.lower_bound(batch->base_offset());
    if (first == acquired.counts.end() || first->first > batch->last_offset()) continue;
    if (!batch->verify_crc()) return fail(Errc::kCorrupt, "the checksum of a batch is wrong");
    if (batch->header().attributes.control()) continue;
    ASSIGN_OR_RETURN(auto reader,
                     record::RecordReader::open(*batch, scratch_, options_.max_unpacked_bytes));
    while (true) {
      ASSIGN_OR_RETURN(const bool there, reader.next(view));
      if (!there) break;
      const auto count = acquired.counts.extract(view.offset);
      if (count.empty()) continue;
      action_.records.push_back(consumed(name, batch->header(), view));
      action_.records.back().delivery_count = count.mapped();
      held_[acquired.partition][view.offset] = acquired.node;
    }
  }
}

void ShareFetcher::failed(const TopicIdPartition& partition, ErrorCode error, Instant now) {
  if (MetadataCache::is_stale_after(error) || wire::is_retriable(error)) {
    not_before_[partition] = now + options_.retry_backoff;
    action_.refresh.insert(name_of(partition).topic);
    return;
  }
  const TopicPartition name = name_of(partition);
  assigned_.erase(partition);
  action_.problems.push_back(
      {.partition = name,
       .error = {Errc::kInvalid, fmt::format("{}: the broker answers {}", name.to_string(),
                                             wire::error_name(error))}});
}

void ShareFetcher::fail_with(Error error) {
  is_over_ = true;
  for (auto& session : sessions_ | std::views::values)
    settle_all(std::exchange(session.to_say, {}), ErrorCode::kShareSessionNotFound);
  action_.failed = std::move(error);
}

TopicPartition ShareFetcher::name_of(const TopicIdPartition& partition) const {
  const auto name = known_.find(partition);
  ASSERT(name != known_.end(), "{}-{} was never assigned", partition.topic_id, partition.partition);
  return {name->second, partition.partition};
}

void ShareFetcher::refresh_all() {
  for (const auto& name : assigned_ | std::views::values) action_.refresh.insert(name);
}

void ShareFetcher::set_wake(Instant now) {
  const auto wake_at = [&](Instant at) {
    if (at > now && (!action_.wake || at < *action_.wake)) action_.wake = at;
  };
  if (is_over_) return;
  for (const auto& session : sessions_ | std::views::values)
    if (!session.request) wake_at(session.not_before);
  for (const Instant at : not_before_ | std::views::values) wake_at(at);
}

std::string ShareFetcher::describe() const {
  return fmt::format("{} partitions, {} sessions, {} requests under way, {} records held",
                     assigned_.size(), sessions_.size(), requests_.size(), held());
}

}  // namespace millrace::client::core
