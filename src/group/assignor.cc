#include "group/assignor.h"

#include <algorithm>

namespace millrace::group {
namespace {

struct Partition {
  Uuid topic_id;
  int32_t index = 0;
};

void add(TargetAssignment& to, const Partition& partition) {
  auto& indexes = to[partition.topic_id];
  indexes.insert(std::ranges::lower_bound(indexes, partition.index), partition.index);
}

// All members subscribe to the same topics: each keeps what it had up to its share, the rest is
// dealt out to those below theirs.
class Homogeneous {
 public:
  explicit Homogeneous(const AssignmentSpec& spec)
      : spec_(spec), topics_(*spec.members.front().topics), result_(spec.members.size()) {}

  Assignments assign() && {
    if (topics_.empty()) return std::move(result_);
    find_free();
    const size_t members = spec_.members.size();
    share_ = total_ / members;
    extra_ = total_ % members;
    for (size_t i = 0; i < members; ++i) keep(i);
    deal_out();
    return std::move(result_);
  }

 private:
  struct Wanting {
    size_t member = 0;
    size_t room = 0;
  };

  void find_free() {
    std::map<Uuid, std::vector<bool>> taken;
    for (const Uuid& topic_id : topics_) {
      const auto count = static_cast<size_t>(spec_.partitions.at(topic_id));
      taken[topic_id].resize(count);
      total_ += count;
    }
    for (const AssignedMember& member : spec_.members)
      for (const auto& [topic_id, indexes] : *member.before) {
        const auto at = taken.find(topic_id);
        if (at == taken.end()) continue;
        for (const int32_t index : indexes)
          if (std::cmp_less(index, at->second.size()))
            at->second[static_cast<size_t>(index)] = true;
      }
    for (const auto& [topic_id, of_topic] : taken)
      for (size_t i = 0; i < of_topic.size(); ++i)
        if (!of_topic[i]) free_.push_back({topic_id, static_cast<int32_t>(i)});
  }

  // What the member had of the topics, up to its share; one more if there are extra ones.
  void keep(size_t at) {
    size_t room = share_;
    bool takes_extra = extra_ > 0;
    if (takes_extra) ++room;
    for (const auto& [topic_id, indexes] : *spec_.members[at].before) {
      if (!topics_.contains(topic_id)) continue;
      const size_t kept = std::min(indexes.size(), room);
      room -= kept;
      const auto end = indexes.begin() + static_cast<ptrdiff_t>(kept);
      if (kept > 0) result_[at][topic_id].assign(indexes.begin(), end);
      for (auto left = end; left != indexes.end(); ++left) free_.push_back({topic_id, *left});
    }
    // Another may have one more already, unless only those are left who must take them.
    if (room > 0 && takes_extra && spec_.members.size() - at > extra_) {
      --room;
      takes_extra = false;
    }
    if (room > 0) wanting_.push_back({at, room});
    if (takes_extra) --extra_;
  }

  void deal_out() {
    auto next = free_.begin();
    for (const Wanting& each : wanting_)
      for (size_t i = 0; i < each.room && next != free_.end(); ++i)
        add(result_[each.member], *next++);
  }

  const AssignmentSpec& spec_;
  const TopicIds& topics_;
  Assignments result_;
  std::vector<Partition> free_;
  std::vector<Wanting> wanting_;
  size_t total_ = 0;
  size_t share_ = 0;
  size_t extra_ = 0;
};

// How a topic is cut into ranges.
struct Ranges {
  int32_t partitions = 0;
  int32_t share = 0;
  int32_t extra = 0;
  int32_t next = 0;

  static Ranges of(int32_t partitions, int32_t subscribers) {
    return {.partitions = partitions,
            .share = partitions / subscribers,
            .extra = partitions % subscribers};
  }
  std::vector<int32_t> take() {
    int32_t count = share;
    if (extra > 0) {
      ++count;
      --extra;
    }
    std::vector<int32_t> range;
    for (const int32_t end = std::min(next + count, partitions); next < end; ++next)
      range.push_back(next);
    return range;
  }
};

bool is_before(const AssignedMember& a, const AssignedMember& b) {
  if (a.instance_id && b.instance_id) return *a.instance_id < *b.instance_id;
  if (a.instance_id || b.instance_id) return a.instance_id.has_value();
  return a.id < b.id;
}

}  // namespace

Assignments assign_uniformly(const AssignmentSpec& spec) {
  if (spec.members.empty()) return {};
  return spec.is_homogeneous ? Homogeneous(spec).assign() : assign_heterogeneously(spec);
}

Assignments assign_ranges(const AssignmentSpec& spec) {
  std::map<Uuid, int32_t> subscribers;
  for (const AssignedMember& member : spec.members)
    for (const Uuid& topic_id : *member.topics) ++subscribers[topic_id];
  std::map<Uuid, Ranges> ranges;
  for (const auto& [topic_id, count] : subscribers)
    ranges.emplace(topic_id, Ranges::of(spec.partitions.at(topic_id), count));
  std::vector<size_t> order(spec.members.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](size_t a, size_t b) {
    if (is_before(spec.members[a], spec.members[b])) return true;
    return !is_before(spec.members[b], spec.members[a]) && a < b;
  });
  Assignments result(spec.members.size());
  for (const size_t at : order)
    for (const Uuid& topic_id : *spec.members[at].topics)
      if (auto range = ranges.at(topic_id).take(); !range.empty())
        result[at].emplace(topic_id, std::move(range));
  return result;
}

Assignor find_assignor(std::string_view name) {
  if (name == "uniform") return assign_uniformly;
  if (name == "range") return assign_ranges;
  return nullptr;
}

bool AssignmentPace::is_due(TimestampMs now) const {
  if (last == TimestampMs(0) || interval.count() == 0) return true;
  // A clock that went back must not hold assignments up.
  return now < last || now - last >= interval.count();
}

}  // namespace millrace::group
