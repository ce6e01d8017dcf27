// The reading half of a share consumer (KIP-932) without its connections: a share session with each
// leader, what to ask in it, the records that were acquired, and what the application says became
// of them. A conversation (ARCHITECTURE.md): resume(event, now) gives what to send, what was read
// and what the leaders answered to acknowledgements.
// Not here: which partitions (client/core/share_membership.h), sending (client/share_consumer.h).
// Inputs: partitions by topic id; answers; a MetadataCache that outlives the fetcher and is only
// read. `now` never goes back.
// Outputs: Action; its records own their bytes. An acquired offset without a record, as that of a
// transaction's marker, is acknowledged as a gap and never seen.
// Threads: one caller at a time.
// Invariants:
//   SF1 at most one request is under way with a leader, and its epoch is 0 or the one behind that
//      of the last one that was answered.
//   SF2 an acknowledgement of a record that was acquired is sent once, in the session with the
//      leader that gave the record, or not at all; not before that session has begun.
//   SF3 each acknowledgement comes back in `acknowledged` once, without an error only if the leader
//      has answered so. A record that was not acquired, or was spoken of before, comes back as
//      INVALID_RECORD_STATE at once. A renewal that was not sent yet is overtaken by what is said
//      of the record behind it, and comes back with that.
//   SF4 a record comes as often as a leader says that it is acquired, with that delivery count.
// KIP-932, KIP-1206 (acquire modes), KIP-1222 (renewal).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "client/core/consumed_record.h"
#include "client/core/metadata_cache.h"
#include "wire/share_acknowledge.h"
#include "wire/share_fetch.h"

namespace millrace::client::core {

enum class AcknowledgeType : int8_t {
  kGap = 0,      // there is no record at that offset; the fetcher's own
  kAccept = 1,   // done with
  kRelease = 2,  // to be given again
  kReject = 3,   // never to be given again
  kRenew = 4,    // more time is needed: it stays acquired
};

enum class ShareAcquireMode : int8_t {
  kBatchOptimized = 0,  // whole batches, so that max_records may be exceeded
  kRecordLimit = 1,
};

struct ShareFetcherOptions {
  std::string group;
  std::string member_id;
  Duration max_wait = milliseconds(500);
  int32_t min_bytes = 1;
  int32_t max_bytes = 50 * 1024 * 1024;
  int32_t max_records = 500;  // of one answer
  ShareAcquireMode acquire_mode = ShareAcquireMode::kBatchOptimized;
  Duration retry_backoff = milliseconds(100);
  size_t max_unpacked_bytes = size_t{256} * 1024 * 1024;  // of one batch
};

class ShareFetcher {
 public:
  enum class RequestId : uint64_t {};

  using Assignment = std::map<TopicIdPartition, std::string>;  // with the topic's name
  using Types = std::map<Offset, AcknowledgeType>;
  struct Assign {  // instead of those before, whose records may still be acknowledged
    Assignment partitions;
  };
  struct Acknowledge {
    std::map<TopicPartition, Types> types;
    bool more = false;  // and More
  };
  // When records have come nothing more is acquired until this is said: their locks run.
  struct More {};
  // The sessions end: what was acknowledged is said, all else is free for others. No record comes
  // any more.
  struct Close {};
  struct Tick {};
  struct MetadataRefreshed {};
  struct Fetched {
    RequestId id;
    Result<wire::ShareFetchResponse> response;
  };
  struct Acknowledged {
    RequestId id;
    Result<wire::ShareAcknowledgeResponse> response;
  };
  using Event = std::variant<Assign, Acknowledge, More, Close, Tick, MetadataRefreshed, Fetched,
                             Acknowledged>;

  struct Send {
    RequestId id{};
    NodeId to = kNoNode;
    std::variant<wire::ShareFetchRequest, wire::ShareAcknowledgeRequest> request;
  };
  struct Outcome {
    TopicPartition partition;
    std::vector<Offset> offsets;
    wire::ErrorCode error = wire::ErrorCode::kNone;
  };
  // Without `goes_on` the partition is not read until it is assigned anew; else what it gave could
  // not be read, and was released.
  struct Problem {
    TopicPartition partition;
    Error error;
    bool goes_on = false;
  };
  struct Action {
    std::vector<Send> sends;
    std::vector<ConsumedRecord> records;  // with their delivery counts
    std::vector<Outcome> acknowledged;
    std::vector<Problem> problems;
    std::optional<Error> failed;  // no session can be had: nothing is read any more
    std::set<std::string> refresh;
    bool closed = false;
    std::optional<Instant> wake;
  };

  ShareFetcher(const MetadataCache& metadata, ShareFetcherOptions options)
      : metadata_(&metadata), options_(std::move(options)) {}

  Action resume(Event event, Instant now);

  // How long an acquired record is ours, as the leaders said last; nothing: none has.
  std::optional<Duration> lock_timeout() const { return lock_timeout_; }
  size_t held() const;  // records that came and were not spoken of
  std::string describe() const;

 private:
  using Said = std::map<TopicIdPartition, Types>;
  struct Request {
    bool is_fetch = false;
    bool is_last = false;  // of its session
    Said said;
  };
  struct Session {
    int32_t epoch = 0;                 // of the next request; 0: there is none
    std::set<TopicIdPartition> reads;  // what the leader knows that it is to give
    std::optional<RequestId> request;
    Said to_say;
    Instant not_before;
  };
  using PartitionData = wire::share_fetch_response::PartitionData;

  void on(Assign& event, Instant now);
  void on(Acknowledge& event, Instant now);
  void on(More&, Instant) { may_acquire_ = true; }
  void on(Close&, Instant);
  void on(Tick&, Instant) {}
  void on(MetadataRefreshed&, Instant) {}
  void on(Fetched& event, Instant now);
  void on(Acknowledged& event, Instant now);

  void ask(Instant now);
  std::map<NodeId, std::set<TopicIdPartition>> wanted(Instant now);
  void ask_of(NodeId node, const std::set<TopicIdPartition>& wanted);
  void fetch_from(NodeId node, const std::set<TopicIdPartition>& wanted);
  void acknowledge_to(NodeId node, int32_t epoch);
  void close_sessions();
  RequestId begin_request(NodeId node, Request request);

  struct Answered {
    NodeId node = kNoNode;
    Request request;
  };
  std::optional<Answered> answered(RequestId id);
  // Whether the leader took the request; otherwise the session is over.
  bool is_taken(const Answered& answered, const Result<int16_t>& error, Instant now);
  // False: the record is not held.
  bool say(const TopicIdPartition& partition, Offset offset, AcknowledgeType type);
  void settle(const Said& said, const TopicIdPartition& partition, wire::ErrorCode error);
  void settle_all(const Said& said, wire::ErrorCode error);
  void take_fetched(NodeId node, const TopicIdPartition& partition, const PartitionData& data,
                    Instant now);
  struct Acquired {
    NodeId node;
    TopicIdPartition partition;
    std::map<Offset, int16_t> counts;  // of those that have not come yet
  };
  Result<> take_records(Acquired& acquired, ByteView records);
  void failed(const TopicIdPartition& partition, wire::ErrorCode error, Instant now);
  void fail_with(Error error);
  TopicPartition name_of(const TopicIdPartition& partition) const;
  void refresh_all();
  void set_wake(Instant now);

  const MetadataCache* metadata_;
  ShareFetcherOptions options_;
  std::map<NodeId, Session> sessions_;
  std::map<RequestId, Request> requests_;
  Assignment assigned_;
  Assignment known_;  // what is and was assigned
  std::map<TopicIdPartition, Instant> not_before_;
  std::map<TopicIdPartition, std::map<Offset, NodeId>> held_;  // with who gave it
  bool may_acquire_ = true;
  bool closing_ = false;
  bool is_over_ = false;  // closed, or failed
  uint64_t last_request_ = 0;
  std::optional<Duration> lock_timeout_;
  record::ReadScratch scratch_;
  Action action_;  // of the event being handled
};

}  // namespace millrace::client::core
