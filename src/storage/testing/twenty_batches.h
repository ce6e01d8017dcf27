// What the tests of rotten bytes begin with: twenty batches of two records over some segments.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "env/testing/memory_disk.h"
#include "record/builder.h"
#include "storage/log.h"

namespace millrace::storage::testing {

constexpr TimestampMs kNow{1'700'000'000'000};  // of the first batch; the others follow by 10 ms
constexpr int kBatches = 20;
constexpr Offset kEnd{2 * kBatches};

// The fixture stops with the log written, synced and closed.
class TwentyBatches : public ::testing::Test {
 protected:
  TwentyBatches() {
    auto log = Log::open(disk_, kDirectory, kOptions, {});
    for (int i = 0; i < kBatches; ++i) {
      record::BatchBuilder builder({});
      for (int j = 0; j < 2; ++j)
        builder.append({.timestamp = kNow + 10 * i, .value = as_bytes("twenty bytes of value")});
      ByteBuffer batch = std::move(builder).build();
      const MutableByteView view = batch;
      EXPECT_TRUE((*log)->append({&view, 1}, LeaderEpoch(0), kNow).has_value());
    }
    EXPECT_TRUE((*log)->close().has_value());
  }
  std::vector<std::string> files(std::string_view suffix) {
    std::vector<std::string> found;
    for (const auto& entry : *disk_.list(kDirectory))
      if (entry.name.ends_with(suffix)) found.push_back(kDirectory + "/" + entry.name);
    return found;
  }

  static constexpr LogOptions kOptions{.segment_bytes = 1000, .index_interval_bytes = 200};
  inline static const std::string kDirectory = "/data/t-0";
  env::testing::MemoryDisk disk_;
};

}  // namespace millrace::storage::testing
