#include "storage/offset_map.h"

#include "base/assert.h"

namespace millrace::storage {

size_t OffsetMap::slot_of(const Hash128& hash) const {
  size_t at = hash.a % slots_.size();
  for (size_t tried = 0; tried < slots_.size(); ++tried) {
    const Slot& slot = slots_[at];
    if (slot.offset.value() < 0 || slot.hash == hash) return at;
    at = at + 1 < slots_.size() ? at + 1 : 0;
  }
  return slots_.size();
}

void OffsetMap::put(ByteView key, Offset offset) {
  const Hash128 hash = siphash128(key_, key);
  const size_t at = slot_of(hash);
  ASSERT(at < slots_.size(), "{} keys in {} slots", size_, slots_.size());
  size_ += slots_[at].offset.value() < 0;
  slots_[at] = {hash, offset};
}

std::optional<Offset> OffsetMap::get(ByteView key) const {
  if (slots_.empty()) return std::nullopt;
  const size_t at = slot_of(siphash128(key_, key));
  if (at == slots_.size() || slots_[at].offset.value() < 0) return std::nullopt;
  return slots_[at].offset;
}

}  // namespace millrace::storage
