#include "controller/placement.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"

namespace millrace::controller {

std::optional<NodeId> ReplicaPlacer::Turns::next(size_t now) {
  if (brokers.empty()) return std::nullopt;
  if (round != now) {
    round = now;
    taken = 0;
    first = (first + 1) % brokers.size();
  }
  if (taken == brokers.size()) return std::nullopt;
  return brokers[(first + taken++) % brokers.size()];
}

ReplicaPlacer::ReplicaPlacer(const std::vector<PlaceableBroker>& brokers,
                             const std::vector<Assignment>& existing, uint64_t seed)
    : random_(seed), broker_count_(brokers.size()) {
  std::map<std::optional<std::string>, Rack> by_name;
  for (const auto& broker : brokers) {
    Rack& rack = by_name[broker.rack];
    rack.name = broker.rack;
    (broker.fenced ? rack.fenced : rack.unfenced).brokers.push_back(broker.id);
    if (!broker.fenced) ++unfenced_count_;
  }
  std::map<NodeId, size_t> rack_of;
  for (auto& [name, rack] : by_name) {
    for (Turns* turns : {&rack.unfenced, &rack.fenced}) {
      std::ranges::sort(turns->brokers);
      turns->first = below(turns->brokers.size());
      for (NodeId id : turns->brokers) rack_of[id] = racks_.size();
    }
    racks_.push_back(std::move(rack));
  }
  first_rack_ = below(racks_.size());
  begin_behind(existing, rack_of);
}

// The first rack is the one behind that of the last leader, the first broker of each rack the one
// behind whichever it gave last.
void ReplicaPlacer::begin_behind(const std::vector<Assignment>& existing,
                                 const std::map<NodeId, size_t>& rack_of) {
  if (existing.empty() || existing.back().empty()) return;
  if (auto leader = rack_of.find(existing.back().front()); leader != rack_of.end())
    first_rack_ = (leader->second + 1) % racks_.size();
  std::vector<bool> seen(racks_.size());
  for (auto assignment = existing.rbegin(); assignment != existing.rend(); ++assignment)
    for (NodeId id : *assignment) {
      auto rack = rack_of.find(id);
      if (rack == rack_of.end() || seen[rack->second]) continue;
      seen[rack->second] = true;
      Turns& turns = racks_[rack->second].unfenced;
      const auto place = std::ranges::find(turns.brokers, id) - turns.brokers.begin();
      if (std::cmp_less(place, turns.brokers.size()))
        turns.first = (static_cast<size_t>(place) + 1) % turns.brokers.size();
    }
}

std::optional<std::string> ReplicaPlacer::problem(int16_t replication_factor) const {
  if (unfenced_count_ == 0)
    return "All brokers are currently fenced, or have all their log directories cordoned.";
  if (std::cmp_less_equal(replication_factor, broker_count_)) return std::nullopt;
  return fmt::format(
      "The target replication factor of {} cannot be reached because only {} broker(s) are "
      "registered or some brokers have all their log directories cordoned.",
      replication_factor, broker_count_);
}

ReplicaPlacer::Assignment ReplicaPlacer::next(int16_t replication_factor) {
  ASSERT(!problem(replication_factor), "{}", *problem(replication_factor));
  if (round_ == unfenced_count_ && unfenced_count_ > 1) shuffle();
  Assignment assignment;
  // The leader's rack has had its turn in the first time round.
  size_t leaders_rack = take_leader(assignment);
  for (size_t rack = first_rack_; std::cmp_less(assignment.size(), replication_factor);
       rack = (rack + 1) % racks_.size()) {
    if (rack == leaders_rack) {
      leaders_rack = racks_.size();
      continue;
    }
    auto id = racks_[rack].unfenced.next(round_);
    if (!id) id = racks_[rack].fenced.next(round_);
    if (id) assignment.push_back(*id);
  }
  ++round_;
  first_rack_ = (first_rack_ + 1) % racks_.size();
  return assignment;
}

size_t ReplicaPlacer::take_leader(Assignment& assignment) {
  for (size_t rack = first_rack_;; rack = (rack + 1) % racks_.size())
    if (auto id = racks_[rack].unfenced.next(round_)) {
      assignment.push_back(*id);
      return rack;
    }
}

void ReplicaPlacer::shuffle() {
  auto mix = [this](auto& items) {
    for (size_t left = items.size(); left > 1; --left)
      std::swap(items[left - 1], items[below(left)]);
  };
  mix(racks_);
  for (Rack& rack : racks_)
    for (Turns* turns : {&rack.unfenced, &rack.fenced}) {
      mix(turns->brokers);
      turns->round = kNoRound;
    }
  round_ = 0;
}

// splitmix64.
size_t ReplicaPlacer::below(size_t bound) {
  random_ += 0x9E3779B97F4A7C15ULL;
  uint64_t mixed = random_;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return bound == 0 ? 0 : static_cast<size_t>((mixed ^ (mixed >> 31)) % bound);
}

}  // namespace millrace::controller
