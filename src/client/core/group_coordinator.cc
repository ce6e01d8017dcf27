#include "client/core/group_coordinator.h"

#include <utility>

namespace millrace::client::core {

using wire::ErrorCode;

Result<> GroupCoordinator::found(const Result<FoundCoordinator>& answer, Instant now) {
  looking_ = false;
  const auto error = answer ? static_cast<ErrorCode>(answer->error) : ErrorCode::kNetworkException;
  if (error == ErrorCode::kNone) {
    node_ = answer->node;
  } else if (wire::is_retriable(error)) {
    forget(now);
  } else {
    return fail(Errc::kInvalid, fmt::format("cannot find the coordinator of group '{}': {}", group_,
                                            wire::error_name(error)));
  }
  return {};
}

bool GroupCoordinator::looks(Instant now) {
  if (known() || pauses(now)) return false;
  return !std::exchange(looking_, true);
}

void GroupCoordinator::forget(Instant now) {
  node_.reset();
  pause(now);
}

bool GroupCoordinator::is_about(ErrorCode error) {
  return error == ErrorCode::kCoordinatorNotAvailable || error == ErrorCode::kNotCoordinator ||
         error == ErrorCode::kCoordinatorLoadInProgress || error == ErrorCode::kRequestTimedOut;
}

}  // namespace millrace::client::core
