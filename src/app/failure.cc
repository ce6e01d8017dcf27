#include "app/failure.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "app/command.h"

namespace millrace::app {
namespace {

using wire::ErrorCode;

struct Explanation {
  ErrorCode code;
  std::string_view why;
  std::string_view hint;  // {topic} and {group} stand for the names
};

constexpr Explanation kExplanations[] = {
    {ErrorCode::kUnknownTopicOrPartition, "it does not exist",
     "create it with: millrace topic create {topic}"},
    {ErrorCode::kUnknownTopicId, "it does not exist any more",
     "see what there is with: millrace topic list"},
    {ErrorCode::kTopicAlreadyExists, "it exists already",
     "look at it with: millrace topic describe {topic}"},
    {ErrorCode::kInvalidTopicException, "its name is not valid",
     "a name has letters, digits, '.', '_' and '-', at most 249 of them"},
    {ErrorCode::kInvalidPartitions, "the number of partitions is not possible",
     "it is at least 1 and can only grow; see the present one with: millrace topic describe "
     "{topic}"},
    {ErrorCode::kInvalidReplicationFactor, "there are too few brokers for that replication factor",
     "see the brokers with: millrace cluster describe"},
    {ErrorCode::kInvalidConfig, "a config is unknown or its value is not valid",
     "see configs and values with: millrace config describe topic {topic}"},
    {ErrorCode::kOffsetOutOfRange, "there is no such offset",
     "see the offsets with: millrace topic describe {topic}"},
    {ErrorCode::kMessageTooLarge, "a record is larger than the topic allows",
     "allow more with: millrace config alter topic {topic} --set max.message.bytes=N"},
    {ErrorCode::kInvalidRecord, "the topic does not take such a record",
     "a compacted topic needs a key with every record (--key, or %k in --format)"},
    {ErrorCode::kNotEnoughReplicas, "fewer replicas are in sync than min.insync.replicas asks for",
     "see them with: millrace topic describe {topic}"},
    {ErrorCode::kNotEnoughReplicasAfterAppend,
     "it was written, but fewer replicas are in sync than min.insync.replicas asks for",
     "see them with: millrace topic describe {topic}"},
    {ErrorCode::kLeaderNotAvailable, "a partition has no leader now",
     "try again; see: millrace topic describe {topic}"},
    {ErrorCode::kNonEmptyGroup, "it has members",
     "stop its consumers first; see them with: millrace group describe {group}"},
    {ErrorCode::kGroupIdNotFound, "there is no such group",
     "see what there is with: millrace group list"},
    {ErrorCode::kGroupSubscribedToTopic, "a member of the group is subscribed to the topic",
     "stop its consumers first; see them with: millrace group describe {group}"},
    {ErrorCode::kCoordinatorNotAvailable, "its coordinator is not available",
     "try again; see the brokers with: millrace cluster describe"},
    {ErrorCode::kCoordinatorLoadInProgress, "its coordinator is still loading", "try again"},
    {ErrorCode::kNoReassignmentInProgress, "nothing of it moves",
     "see what does with: millrace cluster reassign --list"},
    {ErrorCode::kInvalidReplicaAssignment, "the brokers named cannot carry it",
     "see the brokers with: millrace cluster nodes"},
    {ErrorCode::kRequestTimedOut, "the broker gave up waiting", "try again"},
    {ErrorCode::kInvalidGroupId, "the name of the group is not valid",
     "a group's name is not empty"},
    {ErrorCode::kInvalidSessionTimeout, "the session timeout is outside of what the broker allows",
     "see group.min.session.timeout.ms and group.max.session.timeout.ms of the broker"},
    {ErrorCode::kInconsistentGroupProtocol, "its members use other assignors or another protocol",
     "see them with: millrace group describe {group}; choose with --assignor"},
    {ErrorCode::kFencedInstanceId, "another member with the same instance id has joined",
     "give every consumer an instance id of its own"},
    {ErrorCode::kProducerFenced, "another producer has taken its transactional id", ""},
    {ErrorCode::kInvalidProducerEpoch,
     "another producer has taken its transactional id, or its transaction lasted too long",
     "a larger --transaction-timeout gives a transaction more time"},
    {ErrorCode::kTopicAuthorizationFailed, "not authorized for the topic", ""},
    {ErrorCode::kGroupAuthorizationFailed, "not authorized for the group", ""},
    {ErrorCode::kClusterAuthorizationFailed, "not authorized for the cluster", ""},
    {ErrorCode::kUnsupportedVersion, "the broker does not support it", ""},
};

const Explanation* explanation_of(int16_t code) {
  auto found = std::ranges::find(kExplanations, static_cast<ErrorCode>(code), &Explanation::code);
  return found == std::end(kExplanations) ? nullptr : found;
}

std::string filled(std::string_view hint, const Subject& subject) {
  std::string text(hint);
  for (const auto& [mark, name] :
       {std::pair<std::string_view, const std::string&>{"{topic}", subject.topic},
        {"{group}", subject.group}}) {
    const size_t at = text.find(mark);
    if (at != std::string::npos)
      text.replace(at, mark.size(), name.empty() ? std::string(mark.substr(1, 5)) : name);
  }
  return text;
}

std::string_view hint_for(Errc code) {
  switch (code) {
    case Errc::kClosed:
      return "is a broker running there? Choose another with --bootstrap HOST:PORT or the "
             "environment's MILLRACE_BOOTSTRAP";
    case Errc::kTimedOut:
      return "is the network slow, or the broker? A larger --timeout waits longer";
    case Errc::kLimit:
    case Errc::kCorrupt:
    case Errc::kTruncated: return "does a Kafka broker without TLS listen there?";
    default: return "";
  }
}

}  // namespace

Failure::Failure(Error error) : problem(std::move(error.message)), hint(hint_for(error.code)) {}

std::string reason(int16_t code, const std::optional<std::string>& message) {
  if (message && !message->empty()) return *message;
  if (const Explanation* known = explanation_of(code)) return std::string(known->why);
  return fmt::format("the broker answers {}", wire::error_name(static_cast<ErrorCode>(code)));
}

Failure refusal(const Subject& subject, int16_t code, const std::optional<std::string>& message) {
  const Explanation* known = explanation_of(code);
  // What brokers say about this one tells nobody anything.
  const bool empty_words = message && message->starts_with("This server does not host");
  return {fmt::format("cannot {}: {}", subject.action,
                      reason(code, empty_words ? std::nullopt : message)),
          known == nullptr ? "" : filled(known->hint, subject)};
}

void tell(const Failure& failure) {
  fmt::print(stderr, "millrace: {}\n", failure.problem);
  if (!failure.hint.empty()) fmt::print(stderr, "  Try: {}\n", failure.hint);
}

int exit_status(const Outcome<>& outcome) {
  if (outcome) return kExitOk;
  tell(outcome.error());
  return kExitFailed;
}

}  // namespace millrace::app
