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

Result<int64_t> take_records(ByteView bytes, int64_t from, Oracle::Contents& records) {
  record::BatchIterator batches(bytes);
  int64_t next = from;
  for (;;) {
    ASSIGN_OR_RETURN(auto batch, batches.next());
    if (!batch) return next;
    RETURN_IF_ERROR(take_batch(*batch, from, records));
    if (batch->next_offset().value() <= next && batch->base_offset().value() >= from)
      return fail(Errc::kCorrupt, "offsets do not ascend");
    next = batch->next_offset().value();
  }
}

}  // namespace

void fetch(Client& client, World& world, const FetchOptions& options, FetchDone done) {
  wire::FetchRequest request{.max_wait_ms = options.max_wait_ms, .min_bytes = 1};
  request.topics.push_back({.topic = options.topic});
  request.topics[0].partitions.push_back({.partition = options.partition,
                                          .fetch_offset = options.offset,
                                          .partition_max_bytes = options.max_bytes});
  client.call<wire::FetchResponse>(
      request, kFetchVersion,
      [&world, options, done = std::move(done)](Result<wire::FetchResponse> response) {
        Oracle::Contents records;
        if (!response || response->error_code != 0 || response->responses.empty())
          return done(std::nullopt, records);
        const auto& answer = response->responses[0].partitions.at(0);
        auto next = take_records(answer.records.bytes, options.offset, records);
        if (!next)
          world.violated("ST3", fmt::format("{}-{} at {}: {}", options.topic, options.partition,
                                            options.offset, next.error().message));
        if (answer.last_stable_offset > answer.high_watermark)
          world.violated("IS12", fmt::format("a Fetch (error {}) told last stable offset {}, high "
                                             "watermark {}",
                                             answer.error_code, answer.last_stable_offset,
                                             answer.high_watermark));
        done(FetchedPartition{.error = answer.error_code,
                              .high_watermark = answer.high_watermark,
                              .next_offset = next.value_or(options.offset)},
             records);
      });
}

void find_log_start(Client& client, const std::string& topic, int32_t partition,
                    std::function<void(std::optional<int64_t>)> done) {
  wire::ListOffsetsRequest request{.replica_id = -1};
  request.topics.push_back({.name = topic});
  request.topics[0].partitions.push_back({.partition_index = partition, .timestamp = kEarliest});
  client.call<wire::ListOffsetsResponse>(
      request, kListOffsetsVersion,
      [done = std::move(done)](Result<wire::ListOffsetsResponse> response) {
        if (!response || response->topics.at(0).partitions.at(0).error_code != 0)
          return done(std::nullopt);
        done(response->topics[0].partitions[0].offset);
      });
}

Consumer::Consumer(Host& host, Oracle& oracle, std::string topic, int32_t partition)
    : host_(&host),
      oracle_(&oracle),
      client_(host, "consumer"),
      dice_(host.world().workload.next()),
      topic_(std::move(topic)),
      partition_(partition) {}

void Consumer::read_all(std::function<void(const Oracle::Contents&)> done) {
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
  fetch(client_, host_->world(),
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
  if (fetched->error != 0) return later(milliseconds(50));
  for (const auto& [offset, value] : records) oracle_->consumed(partition_, offset, value);
  if (all_read_) contents_.insert(records.begin(), records.end());
  position_ = fetched->next_offset;
  if (all_read_ && position_ >= fetched->high_watermark)
    return std::exchange(all_read_, nullptr)(contents_);
  later(Duration(0));
}

// What is out of range may have been deleted, but must not lie beyond the end.
void Consumer::move_to_log_start() {
  find_log_start(client_, topic_, partition_, [this](std::optional<int64_t> start) {
    if (!start) return later(milliseconds(100));
    if (*start <= position_)
      return host_->world().violated(
          "IS5", fmt::format("{}-{}: the log ends before {} that was read", topic_, partition_,
                             position_));
    position_ = *start;
    later(Duration(0));
  });
}

}  // namespace millrace::sim
