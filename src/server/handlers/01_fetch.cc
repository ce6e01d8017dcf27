// Fetch (KIP-74, KIP-98, KIP-227, KIP-320, KIP-392, KIP-516, KIP-595, KIP-903, KIP-951). Data leave
// as ranges of log files. A fetch that finds too little waits in the partitions it asked for and
// looks again when one of them moves, or when its time is over: at its end only if anything moved,
// for idle followers ask for all partitions twice a second. An incremental one
// (server/fetch_sessions) is looked at as a whole; what has no news is left out of its answer.
// Consumers read below the high watermark, from a follower too; a follower reads the leader's whole
// log, and by where it reads tells the leader what it has.
#include <algorithm>

#include "node/replication.h"
#include "server/handlers/handlers.h"
#include "server/leader_hint.h"
#include "wire/fetch.h"

namespace millrace::server {
namespace {

using Request = wire::FetchRequest;
using Response = wire::FetchResponse;
using PartitionData = Response::PartitionData;
using wire::ErrorCode;

constexpr int8_t kReadCommitted = 1;
constexpr int16_t kFirstVersionWithIds = 13;
constexpr int16_t kFirstVersionWithRack = 11;
constexpr int16_t kFirstVersionWithReplicaState = 15;
constexpr int16_t kFirstVersionWithHints = 16;
constexpr std::string_view kRackAwareSelector =
    "org.apache.kafka.common.replica.RackAwareReplicaSelector";

// A partition as it was found: where nothing moves, another look would find the same.
struct Seen {
  node::HostedPartition hosted;  // nothing: it is not here
  Offset readable_end;
  Offset high_watermark;
};

struct Looked {
  Response response;
  std::vector<FileRange> ranges;
  size_t bytes = 0;
  size_t throttled_bytes = 0;  // of those, for throttled replicas
  size_t present = 0;          // partitions that are here
  bool any_error = false;      // of one that is
  std::vector<Seen> seen;      // in the order of the request
};

Offset readable_end(const node::PartitionState& state, bool is_follower) {
  return is_follower ? state.log().log_end() : state.high_watermark();
}

// One look at everything that was asked for.
class Look {
 public:
  // `is_first`: a follower says what it has when its request comes in, not when it is looked at
  // again; it may have lost the replica since.
  Look(Call& call, const Request& request, bool is_first)
      : call_(call),
        request_(request),
        image_(call.node().image()),
        is_first_(is_first),
        replica_(call.version() < kFirstVersionWithReplicaState ? request.replica_id
                                                                : request.replica_state.replica_id),
        selects_replica_(
            !request.rack_id.empty() && call.version() >= kFirstVersionWithRack && replica_ < 0 &&
            call.node().properties().text("replica.selector.class") == kRackAwareSelector) {
    most_bytes_ = static_cast<size_t>(std::clamp<int64_t>(
        request.max_bytes, 0, call.node().properties().number("fetch.max.bytes")));
  }

  Looked run() {
    for (const auto& topic : request_.topics) {
      auto& result = looked_.response.responses.emplace_back();
      result.topic = topic.topic;
      result.topic_id = topic.topic_id;
      result.partitions.reserve(topic.partitions.size());
      for (const auto& wanted : topic.partitions) {
        auto& data = result.partitions.emplace_back();
        data.partition_index = wanted.partition;
        data.records = wire::Records::of({});
        looked_.seen.emplace_back();
        const ErrorCode error = read(topic, wanted, data);
        data.error_code = wire::code_of(error);
        if (error != ErrorCode::kNone) {
          data.high_watermark = data.last_stable_offset = data.log_start_offset = -1;
        }
      }
    }
    return std::move(looked_);
  }

 private:
  ErrorCode read(const Request::FetchTopic& topic, const Request::FetchPartition& wanted,
                 PartitionData& data) {
    const bool by_id = call_.version() >= kFirstVersionWithIds;
    const PartitionIndex index(wanted.partition);
    auto& partitions = call_.node().partitions();
    auto hosted = by_id ? partitions.find(TopicIdPartition{topic.topic_id, index})
                        : partitions.find(TopicPartition{topic.topic, index});
    if (!hosted) {
      const metadata::Topic* known =
          by_id ? image_->find_topic(topic.topic_id) : image_->find_topic(topic.topic);
      if (by_id && known == nullptr) return ErrorCode::kUnknownTopicId;
      return call_.node().absence_of(known, index);
    }
    ++looked_.present;
    data.aborted_transactions.reset();
    bool isr_may_change = false;
    is_doubtful_ = false;
    const ErrorCode error = with_partition(*hosted.partition, [&](node::PartitionState& state) {
      const ErrorCode code = read_partition(state, wanted, data);
      looked_.seen.back().readable_end = readable_end(state, is_follower());
      looked_.seen.back().high_watermark = state.high_watermark();
      isr_may_change = is_follower() && state.is_leader() && state.leader().has_change();
      return code;
    });
    if (isr_may_change) call_.node().replication().noticed(hosted);
    if (is_doubtful_ && !std::exchange(has_doubted_, true))
      call_.node().replication().doubt(hosted, Offset(wanted.fetch_offset));
    looked_.seen.back().hosted = std::move(hosted);
    looked_.any_error |= error != ErrorCode::kNone;
    return error;
  }

  bool is_follower() const { return replica_ >= 0; }

  ErrorCode check_role(const node::PartitionState& state,
                       const Request::FetchPartition& wanted) const {
    if (state.is_offline()) return ErrorCode::kKafkaStorageError;
    const ErrorCode stale = state.check_epoch(std::max(wanted.current_leader_epoch, -1));
    if (stale != ErrorCode::kNone) return stale;
    const bool leader_only = is_follower() || call_.version() < kFirstVersionWithRack;
    if (leader_only && !state.is_leader()) return ErrorCode::kNotLeaderOrFollower;
    if (!is_follower() || state.leader().has_follower(NodeId(replica_))) return ErrorCode::kNone;
    // One of us has metadata from before; who names an epoch tries again.
    return wanted.current_leader_epoch < 0 ? ErrorCode::kNotLeaderOrFollower
                                           : ErrorCode::kUnknownLeaderEpoch;
  }

  // The follower has everything below its fetch offset.
  ErrorCode note_follower(node::PartitionState& state, const Request::FetchPartition& wanted) {
    is_doubtful_ = state.leader().asks_again(NodeId(replica_), Offset(wanted.fetch_offset));
    return state.on_follower_fetch(
        {.replica = NodeId(replica_),
         .broker_epoch = BrokerEpoch(request_.replica_state.replica_epoch),
         .fetch_offset = Offset(wanted.fetch_offset),
         .log_start = Offset(wanted.log_start_offset)},
        *image_, call_.shard().clock().now());
  }

  // True: the consumer shall read from the replica in its rack.
  bool selects_replica(const node::PartitionState& state, Offset from, PartitionData& data) {
    if (!selects_replica_ || !state.is_leader()) return false;
    const auto chosen = state.leader().read_replica(request_.rack_id, from, *image_);
    if (!chosen) return false;
    data.preferred_read_replica = chosen->value();
    looked_.any_error = true;  // answered at once
    return true;
  }

  ErrorCode read_partition(node::PartitionState& state, const Request::FetchPartition& wanted,
                           PartitionData& data) {
    if (auto error = check_role(state, wanted); error != ErrorCode::kNone) return error;
    if (request_.isolation_level < 0 || request_.isolation_level > kReadCommitted)
      return ErrorCode::kUnknownServerError;  // as Kafka, whose enum has no such level
    tell_offsets(state, data);
    const bool committed_only = request_.isolation_level == kReadCommitted;
    const Offset from(wanted.fetch_offset);
    if (LeaderEpoch(wanted.last_fetched_epoch) > state.leadership().epoch)
      return ErrorCode::kOffsetOutOfRange;
    if (diverges(state, wanted, data)) return ErrorCode::kNone;
    if (from < state.log().log_start() || from > state.log().log_end())
      return ErrorCode::kOffsetOutOfRange;
    if (selects_replica(state, from, data)) return ErrorCode::kNone;
    if (is_follower() && is_first_) {
      if (auto error = note_follower(state, wanted); error != ErrorCode::kNone) return error;
      tell_offsets(state, data);
    }
    if (committed_only) data.aborted_transactions.emplace();
    const Offset below =
        committed_only ? state.last_stable_offset() : readable_end(state, is_follower());
    const size_t left = most_bytes_ > looked_.bytes ? most_bytes_ - looked_.bytes : 0;
    if ((looked_.bytes > 0 && left == 0) || is_held_back(state, wanted)) return ErrorCode::kNone;
    auto slice = state.read(
        {.from = from,
         .below = below,
         .max_bytes = std::min(left, static_cast<size_t>(std::max(0, wanted.partition_max_bytes))),
         .at_least_one = looked_.bytes == 0});
    if (!slice) {
      is_doubtful_ = slice.error().code == Errc::kCorrupt && !state.log().damage_of(from);
      if (!state.log().damage_of(from)) LOG_ERROR("fetch: {}", slice.error().message);
      return slice.error().code == Errc::kCorrupt ? ErrorCode::kCorruptMessage
                                                  : ErrorCode::kKafkaStorageError;
    }
    state.gives(slice->length, is_follower() ? NodeId(replica_) : kNoNode);
    if (slice->length == 0) return ErrorCode::kNone;
    if (committed_only)
      for (const auto& t : state.log().aborted_transactions({.from = from, .below = below}))
        data.aborted_transactions->push_back(
            {.producer_id = t.producer_id.value(), .first_offset = t.first_offset.value()});
    data.records =
        wire::Records::external(static_cast<uint32_t>(looked_.ranges.size()), slice->length);
    looked_.ranges.push_back({slice->file, slice->position, slice->length});
    looked_.bytes += slice->length;
    if (is_throttled(state, wanted)) looked_.throttled_bytes += slice->length;
    return ErrorCode::kNone;
  }

  bool is_throttled(const node::PartitionState& state,
                    const Request::FetchPartition& wanted) const {
    return is_follower() && state.settings()->leader_throttled.contains(
                                PartitionIndex(wanted.partition), call_.node().id());
  }

  // A throttled replica gets nothing while the leader's quota is exceeded, unless it is in sync
  // (KIP-73).
  bool is_held_back(const node::PartitionState& state,
                    const Request::FetchPartition& wanted) const {
    if (!is_throttled(state, wanted)) return false;
    const auto& isr = state.leader().isr();
    return std::ranges::find(isr, NodeId(replica_)) == isr.end() &&
           call_.node().replication().leader_quota().is_exceeded(call_.shard().clock().now());
  }

  static void tell_offsets(const node::PartitionState& state, PartitionData& data) {
    data.high_watermark = state.high_watermark().value();
    data.last_stable_offset = state.last_stable_offset().value();
    data.log_start_offset = state.log().log_start().value();
  }

  // The reader's log parted from ours before its fetch offset: it is told where (KIP-595).
  bool diverges(node::PartitionState& state, const Request::FetchPartition& wanted,
                PartitionData& data) {
    if (wanted.last_fetched_epoch < 0) return false;
    const auto end = state.end_of_epoch(LeaderEpoch(wanted.last_fetched_epoch));
    if (end.epoch == LeaderEpoch(wanted.last_fetched_epoch) &&
        end.start >= Offset(wanted.fetch_offset))
      return false;
    data.diverging_epoch = {.epoch = end.epoch.value(), .end_offset = end.start.value()};
    looked_.any_error = true;  // answered at once
    return true;
  }

  Call& call_;
  const Request& request_;
  const std::shared_ptr<const metadata::Image> image_;
  const bool is_first_;
  const int32_t replica_;  // who asks; -1: a consumer
  const bool selects_replica_;
  size_t most_bytes_;
  bool is_doubtful_ = false;  // of the partition at hand: what stands where it is read
  bool has_doubted_ = false;  // once a look: a follower that is far behind asks again for many
  Looked looked_;
};

// A fetch that may have to wait. Its timer keeps it alive; whoever may wake it knows it weakly, or
// a broker that ends while it waits would never free it.
class Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(Call call, Request request, FetchTicket ticket)
      : call_(std::move(call)), request_(std::move(request)), ticket_(ticket) {
    deadline_ = call_.shard().clock().now() + milliseconds(std::max(0, request_.max_wait_ms));
  }

  void look() {
    if (answered_) return;
    const bool over = call_.shard().clock().now() >= deadline_;
    if (over && waiter_ && !waiter_->has_moved()) return answer(std::move(last_look_));
    Looked looked = Look(call_, request_, std::exchange(is_first_look_, false)).run();
    if (over || looked.present == 0 || looked.any_error ||
        std::cmp_greater_equal(looked.bytes, request_.min_bytes))
      return answer(std::move(looked));
    if (timer_ == env::TimerId::kNone)
      timer_ = call_.shard().after(deadline_ - call_.shard().clock().now(),
                                   [self = shared_from_this()] { self->look(); });
    last_look_ = std::move(looked);
    wait();
  }

 private:
  void answer(Looked looked) {
    answered_ = true;
    call_.shard().cancel(timer_);
    if (waiter_) waiter_->cancel();
    if (call_.version() >= kFirstVersionWithHints) hint_at_leaders(looked.response);
    if (looked.throttled_bytes > 0)
      call_.node().replication().leader_quota().note(looked.throttled_bytes,
                                                     call_.shard().clock().now());
    if (ticket_.is_follower) call_.exempt_from_request_quota();
    if (const Duration wait = charge(looked.response); wait > Duration::zero()) {
      call_.throttle(quota::Kind::kFetch, wait);
      return answer_empty();
    }
    call_.services().fetch_sessions->finish(ticket_, request_, looked.response, call_.shard());
    call_.respond(looked.response, std::move(looked.ranges));
  }

  // How long the consumer has to wait for being over its quotas, of which nothing is charged then,
  // for it gets nothing.
  Duration charge(const Response& response) {
    node::ClientQuotas& quotas = call_.node().client_quotas();
    const Duration slow = call_.charge_time();
    if (ticket_.is_follower || !quotas.has(quota::Kind::kFetch)) return slow;
    const Instant now = call_.shard().clock().now();
    const auto bytes = static_cast<double>(
        call_.size_of(call_.services().fetch_sessions->preview(ticket_, response, call_.shard())));
    const Duration wait = quotas.charge(quota::Kind::kFetch, call_.client(), bytes, now);
    if (wait > Duration::zero() || slow > Duration::zero())
      quotas.refund(quota::Kind::kFetch, call_.client(), bytes, now);
    return std::max(wait, slow);
  }

  void answer_empty() {
    Response response;
    call_.services().fetch_sessions->finish_throttled(ticket_, response, call_.shard());
    call_.respond(response);
  }

  void hint_at_leaders(Response& response) {
    for (auto& topic : response.responses)
      for (auto& data : topic.partitions)
        if (data.error_code == wire::code_of(ErrorCode::kNotLeaderOrFollower) ||
            data.error_code == wire::code_of(ErrorCode::kFencedLeaderEpoch))
          hint_at_leader(call_, {topic.topic, topic.topic_id, data.partition_index},
                         data.current_leader, response.node_endpoints);
  }

  // Registers with every partition, then makes sure that none has moved since it was looked at.
  void wait() {
    if (waiter_) waiter_->cancel();
    const int64_t wanted = request_.min_bytes - static_cast<int64_t>(last_look_.bytes);
    waiter_ = std::make_shared<node::FetchWaiter>(call_.shard(), std::max<int64_t>(1, wanted),
                                                  [weak = weak_from_this()] {
                                                    if (const auto self = weak.lock()) self->look();
                                                  });
    bool grew = false;
    for (const Seen& seen : last_look_.seen) {
      if (!seen.hosted) continue;
      with_partition(*seen.hosted.partition, [&](node::PartitionState& state) {
        grew |= readable_end(state, ticket_.is_follower) != seen.readable_end;
        if (state.high_watermark() != seen.high_watermark) waiter_->note_moved();
        ticket_.is_follower ? state.add_follower_waiter(waiter_) : state.add_fetch_waiter(waiter_);
      });
    }
    last_look_.seen.clear();  // partitions keep waiters, which must not keep partitions
    if (grew) waiter_->bytes_arrived(INT64_MAX);
  }

  Call call_;
  Request request_;
  FetchTicket ticket_;
  Instant deadline_;
  env::TimerId timer_ = env::TimerId::kNone;
  std::shared_ptr<node::FetchWaiter> waiter_;
  Looked last_look_;  // while it waits
  bool is_first_look_ = true;
  bool answered_ = false;
};

// No more at once than may be had in all windows of its quota: more would always be too much.
void cap(Call& call, Request& request) {
  node::ClientQuotas& quotas = call.node().client_quotas();
  if (!quotas.has(quota::Kind::kFetch)) return;
  const auto most =
      quotas.most_at_once(quota::Kind::kFetch, call.client(), call.shard().clock().now());
  if (!most || *most >= request.max_bytes) return;
  request.max_bytes = static_cast<int32_t>(*most);
  request.min_bytes = std::min(request.min_bytes, request.max_bytes);
}

}  // namespace

void handle_fetch(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  const FetchTicket ticket =
      call.services().fetch_sessions->begin(*request, call.version(), call.shard());
  if (ticket.error != ErrorCode::kNone) {
    Response response;
    response.error_code = wire::code_of(ticket.error);
    return call.respond(response);
  }
  if (!ticket.is_follower) cap(call, *request);
  std::make_shared<Fetch>(std::move(call), std::move(*request), ticket)->look();
}

}  // namespace millrace::server
