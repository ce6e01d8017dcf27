// A compacted topic in a simulation: writers, each of keys of its own, which set and delete them
// again and again, and what must hold of the topic all the time (sim/table_oracle).
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "record/compression.h"
#include "sim/client.h"
#include "sim/table_oracle.h"
#include "wire/produce.h"

namespace millrace::sim {

struct TableOptions {
  int32_t partitions = 1;
  int16_t replicas = 1;
  int writers = 0;
  int keys = 5;  // of each, in each partition
  Duration pause = milliseconds(20);
  Duration delete_retention{};
  record::Codec codec = record::Codec::kNone;
};

// One batch of each partition is under way at a time, and is sent again until it is acknowledged.
class TableWriter {
 public:
  TableWriter(const Site& site, TableOracle& oracle, const std::string& name,
              const TableOptions& options);

  void start();
  void finish() { finishing_ = true; }
  bool is_done() const;

 private:
  struct Lane {
    std::map<std::string, int64_t> numbers;  // of the last write of each key
    int32_t sequence = 0;
    std::optional<TableOracle::Batch> batch;  // under way
    bool is_asked = false;
    Instant not_before;
  };
  void get_id();
  void work();
  void begin(int32_t partition, Lane& lane);
  void send(int32_t partition, Lane& lane);
  void answered(int32_t partition, int16_t error, int64_t base_offset);
  wire::ProduceRequest request_of(int32_t partition, const TableOracle::Batch& batch,
                                  ByteBuffer& bytes);

  Host* host_;
  TableOracle* oracle_;
  std::string name_;
  TableOptions options_;
  Client client_;
  Stream dice_;
  int64_t id_ = -1;
  int16_t epoch_ = -1;
  std::map<int32_t, Lane> lanes_;
  bool finishing_ = false;
};

class TableWorkload {
 public:
  static constexpr const char* kTopic = "table";

  TableWorkload(const Site& site, const TableOptions& options);

  void create_topic(std::map<std::string, std::string> configs, std::function<void()> created);
  void start();
  void finish();
  bool is_done() const;
  TableOracle& oracle() { return oracle_; }

 private:
  Site site_;
  TableOptions options_;
  TableOracle oracle_;
  Client client_;
  std::vector<std::unique_ptr<TableWriter>> writers_;
};

}  // namespace millrace::sim
