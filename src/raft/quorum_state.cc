#include "raft/quorum_state.h"

#include <fmt/format.h>

#include <charconv>

namespace millrace::raft {
namespace {

// What stands behind `"name":`, up to the next comma or brace; strings without their quotes.
Result<std::string_view> field(std::string_view text, std::string_view name) {
  const std::string key = fmt::format("\"{}\":", name);
  size_t at = text.find(key);
  if (at == std::string_view::npos)
    return fail(Errc::kCorrupt, fmt::format("quorum-state has no {}", name));
  text.remove_prefix(at + key.size());
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find_first_of(",}"));
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return text;
}

Result<int32_t> number(std::string_view text, std::string_view name) {
  ASSIGN_OR_RETURN(const auto digits, field(text, name));
  int32_t value = 0;
  const auto end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return fail(Errc::kCorrupt,
                fmt::format("quorum-state: {} is '{}', not a number", name, digits));
  return value;
}

}  // namespace

Result<ElectionState> parse_quorum_state(std::string_view text) {
  ASSIGN_OR_RETURN(const int32_t data_version, number(text, "data_version"));
  if (data_version < 0 || data_version > 1)
    return fail(Errc::kUnsupported,
                fmt::format("quorum-state has the unknown data_version {}", data_version));
  ASSIGN_OR_RETURN(const int32_t epoch, number(text, "leaderEpoch"));
  ASSIGN_OR_RETURN(const int32_t leader, number(text, "leaderId"));
  ASSIGN_OR_RETURN(const int32_t voted, number(text, "votedId"));
  if (epoch < 0) return fail(Errc::kCorrupt, "quorum-state has a negative epoch");
  ElectionState state{.epoch = LeaderEpoch(epoch), .leader = NodeId(leader)};
  if (voted < 0) return state;
  state.voted = ReplicaKey{NodeId(voted), Uuid::zero()};
  if (data_version == 0) return state;
  ASSIGN_OR_RETURN(const auto directory, field(text, "votedDirectoryId"));
  ASSIGN_OR_RETURN(state.voted->directory_id, Uuid::parse(directory));
  return state;
}

std::string print_quorum_state(const ElectionState& state, const VoterSet& voters,
                               int16_t kraft_version) {
  const ReplicaKey voted = state.voted.value_or(ReplicaKey{});
  const std::string shared = fmt::format(R"("leaderId":{},"leaderEpoch":{},"votedId":{})",
                                         state.leader, state.epoch, voted.id);
  if (kraft_version > 0)
    return fmt::format(R"({{{},"votedDirectoryId":"{}","data_version":1}})", shared,
                       voted.directory_id);
  std::string current;
  for (const auto& [id, voter] : voters.voters)
    current += fmt::format(R"({}{{"voterId":{}}})", current.empty() ? "" : ",", id);
  return fmt::format(
      R"({{"clusterId":"",{},"appliedOffset":0,"currentVoters":[{}],"data_version":0}})", shared,
      current);
}

}  // namespace millrace::raft
