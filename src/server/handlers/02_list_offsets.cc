// ListOffsets: offsets by timestamp or by name (-1 latest, -2 earliest, -3 largest timestamp, -4
// earliest local, -5 last tiered, -6 earliest not yet tiered). What is not tiered here answers as
// Kafka without remote storage.
#include <set>

#include "server/handlers/handlers.h"
#include "wire/list_offsets.h"

namespace millrace::server {
namespace {

using Request = wire::ListOffsetsRequest;
using Response = wire::ListOffsetsResponse;
using Result = Response::ListOffsetsPartitionResponse;
using wire::ErrorCode;

constexpr int8_t kReadCommitted = 1;

enum Special : int64_t {
  kLatest = -1,
  kEarliest = -2,
  kMaxTimestamp = -3,
  kEarliestLocal = -4,
  kLatestTiered = -5,
  kEarliestPendingUpload = -6
};

int16_t first_version_of(int64_t timestamp) {
  switch (timestamp) {
    case kMaxTimestamp: return 7;
    case kEarliestLocal: return 8;
    case kLatestTiered: return 9;
    case kEarliestPendingUpload: return 11;
    default: return 1;
  }
}

void give(Result& result, node::PartitionState& state, Offset offset, TimestampMs timestamp) {
  result.offset = offset.value();
  result.timestamp = timestamp.value();
  result.leader_epoch = offset == state.log().log_end() ? state.leadership().epoch.value()
                                                        : state.log().epoch_of(offset).value();
}

// Who asks, and so how far.
struct Reader {
  bool is_follower = false;
  bool committed_only = false;

  Offset limit(const node::PartitionState& state) const {
    if (is_follower) return state.log().log_end();
    return committed_only ? state.last_stable_offset() : state.high_watermark();
  }
};

// After an election the ends are not known until everything from before is committed: an older
// leader may have told higher ones.
ErrorCode unknown_end(const node::PartitionState& state, Offset limit) {
  return state.leader().epoch_start() > limit ? ErrorCode::kOffsetNotAvailable : ErrorCode::kNone;
}

ErrorCode look_up(node::PartitionState& state, int64_t timestamp, const Reader& reader,
                  Result& result) {
  if (state.is_offline()) return ErrorCode::kKafkaStorageError;
  if (!state.is_leader()) return ErrorCode::kNotLeaderOrFollower;
  const Offset limit = reader.limit(state);
  if (timestamp == kLatest) {
    const ErrorCode unknown = unknown_end(state, limit);
    if (unknown == ErrorCode::kNone) give(result, state, limit, kNoTimestamp);
    return unknown;
  }
  if (timestamp == kEarliest || timestamp == kEarliestLocal)
    return give(result, state, state.log().log_start(), kNoTimestamp), ErrorCode::kNone;
  if (timestamp == kLatestTiered || timestamp == kEarliestPendingUpload) return ErrorCode::kNone;
  auto found = timestamp == kMaxTimestamp
                   ? state.log().max_timestamp()
                   : state.log().offset_for_timestamp(TimestampMs(timestamp));
  if (!found) return ErrorCode::kKafkaStorageError;
  if (!*found || (*found)->offset >= limit) return unknown_end(state, limit);
  give(result, state, (*found)->offset, (*found)->timestamp);
  return ErrorCode::kNone;
}

// The name of that error before it had its own.
ErrorCode in_version(ErrorCode error, int16_t version) {
  return error == ErrorCode::kOffsetNotAvailable && version < 5 ? ErrorCode::kLeaderNotAvailable
                                                                : error;
}

// What the request names more than once.
std::set<std::pair<std::string, int32_t>> named_twice(const Request& request) {
  std::set<std::pair<std::string, int32_t>> seen, twice;
  for (const auto& topic : request.topics)
    for (const auto& wanted : topic.partitions)
      if (!seen.emplace(topic.name, wanted.partition_index).second)
        twice.emplace(topic.name, wanted.partition_index);
  return twice;
}

}  // namespace

void handle_list_offsets(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  Response response;
  const auto twice = named_twice(*request);
  const Reader reader{.is_follower = request->replica_id >= 0,
                      .committed_only = request->isolation_level == kReadCommitted};
  for (const auto& topic : request->topics) {
    auto& topic_result = response.topics.emplace_back();
    topic_result.name = topic.name;
    std::set<int32_t> seen;
    for (const auto& wanted : topic.partitions) {
      if (!seen.insert(wanted.partition_index).second) continue;
      auto& result = topic_result.partitions.emplace_back();
      result.partition_index = wanted.partition_index;
      result.offset = result.timestamp = result.leader_epoch = -1;
      ErrorCode error = ErrorCode::kNone;
      auto hosted = call.node().partitions().find(
          TopicPartition{topic.name, PartitionIndex(wanted.partition_index)});
      if (twice.contains({topic.name, wanted.partition_index}))
        error = ErrorCode::kInvalidRequest;
      else if (request->isolation_level < 0 || request->isolation_level > kReadCommitted)
        error = ErrorCode::kUnknownServerError;  // as Kafka, whose enum has no such level
      else if (wanted.timestamp < kEarliestPendingUpload ||
               call.version() < first_version_of(wanted.timestamp))
        error = ErrorCode::kUnsupportedVersion;
      else if (!hosted)
        error = call.node().absence_of(call.node().image()->find_topic(topic.name),
                                       PartitionIndex(wanted.partition_index));
      else
        error = with_partition(*hosted.partition, [&](node::PartitionState& state) {
          const ErrorCode stale = state.check_epoch(wanted.current_leader_epoch);
          return stale != ErrorCode::kNone ? stale
                                           : look_up(state, wanted.timestamp, reader, result);
        });
      result.error_code = wire::code_of(in_version(error, call.version()));
      if (call.version() < 4) result.leader_epoch = -1;  // has no place there
    }
  }
  call.respond(response);
}

}  // namespace millrace::server
