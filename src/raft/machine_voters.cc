// Who the voters are, as their leader changes it (KIP-853).
#include <fmt/format.h>

#include "raft/control_records.h"
#include "raft/machine.h"

namespace millrace::raft {
namespace {

constexpr int16_t kDynamicVoters = 1;  // the kraft.version that has them in the log

}  // namespace

Result<Offset> Machine::change_voters(const VoterSet& next, const Now& now) {
  auto* leader = std::get_if<Leader>(&role_);
  if (!leader || fault_)
    return fail(Errc::kUnsupported, fmt::format("this node does not lead: {}", describe()));
  if (log_.kraft_version() < 1)
    return fail(Errc::kInvalid, "kraft.version 0 has a fixed set of voters");
  if (!leader->has_committed) return fail(Errc::kBusy, "nothing of this epoch is committed yet");
  if (leader->pending_voters || log_.voters_offset() >= *high_watermark_)
    return fail(Errc::kBusy, "another change of the voters is under way");
  if (next.voters.empty() || next == log_.voters() || !log_.voters().overlaps(next))
    return fail(Errc::kInvalid, "voters are changed one at a time");
  const Offset offset = log_.end();
  leader->pending_voters = offset;
  ControlRecords records;
  records.emplace_back(record::ControlType::kKraftVoters, voters_record(next));
  append_at_end(
      control_batch(records, {.base_offset = offset, .leader_epoch = election_.epoch}, now.wall));
  wake_parked_fetches();
  update_high_watermark(now);
  finish(now);
  return offset;
}

// What a new leader has to write: voters that came with the bootstrap snapshot, so that all
// replicas learn of them, or its own entry where it listens elsewhere by now.
std::optional<VoterSet> Machine::voters_to_write() const {
  if (log_.kraft_version() < kDynamicVoters) return std::nullopt;
  VoterSet next = log_.voters();
  if (auto own = next.voters.find(options_.self.id); own != next.voters.end() && is_voter())
    own->second = own_entry();
  if (log_.voters_offset() != Offset(-1) && next == log_.voters()) return std::nullopt;
  return next;
}

Result<> Machine::note_voter(NodeId id, Voter voter) {
  auto* leader = std::get_if<Leader>(&role_);
  if (!leader || fault_)
    return fail(Errc::kUnsupported, fmt::format("this node does not lead: {}", describe()));
  if (log_.kraft_version() >= kDynamicVoters)
    return fail(Errc::kUnsupported, "the voters are kept in the log");
  auto known = leader->told.voters.find(id);
  if (known == leader->told.voters.end())
    return fail(Errc::kNotFound, fmt::format("node {} is not a voter", id));
  known->second = std::move(voter);
  return {};
}

std::optional<std::string> Machine::upgrade_problem(int16_t version) const {
  const int16_t current = log_.kraft_version();
  if (version == current) return std::nullopt;
  const auto* leader = std::get_if<Leader>(&role_);
  if (!leader || fault_) return fmt::format("this node does not lead: {}", describe());
  if (version < current || version > kDynamicVoters)
    return fmt::format("Invalid upgrade of kraft.version from version {} to {}", current, version);
  std::vector<NodeId> silent, unable;
  for (const auto& [id, voter] : leader->told.voters)
    if (voter.directory_id.is_zero())
      silent.push_back(id);
    else if (version < voter.min_kraft_version || version > voter.max_kraft_version)
      unable.push_back(id);
  if (silent.empty() && unable.empty()) return std::nullopt;
  return fmt::format(
      "Invalid upgrade of kraft.version to {} because not all of the voters support it{}{}",
      version,
      silent.empty() ? ""
                     : fmt::format("; node {} has not said what it supports yet: is it running?",
                                   fmt::join(silent, ", ")),
      unable.empty() ? "" : fmt::format("; node {} does not", fmt::join(unable, ", ")));
}

Result<Offset> Machine::upgrade_kraft_version(const Now& now) {
  if (auto problem = upgrade_problem(kDynamicVoters)) return fail(Errc::kInvalid, *problem);
  if (log_.kraft_version() >= kDynamicVoters)
    return fail(Errc::kInvalid, "the quorum has that kraft.version");
  const Offset offset = log_.end();
  ControlRecords records;
  records.emplace_back(record::ControlType::kKraftVersion, kraft_version_record(kDynamicVoters));
  records.emplace_back(record::ControlType::kKraftVoters,
                       voters_record(std::get<Leader>(role_).told));
  append_at_end(
      control_batch(records, {.base_offset = offset, .leader_epoch = election_.epoch}, now.wall));
  name_replicas_anew();
  wake_parked_fetches();
  update_high_watermark(now);
  finish(now);
  return offset;
}

// A voter's directory has become known, or is unknown again. What it has is believed when it
// fetches under the name that counts.
void Machine::name_replicas_anew() {
  auto* leader = std::get_if<Leader>(&role_);
  if (!leader) return;
  std::map<ReplicaKey, Progress> renamed;
  for (auto& [key, progress] : leader->replicas) {
    const auto voter = log_.voters().voters.find(key.id);
    const bool is_other = voter == log_.voters().voters.end() ||
                          voter->second.directory_id == key.directory_id ||
                          (!key.directory_id.is_zero() && !voter->second.directory_id.is_zero());
    const ReplicaKey name = is_other ? key : ReplicaKey{key.id, voter->second.directory_id};
    if (!is_other) progress.end.reset();
    renamed.insert_or_assign(name, std::move(progress));
  }
  leader->replicas = std::move(renamed);
}

}  // namespace millrace::raft
