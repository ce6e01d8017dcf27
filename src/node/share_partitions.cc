#include "node/share_partitions.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "node/slice_batches.h"
#include "wire/error_messages.h"

namespace millrace::node {

using wire::ErrorCode;

namespace {

// The share partition is not what it was, and who wants it asks elsewhere or anew.
bool ends_leadership(ErrorCode error) {
  return error == ErrorCode::kNotLeaderOrFollower || error == ErrorCode::kGroupIdNotFound ||
         error == ErrorCode::kUnknownTopicOrPartition;
}

bool has_share_version(const metadata::Image& image) {
  return image.feature_level("share.version") >= 1;
}

}  // namespace

class LedSharePartition : public std::enable_shared_from_this<LedSharePartition> {
 public:
  enum class Life : uint8_t { kLoading, kActive, kFailed, kFenced };
  struct Asker {
    env::Shard* shard;
    SharePartitions::AcknowledgeDone done;
  };

  LedSharePartition(share::SharePartitionKey key, HostedPartition of, LeaderEpoch leader_epoch)
      : hosted(std::move(of)), machine(std::move(key), leader_epoch) {}

  const share::SharePartitionKey& key() const { return machine.key(); }
  // Those whose changes have ended.
  void answer(const std::vector<share::EndedChange>& ended) {
    for (const auto& [change, code] : ended) {
      const auto asker = askers.find(change);
      if (asker == askers.end()) continue;
      asker->second.shard->post(
          [done = std::move(asker->second.done), code]() mutable { done(code, {}); });
      askers.erase(asker);
    }
  }
  void tell_waiters() {
    ++changes;
    for (const auto& waiter : std::exchange(waiters, {})) waiter->bytes_arrived(INT64_MAX);
  }
  // Whether this node still leads the partition, and as it did.
  ErrorCode check_role(const PartitionState& state) const {
    if (state.is_offline()) return ErrorCode::kKafkaStorageError;
    const bool leads = state.is_leader() && state.leadership().epoch == machine.leader_epoch();
    return leads ? ErrorCode::kNone : ErrorCode::kNotLeaderOrFollower;
  }

  const HostedPartition hosted;
  std::mutex mutex;  // guards what follows
  Life life = Life::kLoading;
  ErrorCode error = ErrorCode::kNone;  // why it has failed
  share::SharePartition machine;
  bool committed_only = false;
  bool drops_when_idle = false;  // its group had nobody left here, but a write is under way
  uint64_t changes = 0;
  Instant timer = Instant::never();  // that runs on shard 0
  std::map<share::ChangeId, Asker> askers;
  std::vector<std::shared_ptr<FetchWaiter>> waiters;
};

struct SharePartitions::LogRead {
  ErrorCode error = ErrorCode::kNone;
  Offset from{0};
  Offset readable_end{0};
  storage::ReadSlice slice;
};

SharePartitions::SharePartitions(const Parts& parts)
    : host_(parts.host),
      partitions_(parts.partitions),
      image_(parts.image),
      settings_(parts.settings),
      sessions_(static_cast<size_t>(settings_->load()->number("group.share.max.share.sessions"))) {}

SharePartitions::~SharePartitions() = default;

bool SharePartitions::is_enabled() const { return has_share_version(*image_->load()); }

ShareGroupSettings SharePartitions::settings_of(const std::string& group) const {
  return share_group_settings(*image_->load(), *settings_->load(), group);
}

LedSharePartitionPtr SharePartitions::find(const share::SharePartitionKey& key) const {
  std::lock_guard lock(mutex_);
  const auto at = led_.find(key);
  return at == led_.end() ? nullptr : at->second;
}

std::vector<LedSharePartitionPtr> SharePartitions::all() const {
  std::lock_guard lock(mutex_);
  std::vector<LedSharePartitionPtr> result;
  result.reserve(led_.size());
  for (const auto& [key, led] : led_) result.push_back(led);
  return result;
}

std::expected<LedSharePartitionPtr, ErrorCode> SharePartitions::use(
    const share::SharePartitionKey& key) {
  if (auto known = find(key)) return known;
  const auto hosted = partitions_->find(TopicIdPartition{key.topic, key.partition});
  if (!hosted) return std::unexpected(ErrorCode::kNotLeaderOrFollower);
  const auto epoch = with_partition(
      *hosted.partition, [](PartitionState& state) -> std::expected<LeaderEpoch, ErrorCode> {
        if (state.is_offline()) return std::unexpected(ErrorCode::kKafkaStorageError);
        if (!state.is_leader()) return std::unexpected(ErrorCode::kNotLeaderOrFollower);
        return state.leadership().epoch;
      });
  if (!epoch) return std::unexpected(epoch.error());
  auto made = std::make_shared<LedSharePartition>(key, hosted, *epoch);
  {
    std::lock_guard lock(mutex_);
    const auto [at, is_new] = led_.try_emplace(key, made);
    if (!is_new) return at->second;
    if (last_writes_.contains(key)) return made;
  }
  load(made);
  return made;
}

// The last write of one that is fenced has ended: whoever waits for that may read what is kept.
void SharePartitions::last_write_ended(const share::SharePartitionKey& key) {
  LedSharePartitionPtr next;
  {
    std::lock_guard lock(mutex_);
    if (last_writes_.erase(key) == 0) return;
    if (const auto at = led_.find(key); at != led_.end()) next = at->second;
  }
  if (next) load(next);
}

void SharePartitions::load(const LedSharePartitionPtr& led) {
  if (persister_ == nullptr) return loaded(led, {.error = ErrorCode::kCoordinatorNotAvailable});
  persister_->read(led->key(), led->machine.leader_epoch(), host_->shard(0),
                   [this, led](const SharePersister::ReadResult& result) { loaded(led, result); });
}

void SharePartitions::loaded(const LedSharePartitionPtr& led,
                             const SharePersister::ReadResult& result) {
  using Life = LedSharePartition::Life;
  ErrorCode error = ErrorCode::kNone;
  {
    std::lock_guard lock(led->mutex);
    if (led->life != Life::kLoading) return;
    error = begin(*led, result);
    led->life = error == ErrorCode::kNone ? Life::kActive : Life::kFailed;
    led->error = error;
    led->tell_waiters();
  }
  if (error == ErrorCode::kNone) return;
  std::lock_guard lock(mutex_);
  const auto at = led_.find(led->key());
  if (at != led_.end() && at->second == led) led_.erase(at);
}

ErrorCode SharePartitions::begin(LedSharePartition& led, const SharePersister::ReadResult& result) {
  if (result.error != ErrorCode::kNone) return share::told_of_persister(result.error);
  share::SharePartition::Beginning beginning{.kept = result.state};
  ErrorCode error = ErrorCode::kNone;
  with_partition(*led.hosted.partition, [&](PartitionState& state) {
    error = led.check_role(state);
    if (error == ErrorCode::kNone) beginning.log_end = state.log().log_end();
  });
  if (error != ErrorCode::kNone) return error;
  if (result.state.start_offset == share::kNoStartOffset) {
    const auto found = initial_offset(led);
    if (!found) return found.error();
    beginning.initial = *found;
  }
  if (led.machine.begin(beginning)) return ErrorCode::kNone;
  LOG_ERROR("{}: what was kept of it makes no sense", led.machine.describe());
  return ErrorCode::kUnknownServerError;
}

// By share.auto.offset.reset; as ListOffsets answers such questions.
std::expected<Offset, ErrorCode> SharePartitions::initial_offset(LedSharePartition& led) {
  using To = config::OffsetReset::To;
  const config::OffsetReset reset = settings_of(led.key().group).reset;
  const TimestampMs wall = host_->shard(0).clock().wall();
  return with_partition(
      *led.hosted.partition, [&](PartitionState& state) -> std::expected<Offset, ErrorCode> {
        if (auto error = led.check_role(state); error != ErrorCode::kNone)
          return std::unexpected(error);
        if (reset.to == To::kEarliest) return state.log().log_start();
        const Offset end = state.high_watermark();
        if (state.leader().epoch_start() > end)
          return std::unexpected(ErrorCode::kOffsetNotAvailable);
        if (reset.to == To::kLatest) return end;
        const auto found = state.log().offset_for_timestamp(wall - reset.age.count());
        if (!found) return std::unexpected(ErrorCode::kKafkaStorageError);
        if (!*found || (*found)->offset >= end)
          return std::unexpected(ErrorCode::kOffsetNotAvailable);
        return (*found)->offset;
      });
}

SharePartitions::Readable SharePartitions::look(LedSharePartition& led, size_t max_bytes) {
  using Life = LedSharePartition::Life;
  Readable seen;
  {
    std::lock_guard lock(led.mutex);
    seen.changes = led.changes;
    seen.has_failed_to_load = led.life == Life::kFailed;
    if (seen.has_failed_to_load) seen.error = led.error;
    if (led.life == Life::kFenced) seen.error = ErrorCode::kNotLeaderOrFollower;
    if (led.life != Life::kActive) return seen;
    const auto settings = settings_of(led.key().group);
    led.machine.configure(settings.partition);
    led.committed_only = settings.committed_only;
    if (!led.machine.can_acquire()) return seen;
    const LogRead read = read_log(led, max_bytes, true);
    seen.error = read.error;
    seen.bytes = read.slice.length;
    seen.readable_end = read.readable_end;
  }
  if (ends_leadership(seen.error)) fence(led);
  return seen;
}

SharePartitions::LogRead SharePartitions::read_log(LedSharePartition& led, size_t max_bytes,
                                                   bool at_least_one) {
  LogRead read;
  with_partition(*led.hosted.partition, [&](PartitionState& state) {
    read.error = led.check_role(state);
    if (read.error != ErrorCode::kNone) return;
    // Retention or DeleteRecords took what is below.
    if (led.machine.next_fetch_offset() < state.log().log_start())
      led.machine.move_log_start(state.log().log_start());
    read.from = led.machine.next_fetch_offset();
    read.readable_end = led.committed_only ? state.last_stable_offset() : state.high_watermark();
    if (read.from >= read.readable_end || !led.machine.can_acquire()) return;
    auto slice = state.read({.from = read.from,
                             .below = read.readable_end,
                             .max_bytes = max_bytes,
                             .at_least_one = at_least_one});
    if (!slice) {
      read.error = slice.error().code == Errc::kCorrupt ? ErrorCode::kCorruptMessage
                                                        : ErrorCode::kKafkaStorageError;
      return;
    }
    read.slice = std::move(*slice);
  });
  return read;
}

// Those that have records in what was read, which ends below `below`. Nothing: retention has taken
// its beginning meanwhile, and perhaps what was known of them.
std::optional<std::vector<share::AbortedTransaction>> SharePartitions::aborted_in(
    LedSharePartition& led, const LogRead& read, Offset below) {
  std::vector<share::AbortedTransaction> aborted;
  if (!led.committed_only) return aborted;
  const bool is_there = with_partition(*led.hosted.partition, [&](PartitionState& state) {
    if (led.check_role(state) != ErrorCode::kNone || state.log().log_start() > read.from)
      return false;
    for (const auto& each : state.log().aborted_transactions({.from = read.from, .below = below}))
      aborted.push_back({each.producer_id, each.first_offset});
    return true;
  });
  if (!is_there) return std::nullopt;
  return aborted;
}

SharePartitions::Taken SharePartitions::acquire(LedSharePartition& led, const Wish& wish) {
  Taken taken;
  {
    std::lock_guard lock(led.mutex);
    if (led.life == LedSharePartition::Life::kFailed) taken.error = led.error;
    if (led.life == LedSharePartition::Life::kFenced) taken.error = ErrorCode::kNotLeaderOrFollower;
    if (led.life != LedSharePartition::Life::kActive) return taken;
    if (!led.machine.can_acquire()) return taken;
    const LogRead read = read_log(led, wish.max_bytes, wish.at_least_one);
    taken.error = read.error;
    if (read.slice.length > 0) taken = give(led, read, wish);
    arm(led);
  }
  if (ends_leadership(taken.error)) fence(led);
  return taken;
}

// Of what was read, the batches that have something for the member.
SharePartitions::Taken SharePartitions::give(LedSharePartition& led, const LogRead& read,
                                             const Wish& wish) {
  const auto batches = batches_of(read.slice);
  if (!batches) {
    LOG_ERROR("{}: {}", led.machine.describe(), batches.error().message);
    return {.error = ErrorCode::kCorruptMessage};
  }
  ASSERT(!batches->empty(), "{}", led.machine.describe());
  std::vector<share::FetchedBatch> fetched;
  Offset base = read.from;
  for (const SliceBatch& batch : *batches) {
    const record::BatchHeader& header = batch.header;
    // The offset of an old compressed message is its last one.
    const Offset first =
        header.is_legacy() ? std::min(base, header.base_offset) : header.base_offset;
    fetched.push_back({.base = first,
                       .last = header.last_offset(),
                       .producer_id = header.producer_id,
                       .is_transactional = header.attributes.transactional(),
                       .is_control = header.attributes.control()});
    base = header.next_offset();
  }
  const auto aborted = aborted_in(led, read, base);
  if (!aborted) return {.may_have_more = true};
  Taken taken;
  taken.acquired = led.machine.acquire({.member = wish.member,
                                        .mode = wish.mode,
                                        .batch_size = wish.batch_size,
                                        .max_records = wish.max_records,
                                        .fetch_offset = read.from,
                                        .batches = fetched,
                                        .aborted = *aborted},
                                       now());
  if (taken.acquired.ranges.empty()) {
    taken.may_have_more = led.machine.next_fetch_offset() > read.from;
    return taken;
  }
  const Offset first = taken.acquired.ranges.front().first;
  const Offset last = taken.acquired.ranges.back().last;
  size_t from = 0, to = 0;
  for (size_t i = 0; i < fetched.size(); ++i) {
    if (fetched[i].last < first) from = i + 1;
    if (fetched[i].base <= last) to = i + 1;
  }
  from = std::min(from, fetched.size() - 1);
  to = std::max(to, from + 1);
  const uint64_t position = (*batches)[from].position;
  taken.slice = {.file = read.slice.file,
                 .position = position,
                 .length = static_cast<size_t>((*batches)[to - 1].end() - position)};
  with_partition(*led.hosted.partition,
                 [&](PartitionState& state) { state.gives(taken.slice.length, kNoNode); });
  return taken;
}

void SharePartitions::wait(LedSharePartition& led, const Readable& seen,
                           std::shared_ptr<FetchWaiter> waiter) {
  bool has_moved = false;
  {
    std::lock_guard lock(led.mutex);
    std::erase_if(led.waiters, [](const auto& other) { return other->is_done(); });
    led.waiters.push_back(waiter);
    has_moved = led.changes != seen.changes;
    with_partition(*led.hosted.partition, [&](PartitionState& state) {
      const Offset end = led.committed_only ? state.last_stable_offset() : state.high_watermark();
      has_moved |= seen.readable_end != Offset(-1) && end != seen.readable_end;
      state.add_fetch_waiter(waiter);
    });
  }
  if (has_moved) waiter->bytes_arrived(INT64_MAX);
}

void SharePartitions::acknowledge(const Acknowledgement& said, env::Shard& shard,
                                  AcknowledgeDone done) {
  const auto answer = [&shard](AcknowledgeDone to, ErrorCode error, std::string message) {
    shard.post([to = std::move(to), error, message = std::move(message)]() mutable {
      to(error, std::move(message));
    });
  };
  const auto led = find(said.key);
  if (!led) {
    constexpr ErrorCode kError = ErrorCode::kUnknownTopicOrPartition;
    return answer(std::move(done), kError, wire::error_message(kError));
  }
  Write write;
  {
    std::lock_guard lock(led->mutex);
    if (led->life == LedSharePartition::Life::kFenced)
      return answer(std::move(done), ErrorCode::kNotLeaderOrFollower, {});
    if (led->life != LedSharePartition::Life::kActive)
      return answer(std::move(done), ErrorCode::kInvalidRecordState, "nothing is acquired yet");
    led->machine.configure(settings_of(said.key.group).partition);
    const auto outcome = led->machine.acknowledge(said.member, said.batches, now());
    if (outcome.change != share::ChangeId::kNone)
      led->askers.emplace(outcome.change, LedSharePartition::Asker{&shard, std::move(done)});
    else
      answer(std::move(done), outcome.error, outcome.message);
    write = after_change(*led);
  }
  send(*led, std::move(write));
}

// What is to be written now; deadlines may be others.
SharePartitions::Write SharePartitions::after_change(LedSharePartition& led) {
  arm(led);
  return led.machine.take_write();
}

void SharePartitions::arm(LedSharePartition& led) {
  const Instant deadline = led.machine.next_deadline();
  if (deadline >= led.timer) return;
  led.timer = deadline;
  host_->shard(0).post([this, deadline, weak = led.weak_from_this()] {
    env::Shard& shard = host_->shard(0);
    const Duration left = std::max(Duration::zero(), deadline - shard.clock().now());
    shard.after(left, [this, deadline, weak] {
      if (const auto known = weak.lock()) on_timer(*known, deadline);
    });
  });
}

void SharePartitions::on_timer(LedSharePartition& led, Instant armed) {
  Write write;
  {
    std::lock_guard lock(led.mutex);
    if (led.timer == armed) led.timer = Instant::never();
    if (led.life != LedSharePartition::Life::kActive) return;
    led.machine.configure(settings_of(led.key().group).partition);
    if (led.machine.on_tick(now())) led.tell_waiters();
    write = after_change(led);
  }
  send(led, std::move(write));
}

void SharePartitions::send(LedSharePartition& led, Write write) {
  if (!write) return;
  persister_->write(
      {.key = led.key(), .state = std::move(*write)}, host_->shard(0),
      [this, led = led.shared_from_this()](ErrorCode error) { written(*led, error); });
}

void SharePartitions::written(LedSharePartition& led, ErrorCode error) {
  Write write;
  bool is_over = false;
  {
    std::lock_guard lock(led.mutex);
    led.answer(led.machine.on_written(error));
    if (ends_leadership(share::told_of_persister(error))) end_life(led);
    is_over = led.life == LedSharePartition::Life::kFenced;
    if (!is_over) write = after_change(led);
    drop_if_idle(led);
    led.tell_waiters();
  }
  send(led, std::move(write));
  if (is_over) last_write_ended(led.key());
}

void SharePartitions::fence(LedSharePartition& led) {
  std::lock_guard lock(led.mutex);
  end_life(led);
}

// Nothing is written after this but what is under way, and the next one of that key reads what is
// kept when that has ended: where the leader and the state epoch are as before, nobody would fence
// a write that comes late, and it would undo what the next one has kept.
void SharePartitions::end_life(LedSharePartition& led) {
  if (led.life == LedSharePartition::Life::kFenced) return;
  led.life = LedSharePartition::Life::kFenced;
  led.answer(led.machine.stop());
  led.tell_waiters();
  std::lock_guard lock(mutex_);
  if (led.machine.is_writing()) last_writes_.insert(led.key());
  const auto at = led_.find(led.key());
  if (at != led_.end() && at->second.get() == &led) led_.erase(at);
}

void SharePartitions::release(const share::SharePartitionKey& key, const std::string& member) {
  const auto led = find(key);
  if (!led) return;
  Write write;
  {
    std::lock_guard lock(led->mutex);
    led->tell_waiters();  // who waits in that session waits for nothing
    if (led->life != LedSharePartition::Life::kActive) return;
    led->machine.release(member);
    write = after_change(*led);
  }
  send(*led, std::move(write));
}

ErrorCode SharePartitions::close_session(const share::SessionKey& key) {
  auto partitions = with_sessions([&](auto& sessions) { return sessions.remove(key); });
  if (!partitions) return ErrorCode::kShareSessionNotFound;
  ended({.key = key, .partitions = std::move(*partitions)});
  return ErrorCode::kNone;
}

void SharePartitions::connection_gone(share::ConnectionId connection) {
  const auto gone =
      with_sessions([&](auto& sessions) { return sessions.connection_gone(connection); });
  for (const auto& session : gone) ended(session);
}

void SharePartitions::ended(const share::ShareSessions::Gone& session) {
  for (const TopicIdPartition& each : session.partitions)
    release({session.key.group, each.topic_id, each.partition}, session.key.member);
  drop_group(session.key.group);
}

// Its last member here has gone: whoever comes next begins with what was kept.
void SharePartitions::drop_group(const std::string& group) {
  if (with_sessions([&](auto& sessions) { return sessions.has_members(group); })) return;
  for (const auto& led : all()) {
    if (led->key().group != group) continue;
    std::lock_guard lock(led->mutex);
    led->drops_when_idle = true;
    drop_if_idle(*led);
  }
}

void SharePartitions::drop_if_idle(LedSharePartition& led) {
  if (!led.drops_when_idle || led.machine.is_writing()) return;
  led.drops_when_idle = false;
  const bool is_used =
      with_sessions([&](auto& sessions) { return sessions.has_members(led.key().group); });
  if (!is_used) end_life(led);
}

void SharePartitions::follow(const metadata::Image& before, const metadata::Image& after) {
  const bool is_off = has_share_version(before) && !has_share_version(after);
  if (is_off) with_sessions([](auto& sessions) { sessions.clear(); });
  for (const auto& led : all()) {
    const Uuid& topic = led->key().topic;
    if (!is_off && before.find_topic(topic) == after.find_topic(topic)) continue;
    const ErrorCode error = with_partition(
        *led->hosted.partition, [&](PartitionState& state) { return led->check_role(state); });
    if (is_off || error != ErrorCode::kNone) fence(*led);
  }
}

void SharePartitions::check_invariants() {
  with_sessions([](auto& sessions) { sessions.check_invariants(); });
  for (const auto& led : all()) {
    std::lock_guard lock(led->mutex);
    if (led->life == LedSharePartition::Life::kActive) led->machine.check_invariants();
  }
}

std::optional<SharePartitions::Standing> SharePartitions::standing_of(
    const share::SharePartitionKey& key) const {
  const auto led = find(key);
  if (!led) return std::nullopt;
  std::lock_guard lock(led->mutex);
  if (led->life != LedSharePartition::Life::kActive) return std::nullopt;
  return Standing{
      .life = led, .start = led->machine.start_offset(), .end = led->machine.end_offset()};
}

}  // namespace millrace::node
