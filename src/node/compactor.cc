#include "node/compactor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "base/probe.h"

namespace millrace::node {
namespace {

// A log that is being copied is left as it is, so that the copy is one of it; a follower's high
// watermark may be ahead of what it has durably.
Offset stable_end(const PartitionState& state) {
  return std::min(state.last_stable_offset(), state.log().recovery_point());
}

bool is_compacted(const PartitionState& state) {
  return !state.is_offline() && !state.future() && state.settings()->log.compacts;
}

// The log that is being cleaned is still there.
bool is_there(const PartitionState& state, const std::string& directory) {
  return is_compacted(state) && state.log().directory() == directory;
}

double megabytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

void Compactor::take_settings(const config::NodeProperties& settings) {
  const auto number = [&](const char* name) {
    return static_cast<uint64_t>(settings.number(name));
  };
  settings_ = {.enabled = settings.flag("log.cleaner.enable"),
               .threads = static_cast<size_t>(number("log.cleaner.threads")),
               .map_bytes = number("log.cleaner.dedupe.buffer.size"),
               .load_factor = settings.real("log.cleaner.io.buffer.load.factor"),
               .io_bytes = number("log.cleaner.io.buffer.size"),
               .bytes_per_second = settings.real("log.cleaner.io.max.bytes.per.second"),
               .backoff = milliseconds(settings.number("log.cleaner.backoff.ms"))};
  if (started_) employ();
}

void Compactor::start() {
  started_ = true;
  statistics_.looked = shard().clock().now();
  employ();
}

void Compactor::close() {
  closed_ = true;
  workers_.clear();
}

// As many threads as there shall be; those that are too many go when they have nothing to do.
void Compactor::employ() {
  const size_t wanted = settings_.enabled && !closed_ ? settings_.threads : 0;
  while (workers_.size() < wanted) {
    const size_t number = workers_.size();
    workers_.push_back(
        {.number = number,
         .thread = parts_.host->start_disk_thread(fmt::format("cleaner {}", number))});
    look_after(number, settings_.backoff);
  }
}

void Compactor::look_after(size_t worker, Duration pause) {
  shard().after(pause, [self = shared_from_this(), worker] {
    if (!self->closed_) self->look(worker);
  });
}

Compactor::Names Compactor::excluded() {
  const Instant now = shard().clock().now();
  std::erase_if(failed_, [&](const auto& each) { return each.second.until <= now; });
  Names names = busy_;
  for (const auto& [name, failed] : failed_) names.insert(name);
  return names;
}

void Compactor::look(size_t worker) {
  if (worker >= settings_.threads) {
    // The last ones go first, so that the numbers stay without gaps.
    if (worker + 1 == workers_.size())
      workers_.pop_back();
    else
      look_after(worker, kCrowdedPause);
    return;
  }
  workers_[worker].thread->run([self = shared_from_this().get(), worker, excluded = excluded()] {
    self->shard().post([self = self->shared_from_this(), worker, found = self->dirtiest(excluded)] {
      if (!self->closed_) self->found(worker, found);
    });
  });
}

// On the worker's thread. One that is known by name only if no other is as dirty, so that runs of
// the simulator are alike.
Compactor::Found Compactor::dirtiest(const Names& excluded) {
  Found best;
  const TimestampMs now = shard().clock().wall();
  for (const HostedPartition& hosted : parts_.partitions->all()) {
    if (hosted.volume()->is_offline() || excluded.contains(hosted.partition->name())) continue;
    with_partition(*hosted.partition, [&](PartitionState& state) {
      if (!is_compacted(state)) return;
      auto found = state.log().cleanable(state.last_stable_offset(), now);
      if (!found || !*found) return;  // who reads it takes the directory offline
      const double ratio = (*found)->ratio();
      if (!(*found)->is_due(state.settings()->log.min_cleanable_ratio)) return;
      const bool is_better =
          !best.hosted || ratio > best.ratio ||
          (ratio == best.ratio && hosted.partition->name() < best.hosted.partition->name());
      if (is_better) best = {hosted, ratio};
    });
  }
  return best;
}

void Compactor::found(size_t worker, const Found& found) {
  statistics_.looked = shard().clock().now();
  statistics_.dirtiest = found.ratio;
  if (!found.hosted) return look_after(worker, settings_.backoff);
  if (!busy_.insert(found.hosted.partition->name()).second)
    return look_after(worker, kCrowdedPause);
  parts_.partitions->settle(found.hosted, shard(),
                            [self = shared_from_this(), worker, hosted = found.hosted] {
                              if (!self->closed_) self->begin(worker, hosted);
                            });
}

void Compactor::begin(size_t worker, const HostedPartition& hosted) {
  const auto threads = static_cast<uint64_t>(std::max<size_t>(settings_.threads, 1));
  // Kafka's too: half of it to read, half to write.
  const uint64_t io_bytes = std::max<uint64_t>(settings_.io_bytes / threads / 2, 512);
  const storage::CleanerLimits limits{
      .map_bytes = settings_.map_bytes / threads,
      .load_factor = std::min(settings_.load_factor, 1.0),
      .io_bytes = static_cast<size_t>(io_bytes),
      .key = {.a = shard().random().next(), .b = shard().random().next()}};
  workers_[worker].thread->run([self = shared_from_this().get(), worker, hosted, limits] {
    self->shard().post([self = self->shared_from_this(), worker, hosted,
                        job = self->open_job(hosted, limits)]() mutable {
      if (!self->closed_) self->opened(worker, hosted, std::move(job));
    });
  });
}

Result<std::shared_ptr<Compactor::Job>> Compactor::open_job(const HostedPartition& hosted,
                                                            const storage::CleanerLimits& limits) {
  const TimestampMs now = shard().clock().wall();
  auto plan = with_partition(
      *hosted.partition,
      [&](PartitionState& state) -> Result<std::optional<storage::CompactionPlan>> {
        if (!is_compacted(state)) return std::nullopt;
        ASSIGN_OR_RETURN(const auto found, state.log().cleanable(stable_end(state), now));
        if (!found || !found->is_due(state.settings()->log.min_cleanable_ratio))
          return std::nullopt;
        ASSIGN_OR_RETURN(auto plan, state.log().plan_compaction(*found, now));
        return plan;
      });
  if (!plan) return std::unexpected(std::move(plan).error());
  if (!*plan) return nullptr;
  auto job = std::make_shared<Job>(Job{.hosted = hosted,
                                       .cleaner = nullptr,
                                       .directory = (*plan)->directory,
                                       .from = (*plan)->first_dirty,
                                       .begun = shard().clock().now()});
  ASSIGN_OR_RETURN(job->cleaner,
                   storage::LogCleaner::open(parts_.host->disk(), std::move(**plan), limits));
  return job;
}

void Compactor::opened(size_t worker, const HostedPartition& hosted,
                       Result<std::shared_ptr<Job>> job) {
  if (!job) {
    LOG_WARN("{} cannot be compacted: {}", hosted.partition->name().to_string(),
             job.error().message);
    return over(worker, hosted, {.outcome = Outcome::kGivenUp, .failed = true});
  }
  if (!*job) return over(worker, hosted, {.outcome = Outcome::kGivenUp});
  workers_[worker].job = std::move(*job);
  go_on(worker, Duration(0));
}

void Compactor::go_on(size_t worker, Duration pause) {
  auto run = [self = shared_from_this(), worker] {
    if (self->closed_) return;
    // At a low rate small pieces, so that the pauses are short.
    const double rate = self->settings_.bytes_per_second;
    const uint64_t most = rate < static_cast<double>(10 * kPieceBytes) ? 1 : kPieceBytes;
    Worker& with = self->workers_[worker];
    with.thread->run([self = self.get(), worker, job = with.job, most] {
      const Stepped stepped = self->step(*job, most);
      self->shard().post([self = self->shared_from_this(), worker, stepped] {
        if (!self->closed_) self->stepped(worker, stepped);
      });
    });
  };
  if (pause > Duration(0))
    shard().after(pause, std::move(run));
  else
    shard().post(std::move(run));
}

// On the worker's thread.
Compactor::Stepped Compactor::step(Job& job, uint64_t most_bytes) {
  const auto bytes = [&] {
    const auto& statistics = job.cleaner->statistics();
    return statistics.bytes_read + statistics.bytes_written;
  };
  const uint64_t before = bytes();
  for (;;) {
    const auto goes_on = step_once(job);
    if (!goes_on) return give_up(job, goes_on.error());
    if (!*goes_on) return {.outcome = Outcome::kDone, .bytes = bytes() - before};
    if (bytes() - before >= most_bytes) return {.bytes = bytes() - before};
  }
}

// kClosed: the log has changed.
Result<bool> Compactor::step_once(Job& job) {
  ASSIGN_OR_RETURN(const auto state, job.cleaner->step());
  if (state == storage::LogCleaner::State::kGroupCleaned) {
    ASSIGN_OR_RETURN(const bool exchanged, exchange(job));
    if (!exchanged) return fail(Errc::kClosed, "its segments have changed");
  }
  if (!job.cleaner->is_done()) return true;
  finish(job);
  return false;
}

Result<> Compactor::sync_names(const Job& job) {
  return parts_.host->disk().sync_directory(job.directory);
}

Result<bool> Compactor::exchange(Job& job) {
  storage::CleanedGroup group = job.cleaner->take_group();
  env::Disk& disk = parts_.host->disk();
  auto begun = with_partition(*job.hosted.partition, [&](PartitionState& state) -> Result<bool> {
    if (!is_there(state, job.directory)) return false;
    return state.log().begin_swap(std::move(group));
  });
  if (begun && !*begun) storage::discard_cleaned(disk, *group.cleaned);
  if (!begun || !*begun) return begun;
  RETURN_IF_ERROR(sync_names(job));
  using Gone = std::optional<std::vector<std::string>>;
  const auto on_log = [&](auto&& act) {
    return with_partition(*job.hosted.partition, [&](PartitionState& state) {
      return state.is_offline() ? decltype(act(state.log()))() : act(state.log());
    });
  };
  ASSIGN_OR_RETURN(const Gone gone, on_log([](storage::Log& log) { return log.adopt_swap(); }));
  if (!gone) return true;
  RETURN_IF_ERROR(sync_names(job));
  RETURN_IF_ERROR(on_log([](storage::Log& log) { return log.finish_swap(); }));
  RETURN_IF_ERROR(sync_names(job));
  for (const std::string& path : *gone)
    if (disk.exists(path)) (void)disk.remove(path);
  return true;
}

Compactor::Stepped Compactor::give_up(Job& job, const Error& error) {
  job.cleaner->discard();
  const TopicPartition& name = job.hosted.partition->name();
  const bool is_here = with_partition(
      *job.hosted.partition, [&](PartitionState& state) { return is_there(state, job.directory); });
  if (!is_here || error.code == Errc::kClosed || error.code == Errc::kNotFound) {
    PROBE("compactor.log_changed");
    LOG_INFO("compaction of {} is given up: {}", name.to_string(), error.message);
    return {.outcome = Outcome::kGivenUp};
  }
  LOG_WARN("{} cannot be compacted for now: {}", name.to_string(), error.message);
  if (const auto doubt = job.cleaner->doubt()) parts_.doubt(job.hosted, *doubt);
  if (error.code == Errc::kIo)
    job.hosted.volume()->thread().run(
        [volume = job.hosted.volume(), error] { volume->fail(error); });
  return {.outcome = Outcome::kGivenUp, .failed = true};
}

void Compactor::finish(Job& job) {
  const storage::LogCleaner& cleaner = *job.cleaner;
  with_partition(*job.hosted.partition, [&](PartitionState& state) {
    if (is_there(state, job.directory) && cleaner.cleaned_to() <= state.log().log_end())
      state.log().note_cleaned(cleaner.cleaned_to());
  });
  PROBE("compactor.compacted");
  const storage::CleanerStatistics& done = cleaner.statistics();
  const std::chrono::duration<double> took = shard().clock().now() - job.begun;
  LOG_INFO(
      "compacted {} from {} to {}: {} keys, {:.1f} MiB read, {:.1f} MiB written, {} of {} records "
      "stay, {:.1f} s",
      job.hosted.partition->name().to_string(), job.from, cleaner.cleaned_to(), done.keys,
      megabytes(done.bytes_read), megabytes(done.bytes_written), done.records.records_kept,
      done.records.records_read, took.count());
  if (done.records.records_without_key > 0)
    LOG_WARN("{}: {} records without a key are gone", job.hosted.partition->name().to_string(),
             done.records.records_without_key);
  parts_.partitions->write_checkpoints_later(*job.hosted.volume());
}

void Compactor::count(Worker& worker) {
  const storage::CleanerStatistics& done = worker.job->cleaner->statistics();
  ++statistics_.compactions;
  statistics_.bytes_read += done.bytes_read;
  statistics_.bytes_written += done.bytes_written;
  const std::chrono::duration<double> took = shard().clock().now() - worker.job->begun;
  worker.last = {.seconds = took.count(),
                 .kept = static_cast<double>(done.bytes_written) /
                         static_cast<double>(std::max<uint64_t>(done.bytes_read, 1)),
                 .map_used = done.map_used};
}

Compactor::Statistics Compactor::statistics() const {
  Statistics statistics = statistics_;
  for (const Worker& worker : workers_) {
    statistics.last.seconds = std::max(statistics.last.seconds, worker.last.seconds);
    statistics.last.kept = std::max(statistics.last.kept, worker.last.kept);
    statistics.last.map_used = std::max(statistics.last.map_used, worker.last.map_used);
  }
  for (const auto& [name, failed] : failed_) ++statistics.uncleanable[failed.directory];
  return statistics;
}

void Compactor::stepped(size_t worker, const Stepped& stepped) {
  const double rate = settings_.bytes_per_second;
  const double wait = rate > 0 ? static_cast<double>(stepped.bytes) * 1000 / rate : 0;
  if (stepped.outcome == Outcome::kGoesOn)
    return go_on(worker, milliseconds(static_cast<int64_t>(std::min(std::floor(wait), 1e9))));
  const auto job = workers_[worker].job;
  if (stepped.outcome == Outcome::kDone) count(workers_[worker]);
  over(worker, job->hosted, stepped);
}

void Compactor::over(size_t worker, const HostedPartition& hosted, const Stepped& how) {
  const TopicPartition& name = hosted.partition->name();
  workers_[worker].job.reset();
  busy_.erase(name);
  if (how.failed)
    failed_[name] = {.until = shard().clock().now() + kFailurePause,
                     .directory = hosted.volume()->directory().path()};
  look_after(worker, how.outcome == Outcome::kDone ? Duration(0) : settings_.backoff);
}

}  // namespace millrace::node
