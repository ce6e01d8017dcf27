#include "sim/quorum_oracle.h"

#include <algorithm>
#include <functional>

#include "base/probe.h"
#include "raft/quorum_state.h"

namespace millrace::sim {
namespace {

constexpr int64_t kImagesSkipped = 4;  // of as many offsets one image is compared

size_t hash_of(const metadata::Image& image) {
  std::string text;
  for (const auto& record : image.to_records())
    std::visit([&](const auto& r) { text += to_json(r.kMaxVersion, r) + "\n"; }, record);
  return std::hash<std::string>{}(text);
}

std::set<raft::ReplicaKey> keys_of(const raft::VoterSet& set) {
  std::set<raft::ReplicaKey> keys;
  for (const auto& [id, voter] : set.voters) keys.insert({id, voter.directory_id});
  return keys;
}

// How many were added and removed.
size_t distance(const raft::VoterSet& a, const raft::VoterSet& b) {
  std::vector<raft::ReplicaKey> different;
  std::ranges::set_symmetric_difference(keys_of(a), keys_of(b), std::back_inserter(different));
  return different.size();
}

std::string text_of(const raft::VoterSet& set) {
  std::vector<NodeId> ids;
  for (const auto& [id, voter] : set.voters) ids.push_back(id);
  return fmt::format("[{}]", fmt::join(ids, ","));
}

}  // namespace

void QuorumOracle::look() {
  for (const auto& node : cluster_->nodes()) {
    take_vote(*node);
    if (node->can_be_asked()) look_at(*node);
  }
}

void QuorumOracle::look_at(Cluster::Node& node) {
  Seen& seen = seen_[node.id];
  if (seen.life != node.broker.lives()) seen = {.life = node.broker.lives()};
  node.broker.node().controller().check_invariants();
  node.broker.node().check_coordinators();
  const node::QuorumView quorum = node.broker.node().controller().quorum();
  take_epoch(node, quorum.epoch);
  if (quorum.leader != kNoNode) take_leader(seen.epoch, quorum.leader);
  const int64_t high_watermark = quorum.high_watermark.value();
  if (high_watermark >= 0 && high_watermark < seen.high_watermark)
    world_->violated("RA5", fmt::format("the high watermark of {} falls from {} to {}", node.name,
                                        seen.high_watermark, high_watermark));
  seen.high_watermark = std::max(seen.high_watermark, high_watermark);
  if (seen.voters != quorum.voters) take_voters(node, quorum);
  seen.voters = quorum.voters;
  take_high_watermark(node, high_watermark);
  take_image(node, seen);
}

void QuorumOracle::take_epoch(Cluster::Node& node, LeaderEpoch epoch) {
  Seen& seen = seen_[node.id];
  if (epoch.value() < seen.epoch)
    world_->violated("RA2",
                     fmt::format("{} falls from epoch {} to {}", node.name, seen.epoch, epoch));
  seen.epoch = epoch.value();
  seen.may_write = seen.may_write && node.medium.is_sound();
  if (!node.is_voter || !seen.may_write || epoch == LeaderEpoch(0)) return;
  const ByteBuffer* text = node.medium.durable_file(node.metadata_directory + "/quorum-state");
  const auto state = raft::parse_quorum_state(text ? as_text(*text) : std::string_view());
  if (!state || state->epoch < epoch)
    world_->violated(
        "RA2", fmt::format("{} is in epoch {}, which its medium does not know", node.name, epoch));
}

void QuorumOracle::take_leader(int32_t epoch, NodeId leader) {
  auto [known, is_new] = leaders_.emplace(epoch, leader);
  if (known->second != leader)
    world_->violated(
        "RA1", fmt::format("epoch {} has two leaders, {} and {}", epoch, known->second, leader));
  if (!is_new) return;
  world_->note(fmt::format("node {} leads the quorum in epoch {}", leader, epoch));
  if (auto* node = cluster_->find(leader); node && epoch == leaders_.rbegin()->first)
    check_completeness(*node);
}

void QuorumOracle::take_vote(Cluster::Node& node) {
  const ByteBuffer* text = node.medium.durable_file(node.metadata_directory + "/quorum-state");
  if (text == nullptr) return;
  const auto state = raft::parse_quorum_state(as_text(*text));
  if (!state || !state->voted) return;
  if (!node.is_voter)
    world_->violated("RA10", fmt::format("{} is no voter and votes in epoch {} for {}", node.name,
                                         state->epoch, state->voted->id));
  auto [known, is_new] = votes_.emplace(std::pair(node.id, state->epoch.value()), state->voted->id);
  if (known->second != state->voted->id)
    world_->violated("RA2", fmt::format("{} votes in epoch {} for {} and for {}", node.name,
                                        state->epoch, known->second, state->voted->id));
}

void QuorumOracle::take_high_watermark(Cluster::Node& node, int64_t high_watermark) {
  if (high_watermark <= committed_end_) return;
  committed_end_ = high_watermark;
  std::set<NodeId> have;
  for (const auto& each : cluster_->nodes())
    if (each->is_voter && stored_end(each->medium, each->metadata_directory, View::kDurable) >=
                              Offset(high_watermark))
      have.insert(each->id);
  auto has_majority = [&](const raft::VoterSet& set) {
    const auto count = std::ranges::count_if(
        set.voters, [&](const auto& voter) { return have.contains(voter.first); });
    return std::cmp_greater_equal(count, set.majority());
  };
  if (has_majority(seen_[node.id].voters)) return;
  for (const auto& each : cluster_->nodes())
    if (std::ranges::any_of(recent_voters(*each), has_majority)) return;
  world_->violated("RA6", fmt::format("{} has high watermark {}, which is durable on {} of the "
                                      "voters {}",
                                      node.name, high_watermark, fmt::join(have, ","),
                                      text_of(seen_[node.id].voters)));
}

std::vector<raft::VoterSet> QuorumOracle::recent_voters(const Cluster::Node& node) {
  const auto stored = read_stored_voters(node.medium, node.metadata_directory);
  std::vector<raft::VoterSet> sets;
  for (size_t i = stored.size() - std::min<size_t>(stored.size(), 2); i < stored.size(); ++i)
    sets.push_back(stored[i].set);
  return sets;
}

// A set counts as soon as it is in a log, whether it is ever committed or not.
void QuorumOracle::take_voters(Cluster::Node& node, const node::QuorumView& quorum) {
  const auto stored = read_stored_voters(node.medium, node.metadata_directory);
  for (size_t i = 1; i < stored.size(); ++i)
    if (distance(stored[i - 1].set, stored[i].set) > 1)
      world_->violated("RA9",
                       fmt::format("in the log of {} the voters {} at {} are followed by {} "
                                   "at {}",
                                   node.name, text_of(stored[i - 1].set), stored[i - 1].offset,
                                   text_of(stored[i].set), stored[i].offset));
  const bool leads =
      quorum.leader == node.id && stored.size() > 1 && stored.back().epoch == quorum.epoch;
  // At the first look the process may have led in this epoch before it died.
  if (!leads || seen_[node.id].voters.voters.empty()) return;
  check_begun_in_time(node, quorum, stored[stored.size() - 2], stored.back());
}

void QuorumOracle::check_begun_in_time(Cluster::Node& node, const node::QuorumView& quorum,
                                       const StoredVoters& before, const StoredVoters& after) {
  if (distance(before.set, after.set) == 0) return;  // a voter that listens elsewhere now
  PROBE("sim.voters_changed");
  world_->note(fmt::format("the voters are {} at {}", text_of(after.set), after.offset));
  const auto log = read_stored_log(node.medium, node.metadata_directory, View::kWritten);
  const auto first = std::ranges::find(log->batches, after.epoch.value(), &StoredBatch::epoch);
  const Offset epoch_start(first == log->batches.end() ? 0 : first->first);
  if (quorum.high_watermark <= std::max(before.offset, epoch_start))
    world_->violated("RA9",
                     fmt::format("{} writes the voters {} at {}, when what is committed ends "
                                 "at {}: the set before stands at {}, its epoch begins at "
                                 "{}",
                                 node.name, text_of(after.set), after.offset, quorum.high_watermark,
                                 before.offset, epoch_start));
}

void QuorumOracle::take_image(Cluster::Node& node, Seen& seen) {
  const auto image = node.broker.node().image();
  if (!image || image.get() == seen.image) return;
  seen.image = image.get();
  const int64_t offset = image->last_offset().value();
  if (offset >= committed_end_)
    world_->violated("MD2", fmt::format("{} publishes an image at {}, and only what is below {} is "
                                        "committed",
                                        node.name, offset, committed_end_));
  if (offset < 0 || offset % kImagesSkipped != 0) return;
  auto [known, is_new] = images_.emplace(offset, hash_of(*image));
  if (!is_new && known->second != hash_of(*image))
    world_->violated(
        "MD1", fmt::format("the image of {} at {} is not that of another node", node.name, offset));
}

void QuorumOracle::compare_logs() {
  for (const auto& node : cluster_->nodes())
    take_log(*node, node->can_be_asked()
                        ? node->broker.node().controller().quorum().high_watermark.value()
                        : 0);
}

void QuorumOracle::take_log(Cluster::Node& node, int64_t high_watermark) {
  const auto log = read_stored_log(node.medium, node.metadata_directory, View::kWritten);
  if (!log) return;
  take_snapshots(node, log->first_segment);
  for (const StoredBatch& batch : log->batches) {
    auto [same, is_new] =
        fingerprints_.emplace(std::pair(batch.first, batch.epoch), batch.fingerprint);
    if (same->second != batch.fingerprint)
      world_->violated("RA3", fmt::format("the batch at {} of epoch {} is another one on {}",
                                          batch.first, batch.epoch, node.name));
    if (batch.end > high_watermark) continue;
    auto [committed, is_first] = committed_.emplace(batch.first, batch);
    if (committed->second != batch)
      world_->violated("RA7",
                       fmt::format("{} has a batch of epoch {} at {}, where one of epoch {} "
                                   "was committed",
                                   node.name, batch.epoch, batch.first, committed->second.epoch));
  }
}

void QuorumOracle::take_snapshots(const Cluster::Node& node, int64_t first_segment) {
  const auto stored = read_stored_snapshots(node.medium, node.metadata_directory);
  for (const StoredSnapshot& snapshot : stored) {
    auto [known, is_new] = snapshots_.emplace(snapshot.name, snapshot.fingerprint);
    if (known->second != snapshot.fingerprint)
      world_->violated("RA8", fmt::format("{} of {} is not what another node has under this name",
                                          snapshot.name, node.name));
  }
  if (first_segment > 0 && (stored.empty() || stored.back().end < first_segment))
    world_->violated("RA8", fmt::format("the log of {} begins at {}, and no snapshot reaches there",
                                        node.name, first_segment));
}

// What was committed and is not below the beginning of its log, which a snapshot covers.
void QuorumOracle::check_completeness(Cluster::Node& leader) {
  const auto log = read_stored_log(leader.medium, leader.metadata_directory, View::kWritten);
  std::map<int64_t, StoredBatch> own;
  if (log)
    for (const StoredBatch& batch : log->batches) own[batch.first] = batch;
  for (const auto& [offset, batch] : committed_) {
    if (log && offset < log->start()) continue;
    auto found = own.find(offset);
    if (found == own.end() || found->second != batch)
      return world_->violated("RA4", fmt::format("{} leads without the batch of epoch {} that was "
                                                 "committed at {}",
                                                 leader.name, batch.epoch, offset));
  }
}

Cluster::Node* QuorumOracle::leader() const {
  if (leaders_.empty()) return nullptr;
  Cluster::Node* node = cluster_->find(leaders_.rbegin()->second);
  return node && node->can_be_asked() &&
                 node->broker.node().controller().quorum().leader == node->id
             ? node
             : nullptr;
}

}  // namespace millrace::sim
