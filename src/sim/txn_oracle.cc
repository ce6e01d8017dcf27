#include "sim/txn_oracle.h"

#include <algorithm>

namespace millrace::sim {

void TxnOracle::sent(const Name& name, int32_t partition, const std::string& value) {
  transactions_[name].values[partition].insert(value);
}

void TxnOracle::seen(int32_t partition, const std::string& value) {
  if (!seen_[partition].insert(value).second)
    world_->violated("TX2", fmt::format("{} was read twice from {}", value, partition));
}

size_t TxnOracle::committed_count() const {
  return static_cast<size_t>(std::ranges::count_if(
      transactions_, [](const auto& each) { return each.second.end == End::kCommitted; }));
}

void TxnOracle::check_transaction(const Name& name, const Transaction& transaction,
                                  const Contents& contents) {
  size_t wanted = 0, found = 0;
  for (const auto& [partition, values] : transaction.values) {
    const auto there = contents.find(partition);
    for (const std::string& value : values) {
      ++wanted;
      const size_t times = there == contents.end() ? 0 : there->second.count(value);
      if (times > 1)
        world_->violated("TX1", fmt::format("{} is {} times in {}", value, times, partition));
      found += times > 0;
    }
  }
  const auto told = [&](const char* what) {
    world_->violated("TX1", fmt::format("transaction {} of {}, {}: {} of {} values are there",
                                        name.number, name.producer, what, found, wanted));
  };
  if (transaction.end == End::kCommitted && found != wanted) told("committed");
  if (transaction.end == End::kAborted && found != 0) told("aborted");
  if (found != 0 && found != wanted) told("of which nobody was told the end");
  if (found == wanted && wanted > 0) visible_.insert(name);
}

void TxnOracle::check(const Contents& contents, const std::map<std::string, int64_t>& offsets) {
  visible_.clear();
  std::map<std::string, int64_t> newest;
  for (const auto& [name, transaction] : transactions_) {
    check_transaction(name, transaction, contents);
    if (transaction.has_offset && visible_.contains(name)) newest[name.producer] = name.number;
  }
  for (const auto& [producer, offset] : offsets) {
    const auto expected = newest.find(producer);
    const int64_t number = expected == newest.end() ? -1 : expected->second;
    const bool is_expired = offset == -1 && offsets_expire_;
    if (offset != number && !is_expired)
      world_->violated("TX1", fmt::format("{} has committed the offset {}, its last transaction "
                                          "with one that is there is {}",
                                          producer, offset, number));
  }
  check_committed(seen_, contents);
  check_committed(shared_, contents);
  check_shared(contents);
}

void TxnOracle::check_committed(const std::map<int32_t, std::set<std::string>>& got,
                                const Contents& contents) const {
  for (const auto& [partition, values] : got)
    for (const std::string& value : values) {
      const auto there = contents.find(partition);
      if (there == contents.end() || !there->second.contains(value))
        world_->violated("TX2",
                         fmt::format("{} was read from {} and is not committed", value, partition));
    }
}

void TxnOracle::check_shared(const Contents& contents) const {
  if (!is_shared) return;
  for (const auto& [partition, values] : contents) {
    if (!is_shared(partition)) continue;
    const auto got = shared_.find(partition);
    for (const std::string& value : values)
      if (got == shared_.end() || !got->second.contains(value))
        world_->violated("SH3", fmt::format("{} is committed in {}, and the share group did not "
                                            "get it",
                                            value, partition));
  }
}

}  // namespace millrace::sim
