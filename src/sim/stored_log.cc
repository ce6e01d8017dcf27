#include "sim/stored_log.h"

#include <algorithm>

#include "raft/control_records.h"
#include "raft/snapshot.h"
#include "record/batch.h"

namespace millrace::sim {
namespace {

int64_t offset_in_name(const std::string& path) {
  return std::atoll(path.substr(path.rfind('/') + 1, 20).c_str());
}

const ByteBuffer* content_of(const Medium& medium, const std::string& path, View view) {
  if (view == View::kDurable) return medium.durable_file(path);
  auto inode = medium.find(path);
  return inode ? &inode->content : nullptr;
}

uint64_t fingerprint_of(ByteView bytes) {
  uint64_t hash = 14695981039346656037ULL;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 1099511628211ULL;
  return hash;
}

// Whole ones with a right checksum, up to the first that is not.
template <class Visit>
void visit_batches(ByteView content, const Visit& visit) {
  record::BatchIterator batches(content);
  for (;;) {
    const auto batch = batches.next();
    if (!batch || !*batch || !(*batch)->verify_crc()) return;
    visit(**batch);
  }
}

// The offset behind the last of its whole batches; -1: it has none. It goes on where the last look
// at the file ended, for logs mostly grow.
int64_t end_of_segment(const Medium& medium, const std::string& path, View view) {
  const bool durable = view == View::kDurable;
  Inode* file = durable ? medium.find_durable(path) : medium.find(path).get();
  if (file == nullptr) return -1;
  const ByteView content = durable ? file->durable : file->content;
  Inode::Found& found = durable ? file->durable_found : file->found;
  visit_batches(content.subspan(found.bytes), [&](const record::BatchView& batch) {
    found.bytes += batch.bytes().size();
    found.end = batch.next_offset().value();
  });
  return found.end;
}

struct Files {
  int64_t base = 0;
  std::vector<std::string> segments;  // ascending
};

Files files_of(const Medium& medium, const std::string& directory) {
  Files files;
  if (directory.empty()) return files;
  for (const auto& path : medium.files_below(directory)) {
    const bool is_segment = path.ends_with(".log");
    if (is_segment) files.segments.push_back(path);
    if (is_segment || path.ends_with(".checkpoint"))
      files.base = std::max(files.base, offset_in_name(path));
  }
  std::ranges::sort(files.segments);
  return files;
}

}  // namespace

StoredBatch stored_batch(const record::BatchView& batch) {
  return {.first = batch.base_offset().value(),
          .end = batch.next_offset().value(),
          .epoch = batch.header().leader_epoch.value(),
          .fingerprint = fingerprint_of(batch.bytes()),
          .producer = batch.header().producer_id.value(),
          .transactional = batch.header().attributes.transactional(),
          .control = batch.header().attributes.control()};
}

std::optional<StoredLog> read_stored_log(const Medium& medium, const std::string& directory,
                                         View view) {
  if (directory.empty() || !medium.find(directory)) return std::nullopt;
  const Files files = files_of(medium, directory);
  StoredLog log{.base = files.base};
  if (!files.segments.empty()) log.first_segment = offset_in_name(files.segments.front());
  for (const auto& path : files.segments)
    if (const ByteBuffer* content = content_of(medium, path, view))
      visit_batches(*content,
                    [&](const auto& batch) { log.batches.push_back(stored_batch(batch)); });
  return log;
}

std::vector<StoredVoters> read_stored_voters(const Medium& medium, const std::string& directory) {
  std::vector<StoredVoters> sets;
  for (const auto& path : files_of(medium, directory).segments)
    visit_batches(medium.find(path)->content, [&](const record::BatchView& batch) {
      if (!batch.header().attributes.control()) return;
      const auto facts = raft::read_control_batch(batch);
      if (facts && facts->voters)
        sets.push_back({facts->voters->first, batch.header().leader_epoch, facts->voters->second});
    });
  return sets;
}

std::vector<StoredSnapshot> read_stored_snapshots(const Medium& medium,
                                                  const std::string& directory) {
  std::vector<StoredSnapshot> snapshots;
  for (const auto& path : medium.files_below(directory)) {
    if (!path.ends_with(".checkpoint")) continue;
    snapshots.push_back({.name = path.substr(path.rfind('/') + 1), .end = offset_in_name(path)});
    uint64_t& fingerprint = snapshots.back().fingerprint;
    const auto whole = raft::read_snapshot(medium.find(path)->content, [&](ByteView record) {
      fingerprint = fingerprint * 31 + fingerprint_of(record);
      return Result<>();
    });
    if (!whole) fingerprint = 0;
  }
  return snapshots;
}

Offset stored_end(const Medium& medium, const std::string& directory, View view) {
  const Files files = files_of(medium, directory);
  for (auto path = files.segments.rbegin(); path != files.segments.rend(); ++path)
    if (const int64_t end = end_of_segment(medium, *path, view); end >= 0) return Offset(end);
  return Offset(files.base);
}

std::string torn_segment(const Medium& medium, const std::string& directory) {
  for (const auto& path : files_of(medium, directory).segments) {
    const ByteBuffer& content = medium.find(path)->content;
    size_t whole = 0;
    visit_batches(content, [&](const auto& batch) { whole += batch.bytes().size(); });
    if (whole < content.size()) return path;
  }
  return "";
}

std::string segment_with(const Medium& medium, const std::string& directory, Offset offset) {
  std::string last;
  for (const auto& path : files_of(medium, directory).segments)
    if (offset_in_name(path) <= offset.value()) last = path;
  return last;
}

}  // namespace millrace::sim
