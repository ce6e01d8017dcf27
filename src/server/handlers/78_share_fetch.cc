// ShareFetch (KIP-932, KIP-1206, KIP-1222): a member of a share group acquires records of the
// partitions of its share session, and may say what became of those that it has. It waits until
// what may be acquired is enough, or its time is over: told by appends and by records that are free
// again. Who asks is known by its session alone; that it is a member is the group coordinator's.
// Acknowledgements are answered with the records, when they are kept.
#include <algorithm>

#include "server/handlers/handlers.h"
#include "server/leader_hint.h"
#include "server/share_acknowledgements.h"
#include "wire/share_fetch.h"

namespace millrace::server {
namespace {

using Request = wire::ShareFetchRequest;
using Response = wire::ShareFetchResponse;
using PartitionData = Response::PartitionData;
using ToldPartitions = AnswerPartitions<Response::ShareFetchableTopicResponse>;
using wire::ErrorCode;

void refuse(Call& call, ErrorCode error) {
  Response response;
  response.error_code = wire::code_of(error);
  call.respond(response);
}

// Clients wait for half a second. Whoever is gone is not kept for longer.
constexpr Duration kLongestWait = seconds(60);

// What was found in a partition.
struct Result {
  TopicIdPartition partition;
  PartitionData data;
};

// A partition that is read.
struct Target {
  TopicIdPartition partition;
  node::LedSharePartitionPtr led;
  ErrorCode error = ErrorCode::kNone;
  bool has_records = false;  // that the member has acquired
  node::SharePartitions::Readable seen;
};

// One request, which may have to wait: for records, for its acknowledgements to be kept, or for
// both. Its timer and its acknowledgements keep it alive; whoever may wake it knows it weakly.
class ShareFetch : public std::enable_shared_from_this<ShareFetch> {
 public:
  ShareFetch(Call call, Request request)
      : call_(std::move(call)),
        request_(std::move(request)),
        session_{*request_.group_id, *request_.member_id} {
    const Duration wait = milliseconds(std::max(0, request_.max_wait_ms));
    deadline_ = call_.shard().clock().now() + std::min(wait, kLongestWait);
  }

  void begin() {
    const auto begun = begin_session();
    if (begun.error == ErrorCode::kShareSessionLimitReached) return refuse_late(begun.error);
    if (begun.error != ErrorCode::kNone) return refuse(call_, begun.error);
    // As Kafka, which has no such mode.
    if (!begun.partitions.empty() && !is_acquire_mode(request_.share_acquire_mode))
      return refuse(call_, ErrorCode::kUnknownServerError);
    if (acknowledges()) {
      is_acknowledging_ = true;
      acknowledge(call_, acknowledgements_of(call_, request_),
                  [self = shared_from_this()](std::vector<AcknowledgedPartition> results) {
                    self->acknowledged_ = std::move(results);
                    self->is_acknowledging_ = false;
                    self->answer_if_done();
                  });
    }
    // The time that reading takes might be longer than that of the locks that were renewed.
    if (!request_.is_renew_ack) find_targets(begun.partitions);
    cap_bytes();
    // Who wants nothing is told nothing but errors.
    if (request_.max_records == 0 || request_.max_bytes == 0) targets_.clear();
    if (targets_.empty() || request_.max_records < 0 || request_.max_bytes < 0)
      return end_reading();
    look();
  }

 private:
  static bool is_acquire_mode(int8_t mode) { return mode == 0 || mode == 1; }
  node::SharePartitions& partitions() { return call_.node().share_partitions(); }
  Instant now() const { return call_.shard().clock().now(); }

  bool acknowledges() const {
    return std::ranges::any_of(request_.topics, [](const auto& topic) {
      return std::ranges::any_of(topic.partitions, [](const auto& partition) {
        return !partition.acknowledgement_batches.empty();
      });
    });
  }

  share::ShareSessions::Begun begin_session() {
    share::ShareSessions::FetchRequest wanted{.key = session_,
                                              .epoch = request_.share_session_epoch,
                                              .wanted = {},
                                              .forgotten = {},
                                              .acknowledges = acknowledges(),
                                              .connection = connection_of(call_.peer())};
    for (const auto& topic : request_.topics)
      for (const auto& partition : topic.partitions)
        wanted.wanted.push_back({topic.topic_id, PartitionIndex(partition.partition_index)});
    for (const auto& topic : request_.forgotten_topics_data)
      for (const int32_t index : topic.partitions)
        wanted.forgotten.push_back({topic.topic_id, PartitionIndex(index)});
    return partitions().with_sessions([&](auto& sessions) { return sessions.begin_fetch(wanted); });
  }

  // So that it does not ask again at once.
  void refuse_late(ErrorCode error) {
    call_.shard().after(deadline_ - now(),
                        [self = shared_from_this(), error] { refuse(self->call_, error); });
  }

  void find_targets(const std::vector<TopicIdPartition>& wanted) {
    const auto image = call_.node().image();
    for (const TopicIdPartition& partition : wanted) {
      const metadata::Topic* topic = image->find_topic(partition.topic_id);
      const int32_t index = partition.partition.value();
      if (topic == nullptr) {
        add_error(partition, ErrorCode::kUnknownTopicId);
      } else if (index < 0 || std::cmp_greater_equal(index, topic->partitions.size())) {
        add_error(partition, ErrorCode::kUnknownTopicOrPartition);
      } else if (auto led =
                     partitions().use({session_.group, partition.topic_id, partition.partition})) {
        targets_.push_back({.partition = partition, .led = std::move(*led), .seen = {}});
      } else {
        add_error(partition, call_.node().partitions().find(partition)
                                 ? led.error()
                                 : call_.node().absence_of(topic, partition.partition));
      }
    }
    // Each request begins with another one.
    if (request_.share_session_epoch > 0 && !targets_.empty())
      std::ranges::rotate(targets_,
                          targets_.begin() + request_.share_session_epoch % std::ssize(targets_));
  }

  void add_error(const TopicIdPartition& partition, ErrorCode error) {
    Result& result = results_.emplace_back();
    result.partition = partition;
    result.data.error_code = wire::code_of(error);
  }

  // No more at once than the broker gives, or may be had in all windows of the client's quota.
  void cap_bytes() {
    int64_t most = call_.node().properties().number("fetch.max.bytes");
    node::ClientQuotas& quotas = call_.node().client_quotas();
    if (quotas.has(quota::Kind::kFetch))
      if (const auto all = quotas.most_at_once(quota::Kind::kFetch, call_.client(), now()))
        most = std::min(most, static_cast<int64_t>(*all));
    request_.max_bytes = static_cast<int32_t>(std::min<int64_t>(request_.max_bytes, most));
    request_.min_bytes = std::min(request_.min_bytes, request_.max_bytes);
  }

  // Shared out evenly, so that none is starved.
  size_t bytes_of_each() const {
    return static_cast<size_t>(std::max<int64_t>(1, request_.max_bytes / std::ssize(targets_)));
  }

  void look() {
    if (is_read_) return;
    // Whoever asked has gone, or asks for something else: what is acquired would be nobody's.
    if (!partitions().with_sessions([&](auto& sessions) {
          return sessions.is_current(session_, request_.share_session_epoch);
        }))
      return end_reading();
    int64_t bytes = 0;
    size_t failed = 0;
    for (Target& target : targets_) {
      if (target.error == ErrorCode::kNone) {
        target.seen = partitions().look(*target.led, bytes_of_each());
        target.error = target.seen.error;
        if (!target.seen.has_failed_to_load) note_error(target);
      }
      if (target.error != ErrorCode::kNone) ++failed;
      bytes += static_cast<int64_t>(target.seen.bytes);
    }
    const bool is_over = now() >= deadline_;
    const bool is_enough = bytes >= request_.min_bytes;
    if (failed == targets_.size()) return end_reading();
    const bool has_taken = (is_over || is_enough || must_tell_) && take();
    if (has_taken || must_tell_ || is_over || (is_enough && request_.min_bytes <= 0))
      return end_reading();
    wait();
  }

  // Of a partition that was led and read: whoever asks has to ask elsewhere, whatever the others
  // have.
  void note_error(const Target& target) { must_tell_ |= target.error != ErrorCode::kNone; }

  // False: nothing was acquired.
  bool take() {
    int64_t count = 0;
    size_t bytes = 0;
    bool may_have_more = false;
    for (Target& target : targets_) {
      if (target.error != ErrorCode::kNone || count >= request_.max_records) continue;
      auto taken = partitions().acquire(
          *target.led, {.member = member_,
                        .mode = static_cast<share::AcquireMode>(request_.share_acquire_mode),
                        .batch_size = request_.batch_size,
                        .max_records = request_.max_records - count,
                        .max_bytes = bytes_of_each(),
                        .at_least_one = bytes == 0});
      target.error = taken.error;
      note_error(target);
      may_have_more |= taken.may_have_more;
      if (taken.acquired.ranges.empty()) continue;
      count += taken.acquired.count;
      bytes += taken.slice.length;
      target.has_records = true;
      add_records(target.partition, std::move(taken));
    }
    // Of records that nobody shall have there may be many: the others of this shard have their turn
    // in between.
    if (count == 0 && may_have_more)
      call_.shard().post([self = shared_from_this()] { self->look(); });
    return count > 0;
  }

  void add_records(const TopicIdPartition& partition, node::SharePartitions::Taken taken) {
    Result& result = results_.emplace_back();
    result.partition = partition;
    result.data.records =
        wire::Records::external(static_cast<uint32_t>(ranges_.size()), taken.slice.length);
    ranges_.push_back({taken.slice.file, taken.slice.position, taken.slice.length});
    for (const share::AcquiredRange& range : taken.acquired.ranges)
      result.data.acquired_records.push_back({.first_offset = range.first.value(),
                                              .last_offset = range.last.value(),
                                              .delivery_count = range.delivery_count});
  }

  void wait() {
    if (timer_ == env::TimerId::kNone)
      timer_ =
          call_.shard().after(deadline_ - now(), [self = shared_from_this()] { self->look(); });
    if (waiter_) waiter_->cancel();
    int64_t bytes = 0;
    for (const Target& target : targets_) bytes += static_cast<int64_t>(target.seen.bytes);
    waiter_ = std::make_shared<node::FetchWaiter>(
        call_.shard(), std::max<int64_t>(1, request_.min_bytes - bytes), [weak = weak_from_this()] {
          if (const auto self = weak.lock()) self->look();
        });
    for (Target& target : targets_)
      if (target.error == ErrorCode::kNone) partitions().wait(*target.led, target.seen, waiter_);
  }

  void end_reading() {
    is_read_ = true;
    call_.shard().cancel(timer_);
    if (waiter_) waiter_->cancel();
    for (const Target& target : targets_)
      if (!target.has_records) add_error(target.partition, target.error);
    targets_.clear();
    answer_if_done();
  }

  void answer_if_done() {
    if (!is_read_ || is_acknowledging_ || std::exchange(is_answered_, true)) return;
    Response response;
    response.error_code = wire::code_of(finish_session());
    response.acquisition_lock_timeout_ms = static_cast<int32_t>(
        partitions().settings_of(session_.group).partition.record_lock / milliseconds(1));
    ToldPartitions told(response.responses);
    if (response.error_code == 0)
      for (Result& result : results_) add(response, told, std::move(result));
    for (const AcknowledgedPartition& result : acknowledged_) add(told, result);
    if (request_.share_session_epoch == share::kFinalEpoch) partitions().close_session(session_);
    charge(response);
    call_.respond(response, std::move(ranges_));
  }

  // What has no news is left out.
  ErrorCode finish_session() {
    if (request_.is_renew_ack) return ErrorCode::kNone;
    std::vector<share::ShareSessions::Found> found;
    for (const Result& result : results_)
      found.push_back({.partition = result.partition,
                       .has_records = !result.data.acquired_records.empty(),
                       .has_error = result.data.error_code != 0});
    const ErrorCode error = partitions().with_sessions([&](auto& sessions) {
      return sessions.finish_fetch(session_, request_.share_session_epoch, found);
    });
    std::vector<Result> news;
    for (size_t i = 0; i < found.size(); ++i)
      if (found[i].is_told) news.push_back(std::move(results_[i]));
    results_ = std::move(news);
    return error;
  }

  void add(Response& response, ToldPartitions& told, Result result) {
    PartitionData& data = result.data;
    data.partition_index = result.partition.partition.value();
    if (data.acquired_records.empty()) data.records = wire::Records::of({});
    if (data.error_code == wire::code_of(ErrorCode::kNotLeaderOrFollower) ||
        data.error_code == wire::code_of(ErrorCode::kFencedLeaderEpoch))
      hint_at_leader(call_, {{}, result.partition.topic_id, data.partition_index},
                     data.current_leader, response.node_endpoints);
    told.at(result.partition, [&] { return std::move(data); });
  }

  static void add(ToldPartitions& told, const AcknowledgedPartition& result) {
    PartitionData& data =
        told.at(result.partition, [] { return PartitionData{.records = wire::Records::of({})}; });
    data.acknowledge_error_code = wire::code_of(result.error);
    data.acknowledge_error_message = message_of(result.error, result.message);
  }

  // Who is over its quota waits after this answer: records that are acquired are not held back, or
  // nobody would have them until their lock is over.
  void charge(const Response& response) {
    node::ClientQuotas& quotas = call_.node().client_quotas();
    if (!quotas.has(quota::Kind::kFetch)) return;
    const auto bytes = static_cast<double>(call_.size_of(response));
    const Duration wait = quotas.charge(quota::Kind::kFetch, call_.client(), bytes, now());
    if (wait > Duration::zero()) call_.throttle(quota::Kind::kFetch, wait);
  }

  Call call_;
  Request request_;
  const share::SessionKey session_;
  const share::Member member_ = std::make_shared<const std::string>(session_.member);
  Instant deadline_;
  std::vector<Target> targets_;
  std::vector<Result> results_;
  std::vector<FileRange> ranges_;
  std::vector<AcknowledgedPartition> acknowledged_;
  bool is_acknowledging_ = false;
  bool must_tell_ = false;  // of an error, at once
  bool is_read_ = false;
  bool is_answered_ = false;
  env::TimerId timer_ = env::TimerId::kNone;
  std::shared_ptr<node::FetchWaiter> waiter_;
};

// A request that renews locks asks for nothing else (KIP-1222).
bool renews_and_reads(const Request& request) {
  return request.is_renew_ack && (request.max_bytes != 0 || request.min_bytes != 0 ||
                                  request.max_records != 0 || request.max_wait_ms != 0);
}

}  // namespace

void handle_share_fetch(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  const ErrorCode error = check_share_request(call, request->group_id, request->member_id);
  if (error != ErrorCode::kNone) return refuse(call, error);
  if (renews_and_reads(*request)) return refuse(call, ErrorCode::kInvalidRequest);
  std::make_shared<ShareFetch>(std::move(call), std::move(*request))->begin();
}

}  // namespace millrace::server
