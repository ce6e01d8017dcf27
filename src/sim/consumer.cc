#include "sim/consumer.h"

#include "record/batch.h"
#include "wire/errors.h"
#include "wire/list_offsets.h"

namespace millrace::sim {
namespace {

constexpr int16_t kFetchVersion = 12;
constexpr int16_t kListOffsetsVersion = 6;
constexpr int64_t kEarliest = -2;
constexpr size_t kMaxUnpacked = 1 << 20;
constexpr double kRewindChance = 0.01;

// False: something is wrong with the batch.
Result<> take_batch(const record::BatchView& batch, int64_t from, Oracle::Contents& records) {
  if (!batch.verify_crc())
    return fail(Errc::kCorrupt,
                fmt::format("the batch at {} has a wrong checksum", batch.base_offset().value()));
  if (batch.header().attributes.control()) return {};
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxUnpacked));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, reader.next(record));
    if (!more) return {};
    if (record.offset.value() < from) continue;
    const bool is_new =
        records.emplace(record.offset.value(), as_text(record.value.value_or(ByteView()))).second;
    if (!is_new) return fail(Errc::kCorrupt, fmt::format("offset {} twice", record.offset.value()));
  }
}

}  // namespace

Result<> take_records(ByteView bytes, int64_t& next, Oracle::Contents& records) {
  record::BatchIterator batches(bytes);
  const int64_t from = next;
  for (bool is_first = true;; is_first = false) {
    ASSIGN_OR_RETURN(auto batch, batches.next());
    // The first batch of an answer is whole (KIP-74), unless its length is wrong.
    if (!batch && is_first && !bytes.empty()) return fail(Errc::kCorrupt, "half a batch");
    if (!batch) return {};
    RETURN_IF_ERROR(take_batch(*batch, from, records));
    if (batch->next_offset().value() <= next && batch->base_offset().value() >= from)
      return fail(Errc::kCorrupt, "offsets do not ascend");
    next = batch->next_offset().value();
  }
}

void fetch(Client& client, Oracle& oracle, const FetchOptions& options, FetchDone done) {
  wire::FetchRequest request{.max_wait_ms = options.max_wait_ms, .min_bytes = 1};
  request.topics.push_back({.topic = options.topic});
  const TopicPartition partition{options.topic, PartitionIndex(options.partition)};
  request.topics[0].partitions.push_back({.partition = options.partition,
                                          .current_leader_epoch = client.leader_epoch(partition),
                                          .fetch_offset = options.offset,
                                          .partition_max_bytes = options.max_bytes});
  client.call<wire::FetchResponse>(
      partition, request, kFetchVersion,
      [&client, &oracle, partition, options,
       done = std::move(done)](Result<wire::FetchResponse> response) {
        World& world = oracle.world();
        Oracle::Contents records;
        if (!response || response->error_code != 0 || response->responses.empty())
          return done(std::nullopt, records);
        const auto& answer = response->responses[0].partitions.at(0);
        if (answer.error_code != 0) client.doubt(partition);
        int64_t next = options.offset;
        const auto taken = take_records(answer.records.bytes, next, records);
        const auto damage = oracle.damage_at(options.partition, next);
        if (!taken && (!damage || damage->must_be_cut))
          world.violated("ST3", fmt::format("{}-{} at {}: {}", options.topic, options.partition,
                                            next, taken.error().message));
        if (answer.last_stable_offset > answer.high_watermark)
          world.violated("IS12", fmt::format("a Fetch (error {}) told last stable offset {}, high "
                                             "watermark {}",
                                             answer.error_code, answer.last_stable_offset,
                                             answer.high_watermark));
        done(FetchedPartition{.error = answer.error_code,
                              .high_watermark = answer.high_watermark,
                              .next_offset = next,
                              .damaged = !taken},
             records);
      });
}

void find_log_start(Client& client, const std::string& topic, int32_t partition,
                    std::function<void(std::optional<int64_t>)> done) {
  wire::ListOffsetsRequest request{.replica_id = -1};
  request.topics.push_back({.name = topic});
  request.topics[0].partitions.push_back({.partition_index = partition, .timestamp = kEarliest});
  const TopicPartition place{topic, PartitionIndex(partition)};
  client.call<wire::ListOffsetsResponse>(
      place, request, kListOffsetsVersion,
      [&client, place, done = std::move(done)](Result<wire::ListOffsetsResponse> response) {
        if (!response) return done(std::nullopt);
        if (response->topics.at(0).partitions.at(0).error_code != 0) {
          client.doubt(place);
          return done(std::nullopt);
        }
        done(response->topics[0].partitions[0].offset);
      });
}

Consumer::Consumer(const Site& site, Oracle& oracle, std::string topic, int32_t partition)
    : host_(site.host),
      oracle_(&oracle),
      client_(site, "consumer"),
      dice_(host_->world().workload.next()),
      topic_(std::move(topic)),
      partition_(partition) {}

void Consumer::read_all(AllRead done) {
  all_read_ = std::move(done);
  contents_.clear();
  position_ = 0;
  client_.disconnect();
  if (!waiting_) later(milliseconds(1));
}

void Consumer::later(Duration pause) {
  waiting_ = true;
  host_->shard(0).after(pause, [this] {
    waiting_ = false;
    next();
  });
}

void Consumer::next() {
  if (!all_read_ && dice_.chance(kRewindChance)) position_ = 0;
  fetch(client_, *oracle_,
        {.topic = topic_,
         .partition = partition_,
         .offset = position_,
         .max_wait_ms = all_read_ ? 0 : static_cast<int32_t>(dice_.between({0, 1000})),
         .max_bytes = static_cast<int32_t>(dice_.between({1, 40'000}))},
        [this](auto fetched, const auto& records) { take(fetched, records); });
}

void Consumer::take(std::optional<FetchedPartition> fetched, const Oracle::Contents& records) {
  if (!fetched) return later(milliseconds(dice_.between({10, 300})));
  const auto code = static_cast<wire::ErrorCode>(fetched->error);
  if (code == wire::ErrorCode::kOffsetOutOfRange) return move_to_log_start();
  if (fetched->error != 0) return take_refusal(fetched->error);
  for (const auto& [offset, value] : records) oracle_->consumed(partition_, offset, value);
  if (all_read_) contents_.insert(records.begin(), records.end());
  position_ = fetched->next_offset;
  if (fetched->damaged) return pass_over_damage();
  if (all_read_ && position_ >= fetched->high_watermark)
    return std::exchange(all_read_, nullptr)(contents_);
  later(Duration(0));
}

// An error says what is damaged; others pass.
void Consumer::take_refusal(int16_t error) {
  const auto code = static_cast<wire::ErrorCode>(error);
  if (code == wire::ErrorCode::kCorruptMessage && oracle_->damage_at(partition_, position_))
    return pass_over_damage();
  const bool refused = code == wire::ErrorCode::kUnknownTopicOrPartition ||
                       code == wire::ErrorCode::kKafkaStorageError;
  if (all_read_ && refused && oracle_->has_damage(partition_))
    return std::exchange(all_read_, nullptr)(std::nullopt);
  later(milliseconds(50));
}

// One that follows the log waits for the repair.
void Consumer::pass_over_damage() {
  const auto damage = oracle_->damage_at(partition_, position_);
  if (!all_read_ || !damage) return later(milliseconds(100));
  position_ = damage->end;
  if (position_ == INT64_MAX) return std::exchange(all_read_, nullptr)(contents_);
  later(Duration(0));
}

// What is out of range may have been deleted, but must not lie beyond the end. In a cluster the
// next leader may know of an earlier start, and one that is none any more of less: asked again.
void Consumer::move_to_log_start() {
  find_log_start(client_, topic_, partition_, [this](std::optional<int64_t> start) {
    if (!start || (*start <= position_ && oracle_->may_be_led_by_others()))
      return later(milliseconds(100));
    if (*start <= position_)
      return host_->world().violated(
          "IS5", fmt::format("{}-{}: the log ends before {} that was read", topic_, partition_,
                             position_));
    position_ = *start;
    later(Duration(0));
  });
}

}  // namespace millrace::sim
