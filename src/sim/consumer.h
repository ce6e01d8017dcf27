// Reads a partition by Fetch and checks what it gets: checksums (ST3), offsets that ascend, and,
// through the oracle, that what was read stays as it was (IS5). Used by consumers that follow a log
// and for reading a partition whole at the end.
// Threads: one.
#pragma once

#include "record/record.h"
#include "sim/client.h"
#include "sim/oracle.h"
#include "wire/fetch.h"

namespace millrace::sim {

struct FetchedPartition {
  int16_t error = 0;
  int64_t high_watermark = -1;
  int64_t next_offset = -1;  // behind the last record
  bool damaged = false;      // what stands there has no right checksum, and is known to have rotted
};

// One Fetch of one partition, from its leader. `done` gets nothing when there was no answer.
struct FetchOptions {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int32_t max_wait_ms = 500;
  int32_t max_bytes = 65536;
};
using FetchDone = std::function<void(std::optional<FetchedPartition>, const Oracle::Contents&)>;
void fetch(Client& client, Oracle& oracle, const FetchOptions& options, FetchDone done);

// The records of a partition from `next` on, which is moved behind each batch that is taken. An
// error: what stands there is no good batch.
Result<> take_records(ByteView bytes, int64_t& next, Oracle::Contents& records);

// Where the partition's log begins; `done` gets nothing when there was no answer.
void find_log_start(Client& client, const std::string& topic, int32_t partition,
                    std::function<void(std::optional<int64_t>)> done);

// Follows one partition from the beginning, and now and then begins again.
class Consumer {
 public:
  Consumer(const Site& site, Oracle& oracle, std::string topic, int32_t partition);
  void start() { next(); }
  // Stops following and reads everything from the beginning to the high watermark, passing over
  // what has rotted; `done` gets it. Nothing: the broker refuses a log that is damaged.
  using AllRead = std::function<void(const std::optional<Oracle::Contents>&)>;
  void read_all(AllRead done);

 private:
  void next();
  void take(std::optional<FetchedPartition> fetched, const Oracle::Contents& records);
  void take_refusal(int16_t error);
  void pass_over_damage();
  void move_to_log_start();
  void later(Duration pause);
  TopicPartition partition() const { return {topic_, PartitionIndex(partition_)}; }

  Host* host_;
  Oracle* oracle_;
  Client client_;
  Stream dice_;
  std::string topic_;
  int32_t partition_;
  int64_t position_ = 0;
  bool waiting_ = false;
  AllRead all_read_;
  Oracle::Contents contents_;
};

}  // namespace millrace::sim
