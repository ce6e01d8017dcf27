// The uniform assignor where members subscribe to different topics. Each keeps what it had of the
// topics that it still subscribes to; what is free is dealt out topic by topic, to the least loaded
// subscriber; then partitions go from the most loaded to the least loaded subscribers of each topic
// until nothing is gained by it, or for kRounds rounds.
#include <algorithm>
#include <map>

#include "group/assignor.h"

namespace millrace::group {
namespace {

constexpr int kRounds = 16;  // each about halves what is out of balance
constexpr int32_t kNobody = -1;

using MemberIndex = int32_t;

// The subscribers of one topic, sorted by their load: whom to give to and whom to take from next.
// The least loaded ones are levelled up from the left, the most loaded ones down from the right.
class Subscribers {
 public:
  explicit Subscribers(const std::vector<int32_t>& loads) : loads_(loads) {}

  // The difference between the most and the least loaded.
  int32_t begin(const std::vector<MemberIndex>& members) {
    sorted_ = members;
    std::ranges::sort(sorted_, {},
                      [&](MemberIndex member) { return std::pair(load(member), member); });
    low_end_ = 0;
    low_level_ = load(sorted_.front()) - 1;
    next_low_ = 0;
    high_begin_ = static_cast<int32_t>(sorted_.size());
    high_end_ = high_begin_;
    high_level_ = load(sorted_.back()) + 1;
    next_high_ = high_begin_ - 1;
    return load(sorted_.back()) - load(sorted_.front());
  }

  MemberIndex next_least_loaded() {
    if (next_low_ >= low_end_) {
      ++low_level_;
      while (low_end_ < size() && load(at(low_end_)) == low_level_) ++low_end_;
      next_low_ = 0;
    }
    return at(next_low_++);
  }

  // kNobody: there is none left to take from.
  MemberIndex next_most_loaded() {
    if (next_high_ < high_begin_) {
      // With everybody of the level excluded, the next lower one that there is.
      if (high_end_ <= high_begin_ && high_begin_ > 0)
        high_level_ = load(at(high_begin_ - 1));
      else
        --high_level_;
      while (high_begin_ > 0 && load(at(high_begin_ - 1)) == high_level_) --high_begin_;
      next_high_ = high_end_ - 1;
    }
    return next_high_ < 0 ? kNobody : at(next_high_--);
  }

  // The last next_most_loaded() has nothing of this topic to give.
  void exclude_most_loaded() {
    std::swap(sorted_[static_cast<size_t>(next_high_ + 1)],
              sorted_[static_cast<size_t>(high_end_ - 1)]);
    --high_end_;
  }

  bool is_balanced() const { return high_level_ - low_level_ <= 1; }

 private:
  int32_t load(MemberIndex member) const { return loads_[static_cast<size_t>(member)]; }
  MemberIndex at(int32_t index) const { return sorted_[static_cast<size_t>(index)]; }
  int32_t size() const { return static_cast<int32_t>(sorted_.size()); }

  const std::vector<int32_t>& loads_;
  std::vector<MemberIndex> sorted_;
  int32_t low_end_ = 0;
  int32_t low_level_ = 0;
  int32_t next_low_ = 0;
  int32_t high_begin_ = 0;
  int32_t high_end_ = 0;
  int32_t high_level_ = 0;
  int32_t next_high_ = 0;
};

class Heterogeneous {
 public:
  explicit Heterogeneous(const AssignmentSpec& spec)
      : spec_(spec), loads_(spec.members.size()), balancer_(loads_) {
    for (size_t i = 0; i < spec.members.size(); ++i)
      for (const Uuid& topic_id : *spec.members[i].topics)
        topics_[topic_id].subscribers.push_back(static_cast<MemberIndex>(i));
    for (auto& [topic_id, topic] : topics_) {
      topic.id = topic_id;
      topic.owners.assign(static_cast<size_t>(spec.partitions.at(topic_id)), kNobody);
    }
  }

  Assignments assign() && {
    keep();
    deal_out();
    balance();
    Assignments result(spec_.members.size());
    for (const auto& [topic_id, topic] : topics_)
      for (size_t i = 0; i < topic.owners.size(); ++i)
        if (topic.owners[i] != kNobody)
          result[static_cast<size_t>(topic.owners[i])][topic_id].push_back(static_cast<int32_t>(i));
    return result;
  }

 private:
  struct Topic {
    Uuid id;
    std::vector<MemberIndex> subscribers;  // ascending
    std::vector<MemberIndex> owners;       // by partition
  };

  void keep() {
    for (size_t i = 0; i < spec_.members.size(); ++i)
      for (const auto& [topic_id, indexes] : *spec_.members[i].before) {
        if (!spec_.members[i].topics->contains(topic_id)) continue;
        Topic& topic = topics_.at(topic_id);
        for (const int32_t index : indexes)
          if (std::cmp_less(index, topic.owners.size()))
            give(topic, static_cast<size_t>(index), static_cast<MemberIndex>(i));
      }
  }

  void give(Topic& topic, size_t index, MemberIndex to) {
    MemberIndex& owner = topic.owners[index];
    if (owner != kNobody) --loads_[static_cast<size_t>(owner)];
    owner = to;
    ++loads_[static_cast<size_t>(to)];
  }

  // Most partitions for a subscriber first, then those with the fewest subscribers.
  template <class Wanted>
  std::vector<Topic*> sorted(Wanted wanted) {
    std::vector<Topic*> topics;
    for (auto& [topic_id, topic] : topics_)
      if (wanted(topic)) topics.push_back(&topic);
    std::ranges::sort(topics, [](const Topic* a, const Topic* b) {
      const double of_a = static_cast<double>(a->owners.size()) / a->subscribers.size();
      const double of_b = static_cast<double>(b->owners.size()) / b->subscribers.size();
      if (of_a != of_b) return of_a > of_b;
      if (a->subscribers.size() != b->subscribers.size())
        return a->subscribers.size() < b->subscribers.size();
      return a->id < b->id;
    });
    return topics;
  }

  void deal_out() {
    const auto has_free = [](const Topic& topic) {
      return std::ranges::find(topic.owners, kNobody) != topic.owners.end();
    };
    for (Topic* topic : sorted(has_free)) {
      balancer_.begin(topic->subscribers);
      for (size_t i = 0; i < topic->owners.size(); ++i)
        if (topic->owners[i] == kNobody) give(*topic, i, balancer_.next_least_loaded());
    }
  }

  void balance() {
    const auto topics = sorted([](const Topic& topic) { return topic.subscribers.size() >= 2; });
    std::optional<size_t> last_changed;  // a whole round without a change from there: done
    for (int round = 0; round < kRounds; ++round)
      for (size_t i = 0; i < topics.size(); ++i) {
        if (last_changed == i) return;
        const bool changed = balance(*topics[i]);
        if (changed || !last_changed) last_changed = i;
      }
  }

  // The topic's partitions by owner, ascending: the last of each is given away first.
  static std::map<MemberIndex, std::vector<size_t>> by_owner(const Topic& topic) {
    std::map<MemberIndex, std::vector<size_t>> owned;
    for (size_t i = 0; i < topic.owners.size(); ++i) owned[topic.owners[i]].push_back(i);
    return owned;
  }

  bool balance(Topic& topic) {
    if (balancer_.begin(topic.subscribers) <= 1) return false;
    auto owned = by_owner(topic);
    bool changed = false;
    while (!balancer_.is_balanced()) {
      const MemberIndex from = next_giver(owned);
      if (from == kNobody) break;
      const size_t index = owned[from].back();
      owned[from].pop_back();
      const MemberIndex to = balancer_.next_least_loaded();
      if (balancer_.is_balanced()) break;
      give(topic, index, to);
      changed = true;
    }
    return changed;
  }

  MemberIndex next_giver(std::map<MemberIndex, std::vector<size_t>>& owned) {
    for (;;) {
      const MemberIndex from = balancer_.next_most_loaded();
      if (from == kNobody || !owned[from].empty()) return from;
      balancer_.exclude_most_loaded();
    }
  }

  const AssignmentSpec& spec_;
  std::vector<int32_t> loads_;  // by member
  Subscribers balancer_;
  std::map<Uuid, Topic> topics_;
};

}  // namespace

Assignments assign_heterogeneously(const AssignmentSpec& spec) {
  return Heterogeneous(spec).assign();
}

}  // namespace millrace::group
