// The reading half of a consumer without its connections: where each partition is read from, whom
// to ask, and the records that came back. A conversation (ARCHITECTURE.md): resume(event, now)
// gives what to send and what was read.
// Not here: which partitions (client/core/membership.h or the caller), sending (client/consumer.h),
// committing.
// Inputs: partitions with a place to start; answers; a MetadataCache that outlives the fetcher and
// is only read. `now` never goes back.
// Outputs: Action; its records own their bytes.
// Threads: one caller at a time.
// Invariants:
//   FE1 the records of a partition come in order, each offset at most once after an Assign.
//   FE2 at most one request with a partition is under way.
//   FE3 no record comes for a partition after it was revoked.
//   FE4 with read_committed no record of an aborted transaction comes, and none beyond the last
//      stable offset.
//   FE5 no fetch asks for a partition that is paused; what was asked for before still comes.
// KIP-98 (read_committed), KIP-516 (topic ids).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "client/core/consumed_record.h"
#include "client/core/metadata_cache.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"

namespace millrace::client::core {

// Timestamps of ListOffsets that stand for the two ends of a partition.
inline constexpr int64_t kAtEnd = -1;
inline constexpr int64_t kAtStart = -2;

// Where to start reading a partition.
struct StartAt {
  enum class Kind { kEarliest, kLatest, kOffset, kTimestamp, kBeforeEnd };
  Kind kind = Kind::kEarliest;
  int64_t value = 0;  // an offset, milliseconds since 1970, or how many records before the end

  static StartAt earliest() { return {Kind::kEarliest, 0}; }
  static StartAt latest() { return {Kind::kLatest, 0}; }
  static StartAt offset(Offset offset) { return {Kind::kOffset, offset.value()}; }
  friend bool operator==(const StartAt&, const StartAt&) = default;
};

struct FetcherOptions {
  bool read_committed = false;
  bool until_end = false;  // a partition ends where its end was when it was first read
  std::optional<StartAt> reset =
      StartAt::latest();  // where an offset that is gone leads; none: fail
  Duration max_wait = milliseconds(500);
  int32_t min_bytes = 1;
  int32_t max_bytes = 50 * 1024 * 1024;
  int32_t partition_bytes = 1024 * 1024;
  Duration retry_backoff = milliseconds(100);
  Duration topic_patience = seconds(5);                   // how long a topic may be unknown
  size_t max_unpacked_bytes = size_t{256} * 1024 * 1024;  // of one batch
};

class Fetcher {
 public:
  enum class RequestId : uint64_t {};

  struct Assign {  // one that is there already goes on at the new place
    std::map<TopicPartition, StartAt> partitions;
  };
  struct Revoke {
    std::vector<TopicPartition> partitions;
  };
  struct Room {
    bool there = true;  // false: nothing is asked for until it is true again
  };
  struct Pause {  // until they are revoked, or told otherwise; they need not be there yet
    std::vector<TopicPartition> partitions;
    bool paused = true;
  };
  struct Tick {};
  struct MetadataRefreshed {};
  struct Listed {
    RequestId id;
    Result<wire::ListOffsetsResponse> response;
  };
  struct Fetched {
    RequestId id;
    Result<wire::FetchResponse> response;
  };
  using Event = std::variant<Assign, Revoke, Room, Pause, Tick, MetadataRefreshed, Listed, Fetched>;

  struct Send {
    RequestId id{};
    NodeId to = kNoNode;
    std::variant<wire::FetchRequest, wire::ListOffsetsRequest> request;
  };
  struct Problem {  // the partition is not read any more
    TopicPartition partition;
    Error error;
    wire::ErrorCode code = wire::ErrorCode::kUnknownServerError;  // the broker's, or one like it
  };
  struct Action {
    std::vector<Send> sends;
    std::vector<ConsumedRecord> records;
    std::vector<TopicPartition> ended;  // with until_end
    std::vector<Problem> problems;
    std::set<std::string> refresh;
    std::optional<Instant> wake;
  };

  Fetcher(const MetadataCache& metadata, const FetcherOptions& options)
      : metadata_(&metadata), options_(options) {}

  Action resume(Event event, Instant now);

  // The offset after the last record that came; nothing while it is not known.
  std::optional<Offset> position(const TopicPartition& partition) const;
  bool reads(const TopicPartition& partition) const { return partitions_.contains(partition); }
  size_t partition_count() const { return partitions_.size(); }
  std::string describe() const;

 private:
  struct State {
    std::optional<StartAt> start;  // set: the position is still to be found
    Offset position;
    bool from_start = false;  // a position before the start means the start
    std::optional<RequestId> request;
    Instant not_before;
    std::optional<Instant> unknown_since;
    std::optional<Offset> end;
    bool ended = false;
  };
  using Partitions = std::map<TopicPartition, State>;
  struct Request {
    NodeId node;
    bool is_fetch = false;
    std::vector<TopicPartition> partitions;
  };
  using PartitionData = wire::fetch_response::PartitionData;

  void on(Assign& event, Instant now);
  void on(Revoke& event, Instant now);
  void on(Room& event, Instant) { room_ = event.there; }
  void on(Pause& event, Instant);
  void on(Tick&, Instant) {}
  void on(MetadataRefreshed&, Instant) {}
  void on(Listed& event, Instant now);
  void on(Fetched& event, Instant now);

  void ask(Instant now);
  void list_from(NodeId leader, const std::vector<Partitions::iterator>& partitions);
  void fetch_from(NodeId leader, std::vector<Partitions::iterator> partitions);
  void no_leader(Partitions::iterator partition, Instant now);
  void take_listed(Partitions::iterator partition,
                   const wire::list_offsets_response::ListOffsetsPartitionResponse& answer,
                   Instant now);
  void take_fetched(Partitions::iterator partition, const PartitionData& answer, Instant now);
  Result<> read_batches(Partitions::iterator partition, const PartitionData& answer);
  Result<> read_records(Partitions::iterator partition, const record::BatchView& batch);
  void out_of_range(Partitions::iterator partition);
  void failed(Partitions::iterator partition, wire::ErrorCode error, Instant now);
  void give_up(Partitions::iterator partition, Error error, wire::ErrorCode code);
  // The partitions of an ended request that still wait for it.
  std::vector<Partitions::iterator> answered(RequestId id);
  void set_wake(Instant now);

  const MetadataCache* metadata_;
  FetcherOptions options_;
  Partitions partitions_;
  std::map<RequestId, Request> requests_;
  std::set<TopicPartition> paused_;
  std::set<NodeId> fetching_;  // from these a fetch is under way
  bool room_ = true;
  uint64_t last_request_ = 0;
  size_t rotation_ = 0;  // a broker fills the first partitions of a request first
  record::ReadScratch scratch_;
  Action action_;  // of the event being handled
};

}  // namespace millrace::client::core
