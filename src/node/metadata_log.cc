#include "node/metadata_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "record/builder.h"
#include "record/control.h"
#include "wire/codec.h"
#include "wire/control_records.h"

namespace millrace::node {
namespace {

constexpr size_t kMaxBatch = 64 << 20;
constexpr const char* kBootstrapSnapshot = "/00000000000000000000-0000000000.checkpoint";

// The number behind `"name":` in the one-line JSON of quorum-state.
int64_t json_number(std::string_view text, std::string_view name) {
  const size_t at = text.find(fmt::format("\"{}\":", name));
  if (at == std::string_view::npos) return 0;
  return std::atoll(std::string(text.substr(at + name.size() + 3)).c_str());
}

// Applies the metadata records of a run of batches to the image.
Result<> replay_batch(ByteView bytes, metadata::Image& image) {
  ASSIGN_OR_RETURN(auto batch, record::BatchView::parse(bytes));
  if (batch.header().attributes.control()) return {};
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxBatch));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, reader.next(record));
    if (!more) return {};
    if (!record.value) continue;
    ASSIGN_OR_RETURN(auto decoded, wire::decode_metadata_record(*record.value));
    RETURN_IF_ERROR(image.apply(decoded, record.offset));
  }
}

ByteBuffer control_batch(const std::vector<std::pair<record::ControlType, ByteBuffer>>& records,
                         LeaderEpoch epoch, TimestampMs now) {
  record::BatchBuilder builder({.leader_epoch = epoch, .control = true});
  for (const auto& [type, value] : records) {
    const auto key = record::control_key(type);
    builder.append({.timestamp = now, .key = ByteView(key), .value = ByteView(value)});
  }
  return std::move(builder).build();
}

ByteBuffer voters_record(const Voter& self) {
  wire::VotersRecord record;
  auto& voter = record.voters.emplace_back();
  voter.voter_id = self.id.value();
  voter.voter_directory_id = self.directory_id;
  voter.endpoints.push_back(
      {.name = self.endpoint.listener, .host = self.endpoint.host, .port = self.endpoint.port});
  voter.k_raft_version_feature = {.min_supported_version = 0, .max_supported_version = 1};
  return *wire::encode(record, 0);
}

}  // namespace

int16_t record_version(const wire::MetadataRecord& record) {
  return std::visit([](const auto& r) { return r.kMaxVersion; }, record);
}

Result<std::unique_ptr<MetadataLog>> MetadataLog::open(env::Disk& disk,
                                                       const std::string& directory,
                                                       metadata::Image& image) {
  std::unique_ptr<MetadataLog> log(new MetadataLog(disk, directory));
  auto loaded = log->load(image);
  if (!loaded)
    return std::unexpected(std::move(loaded).error().within("metadata log " + directory));
  return log;
}

Result<> MetadataLog::load(metadata::Image& image) {
  if (auto state = env::read_file(*disk_, directory_ + "/quorum-state"))
    epoch_ = LeaderEpoch(static_cast<int32_t>(json_number(as_text(*state), "leaderEpoch")));
  Offset from(0);
  if (disk_->exists(directory_)) {
    ASSIGN_OR_RETURN(from, load_snapshot(image));
  }
  ASSIGN_OR_RETURN(log_, storage::Log::open(*disk_, directory_, {.delete_old = false}, {}));
  is_new_ = log_->log_end() == Offset(0);
  epoch_ = std::max(epoch_, log_->latest_epoch());
  Result<> replayed;
  RETURN_IF_ERROR(log_->replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
    if (header.last_offset() < from) return true;
    replayed = replay_batch(bytes, image);
    return replayed.has_value();
  }));
  return replayed;
}

// The newest snapshot; the bootstrap one (0-0) holds no metadata. Its end offset is where the log
// goes on.
Result<Offset> MetadataLog::load_snapshot(metadata::Image& image) {
  ASSIGN_OR_RETURN(auto entries, disk_->list(directory_));
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (!entry->name.ends_with(".checkpoint")) continue;
    ASSIGN_OR_RETURN(auto bytes, env::read_file(*disk_, directory_ + "/" + entry->name));
    record::BatchIterator batches(bytes);
    for (;;) {
      ASSIGN_OR_RETURN(auto batch, batches.next());
      if (!batch) break;
      if (!batch->verify_crc())
        return fail(Errc::kCorrupt, fmt::format("snapshot {} has a broken batch", entry->name));
      RETURN_IF_ERROR(replay_batch(batch->bytes(), image));
    }
    return Offset(std::atoll(entry->name.substr(0, 20).c_str()));
  }
  return Offset(0);
}

Result<> MetadataLog::write_quorum_state(const Voter& self) {
  const std::string text = fmt::format(
      "{{\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":-1,\"votedDirectoryId\":\"{}\",\"data_"
      "version\":1}}",
      self.id, epoch_, Uuid::zero());
  return env::write_file_atomically(*disk_, directory_ + "/quorum-state", as_bytes(text));
}

Result<> MetadataLog::lead(const Voter& self, TimestampMs now) {
  RETURN_IF_ERROR(disk_->make_directories(directory_));
  // The topic id that Kafka gives __cluster_metadata.
  log_->set_topic_id(Uuid::of_words({0, 1}));
  ++epoch_;
  RETURN_IF_ERROR(write_quorum_state(self));
  std::vector<std::pair<record::ControlType, ByteBuffer>> records;
  wire::LeaderChangeMessage change;
  change.leader_id = self.id.value();
  change.voters.push_back({.voter_id = self.id.value()});
  change.granting_voters = change.voters;
  records.emplace_back(record::ControlType::kLeaderChange, *wire::encode(change, 0));
  if (is_new_) {
    wire::KRaftVersionRecord version;
    version.k_raft_version = 1;
    records.emplace_back(record::ControlType::kKraftVersion, *wire::encode(version, 0));
    records.emplace_back(record::ControlType::kKraftVoters, voters_record(self));
    ByteBuffer snapshot = control_batch(
        {{record::ControlType::kSnapshotHeader, *wire::encode(wire::SnapshotHeaderRecord{}, 0)},
         records[1],
         records[2]},
        LeaderEpoch(0), now);
    record::BatchBuilder footer(
        {.base_offset = Offset(3), .leader_epoch = LeaderEpoch(0), .control = true});
    const auto key = record::control_key(record::ControlType::kSnapshotFooter);
    const ByteBuffer value = *wire::encode(wire::SnapshotFooterRecord{}, 0);
    footer.append({.timestamp = now, .key = ByteView(key), .value = ByteView(value)});
    const ByteBuffer end = std::move(footer).build();
    snapshot.insert(snapshot.end(), end.begin(), end.end());
    RETURN_IF_ERROR(env::write_file_atomically(*disk_, directory_ + kBootstrapSnapshot, snapshot));
    RETURN_IF_ERROR(disk_->set_read_only(directory_ + kBootstrapSnapshot));
  }
  return append_batch(control_batch(records, epoch_, now), now);
}

Result<> MetadataLog::append_batch(ByteBuffer batch, TimestampMs now) {
  const MutableByteView view = batch;
  RETURN_IF_ERROR(log_->append({&view, 1}, epoch_, now));
  return {};
}

Result<> MetadataLog::append(const std::vector<wire::MetadataRecord>& records,
                             metadata::Image& image, TimestampMs now) {
  const Offset base = log_->log_end();
  record::BatchBuilder builder({.leader_epoch = epoch_});
  for (const auto& record : records) {
    const ByteBuffer value = wire::encode_metadata_record(record, record_version(record));
    builder.append({.timestamp = now, .value = ByteView(value)});
  }
  RETURN_IF_ERROR(append_batch(std::move(builder).build(), now));
  for (size_t i = 0; i < records.size(); ++i)
    RETURN_IF_ERROR(image.apply(records[i], base + static_cast<int64_t>(i)));
  return {};
}

Result<> MetadataLog::sync(const storage::Unsynced& unsynced) const {
  for (const auto& file : unsynced.files) RETURN_IF_ERROR(file->sync());
  if (unsynced.directory) RETURN_IF_ERROR(disk_->sync_directory(directory_));
  return {};
}

}  // namespace millrace::node
