#include "storage/segment_swap.h"

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "base/probe.h"

namespace millrace::storage {
namespace {

// `<base><kind><suffix>`
struct SegmentFile {
  std::string name;
  Offset base;
  std::string_view kind;
  uint64_t size = 0;
};

std::vector<SegmentFile> files_with(const std::vector<env::DirectoryEntry>& entries,
                                    std::string_view suffix) {
  std::vector<SegmentFile> files;
  for (const auto& entry : entries)
    for (const std::string_view kind : kSegmentFiles)
      if (auto base = offset_in_file_name(entry.name, std::string(kind) + std::string(suffix)))
        files.push_back({entry.name, *base, kind, entry.size});
  return files;
}

bool contains(const std::vector<SegmentFile>& files, Offset base, std::string_view kind) {
  return std::ranges::any_of(
      files, [&](const SegmentFile& file) { return file.base == base && file.kind == kind; });
}

class SwapCompletion {
 public:
  SwapCompletion(env::Disk& disk, const std::string& directory,
                 const std::vector<env::DirectoryEntry>& entries)
      : disk_(&disk),
        directory_(directory),
        cleaned_(files_with(entries, kCleanedSuffix)),
        swaps_(files_with(entries, kSwapSuffix)),
        segments_(files_with(entries, "")) {
    for (const auto& entry : entries)
      if (auto at = offset_in_file_name(entry.name, ".snapshot"))
        snapshots_.push_back({entry.name, *at, "", entry.size});
  }

  Result<> run() {
    RETURN_IF_ERROR(discard());
    if (swaps_.empty()) return {};
    PROBE("log.swap_completed");
    for (const SegmentFile& file : swaps_)
      if (file.kind == kSegmentFiles[0]) RETURN_IF_ERROR(remove_replaced(file));
    RETURN_IF_ERROR(disk_->sync_directory(directory_));
    for (const SegmentFile& file : swaps_) {
      const std::string to = file.name.substr(0, file.name.size() - kSwapSuffix.size());
      LOG_INFO("{}/{} was not exchanged to the end; it is {} now", directory_, file.name, to);
      RETURN_IF_ERROR(disk_->rename(path_of(file.name), path_of(to)));
    }
    return disk_->sync_directory(directory_);
  }

 private:
  std::string path_of(const std::string& name) const { return directory_ + "/" + name; }

  // A segment that still has files that end in `.cleaned` was not all there.
  Result<> discard() {
    if (cleaned_.empty()) return {};
    PROBE("log.cleaned_discarded");
    const Offset first = std::ranges::min(cleaned_, {}, &SegmentFile::base).base;
    for (const SegmentFile& file : swaps_)
      if (file.base >= first) RETURN_IF_ERROR(disk_->remove(path_of(file.name)));
    std::erase_if(swaps_, [&](const SegmentFile& file) { return file.base >= first; });
    RETURN_IF_ERROR(disk_->sync_directory(directory_));
    for (const SegmentFile& file : cleaned_) RETURN_IF_ERROR(disk_->remove(path_of(file.name)));
    return {};
  }

  // What the segment was made of, as far as its own records say.
  Result<> remove_replaced(const SegmentFile& swap) {
    Segment segment(*disk_, directory_, swap.base, kSwapSuffix);
    segment.set_size(swap.size);
    Offset end = swap.base + 1;
    auto walked = segment.walk_headers(Offset(INT64_MAX),
                                       [&](const record::BatchHeader& header, ByteView, uint64_t) {
                                         end = std::max(end, header.next_offset());
                                         return true;
                                       });
    if (!walked) return std::unexpected(std::move(walked).error());
    for (const SegmentFile& file : segments_) {
      // It has its name already: there is one of each kind that the replaced segment had.
      const bool is_own = file.base == swap.base && !contains(swaps_, file.base, file.kind);
      const bool is_replaced = file.base >= swap.base && file.base < end && !is_own;
      if (is_replaced) RETURN_IF_ERROR(disk_->remove(path_of(file.name)));
    }
    for (const SegmentFile& file : snapshots_)
      if (file.base > swap.base && file.base < end)
        RETURN_IF_ERROR(disk_->remove(path_of(file.name)));
    return {};
  }

  env::Disk* disk_;
  std::string directory_;
  std::vector<SegmentFile> cleaned_, swaps_, segments_, snapshots_;
};

}  // namespace

void discard_cleaned(env::Disk& disk, const Segment& cleaned) {
  for (const std::string_view kind : kSegmentFiles) {
    const std::string path = cleaned.path() + std::string(kind) + std::string(kCleanedSuffix);
    if (disk.exists(path)) (void)disk.remove(path);
  }
}

Result<bool> complete_swaps(env::Disk& disk, const std::string& directory,
                            const std::vector<env::DirectoryEntry>& entries) {
  const bool is_any = std::ranges::any_of(entries, [](const auto& entry) {
    return entry.name.ends_with(kCleanedSuffix) || entry.name.ends_with(kSwapSuffix);
  });
  if (is_any) RETURN_IF_ERROR(SwapCompletion(disk, directory, entries).run());
  return is_any;
}

}  // namespace millrace::storage
