#include "wire/error_messages.h"

namespace millrace::wire {

std::string error_message(ErrorCode error) {
  using enum ErrorCode;
  switch (error) {
    case kUnknownServerError:
      return "The server experienced an unexpected error when processing the request.";
    case kUnknownTopicOrPartition: return "This server does not host this topic-partition.";
    case kLeaderNotAvailable:
      return "There is no leader for this topic-partition as we are in the middle of a leadership "
             "election.";
    case kNotLeaderOrFollower:
      return "For requests intended only for the leader, this error indicates that the broker is "
             "not the current leader. For requests intended for any replica, this error indicates "
             "that the broker is not a replica of the topic partition.";
    case kRequestTimedOut: return "The request timed out.";
    case kNetworkException: return "The server disconnected before a response was received.";
    case kCoordinatorLoadInProgress:
      return "The coordinator is loading and hence can't process requests.";
    case kCoordinatorNotAvailable: return "The coordinator is not available.";
    case kNotCoordinator: return "This is not the correct coordinator.";
    case kInvalidGroupId: return "The group id is invalid.";
    case kUnsupportedVersion: return "The version of API is not supported.";
    case kKafkaStorageError: return "Disk error when trying to access log file on the disk.";
    case kNonEmptyGroup: return "The group is not empty.";
    case kOffsetNotAvailable:
      return "The leader high watermark has not caught up from a recent leader election so the "
             "offsets cannot be guaranteed to be monotonically increasing.";
    case kFencedLeaderEpoch:
      return "The leader epoch in the request is older than the epoch on the broker.";
    case kFencedStateEpoch:
      return "The share coordinator rejected the request because the share-group state epoch did "
             "not match.";
    default: return std::string(error_name(error));
  }
}

}  // namespace millrace::wire
