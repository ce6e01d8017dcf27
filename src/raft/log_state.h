// What the machine knows of its log without reading it: bounds, epochs, snapshots, and the voter
// sets and kraft versions that its control records set.
// Not here: the bytes (the host's log). Positions are the log's as handed to the host, whether
// durable or not: the machine keeps apart what is durable.
// Threads: one owner.
// Invariants:
//   LS1 epochs ascend in epoch and offset.
//   LS2 start <= end.
//   LS3 a start above 0 has a snapshot at or above it.
#pragma once

#include <set>

#include "raft/types.h"

namespace millrace::raft {

class LogState {
 public:
  struct EpochStart {
    LeaderEpoch epoch;
    Offset start;
    friend bool operator==(const EpochStart&, const EpochStart&) = default;
  };

  LogState() = default;
  // A log that goes on behind `start`; what is in it is noted while it is read.
  explicit LogState(Offset start) : start_(start), end_(start) {}
  // The same for one whose snapshots and first settings are noted already.
  void begin_at(Offset start) { start_ = end_ = start; }

  Offset start() const { return start_; }
  Offset end() const { return end_; }
  // Of the last record, or of the snapshot that the log begins behind.
  LeaderEpoch last_epoch() const;
  LogPosition position() const { return {last_epoch(), end_}; }
  const std::vector<EpochStart>& epochs() const { return epochs_; }

  // The largest epoch known that is at most `epoch`, and where it ends.
  LogPosition end_of(LeaderEpoch epoch) const;
  std::optional<LogPosition> earliest_snapshot() const;
  std::optional<LogPosition> latest_snapshot() const;
  bool has_snapshot(const LogPosition& snapshot) const { return snapshots_.contains(snapshot); }

  // The voter set in force at the end of the log, committed or not, and where it was set: -1 from
  // the bootstrap snapshot or the configuration.
  const VoterSet& voters() const { return voters_.rbegin()->second; }
  Offset voters_offset() const { return voters_.rbegin()->first; }
  int16_t kraft_version() const { return kraft_versions_.rbegin()->second; }
  // The epoch of the last record below `end`.
  LeaderEpoch epoch_below(Offset end) const;
  // What was in force for a snapshot that ends at `end`.
  const VoterSet& voters_below(Offset end) const;
  int16_t kraft_version_below(Offset end) const;

  void note_batch(LeaderEpoch epoch, Offset base, Offset end);
  void note_voters(Offset offset, VoterSet voters);
  void note_kraft_version(Offset offset, int16_t version);
  void note_snapshot(const LogPosition& snapshot) { snapshots_.insert(snapshot); }
  void forget_snapshot(const LogPosition& snapshot) { snapshots_.erase(snapshot); }
  void advance_start(Offset start);
  void truncate_to(Offset end);
  // The log is empty and goes on behind the snapshot.
  void start_over(const LogPosition& snapshot);

  // Asserts LS1 to LS3.
  void check_invariants() const;

 private:
  Offset start_{0};
  Offset end_{0};
  std::vector<EpochStart> epochs_;
  std::set<LogPosition> snapshots_;
  std::map<Offset, VoterSet> voters_{{Offset(-1), {}}};
  std::map<Offset, int16_t> kraft_versions_{{Offset(-1), 0}};
};

}  // namespace millrace::raft
