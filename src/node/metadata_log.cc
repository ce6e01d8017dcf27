#include "node/metadata_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "metadata/record_version.h"
#include "node/metadata_snapshot.h"
#include "raft/control_records.h"
#include "raft/quorum_state.h"
#include "raft/wire_messages.h"
#include "record/builder.h"
#include "record/record.h"

namespace millrace::node {
namespace {

constexpr size_t kMaxBatch = 64 << 20;

// Left behind by a crash: a snapshot that was being written, or deleted.
bool is_leftover(std::string_view name) {
  return name.find(".checkpoint.") != std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<MetadataLog>> MetadataLog::open(env::Disk& disk, MetadataLogOptions options,
                                                       metadata::Image& image,
                                                       const raft::Now& now) {
  std::unique_ptr<MetadataLog> log(new MetadataLog(disk, std::move(options)));
  log->last_snapshot_at_ = now.time;
  RETURN_IF_ERROR(log->make_first_files(now.wall));
  RETURN_IF_ERROR(log->load(image));
  RETURN_IF_ERROR(log->lead(now));
  return log;
}

std::string MetadataLog::path_of(const raft::LogPosition& id) const {
  return options_.directory + "/" + raft::snapshot_name(id);
}

// Where there is nothing yet: a dynamic quorum begins with a snapshot that names its voters.
Result<> MetadataLog::make_first_files(TimestampMs now) {
  RETURN_IF_ERROR(disk_->make_directories(options_.directory));
  ASSIGN_OR_RETURN(const auto entries, disk_->list(options_.directory));
  const bool is_new = std::ranges::none_of(entries, [](const auto& entry) {
    return entry.name.ends_with(".checkpoint") || entry.name.ends_with(".log");
  });
  if (!is_new || !options_.static_voters.voters.empty()) return {};
  raft::VoterSet voters;
  voters.voters[options_.raft.self.id] = {.directory_id = options_.raft.self.directory_id,
                                          .endpoints = options_.raft.endpoints};
  return write_snapshot_file(*disk_, path_of({}), first_snapshot(std::move(voters), now));
}

Result<> MetadataLog::find_snapshots() {
  ASSIGN_OR_RETURN(const auto entries, disk_->list(options_.directory));
  for (const auto& entry : entries) {
    const std::string path = options_.directory + "/" + entry.name;
    if (is_leftover(entry.name)) RETURN_IF_ERROR(disk_->remove(path));
    const auto id = raft::parse_snapshot_name(entry.name);
    if (!id) continue;
    snapshots_[*id] = {.size = entry.size, .last_contained = last_contained_in(*disk_, path)};
    recovered_.log.note_snapshot(*id);
  }
  return {};
}

Result<> MetadataLog::load(metadata::Image& image) {
  const std::string quorum_state = options_.directory + "/quorum-state";
  if (disk_->exists(quorum_state)) {
    ASSIGN_OR_RETURN(const auto text, env::read_file(*disk_, quorum_state));
    auto state = raft::parse_quorum_state(as_text(text));
    if (!state) return std::unexpected(std::move(state).error().within(quorum_state));
    recovered_.election = *state;
  }
  recovered_.log.note_voters(Offset(-1), options_.static_voters);
  RETURN_IF_ERROR(find_snapshots());
  const auto newest = recovered_.log.latest_snapshot().value_or(raft::LogPosition{});
  if (!snapshots_.empty()) RETURN_IF_ERROR(load_snapshot(newest, image));
  const Offset start = snapshots_.empty() ? Offset(0) : snapshots_.begin()->first.offset;
  ASSIGN_OR_RETURN(
      log_, storage::Log::open(*disk_, options_.directory, options_.log,
                               {.recovery_point = options_.recovery_point, .log_start = start}));
  log_->set_topic_id(raft::kMetadataTopicId);
  if (log_->log_end() < newest.offset) RETURN_IF_ERROR(log_->start_over_at(newest.offset));
  if (log_->log_start() > newest.offset)
    return fail(Errc::kCorrupt,
                fmt::format("{}: the log begins at offset {}, and no snapshot says what was before",
                            options_.directory, log_->log_start()));
  return replay_log(newest.offset, image);
}

Result<> MetadataLog::load_snapshot(const raft::LogPosition& id, metadata::Image& image) {
  const std::string path = path_of(id);
  ASSIGN_OR_RETURN(const auto bytes, env::read_file(*disk_, path));
  auto contents = raft::read_snapshot(bytes, [&](ByteView record) -> Result<> {
    ASSIGN_OR_RETURN(const auto decoded, wire::decode_metadata_record(record));
    return image.apply(decoded, id.offset - 1);
  });
  if (!contents)
    return std::unexpected(std::move(contents).error().within("metadata snapshot " + path));
  if (contents->voters) recovered_.log.note_voters(id.offset - 1, std::move(*contents->voters));
  if (contents->kraft_version > 0)
    recovered_.log.note_kraft_version(id.offset - 1, contents->kraft_version);
  last_timestamp_ = contents->last_contained;
  return {};
}

Result<> MetadataLog::replay_log(Offset from, metadata::Image& image) {
  recovered_.log.begin_at(log_->log_start());
  Result<> outcome;
  RETURN_IF_ERROR(log_->replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t at) {
    if (header.last_offset() < log_->log_start()) return true;
    outcome = replay_batch(*record::BatchView::parse(bytes), from, image);
    if (!outcome)
      outcome = std::unexpected(std::move(outcome).error().within(
          fmt::format("{} at byte {}, the batch at offset {}", log_->file_of(header.base_offset),
                      at, header.base_offset)));
    return outcome.has_value();
  }));
  return outcome;
}

Result<> MetadataLog::replay_batch(const record::BatchView& batch, Offset from,
                                   metadata::Image& image) {
  RETURN_IF_ERROR(raft::note_batch(recovered_.log, batch));
  if (batch.last_offset() < from) return {};
  bytes_since_snapshot_ += batch.size_in_bytes();
  last_timestamp_ = std::max(last_timestamp_, batch.header().max_timestamp);
  if (batch.header().attributes.control()) return {};
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxBatch));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(record));
    if (!more) return {};
    if (!record.value || record.offset < from) continue;
    auto decoded = wire::decode_metadata_record(*record.value);
    auto applied = decoded ? image.apply(*decoded, record.offset)
                           : Result<>(std::unexpected(std::move(decoded).error()));
    if (!applied)
      return std::unexpected(
          std::move(applied).error().within(fmt::format("the record at offset {}", record.offset)));
  }
}

Result<> MetadataLog::lead(const raft::Now& now) {
  machine_ =
      std::make_unique<raft::Machine>(options_.raft, std::move(recovered_), options_.random, now);
  if (!machine_->is_leader())
    return fail(Errc::kUnsupported,
                fmt::format("{}: this node cannot lead the metadata quorum alone ({}); a quorum of "
                            "several controllers is not served",
                            options_.directory, machine_->describe()));
  return perform(machine_->take_output(), now.wall);
}

// What a leader's output can have: it neither truncates nor fetches, and with no other voter it
// asks nobody anything.
Result<> MetadataLog::perform(raft::Output output, TimestampMs now) {
  ASSERT(!output.truncate_to && !output.restore && !output.snapshot_chunk);
  if (output.election) RETURN_IF_ERROR(write_quorum_state(*output.election));
  if (!output.append.empty()) RETURN_IF_ERROR(write_batches(output.append, now));
  last_sequence_ = output.sequence;
  for (raft::Envelope& envelope : output.send) answer(std::move(envelope));
  return {};
}

Result<> MetadataLog::write_quorum_state(const raft::ElectionState& state) const {
  const raft::LogState& log = machine_->log();
  return env::write_file_atomically(
      *disk_, options_.directory + "/quorum-state",
      as_bytes(raft::print_quorum_state(state, log.voters(), log.kraft_version())));
}

Result<> MetadataLog::write_batches(std::vector<ByteBuffer>& batches, TimestampMs now) {
  const Offset before = log_->log_end();
  for (ByteBuffer& batch : batches) {
    const MutableByteView view = batch;
    const LeaderEpoch epoch = record::BatchView::parse(batch)->header().leader_epoch;
    if (auto appended = log_->append({&view, 1}, epoch, now); !appended) {
      machine_->on_append_failed();
      RETURN_IF_ERROR(log_->truncate_to(before));
      return std::unexpected(std::move(appended).error());
    }
    bytes_since_snapshot_ += batch.size();
    last_timestamp_ = std::max(last_timestamp_, now);
  }
  return {};
}

Result<> MetadataLog::append(const std::vector<wire::MetadataRecord>& records,
                             metadata::Image& image, const raft::Now& now) {
  record::BatchBuilder builder({.leader_epoch = epoch()});
  for (const auto& record : records) {
    const ByteBuffer value = metadata::encode_at(record, image.metadata_version());
    builder.append({.timestamp = now.wall, .value = ByteView(value)});
  }
  ASSIGN_OR_RETURN(const Offset base, machine_->append(std::move(builder).build(), now));
  RETURN_IF_ERROR(perform(machine_->take_output(), now.wall));
  for (size_t i = 0; i < records.size(); ++i) {
    const auto applied = image.apply(records[i], base + static_cast<int64_t>(i));
    ASSERT(applied.has_value(), "a decision made a record that cannot be: {}",
           applied.error().message);
  }
  return {};
}

Unsaved MetadataLog::take_unsaved() {
  return {.files = log_->take_unsynced(), .sequence = last_sequence_};
}

Result<> MetadataLog::sync(const Unsaved& unsaved) const {
  for (const auto& file : unsaved.files.files) RETURN_IF_ERROR(file->sync());
  if (unsaved.files.directory) RETURN_IF_ERROR(disk_->sync_directory(options_.directory));
  return {};
}

// Nothing is written here: a quorum of one commits what is durable, and tells its observers.
void MetadataLog::mark_saved(const Unsaved& unsaved, const raft::Now& now) {
  log_->mark_synced(unsaved.files.log_end);
  machine_->on_persisted(unsaved.sequence, now);
  on_tick(now);
}

void MetadataLog::on_tick(const raft::Now& now) {
  machine_->on_tick(now);
  if (auto done = perform(machine_->take_output(), now.wall); !done)
    LOG_ERROR("metadata log: {}", done.error().message);
}

void MetadataLog::on_request(raft::Message request, AnswerFunction done, const raft::Now& now) {
  const uint64_t correlation = next_correlation_++;
  waiting_.emplace(correlation, std::move(done));
  machine_->on_message({.correlation = correlation, .message = std::move(request)}, now);
  on_tick(now);
}

void MetadataLog::answer(raft::Envelope envelope) {
  auto waiting = waiting_.extract(envelope.correlation);
  if (waiting.empty()) return;
  QuorumAnswer answer{.message = std::move(envelope.message)};
  auto fill = [&](auto& response) {
    if (response.standing.error != raft::ErrorCode::kNone) return;
    auto range = range_of(response);
    if (range)
      answer.range = std::move(*range);
    else
      response.standing.error = raft::ErrorCode::kUnknownServerError;
  };
  if (auto* fetch = std::get_if<raft::FetchResponse>(&answer.message)) fill(*fetch);
  if (auto* snapshot = std::get_if<raft::FetchSnapshotResponse>(&answer.message)) fill(*snapshot);
  waiting.mapped()(std::move(answer));
}

Result<storage::ReadSlice> MetadataLog::range_of(raft::FetchResponse& response) {
  if (response.read_from >= response.read_below) return storage::ReadSlice{};
  return log_->read(
      {.from = response.read_from, .below = response.read_below, .max_bytes = response.max_bytes});
}

Result<storage::ReadSlice> MetadataLog::range_of(raft::FetchSnapshotResponse& response) const {
  ASSIGN_OR_RETURN(std::shared_ptr<env::File> file,
                   disk_->open(path_of(response.snapshot), env::OpenMode::kRead));
  ASSIGN_OR_RETURN(response.size, file->size());
  if (response.position >= response.size) {
    response.standing.error = raft::ErrorCode::kPositionOutOfRange;
    return storage::ReadSlice{};
  }
  const uint64_t left = response.size - response.position;
  return storage::ReadSlice{.file = std::move(file),
                            .position = response.position,
                            .length = std::min<uint64_t>(left, response.max_bytes)};
}

std::optional<SnapshotJob> MetadataLog::begin_snapshot(std::shared_ptr<const metadata::Image> image,
                                                       Offset end, const raft::Now& now) {
  const SnapshotPolicy& policy = options_.snapshots;
  const bool by_time =
      policy.max_interval > Duration(0) && now.time - last_snapshot_at_ >= policy.max_interval;
  const raft::LogState& log = machine_->log();
  const raft::LogPosition id{log.epoch_below(end), end};
  if (writing_snapshot_ || snapshots_.contains(id) || bytes_since_snapshot_ == 0 ||
      (!by_time && bytes_since_snapshot_ < policy.max_bytes_between))
    return std::nullopt;
  writing_snapshot_ = true;
  bytes_since_snapshot_ = 0;
  last_snapshot_at_ = now.time;
  return SnapshotJob{.id = id,
                     .header = {.epoch = id.epoch,
                                .last_contained = last_timestamp_,
                                .kraft_version = log.kraft_version_below(end),
                                .voters = log.voters_below(end),
                                .now = now.wall},
                     .image = std::move(image)};
}

Result<> MetadataLog::write_snapshot(const SnapshotJob& job) const {
  return write_snapshot_file(*disk_, path_of(job.id), snapshot_of(*job.image, job.header));
}

std::vector<std::string> MetadataLog::end_snapshot(const SnapshotJob& job, bool written,
                                                   const raft::Now& now) {
  writing_snapshot_ = false;
  if (!written) return {};
  SnapshotFile& made = snapshots_[job.id];
  made.last_contained = job.header.last_contained;
  if (auto file = disk_->open(path_of(job.id), env::OpenMode::kRead))
    made.size = (*file)->size().value_or(0);
  machine_->on_snapshot_written(job.id);
  std::vector<std::string> gone;
  while (should_drop_first_snapshot(now.wall)) {
    const raft::LogPosition first = snapshots_.begin()->first;
    gone.push_back(path_of(first));
    snapshots_.erase(first);
    machine_->on_snapshot_removed(first);
    const Offset start = snapshots_.begin()->first.offset;
    log_->advance_log_start(start);
    machine_->on_log_start(start);
  }
  auto segments = log_->delete_old_segments(log_->log_start(), now.wall);
  if (segments) gone.insert(gone.end(), segments->begin(), segments->end());
  return gone;
}

// One always stays; the log in front of the one that then is the first goes with it.
bool MetadataLog::should_drop_first_snapshot(TimestampMs now) const {
  if (snapshots_.size() < 2) return false;
  const SnapshotPolicy& policy = options_.snapshots;
  uint64_t total = log_->size_in_bytes();
  for (const auto& [id, file] : snapshots_) total += file.size;
  const TimestampMs made = snapshots_.begin()->second.last_contained;
  const bool old =
      policy.retention_ms >= 0 && made != kNoTimestamp && now - made > policy.retention_ms;
  return old ||
         (policy.retention_bytes >= 0 && total > static_cast<uint64_t>(policy.retention_bytes));
}

Result<> MetadataLog::remove(const std::vector<std::string>& files) const {
  for (const std::string& file : files) RETURN_IF_ERROR(disk_->remove(file));
  return {};
}

}  // namespace millrace::node
