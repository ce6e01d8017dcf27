// Any bytes as the files of __cluster_metadata-0: opening it may fail, never crash. What opens
// gives an image that keeps its invariants and is the same after a snapshot (MD3), takes records,
// and opens again with them.
//
// The input: files (storage/testing/fuzzed_files.h). Seeds: tests/seeds.py.
#include "base/log.h"
#include "env/testing/memory_disk.h"
#include "node/metadata_log.h"
#include "storage/testing/fuzzed_files.h"

using namespace millrace;
using namespace millrace::node;

namespace {

const std::string kDirectory = "/data/__cluster_metadata-0";
const Uuid kOwnDirectory = *Uuid::parse("06sxcXAaQEqbndGvdTe0wA");
constexpr const char* kFiles[] = {"00000000000000000000.log",
                                  "00000000000000000000-0000000000.checkpoint",
                                  "quorum-state",
                                  "00000000000000000003-0000000001.checkpoint",
                                  "00000000000000000003.log",
                                  "leader-epoch-checkpoint",
                                  "partition.metadata",
                                  "00000000000000000000.index"};
constexpr raft::Now kNow{Instant(seconds(9)), TimestampMs(1'700'000'000'000)};

// What is committed is applied then.
Result<> save(MetadataLog& log) {
  const Unsaved unsaved = log.take_unsaved();
  RETURN_IF_ERROR(log.sync(unsaved));
  log.mark_saved(unsaved, kNow);
  return log.failure() ? Result<>(std::unexpected(*log.failure())) : Result<>{};
}

Result<std::unique_ptr<MetadataLog>> open(env::Disk& disk) {
  MetadataLogOptions options{.directory = kDirectory, .random = [] { return 7; }};
  options.raft = {.self = {NodeId(1), kOwnDirectory},
                  .endpoints = {{"CONTROLLER", "localhost", 9093}}};
  options.log = {.delete_old = false};
  ASSIGN_OR_RETURN(auto log,
                   MetadataLog::open(disk, std::move(options), [](const raft::Envelope&) {}, kNow));
  if (!log->machine().is_leader()) return fail(Errc::kUnsupported, "voters of its own");
  RETURN_IF_ERROR(save(*log));
  return log;
}

void check(const metadata::Image& image) {
  image.check_invariants();
  metadata::Image again;
  for (const auto& record : image.to_records()) {
    auto applied = again.apply(record, Offset(0));
    ASSERT(applied.has_value(), "MD3: {}", applied.error().message);
  }
  ASSERT(again.same_state(image), "MD3: the image of a snapshot is another one");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  log::set_level(log::Level::kOff);
  env::testing::MemoryDisk disk;
  storage::testing::write_fuzzed_files(disk, kDirectory, kFiles, {data, size});
  auto log = open(disk);
  if (!log) {
    ASSERT(!log.error().message.empty());
    return 0;
  }
  const metadata::Image image = (*log)->image();
  if (image.in_transaction()) return 0;
  check(image);
  if (!(*log)->append({wire::NoOpRecord{}}, image.metadata_version(), kNow)) return 0;
  if (!save(**log) || !(*log)->close()) return 0;
  log->reset();
  auto again = open(disk);
  ASSERT(again.has_value(), "{}", again.error().message);
  ASSERT((*again)->image().same_state(image), "another image after a restart");
  return 0;
}
