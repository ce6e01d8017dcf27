#include "node/controller_host.h"

#include <algorithm>

#include "base/log.h"
#include "node/metadata_snapshot.h"
#include "node/random_uuid.h"
#include "storage/log_directory.h"

namespace millrace::node {
namespace {

constexpr const char* kMetadataDirectory = "/__cluster_metadata-0";

// controller.quorum.voters: "1@host:9093,2@host:9093".
raft::VoterSet static_voters(const config::NodeProperties& properties) {
  raft::VoterSet set;
  for (const std::string& each : properties.list("controller.quorum.voters")) {
    const size_t at = each.find('@'), colon = each.rfind(':');
    if (at == std::string::npos || colon == std::string::npos || colon < at) continue;
    raft::Voter voter;
    voter.endpoints.push_back(
        {.listener = properties.text("controller.listener.names"),
         .host = each.substr(at + 1, colon - at - 1),
         .port = static_cast<uint16_t>(std::atoi(each.substr(colon + 1).c_str()))});
    set.voters[NodeId(std::atoi(each.c_str()))] = std::move(voter);
  }
  return set;
}

}  // namespace

ControllerHost::ControllerHost(Parts parts, Publish publish)
    : parts_(std::move(parts)),
      publish_(std::move(publish)),
      controller_(*parts_.properties,
                  [this] { return random_uuid(parts_.host->shard(0).random()); }) {}

raft::Now ControllerHost::now() const {
  const env::Clock& clock = parts_.host->shard(0).clock();
  return {clock.now(), clock.wall()};
}

controller::Position ControllerHost::position() const {
  return {metadata_log_->log_end(), now().time};
}

MetadataLogOptions ControllerHost::log_options() const {
  const config::NodeProperties& properties = *parts_.properties;
  auto ms = [&](const char* name) -> Duration { return milliseconds(properties.number(name)); };
  const metadata::Endpoint& at = parts_.endpoint;
  MetadataLogOptions options{.directory = parts_.log_dir + kMetadataDirectory,
                             .random = [this] { return parts_.host->shard(0).random().next(); },
                             .static_voters = static_voters(properties),
                             .recovery_point = parts_.recovery_point};
  options.raft = {.self = parts_.self,
                  .endpoints = {{at.listener, at.host, at.port}},
                  .election_timeout = ms("controller.quorum.election.timeout.ms"),
                  .election_backoff_max = ms("controller.quorum.election.backoff.max.ms"),
                  .fetch_timeout = ms("controller.quorum.fetch.timeout.ms"),
                  .request_timeout = ms("controller.quorum.request.timeout.ms"),
                  .retry_backoff = ms("controller.quorum.retry.backoff.ms")};
  options.snapshots = {.max_bytes_between = static_cast<uint64_t>(
                           properties.number("metadata.log.max.record.bytes.between.snapshots")),
                       .max_interval = ms("metadata.log.max.snapshot.interval.ms"),
                       .retention_bytes = properties.number("metadata.max.retention.bytes"),
                       .retention_ms = properties.number("metadata.max.retention.ms")};
  options.log = {
      .segment_bytes = static_cast<uint64_t>(properties.number("metadata.log.segment.bytes")),
      .segment_ms = properties.number("metadata.log.segment.ms"),
      .delete_old = false};
  return options;
}

Result<> ControllerHost::open() {
  ASSIGN_OR_RETURN(metadata_log_, MetadataLog::open(parts_.host->disk(), log_options(),
                                                    controller_.image(), now()));
  metadata::Image& image = controller_.image();
  if (image.in_transaction())
    RETURN_IF_ERROR(decide_now([](auto&) -> controller::Records {
      return {wire::AbortTransactionRecord{.reason = "the controller that began it is gone"}};
    }));
  if (image.features().empty()) {
    ASSIGN_OR_RETURN(auto records, first_records());
    RETURN_IF_ERROR(decide_now([&](auto&) { return records; }));
  }
  kraft_version_ = metadata_log_->machine().log().kraft_version();
  controller_.activate(parts_.cluster_id, kraft_version_, now().time);
  return {};
}

// What formatting left behind, else what a fresh cluster has; as one transaction, as Kafka writes
// it.
Result<controller::Records> ControllerHost::first_records() {
  const std::string path = parts_.log_dir + "/bootstrap.checkpoint";
  controller::Records found = controller::Controller::bootstrap_records();
  if (parts_.host->disk().exists(path)) {
    ASSIGN_OR_RETURN(found, read_bootstrap_checkpoint(parts_.host->disk(), path));
  }
  controller::Records records{wire::BeginTransactionRecord{.name = "Bootstrap records"}};
  std::ranges::move(found, std::back_inserter(records));
  // With eligible leader replicas the cluster has one min.insync.replicas, not one a broker.
  records.push_back(wire::ConfigRecord{
      .resource_type = static_cast<int8_t>(metadata::ConfigResourceType::kBroker),
      .name = "min.insync.replicas",
      .value = std::to_string(parts_.properties->number("min.insync.replicas"))});
  records.push_back(wire::EndTransactionRecord{});
  return records;
}

Result<> ControllerHost::decide_now(
    const std::function<controller::Records(controller::Controller&)>& decide) {
  const controller::Records records = decide(controller_);
  if (records.empty()) return {};
  return metadata_log_->append(records, controller_.image(), now());
}

Result<> ControllerHost::flush() {
  const Unsaved unsaved = metadata_log_->take_unsaved();
  RETURN_IF_ERROR(metadata_log_->sync(unsaved));
  metadata_log_->mark_saved(unsaved, now());
  controller_.image().check_invariants();
  durable_image_ = std::make_shared<metadata::Image>(controller_.image());
  durable_end_ = unsaved.files.log_end;
  publish_(durable_image_);
  return {};
}

void ControllerHost::start() {
  snapshot_if_due(durable_image_, durable_end_);
  sweep_sessions();
}

Result<> ControllerHost::close() { return metadata_log_->close(); }

void ControllerHost::submit(Command command) {
  parts_.host->shard(0).post(
      [this, command = std::move(command)]() mutable { run_command(std::move(command)); });
}

void ControllerHost::answer(Command command, Result<> outcome) {
  command.shard->post([done = std::move(command.done), outcome = std::move(outcome)]() mutable {
    done(std::move(outcome));
  });
}

// A decision without records rests on those before it: it too goes through the disk thread, behind
// them.
void ControllerHost::run_command(Command command) {
  const controller::Records records = command.decide(controller_);
  if (failure_) return answer(std::move(command), std::unexpected(*failure_));
  Commit commit{.has_records = !records.empty(), .command = std::move(command)};
  if (commit.has_records) {
    auto appended = metadata_log_->append(records, controller_.image(), now());
    if (!appended) {
      LOG_ERROR("metadata log: {}", appended.error().message);
      return answer(std::move(commit.command), std::move(appended));
    }
    commit.image = std::make_shared<const metadata::Image>(controller_.image());
    commit.unsaved = metadata_log_->take_unsaved();
  }
  parts_.disk_thread->run([this, commit = std::move(commit)]() mutable {
    if (commit.has_records) commit.synced = metadata_log_->sync(commit.unsaved);
    parts_.host->shard(0).post(
        [this, commit = std::move(commit)]() mutable { committed(std::move(commit)); });
  });
}

// After a failed sync nothing more is decided: what is in memory may not be on the medium.
void ControllerHost::committed(Commit commit) {
  if (!commit.synced && !failure_) {
    failure_ = commit.synced.error();
    LOG_ERROR("metadata log: {}; no metadata changes until the node starts again",
              failure_->message);
    storage::LogDirectory::note_failed_sync(parts_.host->disk(), parts_.log_dir);
  }
  if (failure_) return answer(std::move(commit.command), std::unexpected(*failure_));
  if (commit.has_records) {
    metadata_log_->mark_saved(commit.unsaved, now());
    durable_image_ = commit.image;
    durable_end_ = commit.unsaved.files.log_end;
    publish_(durable_image_);
    snapshot_if_due(durable_image_, durable_end_);
    schedule_quorum_tick();
  }
  answer(std::move(commit.command), {});
}

void ControllerHost::snapshot_if_due(std::shared_ptr<const metadata::Image> image, Offset end) {
  auto job = metadata_log_->begin_snapshot(std::move(image), end, now());
  if (!job) return;
  parts_.disk_thread->run([this, job = std::move(*job)]() mutable {
    const Result<> written = metadata_log_->write_snapshot(job);
    if (!written) LOG_ERROR("metadata snapshot: {}", written.error().message);
    parts_.host->shard(0).post([this, job = std::move(job), ok = written.has_value()] {
      auto gone = metadata_log_->end_snapshot(job, ok, now());
      if (gone.empty()) return;
      parts_.disk_thread->run([this, gone = std::move(gone)] {
        if (auto removed = metadata_log_->remove(gone); !removed)
          LOG_WARN("metadata log: {}", removed.error().message);
      });
    });
  });
}

// Kafka looks eight times a session.
void ControllerHost::sweep_sessions() {
  const Duration interval =
      milliseconds(parts_.properties->number("broker.session.timeout.ms")) / 8;
  parts_.host->shard(0).after(interval, [this] {
    run_command(
        {.decide =
             [this](controller::Controller& c) { return c.decide_expired_sessions(now().time); },
         .done = [](Result<>) {},
         .shard = &parts_.host->shard(0)});
    snapshot_if_due(durable_image_, durable_end_);
    sweep_sessions();
  });
}

void ControllerHost::ask_quorum(env::Shard& shard, raft::Message request, AnswerFunction done) {
  AnswerFunction answer = [&shard, done = std::move(done)](QuorumAnswer answer) mutable {
    shard.post([done = std::move(done), answer = std::move(answer)]() mutable {
      done(std::move(answer));
    });
  };
  parts_.host->shard(0).post(
      [this, request = std::move(request), answer = std::move(answer)]() mutable {
        metadata_log_->on_request(std::move(request), std::move(answer), now());
        schedule_quorum_tick();
      });
}

QuorumView ControllerHost::quorum() const {
  const raft::Machine& machine = metadata_log_->machine();
  return {.self = parts_.self,
          .leader = machine.leader(),
          .epoch = machine.epoch(),
          .high_watermark = machine.high_watermark().value_or(Offset(-1)),
          .log_end = machine.log().end(),
          .voters = machine.log().voters(),
          .replicas = machine.progress(),
          .now = now()};
}

// A quorum of one has nothing to wait for, but for fetches that are parked.
void ControllerHost::schedule_quorum_tick() {
  const Instant due = metadata_log_->next_deadline();
  if (due == quorum_tick_at_) return;
  env::Shard& shard = parts_.host->shard(0);
  if (quorum_tick_at_ != Instant::never()) shard.cancel(quorum_tick_);
  quorum_tick_at_ = due;
  if (due == Instant::never()) return;
  const Duration wait = std::max(due - now().time, Duration(0));
  quorum_tick_ = shard.after(wait, [this] {
    quorum_tick_at_ = Instant::never();
    metadata_log_->on_tick(now());
    schedule_quorum_tick();
  });
}

}  // namespace millrace::node
