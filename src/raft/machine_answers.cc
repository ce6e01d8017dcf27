// What other replicas answered to requests of ours.
#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "raft/control_records.h"
#include "raft/machine.h"

namespace millrace::raft {

// Whether the answer belongs to the request under way; a late one is of no use.
bool Machine::settle(NodeId peer, uint64_t correlation) {
  auto exchange = exchanges_.find(peer);
  if (exchange == exchanges_.end() || exchange->second.correlation != correlation) return false;
  exchanges_.erase(exchange);
  return true;
}

void Machine::back_off(NodeId peer, const Now& now) {
  exchanges_[peer] = {.correlation = 0, .due = now.time + options_.retry_backoff};
}

void Machine::on_send_failed(const SendFailure& failure, const Now& now) {
  if (fault_) return;
  if (settle(failure.peer, failure.correlation)) {
    back_off(failure.peer, now);
    if (failure.gone) miss(failure.peer, now);
  }
  finish(now);
}

// Followers that all miss their leader at once must not all stand at once.
void Machine::miss(NodeId peer, const Now& now) {
  auto* follower = std::get_if<Follower>(&role_);
  if (!follower || peer != election_.leader) return;
  follower->has_fetched = false;
  const auto spread = static_cast<uint64_t>(options_.election_timeout.count()) / 8 + 1;
  const Instant soon = now.time + Duration(static_cast<int64_t>(random_() % spread));
  follower->fetch_due = std::min(follower->fetch_due, soon);
}

// What an answer tells of epoch and leader. True: nothing more is to be done with it.
bool Machine::follow_standing(const Standing& told, NodeId peer, const Now& now) {
  if (told.epoch < election_.epoch || told.error == ErrorCode::kUnknownLeaderEpoch) {
    back_off(peer, now);
    return true;
  }
  const bool names_other = told.leader != kNoNode && told.leader != options_.self.id;
  const bool newer = told.epoch > election_.epoch;
  if (newer && !names_other)
    become_unattached(told.epoch, kNoNode, now);
  else if (names_other && (newer || (election_.leader == kNoNode && !is_leader())))
    become_follower(told.epoch, told.leader, now);
  if (names_other && told.leader == election_.leader && !told.leader_endpoints.empty())
    leader_endpoints_ = told.leader_endpoints;
  if (!newer && told.error == ErrorCode::kNone) return false;
  back_off(peer, now);
  return true;
}

void Machine::on(const VoteResponse& response, const Envelope& from, const Now& now) {
  if (!settle(from.peer, from.correlation) || follow_standing(response.standing, from.peer, now))
    return;
  if (auto* prospective = std::get_if<Prospective>(&role_))
    prospective->votes[from.peer] = response.granted;
  if (auto* candidate = std::get_if<Candidate>(&role_))
    candidate->votes[from.peer] = response.granted;
  count_votes(now);
}

void Machine::on(const BeginQuorumEpochResponse& response, const Envelope& from, const Now& now) {
  if (settle(from.peer, from.correlation)) follow_standing(response.standing, from.peer, now);
}

void Machine::on(const EndQuorumEpochResponse& response, const Envelope& from, const Now& now) {
  if (!settle(from.peer, from.correlation) || follow_standing(response.standing, from.peer, now))
    return;
  if (auto* resigned = std::get_if<Resigned>(&role_)) resigned->to_tell.erase(from.peer);
}

void Machine::on(FetchResponse& response, const Envelope& from, const Now& now) {
  if (!settle(from.peer, from.correlation) || follow_standing(response.standing, from.peer, now))
    return;
  auto* follower = std::get_if<Follower>(&role_);
  if (!follower || from.peer != election_.leader) return back_off(from.peer, now);
  follower->fetch_due = now.time + options_.fetch_timeout;
  follower->has_fetched = true;
  if (response.diverging) return cut_back(*response.diverging);
  if (response.snapshot) return begin_snapshot_fetch(*response.snapshot);
  if (response.records.empty() && response.high_watermark <= follower->leaders_high_watermark)
    back_off(from.peer, now);
  if (auto taken = take_records(response.records); !taken) {
    LOG_WARN("raft: records of leader {} are refused: {}", from.peer, taken.error().message);
    return back_off(from.peer, now);
  }
  follower->leaders_high_watermark =
      std::max(follower->leaders_high_watermark, response.high_watermark);
  set_high_watermark(std::min(follower->leaders_high_watermark, durable_end_), now);
}

// The leader's log has another end of the epoch: what of ours lies behind the last common place
// goes. It was never committed; if it was, the quorum is broken, and this node does no more.
void Machine::cut_back(const LogPosition& leaders) {
  const LogPosition ours = log_.end_of(leaders.epoch);
  const Offset to =
      ours.epoch == leaders.epoch ? std::min(ours.offset, leaders.offset) : ours.offset;
  if (to < high_watermark_.value_or(Offset(0)) || to < log_.start()) {
    fault_ = Error{Errc::kCorrupt,
                   fmt::format("the leader {} wants the log cut at {}, below what is committed: {}",
                               election_.leader, to, describe())};
    return;
  }
  ASSERT(output_.append.empty());
  log_.truncate_to(to);
  durable_end_ = std::min(durable_end_, to);
  for (HandedOver& each : handed_over_) each.end = std::min(each.end, to);
  output_.truncate_to = to;
}

// A snapshot that ends where we are committed already would take back what was promised.
void Machine::begin_snapshot_fetch(const LogPosition& snapshot) {
  if (snapshot.offset <= high_watermark_.value_or(Offset(0)) || snapshot_fetch_) return;
  snapshot_fetch_ = SnapshotFetch{.id = snapshot};
}

void Machine::on(FetchSnapshotResponse& response, const Envelope& from, const Now& now) {
  if (!settle(from.peer, from.correlation) || follow_standing(response.standing, from.peer, now)) {
    if (snapshot_fetch_ && !snapshot_fetch_->complete) snapshot_fetch_.reset();
    return;
  }
  auto* follower = std::get_if<Follower>(&role_);
  if (!follower || from.peer != election_.leader || !snapshot_fetch_ || snapshot_fetch_->complete)
    return;
  SnapshotFetch& fetch = *snapshot_fetch_;
  const bool fits = response.snapshot == fetch.id && response.position == fetch.position &&
                    !response.bytes.empty() &&
                    response.size >= fetch.position + response.bytes.size();
  if (!fits) {
    snapshot_fetch_.reset();
    return back_off(from.peer, now);
  }
  follower->fetch_due = now.time + options_.fetch_timeout;
  follower->has_fetched = true;
  const uint64_t position = fetch.position;
  fetch.position += response.bytes.size();
  fetch.complete = fetch.position == response.size;
  output_.snapshot_chunk = SnapshotChunk{.snapshot = fetch.id,
                                         .position = position,
                                         .bytes = std::move(response.bytes),
                                         .last = fetch.complete};
}

void Machine::on_snapshot_restored(RestoredSnapshot snapshot, const Now& now) {
  const LogPosition id = snapshot.id;
  // Whoever leads by now has what it needs.
  if (fault_ || !snapshot_fetch_ || snapshot_fetch_->id != id) return;
  snapshot_fetch_.reset();
  if (id.offset > high_watermark_.value_or(Offset(0))) {
    log_.start_over(id);
    log_.note_voters(id.offset - 1, std::move(snapshot.voters));
    log_.note_kraft_version(id.offset - 1, snapshot.kraft_version);
    durable_end_ = id.offset;
    handed_over_.clear();
    output_.restore = id;
    set_high_watermark(id.offset, now);
  }
  finish(now);
}

Result<> Machine::take_records(ByteView records) {
  record::BatchIterator batches(records);
  for (;;) {
    ASSIGN_OR_RETURN(auto batch, batches.next());
    if (!batch) return {};
    RETURN_IF_ERROR(take_batch(batch->bytes()));
  }
}

Result<> Machine::take_batch(ByteView bytes) {
  ASSIGN_OR_RETURN(auto batch, record::BatchView::parse(bytes));
  const record::BatchHeader& header = batch.header();
  if (header.magic != record::kCurrentMagic || !batch.verify_crc() || header.last_offset_delta < 0)
    return fail(Errc::kCorrupt, fmt::format("the batch at {} is damaged", header.base_offset));
  if (header.base_offset != log_.end() || header.leader_epoch < log_.last_epoch() ||
      header.leader_epoch > election_.epoch)
    return fail(
        Errc::kCorrupt,
        fmt::format("a batch at {} of epoch {} does not follow {} of epoch {}", header.base_offset,
                    header.leader_epoch, log_.end(), log_.last_epoch()));
  RETURN_IF_ERROR(note_batch(log_, batch));
  output_.append.push_back(copy_of(bytes));
  return {};
}

}  // namespace millrace::raft
