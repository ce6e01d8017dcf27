// Reads one partition as a consumer of committed records does: up to the last stable offset,
// leaving out what the list of aborted transactions says (KIP-98).
// Threads: one.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "record/batch.h"
#include "sim/client.h"
#include "wire/fetch.h"

namespace millrace::sim {

class TxnReader {
 public:
  using Take = std::function<void(const std::string& value)>;
  TxnReader(const Site& site, const TopicPartition& partition, Take take);

  // Goes on for ever.
  void start();
  // Once, to where nothing is open any more.
  void read_to_end(std::function<void()> done);

 private:
  void fetch();
  void fetched(const wire::FetchResponse& response);
  void take(const record::BatchView& batch);
  void again(Duration pause);

  Host* host_;
  TopicPartition partition_;
  Take take_;
  Client client_;
  int64_t position_ = 0;
  std::set<int64_t> aborting_;  // producers in whose aborted transactions the position lies
  std::function<void()> at_end_;
};

}  // namespace millrace::sim
