#include "library/consumer_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "library/conversions.h"

namespace millrace::v0 {
namespace {

using client::core::StartAt;
using library::Loop;
using std::chrono::steady_clock;
using Problem = client::core::Fetcher::Problem;

constexpr auto kLookAgain = std::chrono::milliseconds(100);

steady_clock::duration ticks(Duration duration) {
  return std::chrono::duration_cast<steady_clock::duration>(duration);
}

}  // namespace

Consumer::Impl::Impl(library::ConsumerConfigs configs)
    : configs_(std::move(configs)),
      queue_(static_cast<size_t>(std::max(configs_.fetcher.max_bytes, 1 << 20))),
      caller_(configs_.client),
      reader_(caller_.loop(), queue_) {}

Consumer::Impl::~Impl() {
  try {
    close(seconds(30));
  } catch (const std::exception&) {  // a listener's
    end();
  }
}

// --- What happened.

bool Consumer::Impl::take_next(Deadline until) {
  auto next = queue_.next(until);
  if (!next) return false;
  if (const auto* outcome = std::get_if<client::core::GroupVocabulary::CommitOutcome>(&*next)) {
    settle(*outcome);
  } else if (const auto* mark = std::get_if<library::Mark>(&*next)) {
    mark_seen_ = mark->id;
  } else if (std::holds_alternative<library::Left>(*next)) {
    left_ = true;
  } else {
    // A member that is out, or whose partitions are others', hears no more of its commits.
    if (std::holds_alternative<millrace::Error>(*next)) {
      left_ = true;
      settle({owned_.begin(), owned_.end()}, wire::ErrorCode::kUnknownMemberId);
    } else if (const auto* revoked = std::get_if<library::Revoked>(&*next);
               revoked != nullptr && revoked->lost) {
      settle(revoked->partitions, wire::ErrorCode::kRebalanceInProgress);
    }
    waiting_.push_back(std::move(*next));
  }
  return true;
}

void Consumer::Impl::take_all() {
  while (take_next(Deadline{})) {
  }
}

void Consumer::Impl::run_marked(const library::Reader::Work& work) {
  const uint64_t id = ++last_mark_;
  reader_.run([&](client::Consumer& consumer) {
    work(consumer);
    queue_.add(library::Mark{id});
  });
  while (mark_seen_ != id && take_next(Deadline{})) {
  }
}

void Consumer::Impl::handle_all() {
  while (!waiting_.empty()) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    std::visit([&](auto& what) { on(what); }, next);
  }
}

void Consumer::Impl::on(library::Records& records) {
  for (size_t begin = 0; begin < records.size();) {
    const Inner partition = records[begin].partition;
    Chunk chunk{.partition = partition, .records = {}};
    while (begin < records.size() && records[begin].partition == partition)
      chunk.records.push_back(std::move(records[begin++]));
    chunks_.push_back(std::move(chunk));
    if (!owned_.contains(partition)) forget_records({partition});
  }
}

void Consumer::Impl::on(library::Joined& joined) {
  std::vector<Inner> fresh;
  std::ranges::set_difference(joined.partitions, owned_, std::back_inserter(fresh));
  owned_ = joined.partitions;
  if (!fresh.empty()) tell(listener_.assigned, fresh);
}

void Consumer::Impl::on(library::Revoked& revoked) {
  struct Done {  // also when the listener throws
    Impl& impl;
    const std::vector<Inner>& partitions;
    ~Done() {
      impl.lose(partitions);
      impl.reader_.post([](client::Consumer& consumer) { consumer.done_revoking(); });
    }
  } done{*this, revoked.partitions};
  if (revoked.lost)
    return tell(listener_.lost ? listener_.lost : listener_.revoked, revoked.partitions);
  if (configs_.auto_commit) {
    InnerOffsets offsets;
    for (const auto& each : revoked.partitions)
      if (const auto found = positions_.find(each); found != positions_.end())
        offsets.insert(*found);
    commit_async(offsets, nullptr);
  }
  tell(listener_.revoked, revoked.partitions);
}

void Consumer::Impl::on(Problem& problem) {
  throw Error(static_cast<ErrorCode>(problem.code), problem.error.message);
}

void Consumer::Impl::on(millrace::Error& error) {
  failed_ = error;
  const std::vector<Inner> gone(owned_.begin(), owned_.end());
  lose(gone);
  if (!gone.empty()) tell(listener_.lost ? listener_.lost : listener_.revoked, gone);
}

void Consumer::Impl::on(library::PolledTooSeldom&) {
  const std::vector<Inner> gone(owned_.begin(), owned_.end());
  settle(gone, wire::ErrorCode::kRebalanceInProgress);
  lose(gone);
  begin(Mode::kGroup);
  join();
  if (!gone.empty()) tell(listener_.lost ? listener_.lost : listener_.revoked, gone);
}

void Consumer::Impl::on(library::CommittedFound& answer) {
  placing_ = false;
  if (mode_ != Mode::kAssigned) return;
  if (!answer.found || answer.found->error != 0) {
    const auto error = answer.found ? library::error_of(answer.found->error,
                                                        fmt::format("read the committed offsets "
                                                                    "of group '{}'",
                                                                    configs_.group))
                                    : library::error_of(answer.found.error());
    if (!error.retriable() && answer.found) throw error;
    place_after_ = steady_clock::now() + kLookAgain;
    return;
  }
  std::map<Inner, StartAt> starts;
  std::optional<Inner> nowhere;
  for (const auto& each : answer.asked) {
    if (unplaced_.erase(each) == 0) continue;  // sought, or not ours any more
    const auto found = answer.found->offsets.find(each);
    if (found != answer.found->offsets.end())
      starts[each] = StartAt::offset(found->second.offset);
    else if (configs_.fetcher.reset)
      starts[each] = *configs_.fetcher.reset;
    else
      nowhere = each;
  }
  reader_.post([starts](client::Consumer& consumer) { consumer.assign(starts); });
  if (nowhere)
    throw Error(ErrorCode::kOffsetOutOfRange,
                fmt::format("nothing says where to begin in {}: it has no committed offset, and "
                            "auto.offset.reset is none",
                            nowhere->to_string()));
}

// --- Records.

std::vector<ConsumerRecord> Consumer::Impl::poll(Deadline until) {
  if (polling_) throw std::logic_error("poll() in a listener or callback of the same consumer");
  struct Polling {
    Impl& impl;
    explicit Polling(Impl& it) : impl(it) {
      impl.polling_ = true;
      impl.reader_.polling(true);
    }
    ~Polling() {
      impl.polling_ = false;
      impl.reader_.polling(false);
    }
  } polling(*this);
  commit_when_due();
  for (;;) {
    take_all();
    handle_all();
    if (failed_) throw library::error_of(*failed_);
    auto records = give();
    if (!records.empty() || std::exchange(woken_, false)) return records;
    place();
    const bool looks_again = !unplaced_.empty() && !placing_;
    const auto wait_until = looks_again ? std::min(until, place_after_) : until;
    if (!take_next(wait_until) && steady_clock::now() >= until) return records;
  }
}

std::vector<ConsumerRecord> Consumer::Impl::give() {
  std::vector<ConsumerRecord> given;
  size_t weight = 0;
  for (auto chunk = chunks_.begin(); chunk != chunks_.end();) {
    if (paused_.contains(chunk->partition)) {
      ++chunk;
      continue;
    }
    for (; chunk->given < chunk->records.size(); ++chunk->given) {
      if (given.size() == configs_.max_poll_records) break;
      const auto& record = chunk->records[chunk->given];
      weight += library::weight_of(record);
      given.push_back(library::outer(record));
    }
    if (chunk->given > 0)
      positions_[chunk->partition] = chunk->records[chunk->given - 1].offset + 1;
    if (chunk->given < chunk->records.size()) break;
    chunk = chunks_.erase(chunk);
  }
  release(weight);
  return given;
}

void Consumer::Impl::release(size_t weight) {
  if (weight > 0 && queue_.release(weight))
    reader_.post([](client::Consumer& consumer) { consumer.room(true); });
}

void Consumer::Impl::forget_records(const std::set<Inner>& partitions) {
  size_t weight = 0;
  const auto is_of_them = [&](const client::core::ConsumedRecord& record) {
    const bool is = partitions.contains(record.partition);
    if (is) weight += library::weight_of(record);
    return is;
  };
  std::erase_if(chunks_, [&](Chunk& chunk) {
    if (!partitions.contains(chunk.partition)) return false;
    for (size_t i = chunk.given; i < chunk.records.size(); ++i)
      weight += library::weight_of(chunk.records[i]);
    return true;
  });
  for (auto& each : waiting_)
    if (auto* records = std::get_if<library::Records>(&each)) std::erase_if(*records, is_of_them);
  release(weight);
}

std::optional<Offset> Consumer::Impl::first_waiting(const Inner& partition) const {
  for (const auto& chunk : chunks_)
    if (chunk.partition == partition) return chunk.records[chunk.given].offset;
  for (const auto& each : waiting_)
    if (const auto* records = std::get_if<library::Records>(&each))
      if (const auto found =
              std::ranges::find(*records, partition, &client::core::ConsumedRecord::partition);
          found != records->end())
        return found->offset;
  return std::nullopt;
}

// --- Partitions.

void Consumer::Impl::begin(Mode mode) {
  end();
  mode_ = mode;
  left_ = false;
  next_commit_ = steady_clock::now() + ticks(configs_.auto_commit_interval);
  if (mode != Mode::kIdle) reader_.begin(configs_.fetcher);
}

void Consumer::Impl::end() {
  reader_.end();
  take_all();
  forget_records(owned_);
  std::set<Inner> rest;
  for (const auto& each : waiting_)
    if (const auto* records = std::get_if<library::Records>(&each))
      for (const auto& record : *records) rest.insert(record.partition);
  forget_records(rest);
  // What became of nothing is told of a consumer that is gone; but for wakeup().
  std::erase_if(waiting_, [](const library::Happening& each) {
    return !std::holds_alternative<library::Woken>(each);
  });
  owned_.clear();
  paused_.clear();
  unplaced_.clear();
  positions_.clear();
  placing_ = false;
  failed_.reset();
  mode_ = Mode::kIdle;
}

void Consumer::Impl::subscribe(const std::vector<std::string>& topics, RebalanceListener listener) {
  group();
  leave(seconds(30));
  begin(Mode::kGroup);
  topics_ = topics;
  listener_ = std::move(listener);
  join();
}

void Consumer::Impl::join() {
  if (configs_.classic) {
    auto member = configs_.classic_member;
    member.topics = topics_;
    reader_.post([member](client::Consumer& consumer) { consumer.join(member); });
  } else {
    auto member = configs_.member;
    member.topics = topics_;
    reader_.post([member](client::Consumer& consumer) { consumer.join(member); });
  }
  reader_.expect_polls(configs_.max_poll_interval);
}

void Consumer::Impl::assign(const std::set<Inner>& partitions) {
  if (mode_ != Mode::kAssigned) {
    leave(seconds(30));
    begin(Mode::kAssigned);
  }
  if (configs_.auto_commit) commit_async(positions(), nullptr);
  std::vector<Inner> gone;
  std::ranges::set_difference(owned_, partitions, std::back_inserter(gone));
  std::ranges::set_difference(partitions, owned_, std::inserter(unplaced_, unplaced_.end()));
  if (!gone.empty()) run_marked([&](client::Consumer& consumer) { consumer.unassign(gone); });
  lose(gone);
  owned_ = partitions;
}

void Consumer::Impl::lose(const std::vector<Inner>& partitions) {
  forget_records({partitions.begin(), partitions.end()});
  for (const auto& each : partitions) {
    owned_.erase(each);
    paused_.erase(each);
    unplaced_.erase(each);
    positions_.erase(each);
  }
}

// Says where to begin in what was assigned and not sought.
void Consumer::Impl::place() {
  if (unplaced_.empty() || placing_ || steady_clock::now() < place_after_) return;
  placing_ = true;
  std::vector<Inner> asked(unplaced_.begin(), unplaced_.end());
  if (configs_.group.empty())
    return queue_.add(library::CommittedFound{std::move(asked), library::CommittedOffsets{}});
  caller_.loop().shard().post([this, asked = std::move(asked)] {
    library::fetch_committed(caller_.loop().client(), configs_.group, asked,
                             [this, asked](Result<library::CommittedOffsets> found) {
                               queue_.add(library::CommittedFound{asked, std::move(found)});
                             });
  });
}

void Consumer::Impl::leave(Duration timeout) {
  const auto until = steady_clock::now() + ticks(timeout);
  if (configs_.auto_commit && !owned_.empty()) commit_async(positions(), nullptr);
  if (mode_ == Mode::kGroup && !failed_) {
    const std::vector<Inner> last(owned_.begin(), owned_.end());
    if (!last.empty()) tell(listener_.revoked, last);
    reader_.post([](client::Consumer& consumer) { consumer.leave(); });
    while (!left_ && take_next(until)) {
    }
  } else {
    while (!commits_.empty() && take_next(until)) {
    }
  }
  end();
  settle_all(wire::ErrorCode::kRequestTimedOut);
  topics_.clear();
  listener_ = {};
}

void Consumer::Impl::close(Duration timeout) {
  if (closed_) return;
  struct Closed {  // also when a listener throws
    bool& closed;
    ~Closed() { closed = true; }
  } closing{closed_};
  leave(timeout);
}

void Consumer::Impl::tell(const RebalanceListener::Function& function,
                          const std::vector<Inner>& partitions) {
  if (function) function(library::outer_list(partitions));
}

void Consumer::Impl::need_owned(const Inner& partition) const {
  if (!owned_.contains(partition))
    throw std::logic_error(fmt::format("{} is not assigned", partition.to_string()));
}

void Consumer::Impl::seek(const Inner& partition, StartAt start) {
  need_owned(partition);
  run_marked([&](client::Consumer& consumer) { consumer.seek(partition, start); });
  forget_records({partition});
  unplaced_.erase(partition);
  if (start.kind == StartAt::Kind::kOffset)
    positions_[partition] = Offset(start.value);
  else
    positions_.erase(partition);
}

void Consumer::Impl::pause(const std::vector<Inner>& partitions, bool paused) {
  for (const auto& each : partitions) need_owned(each);
  for (const auto& each : partitions)
    if (paused)
      paused_.insert(each);
    else
      paused_.erase(each);
  reader_.post([=](client::Consumer& consumer) { consumer.pause(partitions, paused); });
}

int64_t Consumer::Impl::position(const Inner& partition) {
  need_owned(partition);
  for (const auto until = caller_.deadline();;) {
    place();
    std::optional<Offset> read;
    run_marked([&](client::Consumer& consumer) { read = consumer.position(partition); });
    if (const auto known = positions_.find(partition); known != positions_.end())
      return known->second.value();
    if (const auto waiting = first_waiting(partition)) return waiting->value();
    if (read) return read->value();
    for (auto& each : waiting_)
      if (auto* problem = std::get_if<Problem>(&each); problem && problem->partition == partition)
        throw Error(static_cast<ErrorCode>(problem->code), problem->error.message);
    const auto found = std::ranges::find_if(waiting_, [](const auto& each) {
      return std::holds_alternative<library::CommittedFound>(each);
    });
    if (found != waiting_.end()) {
      auto answer = std::move(std::get<library::CommittedFound>(*found));
      waiting_.erase(found);
      on(answer);
    }
    if (steady_clock::now() >= until)
      throw Error(ErrorCode::kRequestTimedOut,
                  fmt::format("cannot find the position of {}", partition.to_string()));
    take_next(steady_clock::now() + std::chrono::milliseconds(10));
  }
}

}  // namespace millrace::v0
