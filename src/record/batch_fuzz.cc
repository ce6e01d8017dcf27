// Any bytes as the records field of a Produce request, and as a piece of a log: nothing may crash,
// and what validation accepts must be a batch that reads to its end under its own checksum.
#include <vector>

#include "base/assert.h"
#include "base/crc32c.h"
#include "record/produce_validation.h"
#include "record/record.h"

using namespace millrace;
using namespace millrace::record;

namespace {

constexpr size_t kMaxUnpacked = size_t{1} << 20;
constexpr size_t kCrcAt = 17, kCoveredAt = 21;

// The records of one batch, headers included; false: the batch is broken.
bool read_all(const BatchView& batch, ReadScratch& scratch) {
  auto reader = RecordReader::open(batch, scratch, kMaxUnpacked);
  if (!reader) return false;
  RecordView record;
  for (;;) {
    auto more = reader->next(record);
    if (!more) return false;
    if (!*more) return true;
    for (const HeaderView& header : record.headers)
      ASSERT(header.key.size() <= static_cast<size_t>(record.size_in_bytes));
  }
}

void walk_run(ByteView run, ReadScratch& scratch) {
  BatchIterator batches(run);
  for (auto batch = batches.next(); batch && *batch; batch = batches.next()) {
    ASSERT(batches.position() <= run.size());
    (void)(*batch)->verify_crc();
    (void)(*batch)->next_offset();
    read_all(**batch, scratch);
  }
}

void validate(ByteBuffer records, const ProduceRules& rules, ReadScratch& scratch) {
  auto result = validate_produce(records, rules, scratch);
  if (!result) return;
  ASSERT(result->batch.verify_crc());
  ASSERT(result->batch.base_offset() == Offset(0));
  ASSERT(read_all(result->batch, scratch));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ReadScratch scratch;
  walk_run({data, size}, scratch);

  // Chance never finds a right checksum, so it is given.
  ByteBuffer records(data, data + size);
  if (size > kBatchHeaderSize) {
    store_big(records.data() + 8, static_cast<int32_t>(size - kBatchOverhead));
    store_big(records.data() + kCrcAt, crc32c(ByteView(records).subspan(kCoveredAt)));
  }
  ProduceRules rules{.now = TimestampMs(1'700'000'000'000), .max_decompressed = kMaxUnpacked};
  validate(records, rules, scratch);
  rules.timestamp_type = TimestampType::kLogAppendTime;
  rules.target_codec = Codec::kLz4;
  validate(std::move(records), rules, scratch);
  return 0;
}
