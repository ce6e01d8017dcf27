#include "node/scrubber.h"

#include <algorithm>

namespace millrace::node {

void Scrubber::start() {
  if (parts_.bytes_per_second == 0) return;
  for (const auto& volume : parts_.partitions->volumes()) begin_round(*volume);
}

void Scrubber::close() { closed_ = true; }

void Scrubber::begin_round(Volume& volume) {
  auto round = std::make_shared<Round>();
  round->volume = &volume;
  round->begun = shard().clock().now();
  round->left = parts_.partitions->all();
  std::erase_if(round->left,
                [&](const HostedPartition& hosted) { return hosted.volume() != &volume; });
  go_on(std::move(round), Duration(0));
}

void Scrubber::go_on(std::shared_ptr<Round> round, Duration pause) {
  const bool is_over = round->left.empty() || round->volume->is_offline();
  if (is_over) pause = std::max(pause, round->begun + kRoundTime - shard().clock().now());
  shard().after(pause, [self = shared_from_this(), round, is_over] {
    if (self->closed_) return;
    if (is_over) return self->begin_round(*round->volume);
    round->volume->thread().run([self, round] {
      const uint64_t bytes = self->read_some(*round);
      self->shard().post([self, round, bytes] {
        self->go_on(round, milliseconds(bytes * 1000 / self->parts_.bytes_per_second + 1));
      });
    });
  });
}

uint64_t Scrubber::read_some(Round& round) {
  uint64_t bytes = 0;
  while (bytes < kPieceBytes && !round.left.empty() && !round.volume->is_offline()) {
    const Piece piece = read_piece(round.left.back(), round.next);
    bytes += piece.bytes > 0 ? piece.bytes + kPartitionCost : kEmptyCost;
    round.next = piece.next;
    if (!piece.is_last) continue;
    round.left.pop_back();
    round.next = Offset(-1);
  }
  return bytes;
}

Scrubber::Piece Scrubber::read_piece(const HostedPartition& hosted, Offset from) {
  Offset end;
  storage::ScrubbedBytes read;
  auto slice = with_partition(*hosted.partition, [&](PartitionState& state) {
    storage::Log& log = state.log();
    from = std::max(from, log.log_start());
    while (const auto* known = log.damage_of(from)) from = known->below;
    end = state.is_offline() ? from : state.durable_end();
    read = {
        .bytes = {}, .from = from, .segment_end = log.segment_end(from), .epochs = log.epochs()};
    return log.read({.from = from, .below = end, .max_bytes = kPieceBytes});
  });
  const bool has_none = slice && slice->length == 0 && from < end;
  if (has_none || (!slice && slice.error().code == Errc::kCorrupt)) {
    const Offset next = examine(hosted, {.next = from, .doubt = from});
    return {.next = next, .bytes = 0, .is_last = next <= from || next >= end};
  }
  if (!slice || slice->length == 0) return {.next = end};
  ByteBuffer bytes(slice->length);
  auto got = slice->file->read_at(bytes, slice->position);
  if (!got) return {.next = end};  // whoever serves it takes the directory offline
  read.bytes = ByteView(bytes).first(*got);
  const storage::Scrubbed looked = scrub(read);
  const Offset next = looked.doubt ? examine(hosted, looked) : looked.next;
  return {.next = next, .bytes = *got, .is_last = next <= from || next >= end};
}

// Again, under the lock: the log may have been cut while it was read. Where to go on.
Offset Scrubber::examine(const HostedPartition& hosted, const storage::Scrubbed& looked) {
  bool found = false;
  const Offset offset = *looked.doubt;
  const Offset next = with_partition(*hosted.partition, [&](PartitionState& state) {
    if (state.is_offline()) return looked.next;
    auto damage = state.log().examine(offset);
    if (!damage || state.log().damage_of(offset)) return looked.next;
    if (!*damage) {
      (void)state.log().right_epoch(offset);  // if it cannot be written it is found again
      return looked.next;
    }
    found = true;
    state.log().quarantine(**damage);
    return (*damage)->below;
  });
  if (found) parts_.found(hosted);
  return next;
}

void Scrubber::check(const HostedPartition& hosted, Offset offset) {
  shard().post([self = shared_from_this(), hosted, offset] {
    const TopicPartition& name = hosted.partition->name();
    if (self->closed_ || self->checks_.size() >= kMaxChecks || !self->checks_.insert(name).second)
      return;
    hosted.volume()->thread().run([self, hosted, offset] {
      (void)self->read_piece(hosted, offset);
      self->shard().post([self, hosted] { self->checks_.erase(hosted.partition->name()); });
    });
  });
}

}  // namespace millrace::node
