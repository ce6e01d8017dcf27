// What was told to transactional producers of a simulation, and what readers of committed records
// saw; at the end both are compared with the logs.
//
//   TX1 a committed transaction is there whole, with its offsets; of an aborted one nothing is; of
//       one whose end nobody was told, all or nothing.
//   TX2 what a read_committed reader was given belongs to a transaction that is committed.
//   TX4 no partition of a transaction ends it differently than the others: TX1 over all of them.
// Not here: TX5, TX6, TX9, TX10 (sim/txn_producer), TX6, TX8 (sim/txn_state_oracle), TX3
// (sim/replica_oracle), TX7 (the scenario waits for it).
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/world.h"

namespace millrace::sim {

class TxnOracle {
 public:
  // `offsets_expire`: they may be gone for their age.
  TxnOracle(World& world, bool offsets_expire) : world_(&world), offsets_expire_(offsets_expire) {}

  enum class End { kUnknown, kCommitted, kAborted };
  // Of one transaction: its number among those of its producer.
  struct Name {
    std::string producer;
    int64_t number = 0;
    friend auto operator<=>(const Name&, const Name&) = default;
  };
  // A value that was sent in it, once or several times.
  void sent(const Name& name, int32_t partition, const std::string& value);
  void sent_offset(const Name& name) { transactions_[name].has_offset = true; }
  void ended(const Name& name, End end) { transactions_[name].end = end; }
  // A read_committed reader got it.
  void seen(int32_t partition, const std::string& value);
  // A member of a share group that reads what is committed got it, perhaps not for the first time.
  void shared(int32_t partition, const std::string& value) { shared_[partition].insert(value); }
  // Whether such a group must have got every record (SH3).
  std::function<bool(int32_t partition)> is_shared;

  // What such a reader finds in a partition in the end.
  using Contents = std::map<int32_t, std::multiset<std::string>>;
  // `offsets`: the number that is committed for each producer; -1: none.
  void check(const Contents& contents, const std::map<std::string, int64_t>& offsets);
  size_t committed_count() const;

 private:
  struct Transaction {
    std::map<int32_t, std::set<std::string>> values;
    bool has_offset = false;
    End end = End::kUnknown;
  };
  void check_transaction(const Name& name, const Transaction& transaction,
                         const Contents& contents);

  World* world_;
  bool offsets_expire_;
  std::map<Name, Transaction> transactions_;
  void check_committed(const std::map<int32_t, std::set<std::string>>& got,
                       const Contents& contents) const;
  void check_shared(const Contents& contents) const;

  std::map<int32_t, std::set<std::string>> seen_, shared_;
  std::set<Name> visible_;  // as found by the last check
};

}  // namespace millrace::sim
