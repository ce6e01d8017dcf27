#include "sim/oracle.h"

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

void Oracle::acknowledged(int32_t partition, int64_t offset, const std::string& value) {
  auto& known = acknowledged_[partition];
  auto [entry, is_new] = known.emplace(offset, value);
  if (!is_new && entry->second != value)
    world_->violated("IS3", fmt::format("{} and {} were both acknowledged at {}-{}", entry->second,
                                        value, partition, offset));
  auto seen = consumed_[partition].find(offset);
  if (seen != consumed_[partition].end() && seen->second != value)
    world_->violated("IS5", fmt::format("{} was acknowledged at {}-{} where {} was read", value,
                                        partition, offset, seen->second));
}

void Oracle::consumed(int32_t partition, int64_t offset, const std::string& value) {
  auto [entry, is_new] = consumed_[partition].emplace(offset, value);
  if (!is_new && entry->second != value)
    world_->violated("IS5", fmt::format("at {}-{} {} was read, and now {}", partition, offset,
                                        entry->second, value));
  auto acked = acknowledged_[partition].find(offset);
  if (acked != acknowledged_[partition].end() && acked->second != value)
    world_->violated("IS3", fmt::format("at {}-{} {} was acknowledged, and {} is read", partition,
                                        offset, acked->second, value));
}

void Oracle::may_delete_below(int32_t partition, int64_t offset) {
  auto& below = may_be_deleted_[partition];
  below = std::max(below, offset);
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
// but what it sent and had no answer to may be missing.
void Oracle::check_producers(int32_t partition, const Contents& contents) {
  std::map<std::string, int64_t> last;
  for (const auto& [offset, text] : contents) {
    const auto value = Value::parse(text);
    if (!value || value->partition != partition) {
      world_->violated("ST3", fmt::format("{}-{} holds {}", partition, offset, text));
      continue;
    }
    auto [entry, is_first] = last.emplace(value->producer, value->number);
    // Where records may be missing, they only ascend, as those of a plain producer.
    const bool idempotent = idempotent_.contains(value->producer) && !has_damage(partition);
    const int64_t step = value->number - entry->second;
    if (is_first     ? idempotent && value->number != 0 && excused_below(partition) == 0
        : idempotent ? step != 1
                     : step < 1)
      world_->violated(idempotent ? "ID1" : "ID4",
                       fmt::format("{} at {}-{} follows number {}", text, partition, offset,
                                   is_first ? -1 : entry->second));
    entry->second = value->number;
  }
}

size_t Oracle::acknowledged_count() const {
  size_t count = 0;
  for (const auto& [partition, records] : acknowledged_) count += records.size();
  return count;
}

}  // namespace millrace::sim
