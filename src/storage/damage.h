// Damage: a run of bytes of a segment that were whole batches when they were synced and are not any
// more, because the medium lost them. It is kept aside, never served and never taken for a torn
// tail; all around it is served. Good batches from another replica may stand in its place later.
// Not here: who looks for damage (node/scrubber), who has good batches (node/mender), what a log
// does about it (storage/log).
//
// Kept aside: the bytes as they were found, in the partition's directory, in a file that ends in
// `.damaged` for as long as the log has the damage, so that the next process knows of it, and in
// `.damaged.old` from then on. Nothing here removes one. Apache Kafka passes both over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "env/disk.h"
#include "record/batch.h"
#include "storage/checkpoint.h"

namespace millrace::storage {

struct DamagedRange {
  uint64_t position = 0;  // in the segment's file
  uint64_t end = 0;
  Offset from;  // the records that were there
  Offset below;
  uint64_t size() const { return end - position; }
  std::string to_string() const;
  friend bool operator==(const DamagedRange&, const DamagedRange&) = default;
};

inline constexpr std::string_view kDamagedSuffix = ".damaged";
inline constexpr std::string_view kOldDamageSuffix = ".damaged.old";

struct NamedDamage {
  Offset segment;  // its base
  DamagedRange range;
};
// `<segment>.<from>-<below>.<position>-<end>.damaged`
std::string damage_file_name(const NamedDamage& damage);
// Nothing: another kind of file.
std::optional<NamedDamage> parse_damage_file_name(std::string_view name);

// Whether `bytes` are whole batches with right checksums, ascending, of records of the range only.
bool are_good_batches(ByteView bytes, const DamagedRange& of);

// Bytes of a segment that are read again to see whether they are still whole: batches from the one
// that holds `from` on, of a segment that ends at `segment_end`.
struct ScrubbedBytes {
  ByteView bytes;
  Offset from;
  Offset segment_end;
  std::vector<EpochStart> epochs;
};
struct Scrubbed {
  Offset next;                  // where to go on
  std::optional<Offset> doubt;  // the batch that should be there is to be examined
};
// Checksums, and what no checksum covers: offsets, which ascend, and leader epochs, which are the
// log's. One that is not is doubted if the batch behind it bears the log's epochs out.
Scrubbed scrub(const ScrubbedBytes& batches);

// The header of the batch at `position`; nothing: there is none that can be one.
Result<std::optional<record::BatchHeader>> header_at(env::File& file, uint64_t position);
// Whether a whole batch with a right checksum stands at `position`.
Result<bool> is_good_batch(env::File& file, uint64_t position);

struct BatchSearch {
  uint64_t position = 0;  // where it begins
  uint64_t size = 0;      // of the file
  Offset from;            // the batch begins there or behind it,
  Offset below;           // and before this
};
struct BatchFound {
  uint64_t position = 0;
  uint64_t end = 0;
  Offset base_offset;
  Offset next_offset;
};
// The first batch in a file with a right checksum, wherever it begins. Not a copy of a later one,
// as a misdirected write leaves behind: batches that belong before it come behind it.
Result<std::optional<BatchFound>> find_batch(env::File& file, BatchSearch search);

}  // namespace millrace::storage
