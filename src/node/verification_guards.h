// Whose transactions a partition's leader is asking the coordinator about, or has asked (KIP-890).
// A producer's first batch of a transaction is appended only with the guard that was given before
// the coordinator was asked: if the transaction has ended meanwhile the guard is gone, and a late
// answer opens nothing, whoever got a new guard since (KAFKA-14884).
// Not here: asking (node/transaction_verifier), open transactions (storage/producer_state).
// Threads: the partition's lock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "base/ids.h"
#include "base/lazy.h"

namespace millrace::node {

class VerificationGuards {
 public:
  enum class Guard : uint64_t { kNone = 0 };

  // The coordinator is going to be asked about the producer whose batch begins at `sequence`.
  Guard begin(ProducerId producer, ProducerSequence sequence, TimestampMs now) {
    auto [entry, is_new] = entries_.made().try_emplace(producer, Entry{.lowest = sequence});
    if (is_new) entry->second.guard = Guard{++last_};
    entry->second.lowest = std::min(entry->second.lowest, sequence);
    entry->second.asked = now;
    return entry->second.guard;
  }
  bool covers(ProducerId producer, Guard guard) const {
    const auto entry = entries_->find(producer);
    return entry != entries_->end() && entry->second.guard == guard;
  }
  // Batches of the producer that came before this one are still to be appended.
  bool is_ahead(ProducerId producer, ProducerSequence sequence) const {
    const auto entry = entries_->find(producer);
    return entry != entries_->end() && sequence > entry->second.lowest;
  }
  // Its transaction is open in the log, or ended.
  void end(ProducerId producer) {
    if (auto* entries = entries_.if_made()) entries->erase(producer);
  }
  void clear() { entries_.reset(); }
  // Those that nobody has come back to.
  void expire(TimestampMs before) {
    if (auto* entries = entries_.if_made())
      std::erase_if(*entries, [&](const auto& each) { return each.second.asked < before; });
  }

 private:
  struct Entry {
    Guard guard = Guard::kNone;
    ProducerSequence lowest;
    TimestampMs asked;
  };
  Lazy<std::map<ProducerId, Entry>> entries_;
  uint64_t last_ = 0;
};

}  // namespace millrace::node
