#include "sim/oracle.h"

#include <algorithm>
#include <charconv>

namespace millrace::sim {

std::string Value::to_string() const {
  return fmt::format("{}/{}/{}", producer, partition, number);
}

std::optional<Value> Value::parse(std::string_view text) {
  const size_t first = text.find('/');
  const size_t second = text.rfind('/');
  if (first == std::string_view::npos || second == first) return std::nullopt;
  Value value{.producer = std::string(text.substr(0, first))};
  std::from_chars(text.data() + first + 1, text.data() + second, value.partition);
  std::from_chars(text.data() + second + 1, text.data() + text.size(), value.number);
  return value;
}

void Oracle::sent(int32_t partition, const Value& value) {
  auto last = last_acknowledged_.find({value.producer, partition});
  if (last != last_acknowledged_.end()) sent_behind_.emplace(value.to_string(), last->second);
}

void Oracle::check_order(int32_t partition, int64_t offset, const Value& value) {
  auto before = sent_behind_.find(value.to_string());
  if (before != sent_behind_.end()) {
    if (offset <= before->second) {
      if (is_excused(partition)) return;
      world_->violated("ID4", fmt::format("{} is at {}-{}, though {} was acknowledged before it "
                                          "was sent",
                                          before->first, partition, offset, before->second));
    }
    sent_behind_.erase(before);
  }
  int64_t& last = last_acknowledged_[{value.producer, partition}];
  last = std::max(last, offset);
}

void Oracle::acknowledged(int32_t partition, int64_t offset, const std::string& value) {
  if (losing_.contains(partition)) return;
  if (const auto parsed = Value::parse(value)) check_order(partition, offset, *parsed);
  auto& known = acknowledged_[partition];
  auto [entry, is_new] = known.emplace(offset, value);
  if (!is_new && entry->second != value) {
    if (is_excused(partition)) return;
    world_->violated("IS3", fmt::format("{} and {} were both acknowledged at {}-{}", entry->second,
                                        value, partition, offset));
  }
  auto seen = consumed_[partition].find(offset);
  if (seen != consumed_[partition].end() && seen->second != value && !is_excused(partition))
    world_->violated("IS5", fmt::format("{} was acknowledged at {}-{} where {} was read", value,
                                        partition, offset, seen->second));
}

void Oracle::consumed(int32_t partition, int64_t offset, const std::string& value) {
  if (losing_.contains(partition)) return;
  auto [entry, is_new] = consumed_[partition].emplace(offset, value);
  if (!is_new && entry->second != value) {
    if (is_excused(partition)) return;
    world_->violated("IS5", fmt::format("at {}-{} {} was read, and now {}", partition, offset,
                                        entry->second, value));
  }
  auto acked = acknowledged_[partition].find(offset);
  if (acked != acknowledged_[partition].end() && acked->second != value && !is_excused(partition))
    world_->violated("IS3", fmt::format("at {}-{} {} was acknowledged, and {} is read", partition,
                                        offset, acked->second, value));
}

void Oracle::may_delete_below(int32_t partition, int64_t offset) {
  auto& below = may_be_deleted_[partition];
  below = std::max(below, offset);
}

bool Oracle::is_excused(int32_t partition) {
  if (look_again) look_again();
  return losing_.contains(partition);
}

void Oracle::may_have_lost(int32_t partition) {
  unclean_.insert(partition);
  losing_.insert(partition);
  acknowledged_[partition].clear();
  consumed_[partition].clear();
  std::erase_if(last_acknowledged_, [&](auto& lane) { return lane.first.second == partition; });
  sent_behind_.clear();
}

void Oracle::given_producer_id(int64_t id) {
  if (!producer_ids_.insert(id).second)
    world_->violated("MD7", fmt::format("producer id {} is given a second time", id));
}

int64_t Oracle::excused_below(int32_t partition) const {
  auto found = may_be_deleted_.find(partition);
  return found == may_be_deleted_.end() ? 0 : found->second;
}

std::optional<Oracle::Span> Oracle::damage_at(int32_t partition, int64_t offset) const {
  auto found = damaged_.find(partition);
  if (found == damaged_.end()) return std::nullopt;
  std::optional<Span> widest;
  for (const Span& span : found->second)
    if (span.first <= offset && offset < span.end && (!widest || widest->end < span.end))
      widest = span;
  return widest;
}

void Oracle::check_contents(int32_t partition, const Contents& contents) {
  const int64_t excused = excused_below(partition);
  for (auto [name, expected] :
       {std::pair("IS3", &acknowledged_[partition]), {"IS5", &consumed_[partition]}}) {
    for (const auto& [offset, value] : *expected) {
      if (offset < excused) continue;
      auto found = contents.find(offset);
      if (found == contents.end() && damage_at(partition, offset)) continue;
      if (found == contents.end())
        world_->violated(
            name, fmt::format("{} is lost: it was {} at {}-{}", value,
                              std::string_view(name) == "IS3" ? "acknowledged" : "read", partition,
                              offset));
      else if (found->second != value)
        world_->violated(name, fmt::format("at {}-{} is {} instead of {}", partition, offset,
                                           found->second, value));
    }
  }
  check_producers(partition, contents);
}

// Numbers of one producer in one partition ascend by one; a plain producer does not repeat itself,
// but what it sent and had no answer to may be missing, or, where others may lead, come late.
void Oracle::check_producers(int32_t partition, const Contents& contents) {
  const int64_t excused = excused_below(partition);
  struct Last {
    int64_t number = 0, offset = 0;
  };
  std::map<std::string, Last> last;
  std::set<std::string> seen;
  for (const auto& [offset, text] : contents) {
    const auto value = Value::parse(text);
    if (!value || value->partition != partition) {
      world_->violated("ST3", fmt::format("{}-{} holds {}", partition, offset, text));
      continue;
    }
    if (had_unclean_election(partition)) continue;
    auto [entry, is_first] = last.emplace(value->producer, Last{value->number, offset});
    // Where records may be missing, or were deleted while the log was being read, they only
    // ascend, as those of a plain producer.
    const bool idempotent = idempotent_.contains(value->producer) && !has_damage(partition) &&
                            (is_first || entry->second.offset >= excused);
    const int64_t step = value->number - entry->second.number;
    const bool is_again = !seen.insert(text).second;
    if (other_leaders_ && !idempotent ? is_again
        : is_first                    ? idempotent && value->number != 0 && excused == 0
        : idempotent                  ? step != 1
                                      : step < 1)
      world_->violated(idempotent ? "ID1" : "ID4",
                       fmt::format("{} at {}-{} follows number {}", text, partition, offset,
                                   is_first ? -1 : entry->second.number));
    entry->second = {value->number, offset};
  }
}

size_t Oracle::acknowledged_count() const {
  size_t count = 0;
  for (const auto& [partition, records] : acknowledged_) count += records.size();
  return count;
}

}  // namespace millrace::sim
