// Commits: those of a member go through the membership, which orders them with its rebalances; of
// partitions that were assigned they go straight to the coordinator.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "library/consumer_impl.h"
#include "library/conversions.h"

namespace millrace::v0 {
namespace {

using std::chrono::steady_clock;
using CommitOutcome = client::core::GroupVocabulary::CommitOutcome;

Offsets outer(const std::map<millrace::TopicPartition, Offset>& offsets) {
  Offsets result;
  for (const auto& [partition, offset] : offsets)
    result[library::outer(partition)] = offset.value();
  return result;
}

}  // namespace

const std::string& Consumer::Impl::group() const {
  if (configs_.group.empty()) throw std::logic_error("this needs a group.id, and there is none");
  return configs_.group;
}

GroupMetadata Consumer::Impl::group_metadata() {
  GroupMetadata metadata{group(), {}, -1, configs_.classic_member.instance_id};
  if (mode_ != Mode::kGroup) return metadata;
  reader_.run([&](client::Consumer& consumer) {
    const auto identity = consumer.identity();
    metadata.member_id = identity.member_id;
    metadata.generation = identity.generation;
  });
  return metadata;
}

// Where a partition is behind what was given; else how far the loop has read, which is also behind
// what is never given (transaction markers).
Consumer::Impl::InnerOffsets Consumer::Impl::positions() {
  InnerOffsets read;
  run_marked([&](client::Consumer& consumer) {
    for (const auto& each : owned_)
      if (const auto at = consumer.position(each)) read[each] = *at;
  });
  InnerOffsets result;
  for (const auto& each : owned_) {
    const auto known = positions_.find(each);
    const auto waiting = first_waiting(each);
    if (waiting)
      result[each] = known == positions_.end() ? *waiting : known->second;
    else if (const auto at = read.find(each); at != read.end())
      result[each] = at->second;
    else if (known != positions_.end())
      result[each] = known->second;
  }
  return result;
}

void Consumer::Impl::commit(const InnerOffsets& offsets, Deadline until) {
  for (;;) {
    auto outcome = std::make_shared<std::optional<Error>>();
    auto is_done = std::make_shared<bool>(false);
    commit_async(offsets, [outcome, is_done](const Offsets&, const Error* error) {
      if (error != nullptr) *outcome = *error;
      *is_done = true;
    });
    while (!*is_done && take_next(until)) {
    }
    if (!*is_done)
      throw Error(ErrorCode::kRequestTimedOut,
                  fmt::format("no answer to a commit of group '{}' in time", configs_.group));
    if (!*outcome) return;
    const bool again = mode_ != Mode::kGroup && (*outcome)->retriable();
    if (!again || !library::Loop::pause_before(until)) throw Error(**outcome);
  }
}

void Consumer::Impl::commit_async(const InnerOffsets& offsets, CommitCallback callback) {
  group();
  if (offsets.empty()) {
    if (callback) callback({}, nullptr);
    return;
  }
  if (mode_ == Mode::kGroup)
    for (const auto& [partition, offset] : offsets)
      if (!owned_.contains(partition)) {
        const Error error(ErrorCode::kRebalanceInProgress,
                          fmt::format("cannot commit {}: the partition is not ours (any more)",
                                      partition.to_string()));
        if (!callback) throw error;
        return callback(outer(offsets), &error);
      }
  commits_.push_back({.offsets = offsets, .open = offsets, .callback = std::move(callback)});
  send_commit(offsets);
}

void Consumer::Impl::send_commit(const InnerOffsets& offsets) {
  if (mode_ == Mode::kGroup)
    return reader_.post([offsets](client::Consumer& consumer) { consumer.commit(offsets); });
  caller_.loop().shard().post([this, offsets] {
    library::commit_offsets(
        caller_.loop().client(), configs_.group, offsets, [this, offsets](Result<int16_t> code) {
          const auto error =
              code ? static_cast<wire::ErrorCode>(*code) : wire::ErrorCode::kNetworkException;
          queue_.add(CommitOutcome{error, offsets});
        });
  });
}

// An outcome is that of the newest commit of these offsets; those before it were overtaken, and
// have the same fate.
void Consumer::Impl::settle(const CommitOutcome& outcome) {
  for (const auto& [partition, offset] : outcome.offsets) {
    const auto is_it = [&](const Commit& each) {
      const auto open = each.open.find(partition);
      return open != each.open.end() && open->second == offset;
    };
    auto end = std::find_if(commits_.rbegin(), commits_.rend(), is_it).base();
    for (auto each = commits_.begin(); each != end; ++each)
      if (each->open.erase(partition) > 0 && each->error == wire::ErrorCode::kNone)
        each->error = outcome.error;
  }
  finish_commits();
}

void Consumer::Impl::settle(const std::vector<Inner>& partitions, wire::ErrorCode error) {
  for (auto& each : commits_)
    for (const auto& partition : partitions)
      if (each.open.erase(partition) > 0 && each.error == wire::ErrorCode::kNone)
        each.error = error;
  finish_commits();
}

void Consumer::Impl::settle_all(wire::ErrorCode error) {
  for (auto& each : commits_)
    if (!std::exchange(each.open, {}).empty() && each.error == wire::ErrorCode::kNone)
      each.error = error;
  finish_commits();
}

void Consumer::Impl::finish_commits() {
  std::list<Commit> done;
  for (auto each = commits_.begin(); each != commits_.end();) {
    const auto next = std::next(each);
    if (each->open.empty()) done.splice(done.end(), commits_, each);
    each = next;
  }
  for (const auto& each : done) {
    if (!each.callback) continue;
    if (each.error == wire::ErrorCode::kNone) {
      each.callback(outer(each.offsets), nullptr);
    } else {
      const auto error = library::error_of(
          each.error, fmt::format("commit offsets of group '{}'", configs_.group));
      each.callback(outer(each.offsets), &error);
    }
  }
}

void Consumer::Impl::commit_when_due() {
  const auto now = steady_clock::now();
  if (!configs_.auto_commit || mode_ == Mode::kIdle || now < next_commit_) return;
  next_commit_ =
      now + std::chrono::duration_cast<steady_clock::duration>(configs_.auto_commit_interval);
  commit_async(positions(), nullptr);
}

}  // namespace millrace::v0
