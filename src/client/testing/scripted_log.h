// The log of one partition of a scripted cluster: batches as they came, each producer's sequence
// numbers once.
#pragma once

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "record/batch.h"
#include "record/builder.h"

namespace millrace::client::testing {

struct ScriptedLog {
  std::vector<ByteBuffer> batches;
  int64_t end = 0;
  std::map<std::tuple<int64_t, int16_t, int32_t>, int64_t> offsets;  // by producer and sequence

  int64_t append(ByteBuffer batch) {
    const auto header = record::BatchView::parse(batch)->header();
    if (header.has_producer_id()) {
      auto [at, first] = offsets.try_emplace(
          {header.producer_id.value(), header.producer_epoch.value(), header.base_sequence.value()},
          end);
      if (!first) return at->second;
    }
    const int64_t base = end;
    record::patch_base_offset(batch, Offset(base));
    end += header.record_count;
    batches.push_back(std::move(batch));
    return base;
  }

  ByteBuffer read(int64_t from, int32_t most) const {
    ByteBuffer bytes;
    for (const auto& batch : batches) {
      if (record::BatchView::parse(batch)->last_offset().value() < from) continue;
      if (!bytes.empty() && bytes.size() + batch.size() > static_cast<size_t>(most)) break;
      bytes.insert(bytes.end(), batch.begin(), batch.end());
    }
    return bytes;
  }
};

}  // namespace millrace::client::testing
