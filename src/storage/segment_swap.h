// How a cleaned segment takes the place of those that it was made of, so that power may fail at any
// moment; Kafka's names and order. First its files end in `.cleaned`; when they are durable, they
// are renamed to end in `.swap`; when that is durable, the old segments' files end in `.deleted`;
// when that is durable, the cleaned one's get their names. Before all of its files end in `.swap` a
// start throws them away; from then on it goes on where the process before stopped.
// Not here: what is in a cleaned segment (storage/log_cleaner), the exchange in a log that is open
// (storage/log_compaction).
// Invariant CP5: a start finds the records of before, or those of after, the exchange; or those of
// after and with them whole segments of before, as Apache Kafka does, when the last ones had
// nothing that stayed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "env/disk.h"
#include "storage/segment.h"
#include "storage/transaction_index.h"

namespace millrace::storage {

inline constexpr std::string_view kCleanedSuffix = ".cleaned";
inline constexpr std::string_view kSwapSuffix = ".swap";

// A group of segments as it was written anew, its files durable under `.cleaned`.
struct CleanedGroup {
  std::unique_ptr<Segment> cleaned;
  std::vector<std::shared_ptr<const Segment>> sources;  // ascending
  Offset end;                                           // of the last one
  std::vector<AbortedTransaction> aborted;              // whose records or markers are still there
};

// One that will not be exchanged.
void discard_cleaned(env::Disk& disk, const Segment& cleaned);

// In the directory of a log that is to be opened: throws away or completes what the process before
// was exchanging. Whether there was anything.
Result<bool> complete_swaps(env::Disk& disk, const std::string& directory,
                            const std::vector<env::DirectoryEntry>& entries);

}  // namespace millrace::storage
