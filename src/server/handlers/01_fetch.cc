// Fetch (KIP-74, KIP-98, KIP-227, KIP-320, KIP-516). Data leave as ranges of log files. A fetch
// that finds too little waits in the partitions it asked for and looks again when one of them
// moves, or when its time is over. An incremental one (server/fetch_sessions) is looked at as a
// whole; what has no news is left out of its answer.
#include <algorithm>

#include "server/handlers/handlers.h"
#include "wire/fetch.h"

namespace millrace::server {
namespace {

using Request = wire::FetchRequest;
using Response = wire::FetchResponse;
using PartitionData = Response::PartitionData;
using wire::ErrorCode;

constexpr int8_t kReadCommitted = 1;
constexpr int16_t kFirstVersionWithIds = 13;

struct Looked {
  Response response;
  std::vector<FileRange> ranges;
  size_t bytes = 0;
  size_t present = 0;      // partitions that are here
  bool any_error = false;  // of one that is
};

// One look at everything that was asked for.
class Look {
 public:
  Look(Call& call, const Request& request) : call_(call), request_(request) {
    most_bytes_ = static_cast<size_t>(std::clamp<int64_t>(
        request.max_bytes, 0, call.node().properties().number("fetch.max.bytes")));
  }

  Looked run() {
    for (const auto& topic : request_.topics) {
      auto& result = looked_.response.responses.emplace_back();
      result.topic = topic.topic;
      result.topic_id = topic.topic_id;
      for (const auto& wanted : topic.partitions) {
        auto& data = result.partitions.emplace_back();
        data.partition_index = wanted.partition;
        data.records = wire::Records::of({});
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
      const auto image = call_.node().image();
      const metadata::Topic* known =
          by_id ? image->find_topic(topic.topic_id) : image->find_topic(topic.topic);
      if (by_id && known == nullptr) return ErrorCode::kUnknownTopicId;
      return call_.node().absence_of(known, index);
    }
    ++looked_.present;
    data.aborted_transactions.reset();
    const ErrorCode error = with_partition(*hosted.partition, [&](node::PartitionState& state) {
      return read_partition(state, wanted, data);
    });
    looked_.any_error |= error != ErrorCode::kNone;
    return error;
  }

  bool is_follower() const {
    constexpr int16_t kFirstVersionWithReplicaState = 15;
    return (call_.version() < kFirstVersionWithReplicaState
                ? request_.replica_id
                : request_.replica_state.replica_id) >= 0;
  }

  ErrorCode read_partition(node::PartitionState& state, const Request::FetchPartition& wanted,
                           PartitionData& data) {
    if (state.is_offline()) return ErrorCode::kKafkaStorageError;
    if (auto error = state.check_epoch(std::max(wanted.current_leader_epoch, -1));
        error != ErrorCode::kNone)
      return error;
    if (is_follower())  // every partition's one replica is its leader
      return wanted.current_leader_epoch < 0 ? ErrorCode::kNotLeaderOrFollower
                                             : ErrorCode::kUnknownLeaderEpoch;
    if (request_.isolation_level < 0 || request_.isolation_level > kReadCommitted)
      return ErrorCode::kUnknownServerError;  // as Kafka, whose enum has no such level
    data.high_watermark = state.high_watermark().value();
    data.last_stable_offset = state.last_stable_offset().value();
    data.log_start_offset = state.log().log_start().value();
    const bool committed_only = request_.isolation_level == kReadCommitted;
    const Offset from(wanted.fetch_offset);
    if (LeaderEpoch(wanted.last_fetched_epoch) > state.leadership().epoch)
      return ErrorCode::kOffsetOutOfRange;
    if (diverges(state, wanted, data)) return ErrorCode::kNone;
    if (from < state.log().log_start() || from > state.log().log_end())
      return ErrorCode::kOffsetOutOfRange;
    if (committed_only) data.aborted_transactions.emplace();
    const Offset below = committed_only ? state.last_stable_offset() : state.high_watermark();
    const size_t left = most_bytes_ > looked_.bytes ? most_bytes_ - looked_.bytes : 0;
    if (looked_.bytes > 0 && left == 0) return ErrorCode::kNone;
    auto slice = state.log().read(
        {.from = from,
         .below = below,
         .max_bytes = std::min(left, static_cast<size_t>(std::max(0, wanted.partition_max_bytes))),
         .at_least_one = looked_.bytes == 0});
    if (!slice) {
      LOG_ERROR("fetch: {}", slice.error().message);
      return slice.error().code == Errc::kCorrupt ? ErrorCode::kCorruptMessage
                                                  : ErrorCode::kKafkaStorageError;
    }
    if (slice->length == 0) return ErrorCode::kNone;
    if (committed_only)
      for (const auto& t : state.log().aborted_transactions({.from = from, .below = below}))
        data.aborted_transactions->push_back(
            {.producer_id = t.producer_id.value(), .first_offset = t.first_offset.value()});
    data.records =
        wire::Records::external(static_cast<uint32_t>(looked_.ranges.size()), slice->length);
    looked_.ranges.push_back({slice->file, slice->position, slice->length});
    looked_.bytes += slice->length;
    return ErrorCode::kNone;
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
  size_t most_bytes_;
  Looked looked_;
};

// A fetch that may have to wait. It keeps itself alive by the callbacks that it leaves behind.
class Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(Call call, Request request, FetchTicket ticket)
      : call_(std::move(call)), request_(std::move(request)), ticket_(ticket) {
    deadline_ = call_.shard().clock().now() + milliseconds(std::max(0, request_.max_wait_ms));
  }

  void look() {
    if (answered_) return;
    Looked looked = Look(call_, request_).run();
    const bool over = call_.shard().clock().now() >= deadline_;
    if (over || looked.present == 0 || looked.any_error ||
        std::cmp_greater_equal(looked.bytes, request_.min_bytes))
      return answer(std::move(looked));
    if (timer_ == env::TimerId::kNone)
      timer_ = call_.shard().after(deadline_ - call_.shard().clock().now(),
                                   [self = shared_from_this()] { self->look(); });
    wait(looked);
  }

 private:
  void answer(Looked looked) {
    answered_ = true;
    call_.shard().cancel(timer_);
    if (waiter_) waiter_->cancel();
    call_.services().fetch_sessions->finish(ticket_, request_, looked.response, call_.shard());
    call_.respond(looked.response, std::move(looked.ranges));
  }

  // Registers with every partition, then makes sure that none has moved since it was looked at.
  void wait(const Looked& looked) {
    if (waiter_) waiter_->cancel();
    const int64_t wanted = request_.min_bytes - static_cast<int64_t>(looked.bytes);
    waiter_ = std::make_shared<node::FetchWaiter>(call_.shard(), std::max<int64_t>(1, wanted),
                                                  [self = shared_from_this()] { self->look(); });
    bool moved = false;
    for (size_t t = 0; t < request_.topics.size(); ++t)
      for (size_t p = 0; p < request_.topics[t].partitions.size(); ++p) {
        const auto& topic = request_.topics[t];
        const PartitionIndex index(topic.partitions[p].partition);
        auto hosted = call_.version() >= kFirstVersionWithIds
                          ? call_.node().partitions().find(TopicIdPartition{topic.topic_id, index})
                          : call_.node().partitions().find(TopicPartition{topic.topic, index});
        if (!hosted) continue;
        const auto& seen = looked.response.responses[t].partitions[p];
        with_partition(*hosted.partition, [&](node::PartitionState& state) {
          moved |= state.high_watermark().value() != seen.high_watermark;
          state.add_fetch_waiter(waiter_);
        });
      }
    if (moved) waiter_->bytes_arrived(INT64_MAX);
  }

  Call call_;
  Request request_;
  FetchTicket ticket_;
  Instant deadline_;
  env::TimerId timer_ = env::TimerId::kNone;
  std::shared_ptr<node::FetchWaiter> waiter_;
  bool answered_ = false;
};

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
  std::make_shared<Fetch>(std::move(call), std::move(*request), ticket)->look();
}

}  // namespace millrace::server
