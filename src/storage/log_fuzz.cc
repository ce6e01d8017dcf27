// A directory of any files as a partition's log: opening it may fail, never crash; what opens can
// be read, searched and appended to, and opens again with the same end.
//
// The input: uint8 flags, uint8 recovery point, then files (storage/testing/fuzzed_files.h). Seeds:
// tests/seeds.py.
#include "base/assert.h"
#include "env/testing/memory_disk.h"
#include "record/builder.h"
#include "storage/log.h"
#include "storage/testing/fuzzed_files.h"

using namespace millrace;
using namespace millrace::storage;

namespace {

const std::string kDirectory = "/data/t-0";
constexpr TimestampMs kNow{1'700'000'000'000};
constexpr const char* kFiles[] = {"00000000000000000000.log",
                                  "00000000000000000000.index",
                                  "00000000000000000000.timeindex",
                                  "00000000000000000000.txnindex",
                                  "00000000000000000005.log",
                                  "00000000000000000005.index",
                                  "00000000000000000005.timeindex",
                                  "00000000000000000005.snapshot",
                                  "00000000000000000003.snapshot",
                                  "leader-epoch-checkpoint",
                                  "partition.metadata",
                                  "00000000000000000005.txnindex"};

// Everything that a reader may ask for.
void read_all(Log& log) {
  Offset from = log.log_start();
  for (int reads = 0; reads < 100 && from < log.log_end(); ++reads) {
    auto slice = log.read({.from = from, .below = log.log_end(), .max_bytes = 4096});
    if (!slice || slice->length == 0) break;
    ByteBuffer bytes(slice->length);
    auto got = slice->file->read_at(bytes, slice->position);
    ASSERT(got.has_value() && *got == slice->length, "a slice beyond its file");
    from += 7;
  }
  (void)log.replay([](const record::BatchHeader&, ByteView, uint64_t) { return true; });
  (void)log.offset_for_timestamp(kNow);
  (void)log.max_timestamp();
  (void)log.end_of_epoch(LeaderEpoch(3));
  (void)log.aborted_transactions({log.log_start(), log.log_end()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  env::testing::MemoryDisk disk;
  storage::testing::write_fuzzed_files(disk, kDirectory, kFiles, {data + 2, size - 2});
  const LogOptions options{.segment_bytes = 4096, .index_interval_bytes = 64};
  const LogRecovery recovery{.recovery_point = Offset(data[1] % 16),
                             .log_start = Offset(data[0] % 4),
                             .clean = (data[0] & 0x80) != 0};
  auto log = Log::open(disk, kDirectory, options, recovery);
  if (!log) {
    ASSERT(!log.error().message.empty());
    return 0;
  }
  ASSERT((*log)->log_start() <= (*log)->log_end(), "L2: {} > {}", (*log)->log_start(),
         (*log)->log_end());
  read_all(**log);

  record::BatchBuilder builder(record::BatchOptions{});
  builder.append({.timestamp = kNow, .value = as_bytes("value")});
  ByteBuffer batch = std::move(builder).build();
  const MutableByteView view = batch;
  const Offset end = (*log)->log_end();
  auto appended = (*log)->append({&view, 1}, LeaderEpoch(9), kNow);
  ASSERT(!appended || *appended == end, "appended at {}, the end was {}", *appended, end);
  const Offset new_end = (*log)->log_end();
  if (!(*log)->close()) return 0;
  log->reset();
  auto again =
      Log::open(disk, kDirectory, options,
                {.recovery_point = new_end, .log_start = recovery.log_start, .clean = true});
  ASSERT(!again || (*again)->log_end() == new_end, "ended at {}, opens with {}", new_end,
         (*again)->log_end());
  return 0;
}
