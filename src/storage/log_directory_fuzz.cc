// Any bytes as the small files of a log directory: opening it may fail, never crash; what opens can
// be used, and opens again as the same one.
//
// The input: files (storage/testing/fuzzed_files.h). Seeds: tests/seeds.py.
#include "storage/log_directory.h"

#include "base/log.h"
#include "env/testing/memory_disk.h"
#include "storage/checkpoint.h"
#include "storage/testing/fuzzed_files.h"

using namespace millrace;
using namespace millrace::storage;

namespace {

const std::string kDirectory = "/data";
constexpr const char* kFiles[] = {"meta.properties",
                                  "recovery-point-offset-checkpoint",
                                  "log-start-offset-checkpoint",
                                  "replication-offset-checkpoint",
                                  ".kafka_cleanshutdown",
                                  ".millrace-failed-sync",
                                  "t-0/partition.metadata",
                                  "t-0/leader-epoch-checkpoint",
                                  "t-0/00000000000000000000.log",
                                  "t-0/00000000000000000000.index"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  log::set_level(log::Level::kOff);
  const MetaProperties expected{
      .cluster_id = "c", .node_id = NodeId(1), .directory_id = Uuid::of_words({1, 2})};
  env::testing::MemoryDisk disk;
  ASSERT(disk.make_directories(kDirectory + "/t-0").has_value());
  storage::testing::write_fuzzed_files(disk, kDirectory, kFiles, {data, size});
  auto directory = LogDirectory::open(disk, kDirectory, expected);
  if (!directory) {
    ASSERT(!directory.error().message.empty());
    return 0;
  }
  if (auto log = (*directory)->open_log({"t", PartitionIndex(0)}, {}))
    ASSERT((*log)->log_start() <= (*log)->log_end(), "L2: {} > {}", (*log)->log_start(),
           (*log)->log_end());
  const Uuid id = (*directory)->id();
  ASSERT((*directory)->write_clean_shutdown(BrokerEpoch(7)).has_value());
  directory->reset();
  auto again = LogDirectory::open(disk, kDirectory, expected);
  ASSERT(again.has_value() && (*again)->id() == id && (*again)->stopped_cleanly());
  ASSERT((*again)->previous_broker_epoch() == BrokerEpoch(7));
  return 0;
}
