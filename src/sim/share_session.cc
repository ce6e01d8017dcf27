#include "sim/share_session.h"

#include <algorithm>

#include "sim/consumer.h"
#include "wire/errors.h"

namespace millrace::sim {
namespace {

constexpr int16_t kVersion = 2;
constexpr int8_t kGap = 0, kAccept = 1, kRelease = 2, kRenew = 4;
constexpr int32_t kFinalEpoch = -1;
constexpr size_t kRemembered = 20;
constexpr Range kRetryMs{20, 300};

using wire::ErrorCode;
using Batch = wire::share_acknowledge_request::AcknowledgementBatch;

bool renews(const std::vector<ShareOracle::Said>& said) {
  return std::ranges::any_of(said, [](const auto& each) { return each.type == kRenew; });
}

// Runs of one type are said with one, others one by one.
template <class AcknowledgementBatch>
std::vector<AcknowledgementBatch> batches_of(const std::vector<ShareOracle::Said>& said,
                                             int32_t partition) {
  std::vector<AcknowledgementBatch> batches;
  for (const auto& each : said) {
    if (each.partition != partition) continue;
    const bool goes_on = !batches.empty() && batches.back().last_offset + 1 == each.offset;
    if (!goes_on) batches.push_back({.first_offset = each.offset});
    batches.back().last_offset = each.offset;
    batches.back().acknowledge_types.push_back(each.type);
  }
  for (auto& batch : batches) {
    auto& types = batch.acknowledge_types;
    if (std::ranges::all_of(types, [&](int8_t type) { return type == types.front(); }))
      types.resize(1);
  }
  return batches;
}

std::set<int32_t> partitions_of(const std::vector<ShareOracle::Said>& said) {
  std::set<int32_t> partitions;
  for (const auto& each : said) partitions.insert(each.partition);
  return partitions;
}

ShareOracle::Verdict verdict_of(ErrorCode code) {
  if (code == ErrorCode::kNone) return ShareOracle::Verdict::kKept;
  const bool is_refusal =
      code == ErrorCode::kInvalidRecordState || code == ErrorCode::kInvalidRequest;
  return is_refusal ? ShareOracle::Verdict::kRefused : ShareOracle::Verdict::kUnknown;
}

bool is_of_session(ErrorCode code) {
  return code == ErrorCode::kShareSessionNotFound || code == ErrorCode::kInvalidShareSessionEpoch ||
         code == ErrorCode::kShareSessionLimitReached;
}

}  // namespace

ShareSession::ShareSession(const Site& site, ShareReading reading, NodeId broker,
                           env::Address address)
    : host_(site.host),
      reading_(std::move(reading)),
      broker_(broker),
      at_{std::move(address)},
      client_(site, "share-member"),
      dice_(host_->world().workload.next()) {}

void ShareSession::read(const std::string& member, const Uuid& topic_id,
                        const std::set<int32_t>& partitions) {
  if (member != member_ && !member_.empty()) stop(Leaving::kIsGone);
  member_ = member;
  topic_id_ = topic_id;
  wanted_ = partitions;
  if (!is_waiting_ && !is_asking_) later(Duration(0));
}

void ShareSession::stop(Leaving how) {
  wanted_.clear();
  if (how == Leaving::kSaysSo && epoch_ > 0 && !is_asking_) {
    acknowledge(take_due(), kFinalEpoch);
  } else {
    client_.disconnect();
  }
  end_session();
}

void ShareSession::end_session() {
  if (session_ != ShareSessionId::kNone) oracle().is_over(session_);
  session_ = ShareSessionId::kNone;
  epoch_ = 0;
  has_.clear();
  held_.clear();
  past_.clear();
  ++round_;
}

void ShareSession::later(Duration pause) {
  if (std::exchange(is_waiting_, true)) return;
  host_->shard(0).after(pause, [this] {
    is_waiting_ = false;
    if (!is_asking_) step();
  });
}

void ShareSession::step() {
  if (wanted_.empty() && epoch_ == 0) return;
  if (epoch_ == 0) return fetch({});
  if (!is_finishing_ && plays_a_prank()) return;
  auto due = take_due();
  if (!due.empty() && (renews(due) || dice_.chance(0.4)))
    return acknowledge(std::move(due), epoch_);
  fetch(std::move(due));
}

bool ShareSession::plays_a_prank() {
  if (dice_.chance(0.01)) {
    stop(dice_.chance(0.5) ? Leaving::kSaysSo : Leaving::kIsGone);
    if (on_doubt) on_doubt();
    return true;
  }
  if (dice_.chance(0.01)) {
    // It begins anew while the broker still has the session of before.
    end_session();
    later(milliseconds(dice_.between(kRetryMs)));
    return true;
  }
  if (!past_.empty() && dice_.chance(0.02)) {
    acknowledge({past_[dice_.below(past_.size())]}, epoch_);
    return true;
  }
  if (!dice_.chance(0.02)) return false;
  try_a_wrong_epoch();
  return true;
}

std::vector<ShareOracle::Said> ShareSession::take_due() {
  std::vector<Said> due;
  const Instant now = world().now();
  for (auto& [partition, records] : held_)
    for (auto at = records.begin(); at != records.end();) {
      auto& [offset, held] = *at;
      const bool is_due = held.due <= now || is_finishing_;
      if (is_finishing_ && held.type != kGap) held.type = kAccept;
      if (is_due) due.push_back({partition, offset, held.type, held.delivery_count});
      const bool goes_on = !is_due || held.type == kRenew;
      if (is_due && goes_on)
        held = {held.delivery_count, kAccept, now + milliseconds(dice_.between({0, 2000}))};
      at = goes_on ? std::next(at) : records.erase(at);
    }
  return due;
}

ShareSession::Asking ShareSession::asking(std::vector<Said> said, int32_t epoch, bool reads) {
  is_asking_ = true;
  std::set<int32_t> about = partitions_of(said);
  if (reads) about.insert(wanted_.begin(), wanted_.end());
  oracle().says(session_, said);
  for (const Said& each : said) past_.push_back(each);
  while (past_.size() > kRemembered) past_.pop_front();
  return {.request = oracle().begin(broker_, session_, about, reads),
          .said = std::move(said),
          .epoch = epoch,
          .round = round_};
}

// --- Reading.

void ShareSession::fetch(std::vector<Said> said) {
  if (epoch_ == 0) session_ = oracle().fresh_session();
  wire::ShareFetchRequest request;
  request.group_id = reading_.group;
  request.member_id = member_;
  request.share_session_epoch = epoch_;
  request.max_wait_ms = static_cast<int32_t>(dice_.between({0, 500}));
  request.min_bytes = 1;
  request.max_bytes = static_cast<int32_t>(dice_.between({1, 40'000}));
  request.max_records = static_cast<int32_t>(dice_.between({1, 300}));
  request.batch_size = static_cast<int32_t>(dice_.between({1, 100}));
  request.share_acquire_mode = dice_.chance(0.3) ? 1 : 0;
  auto& topic = request.topics.emplace_back();
  topic.topic_id = topic_id_;
  auto told = partitions_of(said);
  for (const int32_t partition : wanted_)
    if (!has_.contains(partition)) told.insert(partition);
  for (const int32_t partition : told)
    topic.partitions.push_back(
        {.partition_index = partition,
         .acknowledgement_batches =
             batches_of<wire::ShareFetchRequest::AcknowledgementBatch>(said, partition)});
  std::vector<int32_t> forgotten;
  std::ranges::set_difference(has_, wanted_, std::back_inserter(forgotten));
  if (!forgotten.empty() && epoch_ > 0)
    request.forgotten_topics_data.push_back({.topic_id = topic_id_, .partitions = forgotten});
  if (topic.partitions.empty()) request.topics.clear();
  has_ = wanted_;
  client_.call<Fetched>(at_, request, kVersion,
                        [this, asking = asking(std::move(said), epoch_, true)](
                            const Result<Fetched>& answer) { fetched(asking, answer); });
}

void ShareSession::fetched(const Asking& asking, const Result<Fetched>& answer) {
  is_asking_ = false;
  std::map<int32_t, int16_t> codes;
  if (answer)
    for (const auto& topic : answer->responses)
      for (const auto& data : topic.partitions)
        codes[data.partition_index] = data.acknowledge_error_code;
  const bool was_looked_at = !answer || !codes.empty();
  judge(asking, codes, was_looked_at ? Verdict::kUnknown : Verdict::kRefused);
  if (!answer || answer->error_code != 0) oracle().lost(asking.request);
  if (asking.round != round_) {
    if (answer && answer->error_code == 0) oracle().lost(asking.request);
    return later(Duration(0));
  }
  if (!is_taken(asking, answer ? answer->error_code : -1)) return;
  take_partitions(asking, *answer);
  later(dice_.around(milliseconds(20)));
}

// What every answer means for the session. False: there is none any more.
bool ShareSession::is_taken(const Asking& asking, int16_t error) {
  if (error == 0) {
    oracle().answered(asking.request);
    epoch_ = asking.epoch + 1;
    return true;
  }
  const bool is_silent = error == -1;
  end_session();
  later(milliseconds(dice_.between(kRetryMs)));
  if (is_silent || !is_of_session(static_cast<ErrorCode>(error)))
    if (on_doubt) on_doubt();
  return false;
}

void ShareSession::take_partitions(const Asking& asking, const Fetched& answer) {
  bool doubts = false;
  for (const auto& topic : answer.responses)
    for (const auto& data : topic.partitions) {
      doubts |= data.error_code != 0;
      if (data.error_code == 0) take(asking, data);
    }
  if (doubts && on_doubt) on_doubt();
}

void ShareSession::take(const Asking& asking, const Fetched::PartitionData& data) {
  for (const auto& range : data.acquired_records) {
    Oracle::Contents values;
    int64_t next = range.first_offset;
    const int32_t partition = data.partition_index;
    const auto taken = take_records(data.records.bytes, next, values);
    const bool is_damaged = reading_.has_damage(partition);
    if (!taken && !is_damaged)
      world().violated(
          "ST3", fmt::format("a share of {} at {}: {}", partition, next, taken.error().message));
    for (int64_t offset = range.first_offset; offset <= range.last_offset; ++offset)
      if (!values.contains(offset) && !is_damaged && !reading_.has_markers)
        world().violated(
            "SH7", fmt::format("{}-{} was acquired of {}-{}, but did not come", partition, offset,
                               range.first_offset, range.last_offset));
    oracle().acquired(asking.request, partition,
                      {range.first_offset, range.last_offset, range.delivery_count});
    hold(partition, range, values);
  }
}

void ShareSession::hold(int32_t partition, const Fetched::AcquiredRecords& range,
                        const Oracle::Contents& values) {
  const Instant now = world().now();
  const Duration lock = oracle().rules().lock;
  // Records that come together mostly fare alike.
  Instant due = now + milliseconds(dice_.between({0, 200}));
  if (dice_.chance(0.05))
    due = now + milliseconds(dice_.between({0, 2 * (lock / milliseconds(1))}));
  if (dice_.chance(0.03)) due = Instant::never();
  for (int64_t offset = range.first_offset; offset <= range.last_offset; ++offset) {
    const auto value = values.find(offset);
    int8_t type = kAccept;
    if (value == values.end())
      type = kGap;
    else if (dice_.chance(0.1))
      type = static_cast<int8_t>(dice_.between({kRelease, kRenew}));
    if (value != values.end()) reading_.take(partition, offset, value->second);
    held_[partition][offset] = {.delivery_count = range.delivery_count, .type = type, .due = due};
  }
}

// --- Saying.

void ShareSession::acknowledge(std::vector<Said> said, int32_t epoch) {
  wire::ShareAcknowledgeRequest request;
  request.group_id = reading_.group;
  request.member_id = member_;
  request.share_session_epoch = epoch;
  request.is_renew_ack = renews(said);
  if (!said.empty()) {
    auto& topic = request.topics.emplace_back();
    topic.topic_id = topic_id_;
    for (const int32_t partition : partitions_of(said))
      topic.partitions.push_back({.partition_index = partition,
                                  .acknowledgement_batches = batches_of<Batch>(said, partition)});
  }
  client_.call<Acknowledged>(
      at_, request, kVersion,
      [this, asking = asking(std::move(said), epoch, false)](const Result<Acknowledged>& answer) {
        acknowledged(asking, answer);
      });
}

void ShareSession::acknowledged(const Asking& asking, const Result<Acknowledged>& answer) {
  is_asking_ = false;
  std::map<int32_t, int16_t> codes;
  if (answer)
    for (const auto& topic : answer->responses)
      for (const auto& data : topic.partitions) codes[data.partition_index] = data.error_code;
  const bool was_looked_at = !answer || answer->error_code == 0 || !codes.empty();
  judge(asking, codes, was_looked_at ? Verdict::kUnknown : Verdict::kRefused);
  if (asking.round != round_) return later(Duration(0));
  if (!is_taken(asking, answer ? answer->error_code : -1)) return;
  later(dice_.around(milliseconds(20)));
}

void ShareSession::judge(const Asking& asking, const std::map<int32_t, int16_t>& codes,
                         Verdict of_others) {
  for (const Said& each : asking.said) {
    const auto code = codes.find(each.partition);
    oracle().judged(
        asking.request, each,
        code == codes.end() ? of_others : verdict_of(static_cast<ErrorCode>(code->second)));
  }
}

void ShareSession::try_a_wrong_epoch() {
  wire::ShareAcknowledgeRequest request;
  request.group_id = reading_.group;
  request.member_id = member_;
  request.share_session_epoch = epoch_ + static_cast<int32_t>(dice_.between({1, 3}));
  client_.call<Acknowledged>(
      at_, request, kVersion,
      [this, asking = asking({}, epoch_, false)](const Result<Acknowledged>& answer) {
        is_asking_ = false;
        if (answer && answer->error_code == 0)
          world().violated("SH8", fmt::format("broker {} takes the session epoch of {} behind {}",
                                              broker_, member_, asking.epoch - 1));
        const bool is_refused = answer && static_cast<ErrorCode>(answer->error_code) ==
                                              ErrorCode::kInvalidShareSessionEpoch;
        if (asking.round == round_ && !is_refused) end_session();
        later(milliseconds(dice_.between(kRetryMs)));
      });
}

}  // namespace millrace::sim
