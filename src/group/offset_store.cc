#include "group/offset_store.h"

#include "base/assert.h"

namespace millrace::group {
namespace {

// The entry for `key`, made if it is not there; a string is made only then.
template <class Map>
typename Map::mapped_type& entry(Map& map, std::string_view key) {
  auto at = map.lower_bound(key);
  if (at == map.end() || at->first != key)
    at = map.emplace_hint(at, std::string(key), typename Map::mapped_type{});
  return at->second;
}

const CommittedOffset* lookup(const GroupOffsets& offsets, std::string_view group,
                              const PartitionRef& partition) {
  const auto topics = offsets.find(group);
  if (topics == offsets.end()) return nullptr;
  const auto partitions = topics->second.find(partition.topic);
  if (partitions == topics->second.end()) return nullptr;
  const auto at = partitions->second.find(partition.partition);
  return at == partitions->second.end() ? nullptr : &at->second;
}

bool erase(GroupOffsets& offsets, std::string_view group, const PartitionRef& partition) {
  const auto topics = offsets.find(group);
  if (topics == offsets.end()) return false;
  const auto partitions = topics->second.find(partition.topic);
  if (partitions == topics->second.end()) return false;
  const bool erased = partitions->second.erase(partition.partition) != 0;
  if (partitions->second.empty()) topics->second.erase(partitions);
  if (topics->second.empty()) offsets.erase(topics);
  return erased;
}

void visit_topics(const TopicOffsets& topics,
                  const std::function<void(const PartitionRef&, const CommittedOffset&)>& visit) {
  for (const auto& [topic, partitions] : topics)
    for (const auto& [index, offset] : partitions) visit({topic, index}, offset);
}

}  // namespace

void OffsetStore::put(std::string_view group, const PartitionRef& partition,
                      CommittedOffset offset) {
  PartitionOffsets& partitions = entry(entry(committed_, group), partition.topic);
  if (partitions.insert_or_assign(partition.partition, std::move(offset)).second) ++size_;
}

void OffsetStore::remove(std::string_view group, const PartitionRef& partition) {
  if (erase(committed_, group, partition)) --size_;
  const auto open = open_.find(group);
  if (open == open_.end()) return;
  std::erase_if(open->second, [&](ProducerId producer) {
    GroupOffsets& offsets = pending_.at(producer);
    erase(offsets, group, partition);
    const bool none_left = !offsets.contains(group);
    if (offsets.empty()) pending_.erase(producer);
    return none_left;
  });
  if (open->second.empty()) open_.erase(open);
}

void OffsetStore::put_pending(ProducerId producer, std::string_view group,
                              const PartitionRef& partition, CommittedOffset offset) {
  PartitionOffsets& partitions = entry(entry(pending_[producer], group), partition.topic);
  partitions.insert_or_assign(partition.partition, std::move(offset));
  entry(open_, group).insert(producer);
}

void OffsetStore::end_transaction(ProducerId producer, bool commit) {
  auto ended = pending_.extract(producer);
  if (ended.empty()) return;
  for (const auto& [group, topics] : ended.mapped()) {
    const auto open = open_.find(group);
    open->second.erase(producer);
    if (open->second.empty()) open_.erase(open);
    if (!commit) continue;
    visit_topics(topics, [&](const PartitionRef& partition, const CommittedOffset& offset) {
      const CommittedOffset* now = lookup(committed_, group, partition);
      if (now == nullptr || offset.order > now->order) put(group, partition, offset);
    });
  }
}

const TopicOffsets* OffsetStore::of_group(std::string_view group) const {
  const auto at = committed_.find(group);
  return at == committed_.end() ? nullptr : &at->second;
}

const CommittedOffset* OffsetStore::find(std::string_view group,
                                         const PartitionRef& partition) const {
  return lookup(committed_, group, partition);
}

bool OffsetStore::is_pending(std::string_view group, const PartitionRef& partition) const {
  const auto open = open_.find(group);
  if (open == open_.end()) return false;
  for (ProducerId producer : open->second)
    if (lookup(pending_.at(producer), group, partition) != nullptr) return true;
  return false;
}

void OffsetStore::for_each(std::string_view group,
                           const std::function<void(const PartitionRef&)>& visit) const {
  if (const TopicOffsets* topics = of_group(group))
    visit_topics(*topics, [&](const PartitionRef& partition, const auto&) { visit(partition); });
  const auto open = open_.find(group);
  if (open == open_.end()) return;
  std::set<std::pair<std::string_view, PartitionIndex>> seen;
  for (ProducerId producer : open->second)
    visit_topics(pending_.at(producer).find(group)->second,
                 [&](const PartitionRef& partition, const auto&) {
                   if (find(group, partition) != nullptr) return;
                   if (seen.emplace(partition.topic, partition.partition).second) visit(partition);
                 });
}

void OffsetStore::for_each_pending(const std::function<void(std::string_view, const PartitionRef&,
                                                            const CommittedOffset&)>& visit) const {
  for (const auto& [producer, groups] : pending_)
    for (const auto& [group, topics] : groups)
      visit_topics(topics, [&](const PartitionRef& partition, const CommittedOffset& offset) {
        visit(group, partition, offset);
      });
}

void OffsetStore::check_invariants() const {
  size_t indexed = 0;
  for (const auto& [group, producers] : open_) {
    ASSERT(!producers.empty(), "GC8 group {}", group);
    for (ProducerId producer : producers)
      ASSERT(pending_.contains(producer) && pending_.at(producer).contains(group),
             "GC8 group {} producer {}", group, producer);
    indexed += producers.size();
  }
  size_t pending = 0;
  for (const auto& [producer, groups] : pending_) pending += groups.size();
  ASSERT(indexed == pending, "GC8 {} indexed, {} pending", indexed, pending);
}

}  // namespace millrace::group
