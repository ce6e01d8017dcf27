// The partitions of this broker: found by name or id, opened and closed as the metadata says, made
// durable by one committer a log directory.
// Not here: what the metadata says (node/node), the protocol (server).
//
// Durability (decisions, D3): with fsync, every append marks its partition dirty; the committer on
// the directory's disk thread takes all dirty partitions, syncs their files (one syncfs above
// kMaxSingleSyncs files), and advances their high watermarks. While one sync runs the next round
// collects. With page-cache an append is durable at once, and what was appended is synced behind
// its back when a directory's logs have grown by a gigabyte, so that a crash leaves little to scan.
// A failed sync: nothing since the last good one is acknowledged, the directory goes offline, and
// stays so.
// Threads: all functions from any shard.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "env/host.h"
#include "node/partition.h"
#include "node/partition_volume.h"
#include "replica/fetcher.h"
#include "storage/log_directory.h"

namespace millrace::node {

enum class Durability { kFsync, kPageCache };

struct HostedPartition {
  std::shared_ptr<Partition> partition;
  Volume* volume() const { return partition->volume(); }
  explicit operator bool() const { return partition != nullptr; }
};

// What a follower's log needs before it can go on (replica/fetcher). Nothing is done in another
// leader epoch.
struct Repair {
  HostedPartition hosted;
  std::variant<replica::Truncate, replica::StartOver> what;
  LeaderEpoch leader_epoch() const {
    return std::visit([](const auto& each) { return each.leader_epoch; }, what);
  }
};

// Appends batches that stand in the log to its copy, after a check of every byte.
Result<> append_copied(storage::Log& copy, ByteView bytes, TimestampMs now);

class PartitionHost {
 public:
  PartitionHost(std::vector<std::unique_ptr<Volume>> volumes, Durability durability);

  HostedPartition find(const TopicPartition& name) const;
  HostedPartition find(const TopicIdPartition& id) const;
  // Its log is here and could not be opened.
  bool is_refused(const TopicPartition& name) const;
  std::vector<HostedPartition> all() const;
  const std::vector<std::unique_ptr<Volume>>& volumes() const { return volumes_; }
  std::vector<Uuid> offline_directories() const;
  // Of log.dirs, those that could not be opened at the start; set before anything is opened.
  void set_failed_directories(std::vector<std::string> paths) {
    failed_directories_ = std::move(paths);
  }
  const std::vector<std::string>& failed_directories() const { return failed_directories_; }
  // Told on its disk thread of a volume that goes offline, when its partitions are offline.
  void set_on_failure(std::function<void(Volume&)> told) { on_failure_ = std::move(told); }
  // The recovery points of logs in a directory that are not hosted here; from any thread.
  using OtherPoints = std::function<storage::OffsetCheckpoint(const Volume&)>;
  void set_other_recovery_points(OtherPoints points) { other_points_ = std::move(points); }
  Durability durability() const { return durability_; }
  // This broker's epoch is another: with fsync the log directories keep it for the next start
  // (storage::LogDirectory::note_durable_epoch), on their disk threads.
  void note_epoch(BrokerEpoch epoch);

  // Opens (or makes) the partition's log, which nobody leads yet. What was there when the node
  // starts is opened in this way too; a log of another topic of that name, deleted while this node
  // was away, goes. Of one that is open the settings change. A new one goes where the metadata
  // (`assigned`) or AlterReplicaLogDirs want it, else to the directory with the fewest logs; not
  // anywhere while it may lie in a directory that is offline.
  struct Opening {
    TopicPartition name;
    Uuid topic_id;
    std::shared_ptr<const TopicSettings> settings;
    std::optional<Uuid> assigned;
  };
  Result<HostedPartition> open(const Opening& opening);
  // The topic is gone: waits end, the directory is renamed and removed on its disk thread.
  void remove(const TopicPartition& name, const Uuid& suffix);

  // Moves between log directories (KIP-113), on shard 0. The future log is there then, or was.
  Volume* volume_at(const std::string& path) const;  // null: none, or it is offline
  void prefer(const TopicPartition& name, Volume& volume) { preferred_[name] = &volume; }
  Result<> begin_move(const HostedPartition& hosted, Volume& to, const Uuid& suffix);
  void cancel_move(const HostedPartition& hosted, const Uuid& suffix);
  // The future log takes the log's place if it has all of it durably; false: not yet.
  struct MoveEnd {
    Uuid suffix;  // of the name that the log's directory gets until it is removed
    TimestampMs now;
  };
  Result<bool> finish_move(const HostedPartition& hosted, const MoveEnd& end);

  // Tells the committer (or, page-cache, the waiters) that the partition grew. Call outside its
  // lock.
  void appended(const HostedPartition& hosted);
  // On the disk threads: what the checkpoints claim is lowered first, so that a crash in between
  // leaves a log that is longer than they say. `done` is posted to `shard` for each, with its place
  // in `repairs`.
  using RepairDone = std::function<void(size_t, Result<>)>;
  void repair(const std::vector<Repair>& repairs, env::Shard& shard, RepairDone done);

  // After logs were removed: what the checkpoints say of them goes, on the disk threads, so before
  // anything of a log that has the name next is durable. It would be taken at their word else.
  void forget_removed_later();

  // Retention, producer expiry, checkpoints: what has to be done from time to time.
  void delete_old_segments(TimestampMs now);
  void expire_producers(TimestampMs before);
  void write_checkpoints();
  void write_checkpoints_later();  // on the disk threads
  void write_checkpoints_later(Volume& volume);
  // What the log has becomes durable, and the checkpoints say so; `done` is posted to `shard`.
  void settle(const HostedPartition& hosted, env::Shard& shard, std::function<void()> done);
  // Writes everything that a clean stop leaves.
  Result<> close(BrokerEpoch epoch);

 private:
  Volume* volume_with(const TopicPartition& name) const;
  Result<Volume*> volume_for(const Opening& opening) const;
  Volume* volume_with_fewest_logs() const;
  Result<> make_room(Volume& volume, const Opening& opening);
  Result<> promote_abandoned_future(const TopicPartition& name);
  Result<> open_future(const HostedPartition& hosted, Volume& volume, const Uuid& suffix);
  Result<> attach_future(const HostedPartition& hosted);
  void remove_directory(Volume& volume, const TopicPartition& name, const Uuid& suffix);
  void remove_future(Volume& volume, const TopicPartition& name, const Uuid& suffix);
  void remove_later(Volume& volume, Result<std::string> renamed);
  void volume_failed(Volume& volume);
  Result<HostedPartition> open_log(const Opening& opening);
  static void place(const HostedPartition& hosted, PartitionState& state, Volume& volume);
  static Result<bool> replace_log(const HostedPartition& hosted, PartitionState& state,
                                  const MoveEnd& end);
  struct Checkpoints {
    storage::OffsetCheckpoint recovery, log_starts, high_watermarks, cleaned;
  };
  static void note_points(Checkpoints& points, const HostedPartition& hosted, const Volume& volume);
  bool write_checkpoints(Volume& volume);
  using Numbered = std::pair<size_t, Repair>;
  void repair_now(Volume& volume, const std::vector<Numbered>& repairs, env::Shard& shard,
                  const RepairDone& done);
  void sync_behind(Volume& volume);

  mutable std::shared_mutex mutex_;  // guards the maps
  std::unordered_map<TopicPartition, HostedPartition> by_name_;
  std::unordered_map<TopicIdPartition, HostedPartition> by_id_;
  std::set<TopicPartition> refused_;  // whose logs could not be opened
  std::set<Volume*> removed_from_;    // since forget_removed_later()
  std::vector<std::unique_ptr<Volume>> volumes_;
  const Durability durability_;
  OtherPoints other_points_;
  std::function<void(Volume&)> on_failure_;
  std::vector<std::string> failed_directories_;
  std::map<TopicPartition, Volume*> preferred_;  // of logs that are not there yet
};

}  // namespace millrace::node
