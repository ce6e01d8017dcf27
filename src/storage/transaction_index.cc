#include "storage/transaction_index.h"

#include <algorithm>

namespace millrace::storage {
namespace {

// int16 version 0, int64 producer id, first offset, last offset, last stable offset.
constexpr size_t kEntryBytes = 34;

}  // namespace

void TransactionIndex::truncate(Offset offset) {
  std::erase_if(entries_, [&](const AbortedTransaction& t) { return t.last_offset >= offset; });
}

std::vector<AbortedTransaction> TransactionIndex::overlapping(Range range) const {
  std::vector<AbortedTransaction> found;
  for (const AbortedTransaction& t : entries_)
    if (t.last_offset >= range.from && t.first_offset < range.below) found.push_back(t);
  std::ranges::sort(found, {}, &AbortedTransaction::first_offset);
  return found;
}

void TransactionIndex::replace(Range markers, const std::vector<AbortedTransaction>& transactions) {
  std::erase_if(entries_, [&](const AbortedTransaction& t) {
    return t.last_offset >= markers.from && t.last_offset < markers.below;
  });
  entries_.insert(entries_.end(), transactions.begin(), transactions.end());
  std::ranges::sort(entries_, {}, &AbortedTransaction::last_offset);
}

ByteBuffer TransactionIndex::print(Range markers) const {
  ByteBuffer bytes;
  for (const AbortedTransaction& t : entries_) {
    if (t.last_offset < markers.from || t.last_offset >= markers.below) continue;
    const size_t at = bytes.size();
    bytes.resize(at + kEntryBytes);
    store_big(bytes.data() + at + 2, t.producer_id.value());
    store_big(bytes.data() + at + 10, t.first_offset.value());
    store_big(bytes.data() + at + 18, t.last_offset.value());
    store_big(bytes.data() + at + 26, t.last_stable_offset.value());
  }
  return bytes;
}

Result<> TransactionIndex::parse(ByteView bytes) {
  if (bytes.size() % kEntryBytes != 0)
    return fail(Errc::kCorrupt, "a transaction index does not end with an entry");
  for (; !bytes.empty(); bytes = bytes.subspan(kEntryBytes)) {
    if (load_big<int16_t>(bytes.data()) != 0)
      return fail(Errc::kCorrupt, "a transaction index has an entry of another version");
    add({.producer_id = ProducerId(load_big<int64_t>(bytes.data() + 2)),
         .first_offset = Offset(load_big<int64_t>(bytes.data() + 10)),
         .last_offset = Offset(load_big<int64_t>(bytes.data() + 18)),
         .last_stable_offset = Offset(load_big<int64_t>(bytes.data() + 26))});
  }
  return {};
}

}  // namespace millrace::storage
