#include "node/metadata_snapshot.h"

#include "metadata/record_version.h"
#include "raft/control_records.h"

namespace millrace::node {
namespace {

constexpr size_t kMaxHeaderBatch = 1 << 20;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

Result<TimestampMs> read_last_contained(env::File& file) {
  ByteBuffer bytes(record::kBatchHeaderSize);
  ASSIGN_OR_RETURN(size_t got, file.read_at(bytes, 0));
  ASSIGN_OR_RETURN(const auto header, record::peek_header(ByteView(bytes).first(got)));
  if (!header || header->size_in_bytes() > static_cast<int64_t>(kMaxHeaderBatch))
    return fail(Errc::kCorrupt, "no header");
  bytes.resize(static_cast<size_t>(header->size_in_bytes()));
  ASSIGN_OR_RETURN(got, file.read_at(bytes, 0));
  ASSIGN_OR_RETURN(const auto batch, record::BatchView::parse(ByteView(bytes).first(got)));
  ASSIGN_OR_RETURN(const auto facts, raft::read_control_batch(batch));
  return facts.last_contained;
}

}  // namespace

ByteBuffer snapshot_of(const metadata::Image& image, const raft::SnapshotHeader& header) {
  raft::SnapshotBuilder builder(header);
  for (auto& record : image.to_records())
    builder.append(metadata::encode_at(std::move(record), image.metadata_version()));
  return std::move(builder).build();
}

ByteBuffer first_snapshot(raft::VoterSet voters, TimestampMs now) {
  return raft::SnapshotBuilder(
             {.last_contained = now, .kraft_version = 1, .voters = std::move(voters), .now = now})
      .build();
}

ByteBuffer bootstrap_checkpoint(const std::vector<wire::MetadataRecord>& records, TimestampMs now) {
  raft::SnapshotBuilder builder({.now = now});
  for (const auto& record : records)
    builder.append(metadata::encode_at(record, metadata::kLatestMetadataVersion));
  return std::move(builder).build();
}

Result<std::vector<wire::MetadataRecord>> read_bootstrap_checkpoint(env::Disk& disk,
                                                                    const std::string& path) {
  std::vector<wire::MetadataRecord> records;
  ASSIGN_OR_RETURN(const auto bytes, env::read_file(disk, path));
  auto contents = raft::read_snapshot(bytes, [&](ByteView framed) -> Result<> {
    ASSIGN_OR_RETURN(auto record, wire::decode_metadata_record(framed));
    records.push_back(std::move(record));
    return {};
  });
  if (!contents) return std::unexpected(std::move(contents).error().within(path));
  return records;
}

Result<> write_snapshot_file(env::Disk& disk, const std::string& path, ByteView content) {
  const std::string part = path + ".part";
  {
    ASSIGN_OR_RETURN(auto file, disk.open(part, env::OpenMode::kReplace));
    RETURN_IF_ERROR(file->write_at(content, 0));
    RETURN_IF_ERROR(file->sync());
  }
  RETURN_IF_ERROR(disk.set_read_only(part));
  RETURN_IF_ERROR(disk.rename(part, path));
  return disk.sync_directory(parent_of(path));
}

TimestampMs last_contained_in(env::Disk& disk, const std::string& path) {
  auto file = disk.open(path, env::OpenMode::kRead);
  if (!file) return kNoTimestamp;
  return read_last_contained(**file).value_or(kNoTimestamp);
}

}  // namespace millrace::node
