// The group coordinator: a replicated machine (machine/replicated.h) over one partition of
// __consumer_offsets, in Kafka's record format (docs/format/groups.md). It keeps the classic
// consumer groups whose ids hash to that partition (base/hash.h, coordinator_partition) and the
// offsets that were committed under those ids.
//
// Not here: finding the partition and its leader, loading its log, appending and committing
// records (node/partition_groups), framing and splitting requests over partitions
// (server/handlers), who may do what.
//
// Inputs: decoded requests, with the time and a ticket in a RequestContext. Outputs: decisions.
// What a request waits for may come much later, out of another request's decision or a tick's.
//
// What the host does, beyond machine/replicated.h:
//   H1 Replies leave when every record appended before them is committed, their own decision's and
//      all earlier ones; this holds for reads too. So nobody is told of state that may be lost.
//   H2 A decision whose records do not fit one batch is appended as several, in order: every prefix
//      of them is a legal log. Its replies wait for the last.
//   H3 apply() runs for a decision's records before the next call.
//   H4 Wishes (ShareStateWish) go to the share coordinators when every record appended before them
//      is committed; finish_share_state() is called once with what came of each, while this machine
//      is the coordinator. What asked for one may wait for that.
//   H5 on_tick() is called at or after next_deadline(), which every call may change. It may have
//      nothing to say.
//
// State. Replicated, hence the same after any replay: the groups as last written, their committed
// and pending transactional offsets. Soft, lost on a restart by design: parked requests, ids given
// out but not yet used, sessions, and a rebalance in progress (it is written when its leader's
// SyncGroup arrives; members of one that was lost get ILLEGAL_GENERATION and join again).
//
// Kinds of group. Classic ones and those of the consumer (KIP-848), share (KIP-932) and streams
// (KIP-1071) protocols; a classic one becomes one of consumers and back while its members work, as
// the migration policy says. Records of types that nobody knows are ignored (KIP-915).
//
// Numbered invariants: see check_invariants(). Threads: one caller at a time.
// KIP-62, KIP-134, KIP-211, KIP-345, KIP-394, KIP-429, KIP-447, KIP-814, KIP-848, KIP-1043,
// KIP-932, KIP-1071, KIP-1101, KIP-1263.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"
#include "base/uuid.h"
#include "group/group_config.h"
#include "group/share_wish.h"
#include "group/topics.h"
#include "machine/replicated.h"
#include "wire/alter_share_group_offsets.h"
#include "wire/consumer_group_describe.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/create_topics.h"
#include "wire/delete_groups.h"
#include "wire/delete_share_group_offsets.h"
#include "wire/describe_groups.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/list_groups.h"
#include "wire/offset_commit.h"
#include "wire/offset_delete.h"
#include "wire/offset_fetch.h"
#include "wire/share_group_describe.h"
#include "wire/share_group_heartbeat.h"
#include "wire/streams_group_describe.h"
#include "wire/streams_group_heartbeat.h"
#include "wire/sync_group.h"
#include "wire/txn_offset_commit.h"

namespace millrace::group {

// Topics of the application's own that are missing go with the answer; they are to be made in the
// name of who asked, and decide_streams_topics() told what came of it.
struct StreamsHeartbeatAnswer {
  wire::StreamsGroupHeartbeatResponse response;
  std::vector<wire::CreateTopicsRequest::CreatableTopic> missing_topics;
};
struct StreamsTopicsNoted {};
// What became of such a topic.
struct StreamsTopicOutcome {
  std::string name;
  std::string error;  // empty: it is made, or was not asked for
};

using Response =
    std::variant<wire::JoinGroupResponse, wire::SyncGroupResponse, wire::HeartbeatResponse,
                 wire::LeaveGroupResponse, wire::OffsetCommitResponse, wire::OffsetDeleteResponse,
                 wire::DeleteGroupsResponse, wire::TxnOffsetCommitResponse,
                 wire::ConsumerGroupHeartbeatResponse, wire::ShareGroupHeartbeatResponse,
                 wire::AlterShareGroupOffsetsResponse, wire::DeleteShareGroupOffsetsResponse,
                 StreamsHeartbeatAnswer, StreamsTopicsNoted>;

struct Decision : machine::Decision<machine::KeyValueRecord, Response> {
  std::vector<ShareStateWish> share_wishes;
};

// Who asks and when. The texts live as long as the call.
struct RequestContext {
  machine::Ticket ticket{};
  std::string_view client_id;
  std::string_view client_host;  // as Java prints an address: "/127.0.0.1"
  int16_t api_version = 0;
  Instant now;
  TimestampMs wall;
  Uuid fresh_id;  // random; part of the member id if one has to be made
  const Topics* topics = nullptr;
};

struct DeletedTopic {
  std::string name;
  Uuid id;
};

// What changed in the metadata of topics; its version is what Topics says.
struct TopicChanges {
  std::vector<std::string> names;  // created, deleted, or with other partitions
  bool any_created = false;
};

// What is committed for one partition, or pending in a transaction.
struct CommittedOffset {
  Offset offset;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  TimestampMs commit_timestamp = kNoTimestamp;
  TimestampMs expire_timestamp = kNoTimestamp;  // -1: by retention
  Uuid topic_id;                                // zero: committed before ids were recorded
  uint64_t order = 0;                           // of its record among all that were applied
  std::string metadata;
};

struct State;

class Coordinator {
 public:
  explicit Coordinator(const GroupConfig& config);
  ~Coordinator();
  Coordinator(Coordinator&&) noexcept;
  Coordinator& operator=(Coordinator&&) noexcept;

  // --- Replay: from the log at loading, and of a decision's records when they were appended.
  // kCorrupt, kTruncated, kUnsupported: a record of a known type that cannot be read; nothing
  // changed. Never fails on records of a decision.
  Result<> apply(const machine::KeyValueRecord& record);
  // A record of a transactional batch: its offsets are pending until the producer's marker.
  Result<> apply_transactional(const machine::KeyValueRecord& record, ProducerId producer);
  void apply_marker(ProducerId producer, bool commit);
  // The log is replayed to its end: sessions of all members start now. Call once, before decisions.
  Decision on_loaded(Instant now, TimestampMs wall, const Topics& topics);

  // --- Requests. Each takes the request at context.api_version and gives, now or in a later
  // decision, exactly one reply for context.ticket.
  Decision decide_join_group(const wire::JoinGroupRequest& request, const RequestContext& context);
  Decision decide_sync_group(const wire::SyncGroupRequest& request, const RequestContext& context);
  Decision decide_heartbeat(const wire::HeartbeatRequest& request, const RequestContext& context);
  Decision decide_consumer_heartbeat(const wire::ConsumerGroupHeartbeatRequest& request,
                                     const RequestContext& context);
  Decision decide_share_heartbeat(const wire::ShareGroupHeartbeatRequest& request,
                                  const RequestContext& context);
  Decision decide_streams_heartbeat(const wire::StreamsGroupHeartbeatRequest& request,
                                    const RequestContext& context);
  Decision decide_streams_topics(const std::string& group_id,
                                 const std::vector<StreamsTopicOutcome>& outcomes,
                                 const RequestContext& context);
  // A group that does not exist is made. Partitions that were altered are initialised anew.
  Decision decide_alter_share_offsets(const wire::AlterShareGroupOffsetsRequest& request,
                                      const RequestContext& context);
  Decision decide_delete_share_offsets(const wire::DeleteShareGroupOffsetsRequest& request,
                                       const RequestContext& context);
  // Without a ticket of its own: it may release replies of those who waited.
  Decision finish_share_state(const ShareStateOutcome& outcome, const RequestContext& context);
  Decision decide_leave_group(const wire::LeaveGroupRequest& request,
                              const RequestContext& context);
  Decision decide_offset_commit(const wire::OffsetCommitRequest& request, const Topics& topics,
                                const RequestContext& context);
  // The records are to be applied, and appended, as those of the producer's transaction
  // (apply_transactional).
  Decision decide_txn_offset_commit(const wire::TxnOffsetCommitRequest& request,
                                    const Topics& topics, const RequestContext& context);
  Decision decide_offset_delete(const wire::OffsetDeleteRequest& request, const Topics& topics,
                                const RequestContext& context);
  // The reply has a result for each of `request`'s names, once, in their order; all of them belong
  // to this partition.
  Decision decide_delete_groups(const wire::DeleteGroupsRequest& request,
                                const RequestContext& context);

  // --- Reads. The caller sends them under H1.
  struct FetchOptions {
    int16_t api_version = 0;
    bool require_stable = false;
  };
  wire::OffsetFetchResponse::OffsetFetchResponseGroup fetch_offsets(
      const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request, const Topics& topics,
      const FetchOptions& options) const;
  wire::DescribeGroupsResponse::DescribedGroup describe_group(const std::string& group_id,
                                                              int16_t api_version) const;
  wire::ConsumerGroupDescribeResponse::DescribedGroup describe_consumer_group(
      const std::string& group_id, const Topics& topics) const;
  wire::ShareGroupDescribeResponse::DescribedGroup describe_share_group(const std::string& group_id,
                                                                        const Topics& topics) const;
  wire::StreamsGroupDescribeResponse::DescribedGroup describe_streams_group(
      const std::string& group_id) const;
  // By topic, what may be assigned of the group; nothing for one that is none.
  std::map<Uuid, std::vector<int32_t>> initialized_share_partitions(
      std::string_view group_id) const;
  std::vector<wire::ListGroupsResponse::ListedGroup> list_groups(
      const wire::ListGroupsRequest& request) const;

  // --- Time and the world.
  Decision on_tick(Instant now, TimestampMs wall, const Topics& topics);
  Instant next_deadline() const;  // Instant::never(): nothing to wait for
  // Tombstones for what was committed to the topics, pending transactional offsets included; share
  // groups forget their partitions.
  Decision on_topics_deleted(std::span<const DeletedTopic> deleted, const Topics& topics);
  // All but classic groups look at the topics again with the next heartbeat. Topics that are given
  // to later calls have at least these changes.
  void on_topics_changed(const TopicChanges& changes, const Topics& topics);

  // --- Looking inside.
  // Asserts, in every group:
  //   GC1 a classic group is Empty only without members, and without members is Empty or, while it
  //       is still waiting for others, PreparingRebalance;
  //   GC2 the leader is a member; there is one exactly when there are members;
  //   GC3 instance ids and the members that have them map one to one;
  //   GC4 the count of parked joins is right; joins are parked only in PreparingRebalance, syncs
  //       only in CompletingRebalance;
  //   GC5 in CompletingRebalance and Stable every member supports the chosen protocol, and the
  //       counts of supporters by protocol are right;
  //   GC6 once loaded, a member has a running session unless it is parked; PreparingRebalance has a
  //       running join timer; CompletingRebalance has a running sync timer;
  //   GC7 an id that was given out but not yet used is no member's;
  //   GC8 the index of pending transactional offsets and the offsets themselves agree;
  //   GC9 what a consumer, share or streams group counts (topics, regular expressions, assignors,
  //       protocols, owners of partitions or tasks) is what its members and resolved expressions
  //       have;
  //   GC10 once loaded, a member of a consumer, share or streams group has a running session;
  //   GC11 a DeleteGroups that waits does so for as many share groups as are being deleted for it;
  //   GC12 of who is no member of a consumer, share or streams group nothing is kept once its
  //       timers are over.
  void check_invariants() const;
  std::string describe() const;  // one line: numbers of groups, members, offsets, parked requests
  // The replicated state as text, the same for any two machines that have the same. Classic groups
  // that are rebalancing show only their id: what they were before is replaced at their next write.
  std::string describe_replicated() const;
  std::optional<CommittedOffset> committed(std::string_view group_id,
                                           const TopicPartition& partition) const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace millrace::group
