#include "app/kafka/ending.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>

#include "wire/error_messages.h"
#include "wire/errors.h"

namespace millrace::app::kafka {
namespace {

using wire::ErrorCode;

struct Named {
  ErrorCode code;
  std::string_view text;
};

// Where the class is not called as the code is.
constexpr Named kClasses[] = {
    {ErrorCode::kUnknownServerError, "UnknownServerException"},
    {ErrorCode::kCorruptMessage, "CorruptRecordException"},
    {ErrorCode::kRequestTimedOut, "TimeoutException"},
    {ErrorCode::kMessageTooLarge, "RecordTooLargeException"},
    {ErrorCode::kStaleControllerEpoch, "ControllerMovedException"},
    {ErrorCode::kOffsetMetadataTooLarge, "OffsetMetadataTooLarge"},
    {ErrorCode::kNetworkException, "NetworkException"},
    {ErrorCode::kInvalidTopicException, "InvalidTopicException"},
    {ErrorCode::kRecordListTooLarge, "RecordBatchTooLargeException"},
    {ErrorCode::kTopicAuthorizationFailed, "TopicAuthorizationException"},
    {ErrorCode::kGroupAuthorizationFailed, "GroupAuthorizationException"},
    {ErrorCode::kClusterAuthorizationFailed, "ClusterAuthorizationException"},
    {ErrorCode::kTopicAlreadyExists, "TopicExistsException"},
    {ErrorCode::kInvalidConfig, "InvalidConfigurationException"},
    {ErrorCode::kOutOfOrderSequenceNumber, "OutOfOrderSequenceException"},
    {ErrorCode::kDuplicateSequenceNumber, "DuplicateSequenceException"},
    {ErrorCode::kInvalidProducerIdMapping, "InvalidPidMappingException"},
    {ErrorCode::kInvalidTransactionTimeout, "InvalidTxnTimeoutException"},
    {ErrorCode::kTransactionalIdAuthorizationFailed, "TransactionalIdAuthorizationException"},
    {ErrorCode::kKafkaStorageError, "KafkaStorageException"},
    {ErrorCode::kSaslAuthenticationFailed, "SaslAuthenticationException"},
    {ErrorCode::kDelegationTokenAuthDisabled, "DelegationTokenDisabledException"},
    {ErrorCode::kDelegationTokenRequestNotAllowed, "UnsupportedByAuthenticationException"},
    {ErrorCode::kDelegationTokenAuthorizationFailed, "DelegationTokenAuthorizationException"},
    {ErrorCode::kNonEmptyGroup, "GroupNotEmptyException"},
    {ErrorCode::kPrincipalDeserializationFailure, "PrincipalDeserializationException"},
    {ErrorCode::kFetchSessionTopicIdError, "FetchSessionTopicIdException"},
    {ErrorCode::kInvalidRegularExpression, "InvalidRegularExpression"},
};

// What the Java client says when the broker says nothing of its own.
constexpr Named kSentences[] = {
    {ErrorCode::kUnknownServerError,
     "The server experienced an unexpected error when processing the request."},
    {ErrorCode::kOffsetOutOfRange,
     "The requested offset is not within the range of offsets maintained by the server."},
    {ErrorCode::kCorruptMessage,
     "This message has failed its CRC checksum, exceeds the valid size, has a null key for a "
     "compacted topic, or is otherwise corrupt."},
    {ErrorCode::kUnknownTopicOrPartition, "This server does not host this topic-partition."},
    {ErrorCode::kLeaderNotAvailable,
     "There is no leader for this topic-partition as we are in the middle of a leadership "
     "election."},
    {ErrorCode::kNotLeaderOrFollower,
     "For requests intended only for the leader, this error indicates that the broker is not the "
     "current leader. For requests intended for any replica, this error indicates that the broker "
     "is not a replica of the topic partition."},
    {ErrorCode::kRequestTimedOut, "The request timed out."},
    {ErrorCode::kReplicaNotAvailable,
     "The replica is not available for the requested topic-partition. Produce/Fetch requests and "
     "other requests intended only for the leader or follower return NOT_LEADER_OR_FOLLOWER if the "
     "broker is not a replica of the topic-partition."},
    {ErrorCode::kMessageTooLarge,
     "The request included a message larger than the max message size the server will accept."},
    {ErrorCode::kCoordinatorLoadInProgress,
     "The coordinator is loading and hence can't process requests."},
    {ErrorCode::kCoordinatorNotAvailable, "The coordinator is not available."},
    {ErrorCode::kNotCoordinator, "This is not the correct coordinator."},
    {ErrorCode::kInvalidTopicException,
     "The request attempted to perform an operation on an invalid topic."},
    {ErrorCode::kNotEnoughReplicas,
     "Messages are rejected since there are fewer in-sync replicas than required."},
    {ErrorCode::kNotEnoughReplicasAfterAppend,
     "Messages are written to the log, but to fewer in-sync replicas than required."},
    {ErrorCode::kIllegalGeneration, "Specified group generation id is not valid."},
    {ErrorCode::kInvalidGroupId, "The group id is invalid."},
    {ErrorCode::kUnknownMemberId, "The coordinator is not aware of this member."},
    {ErrorCode::kRebalanceInProgress, "The group is rebalancing, so a rejoin is needed."},
    {ErrorCode::kTopicAuthorizationFailed, "Topic authorization failed."},
    {ErrorCode::kGroupAuthorizationFailed, "Group authorization failed."},
    {ErrorCode::kClusterAuthorizationFailed, "Cluster authorization failed."},
    {ErrorCode::kInvalidTimestamp, "The timestamp of the message is out of acceptable range."},
    {ErrorCode::kUnsupportedVersion, "The version of API is not supported."},
    {ErrorCode::kTopicAlreadyExists, "Topic with this name already exists."},
    {ErrorCode::kInvalidPartitions, "Number of partitions is below 1."},
    {ErrorCode::kInvalidReplicationFactor,
     "Replication factor is below 1 or larger than the number of available brokers."},
    {ErrorCode::kInvalidReplicaAssignment, "Replica assignment is invalid."},
    {ErrorCode::kInvalidConfig, "Configuration is invalid."},
    {ErrorCode::kNotController, "This is not the correct controller for this cluster."},
    {ErrorCode::kInvalidRequest,
     "This most likely occurs because of a request being malformed by the client library or the "
     "message was sent to an incompatible broker. See the broker logs for more details."},
    {ErrorCode::kPolicyViolation, "Request parameters do not satisfy the configured policy."},
    {ErrorCode::kInvalidTxnState,
     "The producer attempted a transactional operation in an invalid state."},
    {ErrorCode::kInvalidProducerEpoch, "Producer attempted to produce with an old epoch."},
    {ErrorCode::kSecurityDisabled, "Security features are disabled."},
    {ErrorCode::kKafkaStorageError, "Disk error when trying to access log file on the disk."},
    {ErrorCode::kLogDirNotFound,
     "The user-specified log directory is not found in the broker config."},
    {ErrorCode::kNonEmptyGroup, "The group is not empty."},
    {ErrorCode::kGroupIdNotFound, "The group id does not exist."},
    {ErrorCode::kEligibleLeadersNotAvailable,
     "Eligible topic partition leaders are not available."},
    {ErrorCode::kPreferredLeaderNotAvailable, "The preferred leader was not available."},
    {ErrorCode::kElectionNotNeeded, "Leader election not needed for topic partition."},
    {ErrorCode::kNoReassignmentInProgress, "No partition reassignment is in progress."},
    {ErrorCode::kGroupSubscribedToTopic,
     "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to "
     "it."},
    {ErrorCode::kInvalidRecord,
     "This record has failed the validation on broker and hence will be rejected."},
    {ErrorCode::kResourceNotFound,
     "A request illegally referred to a resource that does not exist."},
    {ErrorCode::kDuplicateResource, "A request illegally referred to the same resource twice."},
    {ErrorCode::kUnacceptableCredential,
     "Requested credential would not meet criteria for acceptability."},
    {ErrorCode::kInvalidUpdateVersion, "The given update version was invalid."},
    {ErrorCode::kFeatureUpdateFailed,
     "Unable to update finalized features due to an unexpected server error."},
    {ErrorCode::kUnknownTopicId, "This server does not host this topic ID."},
    {ErrorCode::kBrokerIdNotRegistered, "The given broker ID was not registered."},
    {ErrorCode::kTransactionalIdNotFound, "The transactionalId could not be found."},
    {ErrorCode::kTransactionalIdAuthorizationFailed, "Transactional Id authorization failed."},
    {ErrorCode::kOutOfOrderSequenceNumber, "The broker received an out of order sequence number."},
    {ErrorCode::kInvalidProducerIdMapping,
     "The producer attempted to use a producer id which is not currently assigned to its "
     "transactional id."},
    {ErrorCode::kInvalidTransactionTimeout,
     "The transaction timeout is larger than the maximum value allowed by the broker (as "
     "configured by transaction.max.timeout.ms)."},
    {ErrorCode::kProducerFenced,
     "There is a newer producer with the same transactionalId which fences the current one."},
    {ErrorCode::kMismatchedEndpointType, "The request was sent to an endpoint of the wrong type."},
    {ErrorCode::kUnsupportedEndpointType, "This endpoint type is not supported yet."},
    {ErrorCode::kDuplicateVoter, "The voter is already part of the set of voters."},
    {ErrorCode::kVoterNotFound, "The voter is not part of the set of voters."},
    {ErrorCode::kInvalidRegularExpression, "The regular expression is not valid."},
    {ErrorCode::kUnknownControllerId, "This controller ID is not known."},
    {ErrorCode::kThrottlingQuotaExceeded, "The throttling quota has been exceeded."},
};

constexpr std::string_view kErrors = "org.apache.kafka.common.errors.";

// UNKNOWN_TOPIC_ID is UnknownTopicIdException.
std::string class_of(ErrorCode code) {
  const auto found = std::ranges::find(kClasses, code, &Named::code);
  if (found != std::end(kClasses)) return std::string(found->text);
  std::string name;
  bool capital = true;
  for (const char c : wire::error_name(code)) {
    if (c != '_') name += capital ? c : static_cast<char>(std::tolower(c));
    capital = c == '_';
  }
  return name + "Exception";
}

std::string sentence_of(ErrorCode code) {
  const auto found = std::ranges::find(kSentences, code, &Named::code);
  return found == std::end(kSentences) ? wire::error_message(code) : std::string(found->text);
}

}  // namespace

std::string Ending::to_string() const {
  return message.empty() ? type : fmt::format("{}: {}", type, message);
}

bool Ending::is(std::string_view simple_name) const {
  return kind == Kind::kException &&
         std::string_view(type).substr(type.find_last_of(".$") + 1) == simple_name;
}

Ending exception_of(int16_t code, const std::optional<std::string>& message) {
  const auto error = static_cast<ErrorCode>(code);
  const bool has_words = message && !message->empty();
  return {.kind = Ending::Kind::kException,
          .type = fmt::format("{}{}", kErrors, class_of(error)),
          .message = has_words ? *message : sentence_of(error)};
}

Ending exception_of(const Error& error, std::string_view call) {
  Ending ending{.type = fmt::format("{}TimeoutException", kErrors), .message = error.message};
  if (error.code == Errc::kUnsupported) {
    ending.type = fmt::format("{}UnsupportedVersionException", kErrors);
  } else if (error.code == Errc::kClosed) {
    ending.type = fmt::format("{}DisconnectException", kErrors);
  } else if (error.code == Errc::kTimedOut) {
    ending.message = fmt::format("Call(callName={}) timed out: {}", call, error.message);
  }
  return ending;
}

Ending executed(const Ending& cause) {
  if (cause.kind != Ending::Kind::kException) return cause;
  return {.type = "java.util.concurrent.ExecutionException", .message = cause.to_string()};
}

Ending executed_at_run_time(const Ending& cause) {
  if (cause.kind != Ending::Kind::kException) return cause;
  return {.type = "java.lang.RuntimeException", .message = executed(cause).to_string()};
}

std::unexpected<Ending> thrown(std::string_view type, std::string message) {
  return std::unexpected(Ending{
      .kind = Ending::Kind::kException, .type = std::string(type), .message = std::move(message)});
}

std::unexpected<Ending> illegal_argument(std::string message) {
  return thrown("java.lang.IllegalArgumentException", std::move(message));
}

std::unexpected<Ending> usage(std::string message) {
  return std::unexpected(Ending{.kind = Ending::Kind::kUsage, .message = std::move(message)});
}

std::unexpected<Ending> ended(int status) {
  return std::unexpected(Ending{.kind = Ending::Kind::kExit, .status = status});
}

void log_line(std::string_view level, std::string_view text, std::string_view logger) {
  const auto now = std::chrono::system_clock::now();
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - whole).count();
  const std::tm time = fmt::localtime(std::chrono::system_clock::to_time_t(now));
  fmt::print(stderr, "[{:%Y-%m-%d %H:%M:%S},{:03}] {} {} ({})\n", time, ms, level, text, logger);
}

int uncaught(const Ending& ending) {
  fmt::print(stderr, "Exception in thread \"main\" {}\n", ending.to_string());
  return ending.status;
}

int tell_message_and_stack(const Ending& ending) {
  fmt::print(stderr, "{}\n{}\n\n", ending.message, ending.to_string());
  return ending.status;
}

}  // namespace millrace::app::kafka
