#include "app/quorum.h"

#include <algorithm>
#include <utility>

namespace millrace::app {
namespace {

constexpr const char* kLost = "a majority of the voters has to run: start those that are down";

Failure no_answer(std::string why) { return {"no controller is active: " + std::move(why), kLost}; }

}  // namespace

bool Quorum::has_voter(int32_t id) const {
  return std::ranges::any_of(partition.current_voters,
                             [&](const auto& each) { return each.replica_id == id; });
}

Outcome<Quorum> describe_quorum(Session& session) {
  wire::DescribeQuorumRequest request;
  request.topics.push_back({.topic_name = "__cluster_metadata", .partitions = {{0}}});
  auto response = session.call_any(std::move(request));
  if (!response && response.error().code == Errc::kTimedOut)
    return std::unexpected(no_answer(response.error().message));
  if (!response) return std::unexpected(Failure(response.error()));
  int16_t code = response->error_code;
  const bool is_whole = !response->topics.empty() && !response->topics[0].partitions.empty();
  if (code == 0 && is_whole) code = response->topics[0].partitions[0].error_code;
  if (code != 0) return std::unexpected(no_answer(reason(code, response->error_message)));
  if (!is_whole) return std::unexpected(Failure("the broker tells nothing of its quorum", ""));
  return Quorum{.partition = std::move(response->topics[0].partitions[0]),
                .nodes = std::move(response->nodes)};
}

}  // namespace millrace::app
