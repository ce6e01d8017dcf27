// Transactions in a simulated cluster: a topic of their own, transactional producers, readers of
// committed records, and what they found compared in the end.
// Not here: the rules (sim/txn_oracle, sim/txn_state_oracle).
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "sim/txn_producer.h"
#include "sim/txn_reader.h"
#include "sim/txn_state_oracle.h"

namespace millrace::sim {

struct TxnWorkloadOptions {
  int32_t partitions = 2;
  int16_t replicas = 1;
  int producers = 2;
  bool offsets_expire = false;
};

class TxnWorkload {
 public:
  static constexpr const char* kTopic = "transfers";

  TxnWorkload(const Site& site, const TxnWorkloadOptions& options);

  void create_topic(const std::map<std::string, std::string>& configs,
                    std::function<void()> created);
  void start();
  void finish();
  bool is_done() const;
  // Any time: TX6, TX8.
  void look(const metadata::Image& image, const FindNode& find) { states_.look(image, find); }
  // Reads everything, when nothing is open any more, and compares. TX7: `done` is called,
  // and not before then may it be called again.
  void check(std::function<void()> done);
  size_t committed_count() const { return oracle_.committed_count(); }
  TxnOracle& oracle() { return oracle_; }

 private:
  struct Check {
    TxnOracle::Contents contents;
    std::map<std::string, int64_t> offsets;
    std::vector<std::unique_ptr<TxnReader>> readers;
    size_t left = 1;
    std::function<void()> done;
  };
  void one_is_read();
  void fetch_offset(const std::string& producer);

  Site site_;
  TxnWorkloadOptions options_;
  TxnOracle oracle_;
  TxnStateOracle states_;
  Client client_;
  std::vector<std::unique_ptr<TxnProducer>> producers_;
  std::vector<std::unique_ptr<TxnReader>> readers_;
  Check check_;
};

}  // namespace millrace::sim
