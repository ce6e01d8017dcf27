// The offsets of one partition of __consumer_offsets: committed ones, and those that wait for the
// end of their producer's transaction. Internal to group/.
// Not here: who may commit, when offsets expire (group/offsets.cc).
//
// Of a committed and a pending offset of one partition, the one whose record came later in the log
// wins; `order` numbers the records as they are applied, which compaction does not disturb.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "group/coordinator.h"

namespace millrace::group {

using PartitionOffsets = std::map<PartitionIndex, CommittedOffset>;
using TopicOffsets = std::map<std::string, PartitionOffsets, std::less<>>;
using GroupOffsets = std::map<std::string, TopicOffsets, std::less<>>;

// A partition's name without owning it.
struct PartitionRef {
  std::string_view topic;
  PartitionIndex partition;
};

class OffsetStore {
 public:
  void put(std::string_view group, const PartitionRef& partition, CommittedOffset offset);
  // A tombstone: what is committed goes, and what is pending.
  void remove(std::string_view group, const PartitionRef& partition);
  void put_pending(ProducerId producer, std::string_view group, const PartitionRef& partition,
                   CommittedOffset offset);
  void end_transaction(ProducerId producer, bool commit);

  const GroupOffsets& committed() const { return committed_; }
  const TopicOffsets* of_group(std::string_view group) const;
  const CommittedOffset* find(std::string_view group, const PartitionRef& partition) const;
  bool is_pending(std::string_view group, const PartitionRef& partition) const;
  bool has_pending(std::string_view group) const { return open_.contains(group); }
  // Every offset of the group, then every pending one that is not committed too.
  void for_each(std::string_view group,
                const std::function<void(const PartitionRef&)>& visit) const;
  // Every pending offset of every transaction.
  void for_each_pending(const std::function<void(std::string_view group, const PartitionRef&,
                                                 const CommittedOffset&)>& visit) const;
  size_t size() const { return size_; }
  uint64_t next_order() { return ++order_; }
  void check_invariants() const;

 private:
  GroupOffsets committed_;
  std::map<ProducerId, GroupOffsets> pending_;
  // Which transactions have pending offsets, by group.
  std::map<std::string, std::set<ProducerId>, std::less<>> open_;
  size_t size_ = 0;
  uint64_t order_ = 0;
};

}  // namespace millrace::group
