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
constexpr size_t kApplyBytes = 1 << 20;  // read at once

// Left behind by a crash: a snapshot that was being written, or deleted.
bool is_leftover(std::string_view name) {
  return name.find(".checkpoint.") != std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<MetadataLog>> MetadataLog::open(env::Disk& disk, MetadataLogOptions options,
                                                       SendFunction send, const raft::Now& now) {
  std::unique_ptr<MetadataLog> log(new MetadataLog(disk, std::move(options), std::move(send)));
  log->last_snapshot_at_ = now.time;
  RETURN_IF_ERROR(log->make_first_files(now.wall));
  RETURN_IF_ERROR(log->load());
  // What a killed process left unsynced counts for the majority from here on.
  RETURN_IF_ERROR(log->sync(log->take_unsaved()));
  log->machine_ = std::make_unique<raft::Machine>(log->options_.raft, std::move(log->recovered_),
                                                  log->options_.random, now);
  log->perform(now);
  if (log->failure_) return std::unexpected(*log->failure_);
  return log;
}

std::string MetadataLog::path_of(const raft::LogPosition& id) const {
  return options_.directory + "/" + raft::snapshot_name(id);
}

// Where there is nothing yet: a dynamic quorum begins with a snapshot that names its voters.
Result<> MetadataLog::make_first_files(TimestampMs now) {
  RETURN_IF_ERROR(env::make_durable_directories(*disk_, options_.directory));
  ASSIGN_OR_RETURN(const auto entries, disk_->list(options_.directory));
  const bool is_new = std::ranges::none_of(entries, [](const auto& entry) {
    return entry.name.ends_with(".checkpoint") || entry.name.ends_with(".log");
  });
  if (!is_new || !options_.may_found || !options_.static_voters.voters.empty()) return {};
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

Result<> MetadataLog::load() {
  const std::string quorum_state = options_.directory + "/quorum-state";
  const auto text = env::read_file(*disk_, quorum_state);
  if (!text && text.error().code != Errc::kNotFound) return std::unexpected(text.error());
  if (text) {
    auto state = raft::parse_quorum_state(as_text(*text));
    if (!state) return std::unexpected(std::move(state).error().within(quorum_state));
    recovered_.election = *state;
  }
  recovered_.log.note_voters(Offset(-1), options_.static_voters);
  RETURN_IF_ERROR(find_snapshots());
  const auto newest = recovered_.log.latest_snapshot().value_or(raft::LogPosition{});
  if (!snapshots_.empty()) {
    ASSIGN_OR_RETURN(auto contents, load_snapshot(newest));
    if (contents.voters) recovered_.log.note_voters(newest.offset - 1, std::move(*contents.voters));
    if (contents.kraft_version > 0)
      recovered_.log.note_kraft_version(newest.offset - 1, contents.kraft_version);
  }
  const Offset start = snapshots_.empty() ? Offset(0) : snapshots_.begin()->first.offset;
  ASSIGN_OR_RETURN(
      log_, storage::Log::open(*disk_, options_.directory, options_.log,
                               {.recovery_point = options_.recovery_point, .log_start = start}));
  log_->set_topic_id(raft::kMetadataTopicId);
  // A snapshot that was fetched takes the log's place, and a crash may have come in between.
  if (log_->log_end() < newest.offset || log_->latest_epoch() < newest.epoch)
    RETURN_IF_ERROR(log_->start_over_at(newest.offset));
  if (log_->log_start() > newest.offset)
    return fail(Errc::kCorrupt,
                fmt::format("{}: the log begins at offset {}, and no snapshot says what was before",
                            options_.directory, log_->log_start()));
  return note_log(newest.offset);
}

// The image becomes that of the snapshot.
Result<raft::SnapshotContents> MetadataLog::load_snapshot(const raft::LogPosition& id) {
  const std::string path = path_of(id);
  ASSIGN_OR_RETURN(const auto bytes, env::read_file(*disk_, path));
  metadata::Image image;
  auto contents = raft::read_snapshot(bytes, [&](ByteView record) -> Result<> {
    ASSIGN_OR_RETURN(const auto decoded, wire::decode_metadata_record(record));
    return image.apply(decoded, id.offset - 1);
  });
  if (!contents)
    return std::unexpected(std::move(contents).error().within("metadata snapshot " + path));
  image_ = std::move(image);
  ++changes_;
  applied_end_ = id.offset;
  applied_timestamp_ = contents->last_contained;
  return contents;
}

// Epochs and control records count as soon as they are in the log (KIP-853); what the others say
// waits until it is known to be committed.
Result<> MetadataLog::note_log(Offset from) {
  recovered_.log.begin_at(log_->log_start());
  Result<> outcome;
  RETURN_IF_ERROR(log_->replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t at) {
    if (header.last_offset() < log_->log_start()) return true;
    outcome = raft::note_batch(recovered_.log, *record::BatchView::parse(bytes));
    if (!outcome)
      outcome = std::unexpected(std::move(outcome).error().within(
          fmt::format("{} at byte {}, the batch at offset {}", log_->file_of(header.base_offset),
                      at, header.base_offset)));
    if (header.last_offset() >= from) bytes_since_snapshot_ += bytes.size();
    return outcome.has_value();
  }));
  return outcome;
}

Result<> MetadataLog::apply_committed() {
  const Offset end = machine_->high_watermark().value_or(Offset(0));
  while (applied_end_ < end) {
    ASSIGN_OR_RETURN(const auto slice,
                     log_->read({.from = applied_end_, .below = end, .max_bytes = kApplyBytes}));
    if (slice.length == 0)
      return fail(Errc::kCorrupt, fmt::format("{}: nothing is to be read at offset {} below {}",
                                              options_.directory, applied_end_, end));
    ByteBuffer bytes(slice.length);
    ASSIGN_OR_RETURN(const size_t got, slice.file->read_at(bytes, slice.position));
    record::BatchIterator batches(ByteView(bytes).first(got));
    for (;;) {
      ASSIGN_OR_RETURN(const auto batch, batches.next());
      if (!batch) break;
      if (auto applied = apply(*batch); !applied)
        return std::unexpected(std::move(applied).error().within(
            fmt::format("{}, the batch at offset {}", log_->file_of(batch->header().base_offset),
                        batch->header().base_offset)));
      applied_end_ = batch->last_offset() + 1;
      applied_timestamp_ = batch->header().max_timestamp;
    }
  }
  return {};
}

Result<> MetadataLog::apply(const record::BatchView& batch) {
  if (batch.header().attributes.control()) return {};
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxBatch));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(record));
    if (!more) return {};
    if (!record.value || record.offset < applied_end_) continue;
    auto decoded = wire::decode_metadata_record(*record.value);
    if (!decoded || !std::holds_alternative<wire::NoOpRecord>(*decoded)) ++changes_;
    auto applied = decoded ? image_.apply(*decoded, record.offset)
                           : Result<>(std::unexpected(std::move(decoded).error()));
    if (!applied)
      return std::unexpected(
          std::move(applied).error().within(fmt::format("the record at offset {}", record.offset)));
  }
}

// Does what the machine says, in the order that it asks for, and applies what is committed.
void MetadataLog::perform(const raft::Now& now) {
  append_error_.reset();
  if (failure_) return;
  raft::Output output = machine_->take_output();
  if (output.changes_log()) changed_sequence_ = output.sequence;
  Result<> done = change_files(output, now.wall);
  if (append_error_ || unwritten_election_) refuse(output, now);
  if (done && output.snapshot_chunk) done = take_chunk(*output.snapshot_chunk, now);
  if (done)
    for (raft::Envelope& envelope : output.send) answer(std::move(envelope));
  if (done) done = apply_committed();
  if (done && machine_->fault()) done = std::unexpected(*machine_->fault());
  if (!done) stop(done.error());
}

// Failing for want of room is no failure of the replica: a full disk gets room again.
Result<> MetadataLog::change_files(raft::Output& output, TimestampMs now) {
  if (output.election) unwritten_election_ = std::move(output.election);
  RETURN_IF_ERROR(write_election());
  if (output.truncate_to) RETURN_IF_ERROR(log_->truncate_to(*output.truncate_to));
  if (output.restore) RETURN_IF_ERROR(log_->start_over_at(output.restore->offset));
  return output.append.empty() ? Result<>{} : append_batches(output, now);
}

Result<> MetadataLog::append_batches(raft::Output& output, TimestampMs now) {
  const Offset before = log_->log_end();
  Result<> written = unwritten_election_
                         ? fail(Errc::kNoSpace, "the epoch of the quorum could not be written")
                         : write_batches(output.append, now);
  if (written) return {};
  machine_->on_append_failed();
  RETURN_IF_ERROR(log_->truncate_to(before));
  append_error_ = std::move(written).error();
  return {};
}

// Tried again each time that there is something to do, until there is room.
Result<> MetadataLog::write_election() {
  if (!unwritten_election_) return {};
  auto written = write_quorum_state(*unwritten_election_);
  if (written) unwritten_election_.reset();
  if (written || written.error().code == Errc::kNoSpace) return {};
  return written;
}

// Nothing is sent that rests on what could not be written: peers ask again. A new leader that
// cannot open its epoch is none.
void MetadataLog::refuse(raft::Output& output, const raft::Now& now) {
  for (raft::Envelope& envelope : std::exchange(output.send, {})) {
    auto* fetch = std::get_if<raft::FetchResponse>(&envelope.message);
    if (!fetch || unwritten_election_) {
      if (!is_request(envelope.message)) leave_unanswered(envelope.correlation);
      continue;
    }
    fetch->standing.error = raft::ErrorCode::kUnknownServerError;
    answer(std::move(envelope));
  }
  if (append_error_ && machine_->is_leader() && !machine_->is_established()) machine_->resign(now);
}

void MetadataLog::stop(const Error& why) {
  if (failure_) return;
  failure_ = why;
  LOG_ERROR("metadata log: {}; this node takes no part in the quorum until it starts again",
            why.message);
  while (!waiting_.empty()) leave_unanswered(waiting_.begin()->first);
}

Result<> MetadataLog::take_chunk(const raft::SnapshotChunk& chunk, const raft::Now& now) {
  const std::string path = path_of(chunk.snapshot), part = path + ".part";
  if (chunk.position == 0) {
    ASSIGN_OR_RETURN(auto file, disk_->open(part, env::OpenMode::kReplace));
    incoming_ = Incoming{chunk.snapshot, std::move(file)};
  }
  ASSERT(incoming_ && incoming_->id == chunk.snapshot, "a piece of a snapshot without its first");
  RETURN_IF_ERROR(incoming_->file->write_at(ByteView(chunk.bytes), chunk.position));
  if (!chunk.last) return {};
  RETURN_IF_ERROR(incoming_->file->sync());
  incoming_.reset();
  RETURN_IF_ERROR(disk_->set_read_only(part));
  RETURN_IF_ERROR(disk_->rename(part, path));
  RETURN_IF_ERROR(disk_->sync_directory(options_.directory));
  return restore(chunk.snapshot, now);
}

// The log goes on behind a snapshot that was fetched; older snapshots have no log behind them.
Result<> MetadataLog::restore(const raft::LogPosition& id, const raft::Now& now) {
  ASSIGN_OR_RETURN(auto contents, load_snapshot(id));
  for (const auto& [old, file] : std::exchange(snapshots_, {}))
    if (old != id) RETURN_IF_ERROR(disk_->remove(path_of(old)));
  SnapshotFile& made = snapshots_[id];
  made.last_contained = contents.last_contained;
  ASSIGN_OR_RETURN(const auto file, disk_->open(path_of(id), env::OpenMode::kRead));
  ASSIGN_OR_RETURN(made.size, file->size());
  bytes_since_snapshot_ = 0;
  machine_->on_snapshot_restored({.id = id,
                                  .voters = contents.voters.value_or(options_.static_voters),
                                  .kraft_version = contents.kraft_version},
                                 now);
  perform(now);
  return failure_ ? Result<>(std::unexpected(*failure_)) : Result<>{};
}

Result<> MetadataLog::write_quorum_state(const raft::ElectionState& state) const {
  const raft::LogState& log = machine_->log();
  return env::write_file_atomically(
      *disk_, options_.directory + "/quorum-state",
      as_bytes(raft::print_quorum_state(state, log.voters(), log.kraft_version())));
}

Result<> MetadataLog::write_batches(std::vector<ByteBuffer>& batches, TimestampMs now) {
  for (ByteBuffer& batch : batches) {
    const MutableByteView view = batch;
    const LeaderEpoch epoch = record::BatchView::parse(batch)->header().leader_epoch;
    RETURN_IF_ERROR(log_->append({&view, 1}, epoch, now));
    bytes_since_snapshot_ += batch.size();
  }
  return {};
}

Result<Offset> MetadataLog::append(const std::vector<wire::MetadataRecord>& records,
                                   int16_t metadata_version, const raft::Now& now) {
  if (failure_) return std::unexpected(*failure_);
  record::BatchBuilder builder({.leader_epoch = epoch()});
  for (const auto& record : records) {
    const ByteBuffer value = metadata::encode_at(record, metadata_version);
    builder.append({.timestamp = now.wall, .value = ByteView(value)});
  }
  ASSIGN_OR_RETURN(const Offset base, machine_->append(std::move(builder).build(), now));
  perform(now);
  if (append_error_) return std::unexpected(*append_error_);
  if (failure_) return std::unexpected(*failure_);
  return base;
}

Result<Offset> MetadataLog::change_voters(const raft::VoterSet& next, const raft::Now& now) {
  if (failure_) return std::unexpected(*failure_);
  ASSIGN_OR_RETURN(const Offset at, machine_->change_voters(next, now));
  perform(now);
  if (append_error_) return std::unexpected(*append_error_);
  return at;
}

Result<> MetadataLog::note_voter(NodeId id, raft::Voter voter) {
  if (failure_) return std::unexpected(*failure_);
  return machine_->note_voter(id, std::move(voter));
}

Result<Offset> MetadataLog::upgrade_kraft_version(const raft::Now& now) {
  if (failure_) return std::unexpected(*failure_);
  ASSIGN_OR_RETURN(const Offset at, machine_->upgrade_kraft_version(now));
  perform(now);
  if (append_error_) return std::unexpected(*append_error_);
  if (failure_) return std::unexpected(*failure_);
  return at;
}

Unsaved MetadataLog::take_unsaved() {
  taken_sequence_ = changed_sequence_;
  return {.files = log_->take_unsynced(), .sequence = changed_sequence_};
}

Result<> MetadataLog::sync(const Unsaved& unsaved) const {
  for (const auto& file : unsaved.files.files) RETURN_IF_ERROR(file->sync());
  if (unsaved.files.directory) RETURN_IF_ERROR(disk_->sync_directory(options_.directory));
  return {};
}

void MetadataLog::mark_saved(const Unsaved& unsaved, const raft::Now& now) {
  if (failure_) return;
  log_->mark_synced(std::min(unsaved.files.log_end, log_->log_end()));
  machine_->on_persisted(unsaved.sequence, now);
  perform(now);
}

void MetadataLog::on_tick(const raft::Now& now) {
  if (failure_) return;
  machine_->on_tick(now);
  perform(now);
}

void MetadataLog::resign(const raft::Now& now) {
  if (failure_) return;
  machine_->resign(now);
  perform(now);
}

void MetadataLog::on_request(raft::Message request, AnswerFunction done, const raft::Now& now) {
  if (failure_) return done({});
  const uint64_t correlation = next_correlation_++;
  waiting_.emplace(correlation, std::move(done));
  machine_->on_message({.correlation = correlation, .message = std::move(request)}, now);
  perform(now);
}

void MetadataLog::on_answer(raft::Envelope answer, const raft::Now& now) {
  if (failure_) return;
  machine_->on_message(std::move(answer), now);
  perform(now);
}

void MetadataLog::on_send_failed(const raft::Machine::SendFailure& failure, const raft::Now& now) {
  if (failure_) return;
  machine_->on_send_failed(failure, now);
  perform(now);
}

void MetadataLog::answer(raft::Envelope envelope) {
  if (is_request(envelope.message)) return send_(std::move(envelope));
  auto waiting = waiting_.extract(envelope.correlation);
  if (waiting.empty()) return;
  raft::Message& message = envelope.message;
  storage::ReadSlice found;
  auto fill = [&](auto& response) {
    if (response.standing.error != raft::ErrorCode::kNone) return;
    auto range = range_of(response);
    if (range)
      found = std::move(*range);
    else
      response.standing.error = raft::ErrorCode::kUnknownServerError;
  };
  if (auto* fetch = std::get_if<raft::FetchResponse>(&message)) fill(*fetch);
  if (auto* snapshot = std::get_if<raft::FetchSnapshotResponse>(&message)) fill(*snapshot);
  waiting.mapped()({.message = std::move(message), .range = std::move(found)});
}

void MetadataLog::leave_unanswered(uint64_t correlation) {
  if (auto waiting = waiting_.extract(correlation)) waiting.mapped()({});
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

std::optional<SnapshotJob> MetadataLog::begin_snapshot(const CommittedImage& committed,
                                                       const raft::Now& now) {
  const SnapshotPolicy& policy = options_.snapshots;
  const bool by_time =
      policy.max_interval > Duration(0) && now.time - last_snapshot_at_ >= policy.max_interval;
  const raft::LogState& log = machine_->log();
  const Offset end = committed.end;
  const raft::LogPosition id{log.epoch_below(end), end};
  if (writing_snapshot_ || snapshots_.contains(id) || bytes_since_snapshot_ == 0 ||
      (!by_time && bytes_since_snapshot_ < policy.max_bytes_between))
    return std::nullopt;
  writing_snapshot_ = true;
  bytes_since_snapshot_ = 0;
  last_snapshot_at_ = now.time;
  return SnapshotJob{.id = id,
                     .header = {.epoch = id.epoch,
                                .last_contained = committed.last_contained,
                                .kraft_version = log.kraft_version_below(end),
                                .voters = log.voters_below(end),
                                .now = now.wall},
                     .image = committed.image};
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
