// What a seed decides about compaction.
// Threads: one.
#pragma once

#include <map>
#include <string>

#include "config/properties.h"
#include "sim/table_workload.h"

namespace millrace::sim {

struct CompactionKnobs {
  // Longer than clocks are ever wrong.
  static constexpr Duration kForEver = std::chrono::hours(24 * 60);

  // Every eleventh pair of seeds of brokers and clusters compacts. What it decides is drawn apart,
  // so that the course of the other seeds does not depend on it.
  explicit CompactionKnobs(uint64_t seed) : CompactionKnobs(seed / 2 % 11 == 6, Stream(~seed)) {}

  CompactionKnobs(bool wanted, Stream dice)
      : enabled(wanted),
        all_topics(dice.chance(0.4) && enabled),
        writers(enabled && dice.chance(0.8) ? static_cast<int>(dice.between({1, 2})) : 0),
        keys(static_cast<int>(dice.between({1, 12}))),
        delete_retention(dice.chance(0.5) ? Duration(0) : kForEver),
        backoff_ms(dice.between({20, 3000})),
        dirty_percent(dice.between({0, 60})),
        map_bytes(dice.between({100, 6000})),
        io_bytes(dice.between({1, 40}) * 512),
        threads(dice.between({1, 2})),
        roll_ms(dice.chance(0.5) ? dice.between({300, 10'000}) : 0),
        most_bytes_per_second(dice.chance(0.2) ? dice.between({5'000, 200'000}) : 0) {}

  void add_to(config::Values& values) const {
    if (!enabled) {
      values["log.cleaner.enable"] = "false";
      return;
    }
    values["log.cleaner.backoff.ms"] = std::to_string(backoff_ms);
    values["log.cleaner.dedupe.buffer.size"] = std::to_string(map_bytes);
    values["log.cleaner.io.buffer.size"] = std::to_string(io_bytes);
    values["log.cleaner.threads"] = std::to_string(threads);
    values["log.cleaner.min.cleanable.ratio"] = fmt::format("0.{:02}", dirty_percent);
    if (roll_ms > 0) values["log.roll.ms"] = std::to_string(roll_ms);
    if (most_bytes_per_second > 0)
      values["log.cleaner.io.max.bytes.per.second"] = std::to_string(most_bytes_per_second);
  }
  // Of a topic in which each record has a key of its own, so that all of them stay. Markers too:
  // a reader that is slower than their horizon would miss where a transaction ends.
  void add_to(std::map<std::string, std::string>& topic) const {
    if (!all_topics) return;
    topic["cleanup.policy"] = "compact";
    topic["delete.retention.ms"] =
        std::to_string(std::chrono::duration_cast<milliseconds>(kForEver).count());
  }
  TableOptions table(int32_t partitions, bool compressed) const {
    return {.partitions = partitions,
            .writers = writers,
            .keys = keys,
            .delete_retention = delete_retention,
            .codec = compressed ? record::Codec::kLz4 : record::Codec::kNone};
  }
  std::string to_string() const {
    if (!enabled) return "";
    return fmt::format(" compaction: {}writers={} keys={} tombstones {} backoff={}ms map={}{}",
                       all_topics ? "all topics, " : "", writers, keys,
                       delete_retention == kForEver ? "stay" : "go", backoff_ms, map_bytes,
                       roll_ms > 0 ? fmt::format(" roll={}ms", roll_ms) : "");
  }

  bool enabled;
  bool all_topics;
  int writers, keys;
  Duration delete_retention;
  int64_t backoff_ms, dirty_percent, map_bytes, io_bytes, threads, roll_ms, most_bytes_per_second;
};

}  // namespace millrace::sim
