// DeleteRecords (KIP-107): everything below an offset is gone for readers at once; segments follow
// by retention. It is answered when all replicas that are alive have heard of it. Records that are
// not replicated yet are waited for, where Kafka refuses at once: a producer with acks=1 has been
// told of them.
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "wire/delete_records.h"

namespace millrace::server {
namespace {

using wire::ErrorCode;
using Result = wire::DeleteRecordsResponse::DeleteRecordsPartitionResult;

// Followers hear of it with their next fetch, which they make at least every
// replica.fetch.wait.max.ms.
constexpr Duration kLookAgain = milliseconds(20);

bool may_delete(Call& call, const std::string& topic) {
  const auto settings = call.node().settings();
  const auto image = call.node().image();
  const config::TopicConfig config(*settings,
                                   image->configs({metadata::ConfigResourceType::kTopic, topic}));
  return config.text("cleanup.policy").find("delete") != std::string::npos;
}

// Where the log begins then; nothing: what goes is not replicated yet.
std::expected<std::optional<Offset>, ErrorCode> delete_below(node::PartitionState& state,
                                                             int64_t offset) {
  if (!state.is_leader()) return std::unexpected(ErrorCode::kNotLeaderOrFollower);
  const Offset target = offset == -1 ? state.high_watermark() : Offset(offset);
  if (target < Offset(0) || target > state.log().log_end())
    return std::unexpected(ErrorCode::kOffsetOutOfRange);
  if (target > state.high_watermark()) return std::nullopt;
  state.log().advance_log_start(target);
  return target;
}

class Deletion : public std::enable_shared_from_this<Deletion> {
 public:
  explicit Deletion(Call call) : call_(std::move(call)) {}

  void run(const wire::DeleteRecordsRequest& request) {
    deadline_ = call_.shard().clock().now() + milliseconds(std::max(0, request.timeout_ms));
    for (const auto& topic : request.topics) {
      auto& topic_result = response_.topics.emplace_back();
      topic_result.name = topic.name;
      for (const auto& wanted : topic.partitions)
        topic_result.partitions.push_back(
            {.partition_index = wanted.partition_index, .low_watermark = -1});
    }
    for (size_t t = 0; t < request.topics.size(); ++t)
      for (size_t p = 0; p < request.topics[t].partitions.size(); ++p)
        begin(request.topics[t].name, request.topics[t].partitions[p].offset,
              response_.topics[t].partitions[p]);
    look();
  }

 private:
  struct Waiting {
    node::HostedPartition hosted;
    int64_t offset;
    std::optional<Offset> target;  // nothing: they are not deleted yet
    Result* result;                // in the response, whose arrays are complete
  };

  void begin(const std::string& topic, int64_t offset, Result& result) {
    const PartitionIndex index(result.partition_index);
    const auto hosted = call_.node().partitions().find(TopicPartition{topic, index});
    ErrorCode problem = ErrorCode::kNone;
    if (!hosted)
      problem = call_.node().absence_of(call_.node().image()->find_topic(topic), index);
    else if (is_internal_topic(topic))
      problem = ErrorCode::kInvalidTopicException;
    else if (!may_delete(call_, topic))
      problem = ErrorCode::kPolicyViolation;
    if (problem == ErrorCode::kNone)
      waiting_.push_back({hosted, offset, std::nullopt, &result});
    else
      result.error_code = wire::code_of(problem);
  }

  // True: records were deleted.
  static bool remove(Waiting& waiting) {
    if (waiting.target) return false;
    auto target = with_partition(*waiting.hosted.partition, [&](node::PartitionState& state) {
      return delete_below(state, waiting.offset);
    });
    if (target)
      waiting.target = *target;
    else
      waiting.result->error_code = wire::code_of(target.error());
    return waiting.target.has_value();
  }

  // True: the partition waits no more.
  static bool settle(const Waiting& waiting, const metadata::Image& image) {
    if (waiting.result->error_code != 0) return true;
    if (!waiting.target) return false;
    return with_partition(*waiting.hosted.partition, [&](node::PartitionState& state) {
      if (!state.is_leader()) {
        waiting.result->error_code = wire::code_of(ErrorCode::kNotLeaderOrFollower);
        return true;
      }
      const Offset low = state.leader().low_watermark(state.log().log_start(), image);
      waiting.result->low_watermark = low.value();
      return low >= *waiting.target;
    });
  }

  void look() {
    bool any_removed = false;
    for (Waiting& each : waiting_) any_removed |= remove(each);
    if (any_removed)
      call_.node().partitions().write_checkpoints();  // a restart must not bring them back
    const auto image = call_.node().image();
    std::erase_if(waiting_, [&](const Waiting& each) { return settle(each, *image); });
    if (waiting_.empty()) return call_.respond(response_);
    if (call_.shard().clock().now() < deadline_) {
      call_.shard().after(kLookAgain, [self = shared_from_this()] { self->look(); });
      return;
    }
    for (const Waiting& each : waiting_)
      each.result->error_code =
          wire::code_of(each.target ? ErrorCode::kRequestTimedOut : ErrorCode::kOffsetOutOfRange);
    call_.respond(response_);
  }

  Call call_;
  wire::DeleteRecordsResponse response_;
  std::vector<Waiting> waiting_;
  Instant deadline_;
};

}  // namespace

void handle_delete_records(Call call) {
  auto request = call.decode<wire::DeleteRecordsRequest>();
  if (!request) return;
  std::make_shared<Deletion>(std::move(call))->run(*request);
}

}  // namespace millrace::server
