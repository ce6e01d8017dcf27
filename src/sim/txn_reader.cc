#include "sim/txn_reader.h"

#include "record/control.h"
#include "record/record.h"

namespace millrace::sim {
namespace {

constexpr int16_t kFetchVersion = 12;
constexpr int8_t kReadCommitted = 1;
constexpr size_t kMaxUnpacked = 1 << 20;
constexpr Duration kPause = milliseconds(30);
constexpr Duration kPauseAfterError = milliseconds(200);

}  // namespace

TxnReader::TxnReader(const Site& site, const TopicPartition& partition, Take take)
    : host_(site.host), partition_(partition), take_(std::move(take)), client_(site, "committed") {}

void TxnReader::start() { fetch(); }

void TxnReader::read_to_end(std::function<void()> done) {
  at_end_ = std::move(done);
  fetch();
}

void TxnReader::again(Duration pause) {
  host_->shard(0).after(pause, [this] { fetch(); });
}

void TxnReader::fetch() {
  wire::FetchRequest request{.max_wait_ms = 100, .min_bytes = 1, .isolation_level = kReadCommitted};
  request.topics.push_back({.topic = partition_.topic});
  request.topics[0].partitions.push_back({.partition = partition_.partition.value(),
                                          .current_leader_epoch = client_.leader_epoch(partition_),
                                          .fetch_offset = position_,
                                          .partition_max_bytes = 20'000});
  client_.call<wire::FetchResponse>(
      partition_, request, kFetchVersion, [this](Result<wire::FetchResponse> response) {
        const bool served = response && response->error_code == 0 && !response->responses.empty() &&
                            response->responses[0].partitions.at(0).error_code == 0;
        if (served) return fetched(*response);
        client_.doubt(partition_);
        again(kPauseAfterError);
      });
}

void TxnReader::fetched(const wire::FetchResponse& response) {
  const auto& data = response.responses[0].partitions[0];
  if (data.aborted_transactions)
    for (const auto& aborted : *data.aborted_transactions)
      if (aborted.first_offset < position_) aborting_.insert(aborted.producer_id);
  record::BatchIterator batches(data.records.bytes);
  for (;;) {
    auto batch = batches.next();
    if (!batch)
      return host_->world().violated("ST3", fmt::format("{} at {}: {}", partition_.to_string(),
                                                        position_, batch.error().message));
    if (!*batch || (*batch)->base_offset().value() >= data.last_stable_offset) break;
    if (data.aborted_transactions)
      for (const auto& aborted : *data.aborted_transactions)
        if (aborted.first_offset >= position_ &&
            aborted.first_offset <= (*batch)->last_offset().value())
          aborting_.insert(aborted.producer_id);
    if ((*batch)->last_offset().value() >= position_) take(**batch);
  }
  const bool at_end =
      position_ >= data.high_watermark && data.last_stable_offset == data.high_watermark;
  if (at_end && at_end_) return std::exchange(at_end_, nullptr)();
  again(kPause);
}

void TxnReader::take(const record::BatchView& batch) {
  position_ = batch.last_offset().value() + 1;
  const int64_t producer = batch.header().producer_id.value();
  if (batch.header().attributes.control()) {
    aborting_.erase(producer);
    return;
  }
  if (batch.header().attributes.transactional() && aborting_.contains(producer)) return;
  record::ReadScratch scratch;
  auto reader = record::RecordReader::open(batch, scratch, kMaxUnpacked);
  record::RecordView record;
  while (reader && reader->next(record).value_or(false))
    take_(std::string(as_text(record.value.value_or(ByteView()))));
}

}  // namespace millrace::sim
