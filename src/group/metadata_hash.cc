#include "group/metadata_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace millrace::group {
namespace {

constexpr uint8_t kVersion = 0;         // of what is hashed
constexpr size_t kMaxHashes = 100'000;  // that are kept

// Numbers in little-endian order. A text is its UTF-16 code units and their number.
class Input {
 public:
  void int8(uint8_t value) { bytes_ += static_cast<char>(value); }
  void int16(uint16_t value) { number(value); }
  void int32(int32_t value) { number(static_cast<uint32_t>(value)); }
  void int64(int64_t value) { number(static_cast<uint64_t>(value)); }
  int32_t text(std::string_view utf8);
  int64_t hash() const { return static_cast<int64_t>(XXH3_64bits(bytes_.data(), bytes_.size())); }

 private:
  template <class Number>
  void number(Number value) {
    for (size_t i = 0; i < sizeof value; ++i) bytes_ += static_cast<char>(value >> (8 * i));
  }
  std::string bytes_;
};

// The code point at the head of `utf8`, which is taken off it. Names and racks are valid UTF-8.
uint32_t take_code_point(std::string_view& utf8) {
  const auto first = static_cast<uint8_t>(utf8[0]);
  const size_t length = first < 0x80 ? 1 : std::min<size_t>(std::countl_one(first), utf8.size());
  uint32_t point = length <= 1 ? first : first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) point = point << 6 | (static_cast<uint8_t>(utf8[i]) & 0x3Fu);
  utf8.remove_prefix(std::max<size_t>(length, 1));
  return point;
}

std::u16string utf16(std::string_view utf8) {
  std::u16string units;
  while (!utf8.empty()) {
    const uint32_t point = take_code_point(utf8);
    if (point < 0x10000) {
      units += static_cast<char16_t>(point);
      continue;
    }
    units += static_cast<char16_t>(0xD800 + ((point - 0x10000) >> 10));
    units += static_cast<char16_t>(0xDC00 + ((point - 0x10000) & 0x3FF));
  }
  return units;
}

int32_t Input::text(std::string_view utf8) {
  const std::u16string units = utf16(utf8);
  for (const char16_t unit : units) int16(unit);
  const auto length = static_cast<int32_t>(units.size());
  int32(length);
  return length;
}

int64_t word(const Uuid& id, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | id.bytes[at * 8 + i];
  return static_cast<int64_t>(value);
}

}  // namespace

int64_t topic_hash(std::string_view name, const Topics& topics) {
  const auto id = topics.id_of(name);
  if (!id) return 0;
  const int32_t count = topics.partition_count(name);
  Input input;
  input.int8(kVersion);
  input.int64(word(*id, 0));
  input.int64(word(*id, 1));
  input.text(name);
  input.int32(count);
  for (int32_t i = 0; i < count; ++i) {
    input.int32(i);
    auto racks = topics.racks_of(name, PartitionIndex(i));
    std::ranges::sort(racks, {}, [](const std::string& rack) { return utf16(rack); });
    for (const std::string& rack : racks) {
      input.int32(static_cast<int32_t>(utf16(rack).size()));
      input.text(rack);
    }
  }
  return input.hash();
}

int64_t TopicHashes::of_topic(const std::string& name, const Topics& topics) {
  if (const auto known = hashes_.find(name); known != hashes_.end()) return known->second;
  if (hashes_.size() >= kMaxHashes) hashes_.clear();
  return hashes_[name] = topic_hash(name, topics);
}

int64_t group_hash(const std::vector<int64_t>& topic_hashes) {
  if (topic_hashes.empty()) return 0;
  Input input;
  for (const int64_t hash : topic_hashes) input.int64(hash);
  return input.hash();
}

}  // namespace millrace::group
