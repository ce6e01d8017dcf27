// Reads records: as a member of a group that shares out the partitions of its topics (subscribe()),
// or of partitions that the program chooses (assign()).
//
// Threads: one at a time, but for wakeup(), which any may call; a second one is std::logic_error.
// The consumer has a thread of its own that fetches ahead and keeps the membership alive. Listeners
// and callbacks run on the caller's thread, inside of poll(), commit(), unsubscribe() or close();
// they may use the consumer, but not poll() or close() it.
// Blocking: a call that asks the cluster waits for at most default.api.timeout.ms, unless it takes
// a timeout: Error REQUEST_TIMED_OUT, or why the cluster could not be reached.
// Order: records of a partition come in the order of their offsets, each once while its partition
// stays with this consumer.
// After a fork() only the parent may use it.
//
// KIP-62, KIP-345 (group.instance.id), KIP-429 (cooperative), KIP-848 (group.protocol=consumer),
// KIP-98 (isolation.level).
// Not here: share groups (millrace/share_consumer.h); subscriptions by regular expression, reading
// from followers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "millrace/config.h"
#include "millrace/error.h"
#include "millrace/export.h"
#include "millrace/record.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

// What became of a commit; `error` is null if it is done, and lives as long as the call.
using CommitCallback = std::function<void(const Offsets& offsets, const Error* error)>;

// Told which partitions come and go while the consumer is in a group. Each may be empty.
struct RebalanceListener {
  using Function = std::function<void(const std::vector<TopicPartition>& partitions)>;
  // These came, beside those that are there; seek() here decides where reading begins.
  Function assigned = nullptr;
  // These go: the last chance to commit what was read of them. With enable.auto.commit that was
  // said already.
  Function revoked = nullptr;
  // These are others' already (a session that ended, polls too far apart): nothing of them can be
  // committed. Empty: as revoked.
  Function lost = nullptr;
};

class MILLRACE_API Consumer {
 public:
  // Connects in the background. Error: INVALID_CONFIG.
  explicit Consumer(const Config& config);
  // As close(), without throwing.
  ~Consumer();
  Consumer(Consumer&& other) noexcept;
  Consumer& operator=(Consumer&& other) noexcept;

  // Joins the group of group.id (std::logic_error without one) for these topics, in place of what
  // was subscribed or assigned before. Does not wait: partitions come while poll() is called.
  void subscribe(const std::vector<std::string>& topics, RebalanceListener listener = {});
  // Reads these, without a group's help, in place of what was subscribed or assigned before; one
  // that stays goes on where it was. A new one begins at its committed offset, if there is a
  // group.id and an offset, else where auto.offset.reset says, unless seek() comes first.
  void assign(const std::vector<TopicPartition>& partitions);
  // Leaves the group, and reads nothing.
  void unsubscribe();
  std::set<TopicPartition> assignment() const;
  std::vector<std::string> subscription() const;

  // The next records, at most max.poll.records; none when the timeout has come or wakeup() was
  // called. Returns as soon as there are some.
  // In a group the calls may not be farther apart than max.poll.interval.ms: else the consumer
  // leaves, and the next poll() joins anew.
  // With enable.auto.commit it commits every auto.commit.interval.ms what the polls before this one
  // gave.
  // Error: what ends the membership (a fenced instance, no authorization); what ends reading a
  // partition: UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE with auto.offset.reset=none,
  // CORRUPT_MESSAGE. That partition can be read on after a seek(), the others go on in any case.
  std::vector<ConsumerRecord> poll(std::chrono::milliseconds timeout);
  // Ends a poll() that waits, or the next one that would. Any thread, and signal-unsafe.
  void wakeup();

  // Commits the positions of all partitions: what poll() gave counts as done. Blocks.
  // Error: REBALANCE_IN_PROGRESS (a partition is not ours any more; poll() goes on), others of the
  // coordinator. std::logic_error without group.id.
  void commit();
  // Commits these offsets. In a group their partitions have to be ours.
  void commit(const Offsets& offsets);
  // The same without waiting; the callback, which may be empty, comes in a later call.
  void commit_async(CommitCallback callback = nullptr);
  void commit_async(const Offsets& offsets, CommitCallback callback = nullptr);
  // Which member of the group this is now, for Producer::send_offsets(). std::logic_error without
  // group.id.
  GroupMetadata group_metadata();
  // What the group has committed of these; none: nothing. Waits for the end of a transaction that
  // commits some.
  std::map<TopicPartition, std::optional<std::int64_t>> committed(
      const std::vector<TopicPartition>& partitions);

  // The offset of the next record that poll() gives of an assigned partition (std::logic_error of
  // another). Blocks until it is known.
  std::int64_t position(const TopicPartition& partition);
  // Goes on there. An offset that does not exist leads to where auto.offset.reset says.
  void seek(const TopicPartition& partition, std::int64_t offset);
  void seek_to_beginning(const std::vector<TopicPartition>& partitions);
  void seek_to_end(const std::vector<TopicPartition>& partitions);
  // poll() gives nothing of these until resume(), or until they go.
  void pause(const std::vector<TopicPartition>& partitions);
  void resume(const std::vector<TopicPartition>& partitions);
  std::set<TopicPartition> paused() const;

  // By partition the first record whose timestamp (milliseconds since 1970) is the one given or
  // later; none: there is none. These need not be assigned. Error: UNKNOWN_TOPIC_OR_PARTITION, ...
  std::map<TopicPartition, std::optional<OffsetAndTimestamp>> offsets_for_times(
      const std::map<TopicPartition, std::int64_t>& timestamps_ms);
  // The first offset that there is, and one more than the last that can be read (read_committed:
  // the last stable offset).
  Offsets beginning_offsets(const std::vector<TopicPartition>& partitions);
  Offsets end_offsets(const std::vector<TopicPartition>& partitions);
  // Error: UNKNOWN_TOPIC_OR_PARTITION.
  std::vector<PartitionInfo> partitions_of(const std::string& topic);

  // Commits, with enable.auto.commit, leaves the group, and reads nothing any more. Waits at most
  // `timeout` for the group. A second close() does nothing; every other call but wakeup() is
  // std::logic_error then.
  void close(std::chrono::milliseconds timeout = std::chrono::seconds(30));

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace millrace
